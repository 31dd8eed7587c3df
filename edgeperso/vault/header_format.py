"""What ``header.json`` holds, and the one way to write and to read it.

The file is JSON in exactly the form that `render` gives (keys sorted, two blanks of indent, ASCII, lower-case hex, a
newline at the end); any other bytes are damage, even where JSON would mean the same. Two seals are part of it:

* ``checksum``: SHA-256 over the canonical form of all other fields. No key: it tells accidents (a flipped bit, a cut
  file) apart from a wrong passphrase. It is checked before anything else is believed, the version too.
* ``mac``: HMAC-SHA256 over the canonical form of all fields but ``mac`` and ``checksum``, under a key derived from the
  master. It shows, after unlocking, that no wrap was removed, swapped in or altered.

A promise to the future: later versions keep ``format``, ``version`` and ``checksum`` as they are, so that an older
program can say `VaultTooNew`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Final, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgeperso.errors import HeaderDamaged, VaultTooNew
from edgeperso.secrecy import SecretBytes
from edgeperso.vault.credentials import WrapType
from edgeperso.vault.keys import (
    KEY_BYTES,
    MAX_ITERATIONS,
    MAX_LANES,
    MAX_MEMORY_KIB,
    NONCE_BYTES,
    SALT_BYTES,
    SEALED_BYTES,
    Argon2Cost,
    digest,
    stretch_key,
    stretch_passphrase,
)

__all__ = ["MAX_HEADER_BYTES", "Argon2Kdf", "Content", "HkdfKdf", "Pending", "Wrap", "mac_input", "parse", "render"]

FORMAT: Final = "edgeperso-header"
VERSION: Final = 1
MAX_HEADER_BYTES: Final = 65_536


def _hex_of(size_bytes: int) -> object:
    return Field(pattern=rf"^[0-9a-f]{{{2 * size_bytes}}}$")


VaultId = Annotated[str, _hex_of(16)]
WrapId = Annotated[str, _hex_of(8)]
Salt = Annotated[str, _hex_of(SALT_BYTES)]
Nonce = Annotated[str, _hex_of(NONCE_BYTES)]
Sealed = Annotated[str, _hex_of(SEALED_BYTES)]
Tag = Annotated[str, _hex_of(KEY_BYTES)]
Moment = Annotated[int, Field(ge=0, lt=1 << 53)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Argon2Kdf(_Part):
    """How a passphrase is stretched. The bounds keep a hostile header from asking for 100 GiB."""

    name: Literal["argon2id"]
    memory_kib: Annotated[int, Field(ge=8, le=MAX_MEMORY_KIB)]
    iterations: Annotated[int, Field(ge=1, le=MAX_ITERATIONS)]
    lanes: Annotated[int, Field(ge=1, le=MAX_LANES)]
    salt: Salt

    def key(self, secret: bytes, wrap_type: WrapType) -> SecretBytes:  # noqa: ARG002 - both ways are asked alike
        cost = Argon2Cost(self.memory_kib, self.iterations, self.lanes, below_standard=True)
        return stretch_passphrase(secret, bytes.fromhex(self.salt), cost)


class HkdfKdf(_Part):
    """How a secret of 256 random bits becomes a wrapping key."""

    name: Literal["hkdf-sha256"]
    salt: Salt

    def key(self, secret: bytes, wrap_type: WrapType) -> SecretBytes:
        return stretch_key(secret, bytes.fromhex(self.salt), wrap_type)


class Wrap(_Part):
    """The master key wrapped for one credential."""

    id: WrapId
    type: Annotated[WrapType, Field(strict=False)]
    created_ms: Moment
    kdf: Annotated[Argon2Kdf | HkdfKdf, Field(discriminator="name")]
    nonce: Nonce
    sealed: Sealed

    def aad(self, vault_id: str) -> bytes:
        """What the wrap is bound to: it opens in no other vault, in no other role, with no other parameters."""
        return _canonical(
            {
                "format": FORMAT,
                "version": VERSION,
                "vault_id": vault_id,
                "id": self.id,
                "type": self.type.value,
                "kdf": self.kdf.model_dump(),
            }
        )


class Pending(_Part):
    """The next master key, wrapped under a key derived from the present one, while a rotation is under way."""

    id: WrapId
    created_ms: Moment
    nonce: Nonce
    sealed: Sealed

    def aad(self, vault_id: str) -> bytes:
        return _canonical(
            {"format": FORMAT, "version": VERSION, "vault_id": vault_id, "id": self.id, "type": "pending"}
        )


class Content(_Part):
    """A header without its two seals."""

    format: Literal["edgeperso-header"] = FORMAT
    version: Literal[1] = VERSION
    vault_id: VaultId
    generation: Annotated[int, Field(ge=1, lt=1 << 31)]
    wraps: Annotated[tuple[Wrap, ...], Field(min_length=1, max_length=len(WrapType), strict=False)]
    pending: Pending | None = None

    def wrap_of(self, wrap_type: WrapType) -> Wrap | None:
        return next((wrap for wrap in self.wraps if wrap.type is wrap_type), None)


class _File(Content):
    mac: Tag
    checksum: Tag


def mac_input(content: Content) -> bytes:
    """The bytes that the header's HMAC covers: all fields but the two seals."""
    return _canonical(content.model_dump(mode="json"))


def render(content: Content, mac: bytes) -> bytes:
    """The file's bytes."""
    fields = content.model_dump(mode="json") | {"mac": mac.hex()}
    fields["checksum"] = digest(_canonical(fields)).hex()
    return json.dumps(fields, indent=2, sort_keys=True).encode() + b"\n"


def parse(data: bytes) -> tuple[Content, bytes]:
    """Content and mac of a header file's bytes; the mac can only be checked after unlocking.

    Raises:
        HeaderDamaged: cut, altered, oversized, or not a header.
        VaultTooNew: whole, and of a later version.
    """
    if len(data) > MAX_HEADER_BYTES:
        raise HeaderDamaged("The key header is far too large.")
    fields = _read_json(data)
    checksum = fields.get("checksum")
    unsealed = {name: value for name, value in fields.items() if name != "checksum"}
    if fields.get("format") != FORMAT or checksum != digest(_canonical(unsealed)).hex():
        raise HeaderDamaged("The key header is damaged: its checksum doesn't fit.")
    version = fields.get("version")
    if isinstance(version, int) and version > VERSION:
        raise VaultTooNew("The key header was written by a newer edgeperso.")
    try:
        file = _File.model_validate(fields)
    except ValidationError:
        raise HeaderDamaged("The key header holds values that no edgeperso writes.") from None
    content = Content.model_validate(file.model_dump(exclude={"mac", "checksum"}))
    mac = bytes.fromhex(file.mac)
    _check_sense(content)
    # Also what JSON lets pass: a name twice, other blanks, escapes, another order.
    if render(content, mac) != data:
        raise HeaderDamaged("The key header is damaged: it isn't in the form that edgeperso writes.")
    return content, mac


def _check_sense(content: Content) -> None:
    """What the field types can't say: one wrap a type, each under the derivation that its secret needs."""
    if len({wrap.type for wrap in content.wraps}) != len(content.wraps):
        raise HeaderDamaged("The key header holds two keys of one type.")
    for wrap in content.wraps:
        if (wrap.type is WrapType.PASSPHRASE) != isinstance(wrap.kdf, Argon2Kdf):
            raise HeaderDamaged("The key header names a key derivation that doesn't fit the key's type.")
        if isinstance(wrap.kdf, Argon2Kdf) and wrap.kdf.memory_kib < 8 * wrap.kdf.lanes:
            raise HeaderDamaged("The key header holds impossible Argon2id parameters.")


def _read_json(data: bytes) -> dict[str, object]:
    try:
        fields = json.loads(data.decode("ascii"), parse_float=_refuse, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise HeaderDamaged("The key header is damaged: it isn't whole JSON.") from None
    if not isinstance(fields, dict):
        raise HeaderDamaged("The key header is damaged: it isn't a JSON object.")
    return fields


def _refuse(_: str) -> NoReturn:
    raise ValueError("not an integer")


def _canonical(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
