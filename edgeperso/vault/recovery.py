"""The recovery key: 256 random bits as a line that a person prints, keeps, and types in again.

Form: 32 secret bytes and the first 3 bytes of a SHA-256 over them, 280 bits, as 56 characters of Crockford's base32 in
14 groups of 4. Reading forgives case, spaces, dashes, ``O`` for ``0`` and ``I`` or ``L`` for ``1``. A typing error is
told apart from another vault's key: one in 16.7 million slips past the checksum (and then is a wrong key). The
checksum says nothing useful about 256 random bits.

Source: Crockford, "Base 32", https://www.crockford.com/base32.html (alphabet and substitutions; the checksum is ours).
"""

from __future__ import annotations

import secrets
import unicodedata
from typing import Final

from edgeperso.errors import RecoveryKeyMistyped
from edgeperso.vault.keys import KEY_BYTES, digest, same

__all__ = ["new_recovery_text", "recovery_secret", "recovery_text"]

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES: Final = {letter: value for value, letter in enumerate(_ALPHABET)} | {"O": 0, "I": 1, "L": 1}
_CHECK_BYTES: Final = 3
_LENGTH: Final = (KEY_BYTES + _CHECK_BYTES) * 8 // 5
_GROUP: Final = 4
_MAX_TYPED: Final = 1024


def new_recovery_text() -> str:
    """A fresh recovery key, to be printed once."""
    return recovery_text(secrets.token_bytes(KEY_BYTES))


def recovery_text(secret: bytes) -> str:
    """``secret`` (32 bytes) as a person reads it: 14 groups of 4 characters with dashes between."""
    number = int.from_bytes(secret + _check(secret), "big")
    letters = "".join(_ALPHABET[number >> shift & 31] for shift in range(5 * (_LENGTH - 1), -1, -5))
    return "-".join(letters[at : at + _GROUP] for at in range(0, _LENGTH, _GROUP))


def recovery_secret(text: str) -> bytes:
    """The 32 bytes behind a typed recovery key.

    Raises:
        RecoveryKeyMistyped: too short, too long, with letters that no recovery key has, or a wrong checksum.
    """
    if len(text) > _MAX_TYPED:
        raise RecoveryKeyMistyped("This is far longer than a recovery key.")
    letters = [c for c in unicodedata.normalize("NFKC", text).upper() if not _is_gap(c)]
    if len(letters) != _LENGTH:
        raise RecoveryKeyMistyped(f"A recovery key has {_LENGTH} letters and digits; {len(letters)} were given.")
    number = 0
    for letter in letters:
        if letter not in _VALUES:
            raise RecoveryKeyMistyped("There is a character in it that no recovery key has.")
        number = number << 5 | _VALUES[letter]
    data = number.to_bytes(KEY_BYTES + _CHECK_BYTES, "big")
    secret, check = data[:KEY_BYTES], data[KEY_BYTES:]
    if not same(check, _check(secret)):
        raise RecoveryKeyMistyped("A character of the recovery key is wrong, or two are swapped.")
    return secret


def _check(secret: bytes) -> bytes:
    return digest(b"edgeperso recovery key v1" + secret)[:_CHECK_BYTES]


def _is_gap(character: str) -> bool:
    """Blanks, control characters, invisible marks, and dashes of every kind (U+2212 is a minus sign)."""
    return character.isspace() or character == "\u2212" or unicodedata.category(character) in {"Pd", "Cf", "Cc"}
