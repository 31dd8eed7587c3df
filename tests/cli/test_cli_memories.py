"""The verbs about memories, over a real vault and a small stand-in for the embedder."""

from __future__ import annotations

import io
import json
import stat
from pathlib import Path

import pytest

from edgeperso.assistant import assistant

NOTES = {"tea.md": "# Tea\n\nI drink green tea in the morning.\n", "bike.md": "# Bike\n\nThe lock's code is 2093.\n"}
BOTH = "green tea and the lock's code"


@pytest.fixture(autouse=True)
def small_embedder(monkeypatch: pytest.MonkeyPatch, fake_embedder) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(assistant, "load_embedder", lambda *_: fake_embedder)


@pytest.fixture
def home(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # type: ignore[no-untyped-def]
    """A new vault, opened by a key file that the environment names."""
    folder = tmp_path / "home"
    assert cli("init", "--home", folder, "--key-file", tmp_path / "me.key").code == 0
    monkeypatch.setenv("EDGEPERSO_HOME", str(folder))
    monkeypatch.setenv("EDGEPERSO_KEY_FILE", str(tmp_path / "me.key"))
    return folder


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    for name, text in NOTES.items():
        (folder / name).write_text(text)
    return folder


def ids_of(cli, text: str) -> list[int]:  # type: ignore[no-untyped-def]
    return [hit["memory"]["id"] for hit in cli("recall", text, "--json").json["hits"]]


def test_an_import_says_what_it_added_and_a_second_one_adds_nothing(cli, home: Path, notes: Path) -> None:
    first = cli("import", notes, "--json").json
    assert first["added"] == 2
    again = cli("import", notes)
    assert again.code == 0
    assert again.out.startswith("0 new memories")
    assert len(ids_of(cli, BOTH)) == 2


def test_an_import_says_what_it_skipped_and_why(cli, home: Path, notes: Path) -> None:
    (notes / "photo.md").write_bytes(bytes(range(256)) * 40)
    result = cli("import", notes)
    assert result.code == 0
    assert "skipped" in result.err
    assert "photo.md" in result.err
    assert "photo.md" not in result.out


def test_what_is_not_there_cannot_be_imported(cli, home: Path, tmp_path: Path) -> None:
    result = cli("import", tmp_path / "nowhere", "--json")
    assert (result.code, result.error["code"]) == (6, "source_not_found")
    assert result.out == ""


def test_remember_recall_edit(cli, home: Path) -> None:
    remembered = cli("remember", "Hanne", "likes", "table", "looms", "--json").json
    assert remembered["text"] == "Hanne likes table looms"
    assert remembered["trust"] == "self"
    found = cli("recall", "Hanne looms", "--json").json["hits"]
    assert found[0]["memory"]["id"] == remembered["id"]
    assert sum(found[0]["parts"].values()) == pytest.approx(found[0]["score"], abs=1e-6)
    assert cli("edit", remembered["id"], "Hanne", "likes", "pottery").code == 0
    assert cli("recall", "Hanne", "--json").json["hits"][0]["memory"]["text"] == "Hanne likes pottery"
    missing = cli("edit", 999, "text", "--json")
    assert (missing.code, missing.error["code"]) == (1, "not_found")


def test_a_text_can_come_through_a_pipe(cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("Müsli, no nuts\n".encode())))
    assert cli("remember", "--json").json["text"] == "Müsli, no nuts"


@pytest.mark.parametrize(("data", "code"), [(b"\xff\xfe\x00", "data_invalid"), (b"  \n", "empty_question")])
def test_a_pipe_without_a_text(cli, home: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, code: str) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    result = cli("remember", "--json")
    assert result.code == 6
    assert result.error["code"] == code


def test_filters_narrow_what_is_found(cli, home: Path, notes: Path) -> None:
    cli("import", notes)
    cli("remember", "green tea is finished", "--kind", "preference", "--scope", "work")
    by_kind = cli("recall", "tea", "--kind", "preference", "--json").json["hits"]
    assert [hit["memory"]["scope"] for hit in by_kind] == ["work"]
    assert cli("recall", "tea", "--scope", "nowhere", "--json").json["hits"] == []
    assert cli("recall", "tea", "--before", "2000-01-01", "--json").json["hits"] == []
    assert cli("recall", "tea", "--after", "yesterday").code == 2


def test_what_others_wrote_cannot_steer_the_terminal(cli, home: Path) -> None:
    cli("remember", "before \x1b[2J after")
    shown = cli("recall", "before after").out
    assert "before ?[2J after" in shown
    assert "\x1b" not in shown


def test_forgetting_needs_a_plan_and_a_yes(cli, home: Path, notes: Path) -> None:
    cli("import", notes)
    [first, second] = sorted(ids_of(cli, BOTH))
    assert cli("forget").code == 2
    dry = cli("forget", first, "--dry-run", "--json")
    assert dry.json["plan"]
    refused = cli("forget", first, "--json")
    assert (refused.code, refused.error["code"]) == (2, "usage")
    assert sorted(ids_of(cli, BOTH)) == [first, second]
    done = cli("forget", first, "--yes", "--json")
    assert done.json["receipt"]["memories"] == 1
    assert ids_of(cli, BOTH) == [second]
    assert cli("forget", first, "--yes").code == 1


def test_forgetting_asks_on_a_terminal(cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = cli("remember", "something", "--json").json["id"]

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    declined = cli("forget", memory)
    assert declined.code == 0
    assert "Nothing was changed" in declined.err
    assert ids_of(cli, "something") == [memory]
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert cli("forget", memory).code == 0
    assert ids_of(cli, "something") == []


def test_an_export_is_readable_by_its_owner_alone_and_overwrites_nothing(cli, home: Path, tmp_path: Path) -> None:
    cli("remember", "the canary text")
    cli("profile", "set", "name", "Ines")
    path = tmp_path / "all.jsonl"
    result = cli("export", path, "--json")
    assert result.json["memories"] == 1
    assert "not encrypted" in result.err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert {line["type"] for line in lines} == {"memory", "profile"}
    before = path.read_bytes()
    assert cli("export", path).code == 2
    assert path.read_bytes() == before


def test_the_profile_is_set_shown_and_unset(cli, home: Path) -> None:
    assert cli("profile", "set", "pets", "a", "dog").code == 0
    assert cli("profile", "show", "--json").json == {"pets": "a dog"}
    assert cli("profile", "show").out == "pets  a dog\n"
    assert cli("profile", "unset", "pets").code == 0
    assert cli("profile", "show", "--json").json == {}
    assert cli("profile", "set", "pets", " ").code == 2


def test_without_a_vault_every_verb_says_so(cli, tmp_path: Path) -> None:
    for words in (
        ["ask", "what?"],
        ["recall", "x"],
        ["remember", "x"],
        ["why"],
        ["profile", "show"],
        ["key", "status"],
    ):
        result = cli(*words, "--home", tmp_path / "none", "--json")
        assert (result.code, result.error["code"]) == (4, "vault_not_found"), words
        assert result.out == ""
    assert not (tmp_path / "none").exists()
