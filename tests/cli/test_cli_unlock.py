"""Where a secret comes from, and where it never does."""

from __future__ import annotations

import getpass
import os
import warnings
from pathlib import Path

import pytest

from edgeperso.cli.app import command
from edgeperso.cli.options import UnlockOptions
from edgeperso.cli.unlock import choose_new, choose_stored
from edgeperso.errors import UsageError
from edgeperso.vault.credentials import KeyFile, OsKeyring, Passphrase, RecoveryKey, WrapType

PASSPHRASE = (WrapType.PASSPHRASE, WrapType.RECOVERY)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGEPERSO_KEY_FILE", raising=False)


def typing(monkeypatch: pytest.MonkeyPatch, *lines: str) -> list[str]:
    """Answers to the prompts in order; returns the prompts as they come."""
    prompts: list[str] = []
    answers = iter(lines)

    def ask(prompt: str = "") -> str:
        prompts.append(prompt)
        return next(answers)

    monkeypatch.setattr(getpass, "getpass", ask)
    return prompts


def test_a_new_passphrase_is_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = typing(monkeypatch, "one two", "one two")
    chosen = choose_new(UnlockOptions())
    assert isinstance(chosen, Passphrase)
    assert chosen.text == "one two"
    assert len(prompts) == 2


def test_two_different_passphrases_are_refused_without_showing_them(monkeypatch: pytest.MonkeyPatch) -> None:
    typing(monkeypatch, "canary-one", "canary-two")
    with pytest.raises(UsageError) as caught:
        choose_new(UnlockOptions())
    assert "canary" not in str(caught.value)


def test_a_recovery_key_cannot_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    typing(monkeypatch, "x")
    with pytest.raises(UsageError):
        choose_new(UnlockOptions(recovery=True))


def test_the_vaults_own_credential_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    typing(monkeypatch, "words")
    assert isinstance(choose_stored(UnlockOptions(), PASSPHRASE), Passphrase)
    assert isinstance(choose_stored(UnlockOptions(), (WrapType.OS_KEYRING, *PASSPHRASE)), OsKeyring)
    with pytest.raises(UsageError, match="key file"):
        choose_stored(UnlockOptions(), (WrapType.KEY_FILE, WrapType.RECOVERY))
    with pytest.raises(UsageError, match="recovery"):
        choose_stored(UnlockOptions(), (WrapType.RECOVERY,))


def test_the_key_file_of_the_environment_is_for_vaults_that_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    typing(monkeypatch, "words")
    monkeypatch.setenv("EDGEPERSO_KEY_FILE", "/somewhere/me.key")
    assert isinstance(choose_stored(UnlockOptions(), PASSPHRASE), Passphrase)
    chosen = choose_stored(UnlockOptions(), (WrapType.KEY_FILE, *PASSPHRASE))
    assert isinstance(chosen, KeyFile)
    assert chosen.path == Path("/somewhere/me.key")


def test_what_is_given_wins_over_what_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    typing(monkeypatch, "ABCD")
    assert isinstance(choose_stored(UnlockOptions(recovery=True), PASSPHRASE), RecoveryKey)
    assert isinstance(choose_stored(UnlockOptions(keyring=True), PASSPHRASE), OsKeyring)
    assert isinstance(choose_stored(UnlockOptions(key_file=Path("k")), PASSPHRASE), KeyFile)


@pytest.mark.parametrize(
    "options",
    [
        UnlockOptions(key_file=Path("k"), keyring=True),
        UnlockOptions(recovery=True, passphrase_fd=0),
        UnlockOptions(key_file=Path("k"), recovery=True),
    ],
)
def test_two_ways_at_once_are_refused(options: UnlockOptions) -> None:
    with pytest.raises(UsageError, match="Only one"):
        choose_stored(options, PASSPHRASE)


def through_a_pipe(data: bytes) -> Passphrase:
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    chosen = choose_stored(UnlockOptions(passphrase_fd=reader), PASSPHRASE)
    assert isinstance(chosen, Passphrase)
    return chosen


@pytest.mark.parametrize("data", [b"a b c", b"a b c\n", b"a b c\r\n", b"a b c\nmore\n"])
def test_a_passphrase_comes_through_a_descriptor(data: bytes) -> None:
    assert through_a_pipe(data).text == "a b c"


def test_blanks_around_a_passphrase_belong_to_it() -> None:
    assert through_a_pipe("  Grüße \n".encode()).text == "  Grüße "


def test_a_descriptor_that_is_closed_or_holds_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    with pytest.raises(UsageError, match="descriptor"):
        choose_stored(UnlockOptions(passphrase_fd=reader), PASSPHRASE)
    with pytest.raises(UsageError, match="descriptor"):
        through_a_pipe(b"\xff\xfe\xfd")


def test_without_a_terminal_nothing_is_read_that_would_be_echoed(monkeypatch: pytest.MonkeyPatch) -> None:
    def echoing(prompt: str = "") -> str:
        warnings.warn("Can not control echo on the terminal.", getpass.GetPassWarning, stacklevel=2)
        return "visible"

    monkeypatch.setattr(getpass, "getpass", echoing)
    with pytest.raises(UsageError, match="terminal"):
        choose_stored(UnlockOptions(), PASSPHRASE)


def test_no_option_takes_a_secret() -> None:
    """Whatever an option is called, its value is in the process list and the shell's history."""
    names = {
        name
        for one in walk(command())
        for parameter in one.params
        if not getattr(parameter, "is_flag", False)
        for name in parameter.opts
    }
    assert "--passphrase-fd" in names
    assert {
        name for name in names if any(word in name for word in ("passphrase", "password", "secret", "recovery"))
    } == {"--passphrase-fd", "--new-passphrase-fd"}


def walk(one):  # type: ignore[no-untyped-def]
    yield one
    for child in getattr(one, "commands", {}).values():
        yield from walk(child)
