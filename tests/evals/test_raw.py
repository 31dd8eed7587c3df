"""Raw outputs: what was done is never done again, what was cut off is, and a fresh outcome equals one from the file."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeperso.errors import DiskFull, ReadOnly
from edgeperso.evals.raw import RawOutputs, digest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


class Work:
    """Counts how often it is done."""

    def __init__(self, outcome: Any = 1) -> None:
        self.outcome = outcome
        self.times = 0

    def __call__(self) -> Any:
        self.times += 1
        return self.outcome


def file(folder: Path) -> Path:
    return folder / "raw" / "trial.jsonl"


def done(folder: Path | None, count: int) -> list[Work]:
    """Units 0 to ``count`` asked for by a new run, and the works that were at hand for them."""
    raw, works = RawOutputs(folder, "trial"), [Work(number * 10) for number in range(count)]
    for number, work in enumerate(works):
        assert raw.unit({"n": number}, {"id": str(number)}, work) == number * 10
    return works


def test_a_unit_is_done_once_and_written_as_a_line_with_its_label(tmp_path: Path) -> None:
    raw, work = RawOutputs(tmp_path, "trial"), Work({"score": 0.1, "said": "crème\u2028brûlée"})
    unit = {"model": "m", "item": 1}
    assert raw.unit(unit, {"id": "a:1"}, work) == raw.unit(unit, {"id": "another"}, work) == work.outcome
    assert work.times == 1
    (line,) = file(tmp_path).read_text(encoding="utf-8").splitlines(keepends=False)[:1]
    assert file(tmp_path).read_bytes().count(b"\n") == 1
    assert "crème" in line
    assert json.loads(file(tmp_path).read_bytes()) == {"key": digest(unit), "id": "a:1", "out": work.outcome}


def test_a_second_run_does_only_what_is_missing(tmp_path: Path) -> None:
    done(tmp_path, 3)
    assert [work.times for work in done(tmp_path, 5)] == [0, 0, 0, 1, 1]
    assert [work.times for work in done(tmp_path, 5)] == [0] * 5


@pytest.mark.parametrize("kept", [0, 1, -1, -2, -12])
def test_a_line_that_a_kill_cut_off_is_done_again_and_harms_no_other(tmp_path: Path, kept: int) -> None:
    done(tmp_path, 3)
    lines = file(tmp_path).read_bytes().splitlines(keepends=True)
    file(tmp_path).write_bytes(lines[0] + lines[1] + lines[2][:kept])
    whole = kept == -1  # only the line's end is missing
    assert [work.times for work in done(tmp_path, 4)] == [0, 0, 0 if whole else 1, 1]
    assert [work.times for work in done(tmp_path, 4)] == [0] * 4


def test_a_line_cut_within_a_character_is_done_again(tmp_path: Path) -> None:
    RawOutputs(tmp_path, "trial").unit({}, {}, Work("é"))
    content = file(tmp_path).read_bytes()
    file(tmp_path).write_bytes(content[: content.index("é".encode()) + 1])
    again = Work("è")
    assert RawOutputs(tmp_path, "trial").unit({}, {}, again) == "è"
    assert again.times == 1
    assert RawOutputs(tmp_path, "trial").unit({}, {}, Work()) == "è"


@pytest.mark.parametrize("line", ["", "null", "[]", "3", '{"out": 1}', '{"key": []}', '{"key": [], "out": 1}', "{"])
def test_lines_that_are_no_outcomes_are_passed_over(tmp_path: Path, line: str) -> None:
    done(tmp_path, 1)
    with file(tmp_path).open("a", encoding="utf-8") as out:
        out.write(line + "\n")
    assert [work.times for work in done(tmp_path, 2)] == [0, 1]


def test_a_unit_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fails() -> Any:
        raise KeyboardInterrupt

    done(tmp_path, 1)
    raw = RawOutputs(tmp_path, "trial")
    with pytest.raises(KeyboardInterrupt):
        raw.unit({"n": 1}, {}, fails)
    work = Work(10)
    assert raw.unit({"n": 1}, {}, work) == 10
    assert work.times == 1


def test_a_key_is_made_of_the_content_and_of_nothing_else(tmp_path: Path) -> None:
    unit = {"model": "m", "item": ["a", {"x": 1, "y": None}], "seed": 0}
    assert digest(unit) == digest({"seed": 0, "item": ["a", {"y": None, "x": 1}], "model": "m"})
    assert len(digest(unit)) == 32
    others = [
        unit | {"seed": 1},
        unit | {"item": ["a"]},
        unit | {"model": "m "},
        unit | {"more": 1},
        unit | {"seed": "0"},
    ]
    assert len({digest(one) for one in [unit, *others]}) == 6
    raw = RawOutputs(tmp_path, "trial")
    assert [raw.unit(one, {}, Work(place)) for place, one in enumerate([unit, *others])] == list(range(6))


def test_what_is_the_same_in_json_has_the_same_key() -> None:
    assert digest({"a": (1, 2)}) == digest({"a": [1, 2]})
    assert digest("\ud800") != digest("?")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(outcome=JSON)
def test_fresh_and_from_the_file_an_outcome_is_the_same(outcome: Any, tmp_path: Path) -> None:
    unit = {"of": outcome}
    fresh = RawOutputs(tmp_path, "trial").unit(unit, {}, Work(outcome))
    assert RawOutputs(tmp_path, "trial").unit(unit, {}, Work("another")) == fresh
    assert RawOutputs(None, "trial").unit(unit, {}, Work(outcome)) == fresh


def test_half_a_character_is_the_same_from_the_file(tmp_path: Path) -> None:
    fresh = RawOutputs(tmp_path, "trial").unit({}, {"id": "\ud83d"}, Work("\ud83d!"))
    assert RawOutputs(tmp_path, "trial").unit({}, {}, Work()) == fresh == "?!"


def test_a_tuple_is_a_list_from_the_beginning(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path, None):
        assert RawOutputs(folder, "trial").unit({}, {}, Work({1: (1, 2)})) == {"1": [1, 2]}


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [work.times for work in done(None, 2)] == [1, 1]
    raw, work = RawOutputs(None, "trial"), Work()
    raw.unit({}, {}, work)
    raw.unit({}, {}, work)
    assert work.times == 1
    assert list(tmp_path.iterdir()) == []


def test_with_one_nothing_is_written_before_there_is_something(tmp_path: Path) -> None:
    RawOutputs(tmp_path, "trial")
    assert list(tmp_path.iterdir()) == []


def test_evaluations_of_other_names_know_nothing_of_each_other(tmp_path: Path) -> None:
    done(tmp_path, 1)
    other = Work()
    RawOutputs(tmp_path, "other").unit({"n": 0}, {}, other)
    assert other.times == 1


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "raw").write_text("a file where the folder should be")
    with pytest.raises(ReadOnly, match=r"trial\.jsonl.*--out"):
        RawOutputs(tmp_path, "trial").unit({"n": "secretword"}, {"id": "secretword"}, Work("secretword"))
    with pytest.raises(ReadOnly) as caught:
        RawOutputs(Path("/proc/nowhere"), "trial").unit({"n": "secretword"}, {}, Work("secretword"))
    assert "secretword" not in str(caught.value)
    assert caught.value.__cause__ is None


def full(code: int) -> Callable[[int], None]:
    def fsync(_descriptor: int) -> None:
        raise OSError(code, "secretword")

    return fsync


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_said_and_what_was_kept_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    done(tmp_path, 2)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full(code))
        with pytest.raises(DiskFull) as caught:
            RawOutputs(tmp_path, "trial").unit({"n": 2}, {}, Work())
    assert caught.value.hint
    assert "secretword" not in str(caught.value)
    assert [work.times for work in done(tmp_path, 2)] == [0, 0]


def test_another_failure_of_the_disk_is_no_full_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", full(errno.EIO))
    with pytest.raises(ReadOnly):
        RawOutputs(tmp_path, "trial").unit({}, {}, Work())
