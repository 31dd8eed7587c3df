"""How a header's wraps are made: one credential each, a fresh salt and nonce each, and the seal over all of them."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from edgeperso.times import now_ms
from edgeperso.vault import keys
from edgeperso.vault.credentials import Credential, WrapType
from edgeperso.vault.header_files import Condition, Stored
from edgeperso.vault.header_format import Argon2Kdf, Content, HkdfKdf, Wrap, mac_input, render
from edgeperso.vault.keys import Argon2Cost, MasterKey, Purpose
from edgeperso.vault.recovery import recovery_secret

__all__ = ["enroll", "enroll_all", "ordered", "recovery_wrap", "sealed"]


def sealed(content: Content, master: MasterKey) -> Stored:
    """``content`` with its mac, as it will lie in both files."""
    mac = keys.authenticate(master.derive(Purpose.HEADER), mac_input(content))
    return Stored(content, mac, Condition.WHOLE, render(content, mac))


def enroll_all(
    master: MasterKey, vault_id: str, credentials: Iterable[Credential], recovery: str, cost: Argon2Cost | None
) -> tuple[Wrap, ...]:
    """One wrap for each credential, enrolled, and one for the recovery key ``recovery``."""
    chosen = [enroll(master, vault_id, each.wrap_type, each.enroll(vault_id), cost) for each in credentials]
    return ordered((*chosen, recovery_wrap(master, vault_id, recovery)))


def recovery_wrap(master: MasterKey, vault_id: str, text: str) -> Wrap:
    return enroll(master, vault_id, WrapType.RECOVERY, recovery_secret(text), None)


def enroll(master: MasterKey, vault_id: str, wrap_type: WrapType, secret: bytes, cost: Argon2Cost | None) -> Wrap:
    salt = secrets.token_bytes(keys.SALT_BYTES).hex()
    kdf: Argon2Kdf | HkdfKdf = HkdfKdf(name="hkdf-sha256", salt=salt)
    if wrap_type is WrapType.PASSPHRASE:
        chosen = keys.STANDARD_COST if cost is None else cost
        kdf = Argon2Kdf(
            name="argon2id",
            memory_kib=chosen.memory_kib,
            iterations=chosen.iterations,
            lanes=chosen.lanes,
            salt=salt,
        )
    # The parameters are part of what GCM authenticates, so they come first and the ciphertext is filled in.
    frame = Wrap(
        id=secrets.token_hex(8),
        type=wrap_type,
        created_ms=now_ms(),
        kdf=kdf,
        nonce="00" * keys.NONCE_BYTES,
        sealed="00" * keys.SEALED_BYTES,
    )
    nonce, sealed = master.sealed_under(kdf.key(secret, wrap_type), frame.aad(vault_id))
    return frame.model_copy(update={"nonce": nonce.hex(), "sealed": sealed.hex()})


def ordered(wraps: Iterable[Wrap]) -> tuple[Wrap, ...]:
    order = list(WrapType)
    return tuple(sorted(wraps, key=lambda wrap: order.index(wrap.type)))
