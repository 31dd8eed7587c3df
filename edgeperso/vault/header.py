"""The key header of a vault: which credentials open it, and how its master key is changed without a moment of risk.

Promises:

* ``header.json`` holds no secret: only wraps of the master key, each under one credential (see `keys`).
* Damage by accident is `HeaderDamaged`, a wrong secret `WrongKey`, whatever its cause. After unlocking, an HMAC under a
  key of the master covers the whole header: a wrap that was removed, added or swapped in is `HeaderDamaged`.
* Every change is atomic and durable, kept in two identical files, and refused (`VaultBusy`) if another process changed
  the header since this one read it.
* A vault always keeps its recovery key and at least one other credential, so a crash before a new recovery key is
  printed locks nobody out.

Not promised: an attacker who puts whole old files back is not noticed here. Copies of an old header (backups too) stay
openable by the credentials of their time: changing a passphrase doesn't reach them, and after a rotation they give the
old master key, which opens old copies of the database only. A copy taken while a rotation is under way gives both.

**Rotation**, the change of the master key, goes in four steps. The database's half belongs to the caller.

===  =====================================  ================================================================
     step                                   a crash after it leaves
===  =====================================  ================================================================
1    ``new = begin_rotation(old)``          ``pending`` set; credentials give ``old``; the database opens with
                                            ``old``: abort, or go on at 2 with ``pending(old)``
2    re-encrypt the database, atomically,   credentials give ``old``; the database opens with ``pending(old)``
     under ``new``                          alone: go on at 3. Never abort here
3    ``finish_rotation(old, new, …)``       the primary is new: credentials give ``new``, nothing is pending
4    print the new recovery key             the old one is dead, the new one unseen: unlock by another
                                            credential and call ``new_recovery``
===  =====================================  ================================================================

`begin_rotation` called again returns the same pending key, and `abort_rotation` is right only while the database still
opens with ``old``. If the primary is lost after step 3 and only an older copy is left, that copy still has ``pending``:
old credentials, then ``pending(old)``, open the database.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edgeperso.errors import EdgepersoError, HeaderDamaged, NotFound, UsageError, VaultError, WrongKey
from edgeperso.events import Event, emit
from edgeperso.times import now_ms
from edgeperso.vault import keyring_store, keys
from edgeperso.vault.credentials import Credential, OsKeyring, Passphrase, WrapType
from edgeperso.vault.header_files import Condition, Stored, read_stored, refuse_existing, replace_stored, store_first
from edgeperso.vault.header_format import Content, Pending, Wrap, mac_input, parse, render
from edgeperso.vault.header_wraps import enroll, enroll_all, ordered, recovery_wrap, sealed
from edgeperso.vault.keys import Argon2Cost, MasterKey, Purpose
from edgeperso.vault.recovery import new_recovery_text

__all__ = ["Condition", "Header", "Rotated", "WrapInfo"]

_NAMES: Final = {
    WrapType.PASSPHRASE: "passphrase",
    WrapType.KEY_FILE: "key file",
    WrapType.OS_KEYRING: "OS keyring",
    WrapType.RECOVERY: "recovery key",
}


@dataclass(frozen=True, slots=True)
class WrapInfo:
    """One credential of a vault as ``key status`` shows it; nothing secret."""

    id: str
    type: WrapType
    created_ms: int


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a finished rotation leaves: the new recovery key, to be printed once, and the types no longer accepted."""

    recovery_key: str = field(repr=False)
    dropped: tuple[WrapType, ...]
    generation: int


class Header:
    """The key header. Made by `create`, `load` or `from_bytes`.

    ``cost`` is what new passphrases are stretched with; None is `keys.STANDARD_COST`. Wraps that exist keep theirs.
    """

    def __init__(self, stored: Stored, home: Path | None, cost: Argon2Cost | None) -> None:
        self._stored = stored
        self._home = home
        self._cost = cost

    # -- coming to be ------------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls, home: Path, credential: Credential, *, cost: Argon2Cost | None = None
    ) -> tuple[Header, MasterKey, str]:
        """Make a header in ``home`` (made too, 0700, if missing) that ``credential`` and a new recovery key open.

        Returns:
            The header, the master key, and the recovery key to be printed once: it is kept nowhere.

        Raises:
            VaultExists: there is a header, whole or damaged; nothing was changed.
            UsageError: an unusable passphrase, or a recovery key as credential.
            KeyFileInvalid, KeyringUnavailable: the credential can't be used.
            DiskFull, ReadOnly, VaultError: it can't be written.
        """
        refuse_existing(home)
        vault_id = secrets.token_hex(16)
        master = MasterKey.random(vault_id)
        recovery = new_recovery_text()
        try:
            wraps = enroll_all(master, vault_id, (credential,), recovery, cost)
            header = cls(sealed(Content(vault_id=vault_id, generation=1, wraps=wraps), master), None, cost)
            return header.install(home), master, recovery
        except EdgepersoError:
            master.wipe()
            if isinstance(credential, OsKeyring):
                keyring_store.delete_secret(vault_id)
            raise

    @classmethod
    def load(cls, home: Path, *, cost: Argon2Cost | None = None) -> Header:
        """Read the header of ``home``; nothing is unlocked, and nothing proves yet that nobody altered it.

        Raises:
            VaultNotFound, HeaderDamaged, VaultTooNew: see `read_stored`.
        """
        return cls(read_stored(home), home, cost)

    @classmethod
    def from_bytes(cls, data: bytes, *, cost: Argon2Cost | None = None) -> Header:
        """A header from a backup. It lies nowhere, so it can be unlocked and installed but not changed.

        Raises:
            HeaderDamaged, VaultTooNew.
        """
        content, mac = parse(data)
        return cls(Stored(content, mac, Condition.WHOLE, None), None, cost)

    def to_bytes(self) -> bytes:
        """The header as its file holds it, for a backup."""
        return render(self._content, self._stored.mac)

    def install(self, home: Path) -> Header:
        """Put this header into ``home``, where there is none yet.

        Raises:
            VaultExists, DiskFull, ReadOnly, VaultError.
        """
        data = self.to_bytes()
        store_first(home, data)
        return Header(Stored(self._content, self._stored.mac, Condition.WHOLE, data), home, self._cost)

    # -- what it says ------------------------------------------------------------------------------------------------

    @property
    def vault_id(self) -> str:
        """32 hex digits, random, for the vault's whole life."""
        return self._content.vault_id

    @property
    def generation(self) -> int:
        """1 for the first master key, one more after each rotation."""
        return self._content.generation

    @property
    def condition(self) -> Condition:
        """In what state the two files were found, or left by the last change: any change, or `repair`, makes them
        whole again."""
        return self._stored.condition

    @property
    def rotating(self) -> bool:
        """Whether a rotation was begun and not finished."""
        return self._content.pending is not None

    def wraps(self) -> tuple[WrapInfo, ...]:
        """The credentials that open this vault, in the order of their types."""
        return tuple(WrapInfo(wrap.id, wrap.type, wrap.created_ms) for wrap in self._content.wraps)

    # -- unlocking ---------------------------------------------------------------------------------------------------

    def unlock(self, credential: Credential) -> MasterKey:
        """The master key. An older or missing copy (`Condition.BACKUP_LOST`) is renewed, where the home lets it.

        Raises:
            WrongKey: the secret doesn't fit, or the vault has no credential of this type.
            RecoveryKeyMistyped, KeyFileInvalid, KeyringUnavailable: the credential itself is no good.
            HeaderDamaged: the secret is right, but the header was altered on purpose.
        """
        wrap = self._content.wrap_of(credential.wrap_type)
        if wrap is None:
            known = ", ".join(_NAMES[each.type] for each in self._content.wraps)
            raise WrongKey(f"This vault has no {_NAMES[credential.wrap_type]}.", hint=f"It opens with: {known}.")
        nonce, sealed = bytes.fromhex(wrap.nonce), bytes.fromhex(wrap.sealed)
        with wrap.kdf.key(credential.secret(self.vault_id), wrap.type) as wrapping_key:
            opened = keys.unseal(wrapping_key, nonce, sealed, wrap.aad(self.vault_id))
        master = MasterKey(opened, self.vault_id)
        if not self._authentic(master):
            master.wipe()
            raise HeaderDamaged("The key header was altered by something other than edgeperso.")
        self._renew_copy()
        return master

    # -- changing credentials ----------------------------------------------------------------------------------------

    def add(self, master: MasterKey, credential: Credential) -> WrapInfo:
        """Let ``credential`` open the vault; it replaces the one of its type, if there is one.

        Raises:
            UsageError: a recovery key, or an unusable passphrase.
            WrongKey: ``master`` is not this vault's.
            KeyFileInvalid, KeyringUnavailable, VaultBusy, DiskFull, ReadOnly, VaultError.
        """
        self._require(master)
        wrap = enroll(master, self.vault_id, credential.wrap_type, credential.enroll(self.vault_id), self._cost)
        self._replace_wrap(master, wrap)
        return WrapInfo(wrap.id, wrap.type, wrap.created_ms)

    def change_passphrase(self, master: MasterKey, new: Passphrase) -> WrapInfo:
        """Replace the passphrase; see `add`.

        Raises:
            NotFound: the vault has no passphrase to change.
        """
        if self._content.wrap_of(WrapType.PASSPHRASE) is None:
            raise NotFound("This vault has no passphrase.", hint="Add one instead.")
        return self.add(master, new)

    def new_recovery(self, master: MasterKey) -> str:
        """Replace the recovery key; the old one opens nothing any more. The new one is returned to be printed once.

        Raises:
            WrongKey, VaultBusy, DiskFull, ReadOnly, VaultError.
        """
        self._require(master)
        text = new_recovery_text()
        self._replace_wrap(master, recovery_wrap(master, self.vault_id, text))
        return text

    def remove(self, master: MasterKey, wrap_type: WrapType) -> None:
        """Stop accepting the credential of this type. The OS keyring's secret is dropped too; a key file stays.

        Raises:
            NotFound: the vault has none.
            UsageError: it is the recovery key, or the last one beside it.
            WrongKey, VaultBusy, DiskFull, ReadOnly, VaultError.
        """
        self._require(master)
        if wrap_type is WrapType.RECOVERY:
            raise UsageError("The recovery key can be replaced, not removed.", hint="Use `edgeperso key recovery`.")
        if self._content.wrap_of(wrap_type) is None:
            raise NotFound(f"This vault has no {_NAMES[wrap_type]}.")
        left = tuple(wrap for wrap in self._content.wraps if wrap.type is not wrap_type)
        if all(wrap.type is WrapType.RECOVERY for wrap in left):
            raise UsageError(
                f"The {_NAMES[wrap_type]} is all that opens this vault beside the recovery key.",
                hint="Add another credential first.",
            )
        self._commit(self._content.model_copy(update={"wraps": left}), master)
        if wrap_type is WrapType.OS_KEYRING:
            keyring_store.delete_secret(self.vault_id)

    def repair(self, master: MasterKey) -> None:
        """Write both files anew, unchanged: for a header that was found in another `condition` than whole.

        Raises:
            WrongKey, VaultBusy, DiskFull, ReadOnly, VaultError.
        """
        self._require(master)
        self._commit(self._content, master)

    # -- changing the master key -------------------------------------------------------------------------------------

    def begin_rotation(self, master: MasterKey) -> MasterKey:
        """Step 1: choose the next master key and keep it, wrapped under the present one. Idempotent.

        Raises:
            WrongKey, VaultBusy, DiskFull, ReadOnly, VaultError.
        """
        begun = self.pending(master)
        if begun is not None:
            return begun
        new = MasterKey.random(self.vault_id)
        empty = Pending(
            id=secrets.token_hex(8), created_ms=now_ms(), nonce="00" * keys.NONCE_BYTES, sealed="00" * keys.SEALED_BYTES
        )
        nonce, sealed = new.sealed_under(master.derive(Purpose.ROTATION), empty.aad(self.vault_id))
        pending = empty.model_copy(update={"nonce": nonce.hex(), "sealed": sealed.hex()})
        self._commit(self._content.model_copy(update={"pending": pending}), master)
        return new

    def pending(self, master: MasterKey) -> MasterKey | None:
        """The next master key, if a rotation was begun.

        Raises:
            WrongKey: ``master`` is not this vault's present one.
        """
        self._require(master)
        pending = self._content.pending
        if pending is None:
            return None
        opened = keys.unseal(
            master.derive(Purpose.ROTATION),
            bytes.fromhex(pending.nonce),
            bytes.fromhex(pending.sealed),
            pending.aad(self.vault_id),
        )
        return MasterKey(opened, self.vault_id)

    def finish_rotation(self, old: MasterKey, new: MasterKey, credentials: Sequence[Credential]) -> Rotated:
        """Step 3: from now on ``credentials`` and a new recovery key open the vault, and give ``new``.

        The credentials are taken as they are given, they need not be the ones that the vault had: check a typed
        passphrase first. A key file or keyring secret that exists is used again.

        Raises:
            UsageError: nothing is pending, no credential, two of one type, or a recovery key among them.
            WrongKey: ``old`` isn't the present master key, or ``new`` not the pending one.
            KeyFileInvalid, KeyringUnavailable, VaultBusy, DiskFull, ReadOnly, VaultError: nothing was changed.
        """
        begun = self.pending(old)
        if begun is None:
            raise UsageError("No change of the master key is under way.")
        fits = begun.matches(new)
        begun.wipe()
        if not fits:
            raise WrongKey("This is not the master key that the vault is changing to.")
        types = [credential.wrap_type for credential in credentials]
        if not types or len(set(types)) != len(types) or WrapType.RECOVERY in types:
            raise UsageError("Give at least one passphrase, key file or OS keyring, and at most one of each.")
        recovery = new_recovery_text()
        wraps = enroll_all(new, self.vault_id, credentials, recovery, self._cost)
        kept = {wrap.type for wrap in wraps}
        dropped = tuple(wrap.type for wrap in self._content.wraps if wrap.type not in kept)
        content = Content(vault_id=self.vault_id, generation=self.generation + 1, wraps=wraps)
        self._commit(content, new)
        if WrapType.OS_KEYRING in dropped:
            keyring_store.delete_secret(self.vault_id)
        emit(Event.KEY_ROTATED, generation=content.generation, wraps=len(wraps))
        return Rotated(recovery, dropped, content.generation)

    def abort_rotation(self, old: MasterKey) -> None:
        """Forget the pending master key. Only while the database still opens with ``old``: else it is lost.

        Raises:
            WrongKey, VaultBusy, DiskFull, ReadOnly, VaultError.
        """
        self._require(old)
        if self._content.pending is not None:
            self._commit(self._content.model_copy(update={"pending": None}), old)

    # -- inside ------------------------------------------------------------------------------------------------------

    @property
    def _content(self) -> Content:
        return self._stored.content

    def _authentic(self, master: MasterKey) -> bool:
        return keys.authentic(master.derive(Purpose.HEADER), mac_input(self._content), self._stored.mac)

    def _require(self, master: MasterKey) -> None:
        if not self._authentic(master):
            raise WrongKey("This is not the vault's present master key.")

    def _renew_copy(self) -> None:
        """A copy left behind by a crash still opens by what the last change took away: it can't wait."""
        if self._home is not None and self.condition is Condition.BACKUP_LOST:
            with suppress(VaultError):
                replace_stored(self._home, self.to_bytes(), expected=self._stored.primary)

    def _replace_wrap(self, master: MasterKey, new: Wrap) -> None:
        others = (wrap for wrap in self._content.wraps if wrap.type is not new.type)
        self._commit(self._content.model_copy(update={"wraps": ordered((*others, new))}), master)

    def _commit(self, content: Content, master: MasterKey) -> None:
        if self._home is None:
            raise UsageError("This header belongs to a backup: install it before changing it.")
        stored = sealed(content, master)
        replace_stored(self._home, render(content, stored.mac), expected=self._stored.primary)
        self._stored = stored
        emit(Event.KEY_CHANGED, generation=content.generation, wraps=len(content.wraps))
