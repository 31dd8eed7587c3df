"""One secret per vault in the operating system's keyring, or a refusal.

Promise: the secret goes only to a backend known to encrypt what it stores: the Secret Service or libsecret (GNOME,
KeePassXC), KWallet, the macOS Keychain, the Windows Credential Locker. Any other backend is refused with
`KeyringUnavailable`: none at all, ``keyring``'s null and fail ones, the plaintext and file ones of ``keyrings.alt``,
and third-party ones that nobody here has looked at. A chain of backends is never used as such: it may fall through to
a plaintext one, so its members are judged one by one and the trusted ones used directly.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from edgeperso.errors import KeyringUnavailable
from edgeperso.vault.keys import KEY_BYTES, same

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

__all__ = ["SERVICE", "delete_secret", "ensure_secret", "read_secret"]

SERVICE: Final = "edgeperso"
_FORM: Final = "v1:"
_TRUSTED_MODULES: Final = frozenset(
    {
        "keyring.backends.SecretService",
        "keyring.backends.libsecret",
        "keyring.backends.kwallet",
        "keyring.backends.macOS",
        "keyring.backends.Windows",
    }
)


def read_secret(vault_id: str) -> bytes:
    """The 32-byte secret of this vault.

    Raises:
        KeyringUnavailable: no trusted backend, a locked one, or none that holds a secret of this vault.
    """
    found = _find(_trusted(), vault_id)
    if found is None:
        raise KeyringUnavailable("The keyring of this machine and user holds no key of this vault.")
    return found


def ensure_secret(vault_id: str) -> bytes:
    """The vault's secret, made and stored first where there is none.

    Raises:
        KeyringUnavailable: no trusted backend, a locked one, or one that doesn't give back what it was given.
    """
    backends = _trusted()
    found = _find(backends, vault_id)
    if found is not None:
        return found
    secret = secrets.token_bytes(KEY_BYTES)
    try:
        backends[0].set_password(SERVICE, vault_id, _FORM + secret.hex())
    except Exception:  # noqa: BLE001 - backends raise errors of their own kinds
        raise KeyringUnavailable("The keyring didn't take the key: it may be locked.") from None
    stored = _find(backends, vault_id)
    if stored is None or not same(stored, secret):
        raise KeyringUnavailable("The keyring doesn't give back what was stored in it.")
    return secret


def delete_secret(vault_id: str) -> None:
    """Drop the vault's secret wherever a trusted backend still holds it; what can't be dropped opens nothing."""
    try:
        backends = _trusted()
    except KeyringUnavailable:
        return
    for backend in backends:
        try:
            if backend.get_password(SERVICE, vault_id) is not None:
                backend.delete_password(SERVICE, vault_id)
        except Exception:  # noqa: BLE001, S112 - the wrap it opened is gone: a failure here costs nothing
            continue


def _trusted() -> list[KeyringBackend]:
    """The backends that may hold a secret, best first; never empty."""
    # Here, not above: looking for backends takes time that a vault opened by passphrase needn't spend.
    import keyring
    from keyring.backends.chainer import ChainerBackend

    try:
        chosen = keyring.get_keyring()
        members = list(chosen.backends) if isinstance(chosen, ChainerBackend) else [chosen]
    except Exception:  # noqa: BLE001 - a configured backend may fail to import in any way
        raise KeyringUnavailable("The keyring of this machine can't be started.") from None
    trusted = [member for member in members if type(member).__module__ in _TRUSTED_MODULES]
    if not trusted:
        raise KeyringUnavailable("This machine has no keyring that is known to encrypt what it stores.")
    return trusted


def _find(backends: list[KeyringBackend], vault_id: str) -> bytes | None:
    for backend in backends:
        try:
            text = backend.get_password(SERVICE, vault_id)
        except Exception:  # noqa: BLE001 - backends raise errors of their own kinds
            raise KeyringUnavailable("The keyring can't be read: it may be locked.") from None
        if text is not None:
            return _parse(text)
    return None


def _parse(text: str) -> bytes:
    try:
        secret = bytes.fromhex(text.removeprefix(_FORM)) if text.startswith(_FORM) else b""
    except ValueError:
        secret = b""
    if len(secret) != KEY_BYTES:
        raise KeyringUnavailable("What the keyring holds for this vault is not a key.")
    return secret
