"""``prefer``, ``correct``, ``accept`` and ``pair …`` over a real vault."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from edgeperso.assistant import assistant
from edgeperso.types import Role
from edgeperso.vault import KeyFile, Vault

PAIR = {"prompt": "How was the day?", "chosen": "Grand.", "rejected": "The day was pleasant."}


@pytest.fixture(autouse=True)
def small_embedder(monkeypatch: pytest.MonkeyPatch, fake_embedder) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(assistant, "load_embedder", lambda *_: fake_embedder)


@pytest.fixture
def home(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # type: ignore[no-untyped-def]
    folder = tmp_path / "home"
    assert cli("init", "--home", folder, "--key-file", tmp_path / "me.key").code == 0
    monkeypatch.setenv("EDGEPERSO_HOME", str(folder))
    monkeypatch.setenv("EDGEPERSO_KEY_FILE", str(tmp_path / "me.key"))
    return folder


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def pipe(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def answer(home: Path, question: str, said: str) -> None:
    """Store a turn as `ask` would."""
    with Vault.open(home, KeyFile(home.parent / "me.key")) as vault:
        conversation = vault.conversations.start()
        vault.conversations.add_turn(conversation, Role.PERSON, question)
        vault.conversations.add_turn(conversation, Role.ASSISTANT, said, trace={"sources": []})


def pairs(cli) -> list[dict[str, object]]:  # type: ignore[no-untyped-def]
    found: list[dict[str, object]] = cli("pair", "list", "--json").json["pairs"]
    return found


def test_many_preferences_come_as_json_lines(cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = {**PAIR, "prompt": "And the evening?"}
    pipe(monkeypatch, f"{json.dumps(PAIR)}\n\n{json.dumps(second)}\n")
    result = cli("prefer", "--scope", "work", "--json")
    assert result.json == {"pairs": [1, 2], "total": 2}
    assert [{key: one[key] for key in PAIR} for one in pairs(cli)] == [PAIR, second]
    assert {one["scope"] for one in pairs(cli)} == {"work"}


def test_one_is_typed_when_asked_for(cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("How was the day?\nGrand.\nThe day was pleasant.\n"))
    result = cli("prefer")
    assert result.code == 0
    assert result.err.count(":") == 3
    assert "1 pair kept, 1 in all" in result.out
    assert {key: pairs(cli)[0][key] for key in PAIR} == PAIR


@pytest.mark.parametrize(
    "line",
    ["no json", "[]", "3", "{}", '{"prompt": "a", "chosen": "b"}', '{"prompt": "a", "chosen": 1, "rejected": "c"}'],
)
def test_a_line_that_is_no_pair_is_named_and_nothing_is_kept(
    cli, home: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    pipe(monkeypatch, f"{json.dumps(PAIR)}\n{line}\n")
    result = cli("prefer", "--json")
    assert (result.code, result.error["code"], result.out) == (6, "data_invalid", "")
    assert "Line 2" in result.error["message"]
    assert pairs(cli) == []


def test_one_that_cannot_be_kept_among_others_keeps_none(cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe(monkeypatch, f"{json.dumps(PAIR)}\n{json.dumps({**PAIR, 'rejected': 'Grand.'})}\n")
    result = cli("prefer", "--json")
    assert (result.code, result.out) == (6, "")
    assert pairs(cli) == []


@pytest.mark.parametrize("verb", ["prefer", "correct"])
def test_no_text_is_taken_from_the_command_line(cli, home: Path, verb: str) -> None:
    result = cli(verb, "Grand.", "--json")
    assert (result.code, result.error["code"]) == (2, "usage")
    assert "Grand" not in result.err


def test_the_last_answer_is_corrected(cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(home, PAIR["prompt"], PAIR["rejected"])
    pipe(monkeypatch, PAIR["chosen"])
    result = cli("correct")
    assert result.code == 0
    assert PAIR["rejected"] in result.err
    assert {key: pairs(cli)[0][key] for key in PAIR} == PAIR


def test_there_must_be_an_answer_to_correct_or_accept(cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe(monkeypatch, "Grand.")
    for verb in ("correct", "accept"):
        result = cli(verb, "--json")
        assert (result.code, result.error["code"]) == (1, "not_found")


def test_the_last_answer_is_accepted(cli, home: Path) -> None:
    answer(home, PAIR["prompt"], PAIR["chosen"])
    turn = cli("accept", "--json").json["turn"]
    with Vault.open(home, KeyFile(home.parent / "me.key")) as vault:
        assert [answer.id for _, answer in vault.conversations.accepted_turns()] == [turn]


def test_pairs_are_listed_and_forgotten(cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "edgeperso prefer" in cli("pair", "list").err
    pipe(monkeypatch, json.dumps(PAIR))
    cli("prefer")
    shown = cli("pair", "list").out
    assert all(text in shown for text in PAIR.values())
    assert cli("pair", "forget", 1).code == 2
    assert cli("pair", "forget", 9, "--yes").code == 1
    assert cli("pair", "forget", 1, 9, "--yes", "--json").json == {"pairs": [1], "adapters": []}
    assert pairs(cli) == []
