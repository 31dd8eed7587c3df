"""Every failure is one line, a code, and no text of the person."""

from __future__ import annotations

import errno
import json

import click
import pytest

from edgeperso import errors
from edgeperso.cli import app, failure

CANARY = "canary-9f3b"


def lines(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_an_error_of_ours_says_its_code_its_message_and_its_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert failure.report(errors.WrongKey("No."), json=False) == 3
    assert lines(capsys) == f"error [wrong_key]: No. {errors.WrongKey.default_hint}\n"


def test_with_json_an_error_is_one_object_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert failure.report(errors.VaultBusy("Busy."), json=True) == 4
    shown = json.loads(lines(capsys))
    assert shown == {"error": {"code": "vault_busy", "message": "Busy.", "hint": errors.VaultBusy.default_hint}}


@pytest.mark.parametrize("debug", [False, True])
def test_a_fault_shows_neither_message_nor_locals(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, debug: bool
) -> None:
    if debug:
        monkeypatch.setenv("EDGEPERSO_DEBUG", "1")
    try:
        secret = CANARY
        try:
            int(secret)
        except ValueError:
            raise KeyError(secret) from None
    except KeyError as error:
        error.add_note(CANARY)
        code = failure.report(error, json=False)
    assert code == failure.INTERNAL_EXIT_CODE
    shown = lines(capsys)
    assert "KeyError" in shown
    assert CANARY not in shown
    assert ("File " in shown) == debug


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, "disk_full"), (errno.EROFS, "read_only"), (errno.EACCES, "read_only"), (errno.EIO, "internal")],
)
def test_errors_of_the_system_are_named(capsys: pytest.CaptureFixture[str], number: int, code: str) -> None:
    failure.report(OSError(number, "text", CANARY), json=True)
    shown = lines(capsys)
    assert json.loads(shown)["error"]["code"] == code
    assert CANARY not in shown


@pytest.mark.parametrize("error", [click.Abort(), KeyboardInterrupt(), EOFError()])
def test_leaving_is_not_a_fault(capsys: pytest.CaptureFixture[str], error: BaseException) -> None:
    assert failure.report(error, json=False) == 130
    assert "cancelled" in lines(capsys)


@pytest.mark.parametrize(
    "words",
    [
        [CANARY],
        ["model", CANARY],
        ["model", "pull", "smollm2-135m", CANARY],
        ["model", "list", f"--{CANARY}"],
        ["model", "list", f"--json={CANARY}"],
        ["key", "status", "--passphrase-fd", CANARY],
    ],
)
def test_what_was_typed_is_not_repeated(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert app.main(words) == 2
    shown = lines(capsys)
    assert "error [usage]" in shown
    assert CANARY not in shown


def test_no_verb_shows_the_help_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main([]) == 2
    assert "Usage: edgeperso" in lines(capsys)
