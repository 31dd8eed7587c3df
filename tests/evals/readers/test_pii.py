"""Presidio's synthetic sentences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgeperso.errors import DataInvalid, EdgepersoError, SourceNotFound
from edgeperso.evals.readers import PiiSpan, read_pii

TEXT = "Ann Bär's IBAN is GB00MARZIPAN01, says Ann Bär"
SPANS: list[dict[str, Any]] = [
    {"entity_type": "IBAN_CODE", "entity_value": "GB00MARZIPAN01", "start_position": 18, "end_position": 32},
    {"entity_type": "PERSON", "entity_value": "Ann Bär", "start_position": 0, "end_position": 7},
]


def written(path: Path, *records: object) -> Path:
    file = path / "pii.json"
    file.write_text(json.dumps(list(records)), encoding="utf-8")
    return file


def record(**changes: object) -> dict[str, object]:
    return {"full_text": TEXT, "spans": SPANS, "masked": "x", "template_id": 3, "metadata": None} | changes


def test_texts_with_their_values_in_order(tmp_path: Path) -> None:
    first, second = read_pii(written(tmp_path, record(), record(full_text="Nothing here", spans=[])))
    assert (first.id, first.text) == ("record 0", TEXT)
    assert first.spans == (PiiSpan("PERSON", "Ann Bär", 0, 7), PiiSpan("IBAN_CODE", "GB00MARZIPAN01", 18, 32))
    assert (second.id, second.spans) == ("record 1", ())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"full_text": None}, "field full_text"),
        ({"full_text": " "}, "field full_text"),
        ({"spans": None}, "field spans"),
        ({"spans": ["x"]}, "spans 0 is not an object"),
        ({"spans": [SPANS[0] | {"start_position": 17}]}, "spans 0, field entity_value is not what stands there"),
        ({"spans": [SPANS[0] | {"end_position": 999}]}, "field end_position"),
        ({"spans": [SPANS[0] | {"start_position": -1}]}, "field start_position"),
        ({"spans": [SPANS[0] | {"entity_type": ""}]}, "field entity_type"),
        ({"spans": [SPANS[0] | {"entity_value": 5}]}, "field entity_value"),
    ],
)
def test_what_is_wrong_is_named_and_not_quoted(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(DataInvalid, match=f"pii.json: record 1.*{message}") as caught:
        list(read_pii(written(tmp_path, record(), record(**changes))))
    assert "MARZIPAN" not in f"{caught.value!r} {caught.value}".upper()


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match=r"pii\.json"):
        list(read_pii(tmp_path / "pii.json"))


def test_files_cut_short_anywhere(tmp_path: Path) -> None:
    path = written(tmp_path, record(), record())
    whole = path.read_bytes()
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        with pytest.raises(EdgepersoError):
            list(read_pii(path))


@pytest.mark.shared
def test_the_real_file(shared_data: Path) -> None:
    items = list(read_pii(shared_data / "pii" / "synth_pii.json"))
    assert len(items) == 965
    assert sum(len(item.spans) for item in items) == 1640
