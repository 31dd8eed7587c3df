"""Whatever is done to a good file, a reader gives items or one of our errors, and the error shows no content."""

from __future__ import annotations

import copy
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeperso.errors import DataInvalid, SourceNotFound
from edgeperso.evals.readers import read_lamp, read_longmemeval, read_plain, read_unieval

CUTS = 160
MARK = "a private word"
STRANGE: tuple[object, ...] = (
    None, True, -1, 3, 0.5, 10**30, 1e308, float("nan"), float("inf"), "", " ", "nan", "\ud83d", MARK, [], {},
    [None], [MARK], [[]], [{}], {MARK: MARK}, {"0": {"user": 1}},
)  # fmt: skip
CELLS = (
    "",
    " ",
    "nan",
    "inf",
    "-1",
    "1e999",
    "3_0",
    MARK,
    "[]",
    "['a private word'",
    "[1]",
    "(" * 5_000,
    "-" * 50_000 + "1",
)


class Readable(Protocol):
    @property
    def files(self) -> tuple[Path, ...]: ...

    def read(self) -> Iterator[object]: ...


def outcome(sample: Readable, canary: str) -> Exception | None:
    """None after a clean read, else the error; any other exception fails the test."""
    found: DataInvalid | SourceNotFound | None = None
    try:
        for _ in sample.read():
            pass
    except (DataInvalid, SourceNotFound) as error:
        found = error
    if found is not None:
        shown = f"{found} {found!r} {found.as_dict()}"
        assert canary not in shown.casefold()
        assert MARK not in shown
        assert any(file.name in found.message for file in sample.files)
    return found


def test_good_files_are_read(sample: Readable, canary: str) -> None:
    assert outcome(sample, canary) is None
    assert len(list(sample.read())) >= 2


def test_files_cut_short_anywhere(sample: Readable, canary: str) -> None:
    for file in sample.files:
        whole = file.read_bytes()
        for cut in sorted({*range(0, len(whole), max(1, len(whole) // CUTS)), *range(len(whole) - 8, len(whole))}):
            file.write_bytes(whole[:cut])
            outcome(sample, canary)
        file.write_bytes(whole)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_files_with_bytes_changed(sample: Readable, canary: str, data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(sample.files))
    whole = file.read_bytes()
    begin = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(begin, min(begin + 40, len(whole))))
    put = data.draw(st.binary(max_size=12) | st.sampled_from([b'"', b"{", b"]", b",", b"\n", b"NaN", b"\\", b"\x00"]))
    file.write_bytes(whole[:begin] + put + whole[end:])
    try:
        outcome(sample, canary)
    finally:
        file.write_bytes(whole)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, child in inner:
        yield from places(child, (*path, name))


def changed(document: Any, path: tuple[Any, ...], value: object, *, gone: bool = False) -> Any:
    if not path:
        return value
    document = copy.deepcopy(document)
    parent = document
    for name in path[:-1]:
        parent = parent[name]
    if gone:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return document


def test_values_of_other_types_and_missing_fields(sample: Readable, canary: str) -> None:
    for file in (file for file in sample.files if file.suffix != ".csv"):
        text = file.read_text(encoding="utf-8")
        lines = file.suffix == ".jsonl"
        document = [json.loads(line) for line in text.splitlines() if line] if lines else json.loads(text)
        for path in places(document):
            variants = [changed(document, path, value) for value in STRANGE]
            if path:
                variants.append(changed(document, path, None, gone=True))
            for variant in variants:
                as_lines = lines and isinstance(variant, list)
                file.write_text("\n".join(map(json.dumps, variant)) if as_lines else json.dumps(variant), "utf-8")
                outcome(sample, canary)
        file.write_text(text, encoding="utf-8")


def test_cells_of_other_kinds_and_missing_columns(sample: Readable, canary: str) -> None:
    for file in (file for file in sample.files if file.suffix == ".csv"):
        text = file.read_text(encoding="utf-8")
        rows = list(csv.reader(io.StringIO(text, newline="")))
        for column in range(len(rows[0])):
            variants = [[rows[0], [*rows[1][:column], cell, *rows[1][column + 1 :]], *rows[2:]] for cell in CELLS]
            variants.append([[*row[:column], *row[column + 1 :]] for row in rows])
            for variant in variants:
                with file.open("w", encoding="utf-8", newline="") as stream:
                    csv.writer(stream).writerows(variant)
                outcome(sample, canary)
        file.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"  \n ",
        b"\xef\xbb\xbf",
        b"\x00" * 64,
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'[{"id": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]",
        "[{}]".encode("utf-16"),
        b'[{"id": "caf\xe9"}]',
        b"PK\x03\x04\xff\xfe",
        b"<!doctype html><html>Not found</html>",
        b"[1, 2]",
        b"[{}]",
        b'"text"',
        b"NaN",
    ],
)
def test_other_files(sample: Readable, canary: str, content: bytes) -> None:
    for file in sample.files:
        whole = file.read_bytes()
        file.write_bytes(content)
        assert isinstance(outcome(sample, canary), DataInvalid)
        file.write_bytes(whole)


def test_no_file_and_a_folder_in_its_place(request: pytest.FixtureRequest, canary: str) -> None:
    for name in ("lamp", "fillers", "locomo", "longmemeval", "personamem", "empathy", "unieval", "plain"):
        sample: Readable = request.getfixturevalue(name)
        for file in sample.files:
            whole = file.read_bytes()
            file.unlink()
            assert isinstance(outcome(sample, canary), SourceNotFound)
            file.mkdir()
            assert isinstance(outcome(sample, canary), SourceNotFound)
            file.rmdir()
            file.write_bytes(whole)


@pytest.mark.parametrize("name", ["lamp", "longmemeval", "unieval", "plain", "personamem", "prefeval"])
@pytest.mark.parametrize("tail", [b'{"id": ', b"\xff\xfe", b"nonsense"])
def test_items_come_before_a_broken_tail(name: str, tail: bytes, request: pytest.FixtureRequest) -> None:
    sample: Readable = request.getfixturevalue(name)
    file = sample.files[0]
    whole = file.read_bytes().rstrip().removesuffix(b"]")
    # The tail must lie beyond what is read ahead.
    file.write_bytes(whole + (b"," if file.suffix == ".json" else b"\n") + b" " * (1 << 20) + tail)
    items = sample.read()
    next(items)
    next(items)
    with pytest.raises(DataInvalid, match=file.name):
        list(items)


def test_messages_name_file_record_and_field(tmp_path: Path) -> None:
    path = tmp_path / "q.json"

    def message(record: object, reader: Any = read_lamp) -> str:
        path.write_text(json.dumps([{"id": 110, "input": "x", "profile": []}, record]), encoding="utf-8")
        with pytest.raises(DataInvalid) as caught:
            list(reader(path))
        return caught.value.message

    assert (
        message({"id": 111, "profile": []}) == "q.json: record 1 (id 111), field input (missing or null) is not a text."
    )
    assert message({"id": [], "input": "x"}).startswith("q.json: record 1, field id is not an id")
    assert "record 1 (id 112), field profile is not a list" in message({"id": 112, "input": "x", "profile": 3})
    entry = {"id": "7", "text": "x", "score": float("nan")}
    assert message({"id": 112, "input": "x", "profile": [entry]}) == (
        "q.json: record 1 (id 112), profile 0 (id 7), field score is not a text or a finite number."
    )
    assert message(3) == "q.json: record 1 is not an object."
    assert "record 0, field question_id" in message({}, read_longmemeval)
    assert "record 0, field context" in message({}, read_unieval)


def test_lines_are_counted_from_one(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    good = json.dumps({"user": "ann", "history": [], "question": "x"})
    path.write_text(f"{good}\n\n{good}\n{{}}\n", encoding="utf-8")
    items = read_plain(path)
    assert [next(items).id, next(items).id] == ["line 1", "line 3"]
    with pytest.raises(DataInvalid, match="line 4, field user"):
        next(items)


def test_an_id_that_may_be_a_text_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "q.json"
    path.write_text(json.dumps([{"id": "my secret life", "input": 3, "profile": []}]), encoding="utf-8")
    with pytest.raises(DataInvalid, match="record 0, field input") as caught:
        list(read_lamp(path))
    assert "secret" not in str(caught.value)
