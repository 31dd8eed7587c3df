"""Which credential opens the vault, and where its secret comes from.

Promise: no secret is taken from the command line or an environment variable, echoed, printed or kept.
"""

from __future__ import annotations

import getpass
import os
import warnings
from pathlib import Path
from typing import Final

from edgeperso.cli.options import UnlockOptions
from edgeperso.errors import UsageError
from edgeperso.vault.credentials import Credential, KeyFile, OsKeyring, Passphrase, RecoveryKey, WrapType

__all__ = ["choose_new", "choose_stored"]

_MAX_SECRET_BYTES: Final = 65_536


def choose_new(options: UnlockOptions) -> Credential:
    """The credential for something that is about to be locked: a passphrase is asked twice.

    Raises:
        UsageError: several were given, the passphrases differ, or there is no terminal to ask on.
    """
    given = _given(options)
    if isinstance(given, RecoveryKey):
        raise UsageError("A recovery key can't be chosen.", hint="The vault makes its own and shows it once.")
    if given is not None:
        return given
    first = _ask("New passphrase: ")
    if _ask("The same again: ") != first:
        raise UsageError("The two passphrases differ.", hint="Nothing was changed. Try again.")
    return Passphrase(first)


def choose_stored(options: UnlockOptions, wraps: tuple[WrapType, ...]) -> Credential:
    """The credential for a vault that has ``wraps``: what was given, or else the key file that EDGEPERSO_KEY_FILE
    names, the keyring, a passphrase from the terminal; whichever of them the vault has.

    Raises:
        UsageError: several were given, or there is no terminal to ask on.
    """
    given = _given(options)
    if given is not None:
        return given
    from_environment = os.environ.get("EDGEPERSO_KEY_FILE")
    if from_environment and WrapType.KEY_FILE in wraps:
        return KeyFile(Path(from_environment))
    if WrapType.OS_KEYRING in wraps:
        return OsKeyring()
    if WrapType.PASSPHRASE in wraps:
        return Passphrase(_ask("Passphrase: "))
    if WrapType.KEY_FILE in wraps:
        raise UsageError("This vault opens with a key file.", hint="Give --key-file PATH, or set EDGEPERSO_KEY_FILE.")
    raise UsageError("This vault opens with its recovery key alone.", hint="Give --recovery.")


def _given(options: UnlockOptions) -> Credential | None:
    given = [
        name
        for name, value in (
            ("--key-file", options.key_file is not None),
            ("--keyring", options.keyring),
            ("--recovery", options.recovery),
            ("--passphrase-fd", options.passphrase_fd is not None),
        )
        if value
    ]
    if len(given) > 1:
        raise UsageError(f"Only one of {' and '.join(given)} can be given.")
    if options.key_file is not None:
        return KeyFile(options.key_file)
    if options.keyring:
        return OsKeyring()
    if options.passphrase_fd is not None:
        return Passphrase(_read_descriptor(options.passphrase_fd))
    if options.recovery:
        return RecoveryKey(_ask("Recovery key: "))
    return None


def _read_descriptor(descriptor: int) -> str:
    """The first line that the open file descriptor holds."""
    try:
        with os.fdopen(descriptor, "rb", closefd=descriptor > 2) as stream:
            line = stream.readline(_MAX_SECRET_BYTES)
        return line.rstrip(b"\r\n").decode()
    except (OSError, UnicodeDecodeError, ValueError):
        raise UsageError(
            f"No passphrase can be read from file descriptor {descriptor}.",
            hint="Open it for reading, e.g. --passphrase-fd 3 3<FILE.",
        ) from None


def _ask(prompt: str) -> str:
    """A line typed without echo; never from a stream that would show or log it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass(prompt)
    except getpass.GetPassWarning:
        raise UsageError(
            "There is no terminal to ask for a secret on.",
            hint="Use --key-file, --keyring or --passphrase-fd.",
        ) from None
