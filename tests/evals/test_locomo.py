"""LoCoMo: figures on a small conversation of our own, clear errors for broken files, and the real data's target."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from edgeperso.embedding import load_embedder
from edgeperso.errors import DataInvalid, SourceNotFound
from edgeperso.evals.experiments.locomo import run_locomo
from edgeperso.evals.readers import read_locomo
from edgeperso.times import to_datetime

SAMPLE: list[dict[str, Any]] = [
    {
        "conversation": {
            "speaker_a": "Ann",
            "speaker_b": "Ben",
            "session_1_date_time": "1:56 pm on 8 May, 2023",
            "session_1": [
                {"speaker": "Ann", "dia_id": "D1:1", "text": "I adopted a parrot."},
                {"speaker": "Ben", "dia_id": "D1:2", "text": "Nice!", "blip_caption": "a photo of a green parrot"},
                {"speaker": "Ann", "dia_id": "D1:3", "text": "Nice!"},
            ],
            "session_2_date_time": "12:09 am on 13 September, 2023",
            "session_2": [
                {"speaker": "Ben", "dia_id": "D2:1", "text": "I ran a marathon in Oslo."},
                {"speaker": "Ann", "dia_id": "D2:2", "text": "Nice!"},
            ],
        },
        "qa": [
            {"question": "Which bird did Ann adopt?", "evidence": ["D1:1"], "category": 4},
            {"question": "Where did Ben run?", "evidence": ["D2:1; D9:9", "D1:3"], "category": 1},
            {"question": "What is unknown?", "evidence": [], "category": 5},
            {"question": "What points nowhere?", "evidence": ["D7:7"], "category": 5},
        ],
    }
]


def write(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "sample.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_turns_become_records_and_evidence_places(tmp_path: Path) -> None:
    (conversation,) = read_locomo(write(tmp_path, SAMPLE))
    second = conversation.records[1]
    assert (second.author, second.thread, second.position) == ("Ben", "session_1", 1)
    assert second.text == "Nice! [image: a photo of a green parrot]"
    assert second.occurred_ms is not None
    assert to_datetime(second.occurred_ms).isoformat() == "2023-05-08T13:56:00+00:00"
    assert to_datetime(conversation.end_ms).isoformat() == "2023-09-13T00:09:00+00:00"
    assert [question.gold for question in conversation.questions] == [(0,), (2, 3), (), ()]


def test_figures_are_means_over_questions_with_evidence(tmp_path: Path, fake_embedder) -> None:
    seen: list[tuple[str, int, int | None]] = []
    report = run_locomo(write(tmp_path, SAMPLE), fake_embedder, progress=lambda *step: seen.append(step))
    assert report.questions == report.figures["questions"] == 2
    assert report.by_category[4][5] == 1.0
    assert report.recall[5] == pytest.approx((report.by_category[4][5] + report.by_category[1][5]) / 2)
    assert {"recall_at_5", "recall_at_10", "recall_at_25", "recall_at_50"} <= report.figures.keys()
    assert seen == [("locomo", 1, 1)]


def test_the_limit_counts_conversations(tmp_path: Path, fake_embedder) -> None:
    path = write(tmp_path, SAMPLE * 3)
    assert run_locomo(path, fake_embedder, limit=2).conversations == 2


def test_nothing_is_left_behind(tmp_path: Path, fake_embedder, monkeypatch) -> None:
    private = tmp_path / "tmp"
    private.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(private))
    run_locomo(write(tmp_path, SAMPLE), fake_embedder)
    assert list(private.iterdir()) == []


def changed(*path: str | int, to: object) -> list[dict[str, Any]]:
    content = copy.deepcopy(SAMPLE)
    at: Any = content
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = to
    return content


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({}, "the file"),
        ([], "the file"),
        ([3], "record 0"),
        (changed(0, "conversation", to=[]), "field conversation"),
        (changed(0, "qa", to=None), "field qa"),
        (changed(0, "qa", 1, to="x"), "qa 1"),
        (changed(0, "qa", 1, "question", to=" "), "qa 1, field question"),
        (changed(0, "qa", 0, "category", to="x"), "qa 0, field category"),
        (changed(0, "qa", 0, "category", to=6), "qa 0, field category"),
        (changed(0, "qa", 0, "evidence", to="D1:1"), "qa 0, field evidence"),
        (changed(0, "conversation", "session_2", to={}), "field session_2"),
        (changed(0, "conversation", "session_2_date_time", to="secretword"), "session_2_date_time"),
        (changed(0, "conversation", "session_2_date_time", to=None), "session_2_date_time"),
        (changed(0, "conversation", "session_1", 2, to={"speaker": "secretword"}), "session_1 2"),
        (changed(0, "qa", to=[]), "no question"),
    ],
)
def test_broken_data_is_named_by_file_record_and_field(
    tmp_path: Path, fake_embedder, content: object, named: str
) -> None:
    with pytest.raises(DataInvalid) as caught:
        run_locomo(write(tmp_path, content), fake_embedder)
    assert "sample.json" in caught.value.message
    assert named in caught.value.message
    assert "secretword" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000])
def test_what_is_not_json(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "sample.json"
    path.write_bytes(raw)
    with pytest.raises(DataInvalid):
        read_locomo(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound):
        read_locomo(tmp_path / "none.json")


@pytest.mark.shared
@pytest.mark.model
def test_one_real_conversation_reaches_the_target(shared_data: Path, models_dir: Path) -> None:
    class Folder:
        def locate(self, name: str) -> Path:
            return Path(name)

    embedder = load_embedder(Folder(), str(models_dir / "minilm-int8"))
    report = run_locomo(shared_data / "locomo" / "locomo7.json", embedder, limit=1)
    assert report.recall[10] >= 0.78
    assert report.recall[5] >= 0.67
