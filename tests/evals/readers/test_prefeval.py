"""PrefEval: the three forms, the options that go with a question, and wherever the folder begins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgeperso.errors import DataInvalid, SourceNotFound, UsageError
from edgeperso.evals.readers import FillerTurn, PrefForm, read_fillers, read_prefeval


@pytest.fixture
def folder(prefeval: Any) -> Path:
    found: Path = prefeval.files[-1].parent.parent
    return found


def test_explicit(folder: Path) -> None:
    first, second = read_prefeval(folder, "explicit")
    assert (first.id, second.id, first.topic) == ("travel_quiet:0", "travel_quiet:1", "travel_quiet")
    assert first.preference.startswith("I can't stand loud places")
    assert first.question.startswith("Where should I eat on day 0?")
    assert first.explanation.startswith("Popular places")
    assert [option.split(" (")[0] for option in first.options] == ["a quiet inn", "a stadium", "a fair", "a club"]
    assert first.statement == (FillerTurn("user", first.preference),)


def test_choice_based(folder: Path) -> None:
    statement = next(read_prefeval(folder, "choice-based")).statement
    assert [(turn.role, turn.text.split(" (")[0]) for turn in statement] == [
        ("user", "Which hotel?"),
        ("assistant", "1. by the road 2. in the wood"),
        ("user", "In the wood"),
        ("assistant", "Noted"),
    ]


def test_persona_driven_turns_come_by_number(folder: Path) -> None:
    item = next(read_prefeval(folder, "persona-driven"))
    said = [f"{turn.role[0]}{turn.text.split(' (')[0]}" for turn in item.statement]
    assert said == ["uu0", "aa0", "uu1", "aa1", "uu2", "aa2", "uu10", "aa10"]
    assert len(item.options) == 4


@pytest.mark.parametrize("form", ["explicit", "choice-based", "persona-driven"])
def test_any_folder_of_the_data_set_or_one_topic(folder: Path, form: PrefForm, tmp_path: Path) -> None:
    of_form = folder / {"explicit": "explicit_preference"}.get(form, f"implicit_preference/{form}")
    items = list(read_prefeval(folder, form))
    assert list(read_prefeval(of_form, form)) == items
    assert list(read_prefeval(of_form / "travel_quiet.json", form)) == items
    repository = tmp_path / "repository"
    repository.mkdir()
    folder.rename(repository / "benchmark_dataset")
    assert list(read_prefeval(repository, form)) == items


def test_topics_come_by_name(folder: Path) -> None:
    explicit = folder / "explicit_preference"
    (explicit / "art.json").write_bytes((explicit / "travel_quiet.json").read_bytes())
    items = list(read_prefeval(folder, "explicit"))
    assert [item.topic for item in items] == ["art", "art", "travel_quiet", "travel_quiet"]
    assert [len(item.options) for item in items] == [0, 0, 4, 4]


def test_a_reworded_preference_keeps_its_options_if_its_question_stands_once(folder: Path) -> None:
    path = folder / "mcq_options/travel_quiet.json"
    records = json.loads(path.read_text(encoding="utf-8"))
    for record in records:
        record["preference"] = "I never could stand loud places"
    path.write_text(json.dumps(records), encoding="utf-8")
    assert [len(item.options) for item in read_prefeval(folder, "explicit")] == [4, 4]
    records[1] |= {"question": records[0]["question"], "preference": "Another"}
    path.write_text(json.dumps(records), encoding="utf-8")
    assert [len(item.options) for item in read_prefeval(folder, "explicit")] == [0, 0]


def test_turns_must_be_numbered(folder: Path) -> None:
    path = folder / "implicit_preference/persona-driven/travel_quiet.json"
    records = json.loads(path.read_text(encoding="utf-8"))
    records[1]["conversation"] = {"first": {"user": "a", "assistant": "b"}}
    path.write_text(json.dumps(records), encoding="utf-8")
    with pytest.raises(DataInvalid, match=r"record 1 \(id travel_quiet:1\), field conversation is not an object whose"):
        list(read_prefeval(folder, "persona-driven"))


def test_no_topic_and_no_form(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match="no topic of the form explicit"):
        next(read_prefeval(tmp_path, "explicit"))
    with pytest.raises(UsageError, match="choice-based"):
        next(read_prefeval(tmp_path, "implicit"))  # type: ignore[arg-type]


def test_fillers_are_flat(fillers: Any) -> None:
    turns = read_fillers(fillers.files[0])
    assert [turn.role for turn in turns] == ["user", "assistant"] * 2


@pytest.mark.shared
@pytest.mark.parametrize("form", ["explicit", "choice-based", "persona-driven"])
def test_the_data_set(shared_data: Path, form: PrefForm) -> None:
    items = list(read_prefeval(shared_data / "prefeval", form))
    assert len(items) == 749
    assert len({item.id for item in items}) == 749
    assert {len(item.options) for item in items} == {4}
    assert len({item.topic for item in items}) == 15


@pytest.mark.shared
def test_the_fillers_of_the_data_set(shared_data: Path) -> None:
    assert len(read_fillers(shared_data / "prefeval/filtered_inter_turns.json")) == 632
