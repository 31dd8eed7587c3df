"""``ask``, ``chat`` and ``why`` on the real small model."""

from __future__ import annotations

import io
import json
import signal
from pathlib import Path

import pytest

from edgeperso.assistant import Reply


@pytest.fixture(scope="module")
def vault_home(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> tuple[Path, Path]:
    """A vault with three memories, shared by the tests of this file."""
    from edgeperso.assistant import open_assistant
    from edgeperso.vault import KeyFile, Vault

    folder = tmp_path_factory.mktemp("answers")
    home, key = folder / "home", folder / "me.key"
    vault, _ = Vault.create(home, KeyFile(key))
    vault.close()
    with open_assistant(home, key=KeyFile(key), models_dir=models_dir) as me:
        me.remember("The code of my bike lock is 2093.")
        me.remember("My sourdough starter is called Gustav.")
        me.remember("My dentist is Dr Amrani.")
    return home, key


@pytest.fixture(autouse=True)
def environment(cli, monkeypatch: pytest.MonkeyPatch, vault_home: tuple[Path, Path], models_dir: Path) -> None:
    monkeypatch.setenv("EDGEPERSO_HOME", str(vault_home[0]))
    monkeypatch.setenv("EDGEPERSO_KEY_FILE", str(vault_home[1]))
    monkeypatch.setenv("EDGEPERSO_MODELS", str(models_dir))


def feed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def test_an_answer_is_on_stdout_and_its_sources_are_on_stderr(cli) -> None:
    result = cli("ask", "What is the code of my bike lock?")
    assert result.code == 0
    assert "2093" in result.out
    assert "remembered" in result.err
    assert "first word after" in result.err


def test_an_answer_as_json_names_sources_numbers_and_no_memory(cli) -> None:
    answer = cli("ask", "What is my sourdough starter called?", "--json").json
    assert "Gustav" in answer["answer"]
    assert answer["sources"]
    assert "text" not in answer["sources"][0]
    assert answer["trace"]["tokens"]["generated"] > 0
    shown = cli("why", "--json").json
    assert shown["sources"] == answer["trace"]["sources"]
    assert {one["id"] for one in shown["memories"]} >= set(shown["sources"])


def test_why_is_readable(cli) -> None:
    cli("ask", "Who is my dentist?")
    shown = cli("why").out
    for part in ("Memories", "included", "Prompt budget", "cached", "Timings", "Model", "smollm2"):
        assert part.lower() in shown.lower()


def test_the_second_turn_of_a_chat_reads_only_what_is_new(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, "Who is my dentist?\n\nWhat is the code of my bike lock?\n/quit\nnever read\n")
    turns = [json.loads(line) for line in cli("chat", "--json").out.splitlines()]
    assert len(turns) == 2
    first, second = (turn["trace"]["tokens"] for turn in turns)
    assert second["cached"] >= first["prompt"]
    assert second["evaluated"] < second["prompt"]


def test_a_chat_goes_on_after_a_mistake_and_ends_with_its_input(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, f"{'very ' * 20000}long\n/nonsense\n/forget\nWho is my dentist?\n/why\n")
    result = cli("chat")
    assert result.code == 0
    assert "question_too_long" in result.err
    assert "Amrani" in result.out
    assert "Memories" in result.out


@pytest.mark.parametrize(
    ("words", "code"), [(["ask", " "], "empty_question"), (["ask", "very " * 20000], "question_too_long")]
)
def test_questions_that_cannot_be_asked(cli, words: list[str], code: str) -> None:
    result = cli(*words, "--json")
    assert (result.code, result.error["code"], result.out) == (6, code, "")


def test_a_model_that_is_not_there(cli) -> None:
    result = cli("ask", "Who?", "--model", "no-such-model", "--json")
    assert (result.code, result.error["code"]) == (5, "model_not_found")


def test_ctrl_c_ends_the_answer_and_keeps_what_was_said(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = Reply.__iter__

    def interrupted(reply: Reply):  # type: ignore[no-untyped-def]
        for number, piece in enumerate(pieces(reply)):
            if number == 1:
                signal.raise_signal(signal.SIGINT)
            yield piece

    monkeypatch.setattr(Reply, "__iter__", interrupted)
    before = signal.getsignal(signal.SIGINT)
    result = cli("ask", "Tell me about my sourdough starter and my dentist.", "--json")
    assert result.code == 130
    assert result.json["trace"]["stopped"] == "cancelled"
    assert signal.getsignal(signal.SIGINT) is before
    assert cli("why", "--json").json["stopped"] == "cancelled"
