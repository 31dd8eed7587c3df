"""A first day with the command, one process a verb."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

LIFE = Path(__file__).parents[2] / "examples/life/notes"


def with_code(found: Any) -> list[int]:
    """The ids of the memories found that hold the bike lock's code."""
    return [hit["memory"]["id"] for hit in found["hits"] if "2093" in hit["memory"]["text"]]


def test_from_the_first_to_the_second_home(shell, result, error, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    for name in ("2025-07.md", "health.md"):
        shutil.copy(LIFE / name, notes / name)

    assert error(shell("ask", "Who am I?", "--json")) == (4, "vault_not_found")
    made = shell("init", "--key-file", "me.key", "--json")
    recovery = result(made)["recovery_key"]
    assert (tmp_path / "me.key").stat().st_mode & 0o777 == 0o600
    assert error(shell("init", "--key-file", "me.key", "--json")) == (4, "vault_exists")

    added = result(shell("import", "notes", "--json"))
    assert added["files_imported"] == 2
    assert added["added"] > 10
    assert result(shell("import", "notes", "--json"))["added"] == 0

    answer = result(shell("ask", "--json", stdin="What's the code of my bike lock?\n"))
    assert "2093" in answer["answer"]
    why = result(shell("why", "--json"))
    assert why["sources"] == [source["id"] for source in answer["sources"]]
    assert why["tokens"] == answer["trace"]["tokens"]

    found = result(shell("recall", "bike", "lock", "code", "--json"))
    ids = with_code(found)
    assert ids
    assert set(why["sources"]) & set(ids)

    assert shell("backup", "before.backup", "--json").returncode == 0
    assert error(shell("forget", *ids, "--json"))[0] != 0, "without --yes nothing is deleted"
    assert result(shell("forget", *ids, "--yes", "--json"))["receipt"]["memories"] == len(ids)
    assert error(shell("why", "--json")) == (1, "not_found")
    after = result(shell("recall", "bike", "lock", "code", "--json"))
    assert not with_code(after)

    assert error(shell("restore", "before.backup", "--json")) == (4, "vault_exists")
    assert shell("restore", "before.backup", "--json", home="second").returncode == 0
    restored = result(shell("recall", "bike", "lock", "code", "--json", home="second"))
    assert with_code(restored) == ids
    assert recovery
    for written in tmp_path.rglob("*"):
        if written.is_file() and notes not in written.parents:
            assert b"2093" not in written.read_bytes(), written.name


def test_a_rotation_makes_a_new_recovery_key_and_keeps_all(shell, result) -> None:
    old = result(shell("init", "--key-file", "me.key", "--json"))["recovery_key"]
    assert shell("remember", "My dentist is Dr Amrani.").returncode == 0
    rotated = result(shell("key", "rotate", "--json"))
    assert rotated["recovery_key"] != old
    assert "Amrani" in shell("recall", "dentist").stdout
    assert result(shell("doctor", "--deep", "--json"))


def test_mistakes_have_exit_codes_and_no_traceback(shell, error, tmp_path: Path) -> None:
    assert shell("init", "--key-file", "me.key").returncode == 0
    assert error(shell("import", "nowhere", "--json")) == (6, "source_not_found")
    assert error(shell("ask", " ", "--json")) == (6, "empty_question")
    assert error(shell("ask", "Who?", "--model", "none.gguf", "--json")) == (5, "model_not_found")
    assert shell("no-such-verb").returncode == 2
    (tmp_path / "other.key").write_text("not a key")
    assert error(shell("recall", "x", "--key-file", "other.key", "--json")) == (3, "key_file_invalid")
