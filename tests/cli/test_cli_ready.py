"""``model ready``, and answers that find memories read ahead."""

from __future__ import annotations

import io
import json
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgeperso.assistant import Reader
from edgeperso.cli import answers
from edgeperso.cli.output import ProgressLine
from edgeperso.errors import VaultBusy


@pytest.fixture
def _vault(cli, tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four memories, and the small model reads like a larger one: several notes, of which one is read anew."""
    from edgeperso.assistant import open_assistant
    from edgeperso.vault import KeyFile, Vault

    home, key = tmp_path / "home", KeyFile(tmp_path / "me.key")
    Vault.create(home, key)[0].close()
    with open_assistant(home, key=key, models_dir=models_dir) as me:
        for thing in ("sourdough starter", "bicycle", "cello", "kettle"):
            me.remember(f"My {thing} stands in the kitchen.")
    monkeypatch.setenv("EDGEPERSO_HOME", str(home))
    monkeypatch.setenv("EDGEPERSO_KEY_FILE", str(tmp_path / "me.key"))
    monkeypatch.setenv("EDGEPERSO_MODELS", str(models_dir))
    reader = Reader(quotes=False, most=5, memory_tokens=500, answer_tokens=4)
    monkeypatch.setattr("edgeperso.assistant.assistant.reader_for", lambda _model: reader)
    monkeypatch.setattr("edgeperso.prompting.wide.FRESH_TOKENS", 1)


@pytest.mark.usefixtures("_vault")
def test_memories_are_read_ahead_and_an_answer_finds_them_read(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt = ProgressLine.__call__

    def ctrl_c(line: ProgressLine, stage: str, done: int, total: int | None) -> None:
        interrupt(line, stage, done, total)
        if done == 1:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(ProgressLine, "__call__", ctrl_c)
        stopped = cli("model", "ready", "--json")
    assert stopped.code == 130
    assert (stopped.json["read"], stopped.json["ended"]) == (1, "cancelled")
    done = cli("model", "ready", "--room", 300)
    assert done.code == 0
    assert done.out.startswith("3 read, 4 ready;")
    assert "of 300 MB. Every memory is read." in done.out
    answer = cli("ask", "What stands in the kitchen?", "--memory-states", "--json").json
    assert answer["trace"]["tokens"]["spliced"] > 0
    assert "spliced" in cli("why").out


@pytest.mark.usefixtures("_vault")
def test_a_chat_reads_ahead_while_it_waits(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_SETTLE_S", 0.0)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    read = threading.Event()
    lines = iter(("What stands in the kitchen?", "And the cello?"))

    def typed(_prompt: str) -> str:
        for thread in threading.enumerate():
            if thread.name == "reading ahead":
                thread.join(60)
                read.set()
        line = next(lines, None)
        if line is None:
            raise EOFError
        return line

    monkeypatch.setattr("builtins.input", typed)
    result = cli("chat", "--memory-states", "--json")
    assert result.code == 0
    assert read.is_set()
    first, second = (json.loads(line)["trace"]["tokens"] for line in result.out.splitlines())
    assert first["spliced"] > 0
    assert second["cached"] >= first["prompt"]


@pytest.mark.parametrize("ends", [None, EOFError, KeyboardInterrupt])
@pytest.mark.parametrize("busy", [False, True])
def test_the_reading_ends_with_the_waiting(ends, busy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_SETTLE_S", 0.0)
    began, cancelled = threading.Event(), threading.Event()

    def read_ahead(*, cancel: threading.Event) -> None:
        began.set()
        if busy:
            raise VaultBusy("Another process holds the vault.")
        assert cancel.wait(30)
        cancelled.set()

    def wait() -> None:
        with answers.reading_ahead(SimpleNamespace(read_ahead=read_ahead), wanted=True):  # type: ignore[arg-type]
            assert began.wait(30)
            if ends is not None:
                raise ends

    if ends is None:
        wait()
    else:
        with pytest.raises(ends):
            wait()
    assert cancelled.is_set() is not busy
    assert "reading ahead" not in [thread.name for thread in threading.enumerate()]


def test_who_types_on_at_once_or_does_not_want_it_waits_for_nothing() -> None:
    def read_ahead(**_options: object) -> None:
        raise AssertionError("it was begun")

    me = SimpleNamespace(read_ahead=read_ahead)
    for wanted in (True, False):
        with answers.reading_ahead(me, wanted=wanted):  # type: ignore[arg-type]
            pass
