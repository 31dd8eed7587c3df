"""LoCoMo's questions: which are asked, how they are put, what counts of an answer, and that runs resume and repeat."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgeperso.assistant.reply import NOTHING_FOUND
from edgeperso.catalogue import Catalogue
from edgeperso.embedding import load_embedder
from edgeperso.engine import Engine
from edgeperso.errors import DataInvalid, UsageError
from edgeperso.evals.experiments import locomo_answers
from edgeperso.evals.experiments.locomo_answers import LocomoRun, run_locomo_answers, short_answer
from edgeperso.evals.methods import Method
from edgeperso.evals.metrics.text import locomo_score
from edgeperso.evals.readers import LocomoQuestion, read_locomo
from edgeperso.evals.report import load_all, save
from edgeperso.evals.setup import Setup
from edgeperso.retrieval import Retriever
from edgeperso.types import Hit, Query, Trust


class Stopped(Exception):
    """A kill in the middle, as a test can have it."""


def conversation(number: int) -> dict[str, Any]:
    bird, place = ("parrot", "Oslo") if number else ("raven", "Bergen")
    return {
        "sample_id": f"conv-{number}",
        "conversation": {
            "session_1_date_time": "1:56 pm on 8 May, 2023",
            "session_1": [
                {"speaker": "Ann", "dia_id": "D1:1", "text": f"I adopted a {bird} yesterday."},
                {"speaker": "Ben", "dia_id": "D1:2", "text": "My car broke down near Ghent."},
            ],
            "session_2_date_time": "12:09 am on 13 September, 2023",
            "session_2": [{"speaker": "Ben", "dia_id": "D2:1", "text": f"I ran a marathon in {place}."}],
        },
        "qa": [
            {"question": "Which bird did Ann adopt?", "answer": bird, "evidence": ["D1:1"], "category": 4},
            {"question": "When did Ann adopt her bird?", "answer": "7 May 2023", "evidence": ["D1:1"], "category": 2},
            {"question": "Where did Ben run?", "answer": place, "evidence": ["D2:1"], "category": 1},
            {"question": "In what year did they talk?", "answer": 2023, "evidence": ["D1:1"], "category": 4},
            {"question": "Would Ann like a zoo?", "answer": "Likely; she has a bird", "evidence": [], "category": 3},
            {"question": "Which bird did Ben adopt?", "adversarial_answer": bird, "evidence": ["D1:1"], "category": 5},
            {"question": "What has no answer?", "evidence": ["D1:1"], "category": 4},
        ],
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "locomo.json"
    path.write_text(json.dumps([conversation(0), conversation(1)]), encoding="utf-8")
    return path


def outputs(setup: Setup) -> list[dict[str, Any]]:
    assert setup.folder is not None
    lines = (setup.folder / "raw" / "locomo.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_answers_are_read_whatever_their_type_and_speakers_own_no_vault(data: Path) -> None:
    first, second = read_locomo(data)
    assert [question.answer for question in first.questions] == [
        "raven", "7 May 2023", "Bergen", "2023", "Likely; she has a bird", "raven", None,
    ]  # fmt: skip
    assert first.questions[4].gold == ()
    assert (first.id, second.id) == ("conv-0", "conv-1")
    assert {record.trust for record in first.records} == {Trust.OTHER}


def test_every_question_with_an_answer_is_asked_and_recall_is_beside_it(setup: Setup, data: Path) -> None:
    result = run_locomo_answers(setup, data, LocomoRun(answers=0))
    assert result.figures["answered"] == result.n == 12
    assert result.figures["questions"] == 12
    assert {"recall_at_5", "recall_at_50_category_1", "f1", "f1_none", "f1_answerable"} <= result.figures.keys()
    assert {f"f1_category_{category}" for category in range(1, 6)} <= result.figures.keys()
    assert len(outputs(setup)) == 24
    assert [table.title for table in result.tables][-1] == "Turns with the answer found"
    assert "none" in {point.label.partition(", ")[2] for point in result.plots[0].points}  # type: ignore[union-attr]
    assert setup.folder is not None
    save(setup.folder, result)
    assert load_all(setup.folder) == [result]


def test_figures_are_the_means_of_locomos_score(setup: Setup, data: Path) -> None:
    result = run_locomo_answers(setup, data, LocomoRun((Method.parse("bm25"),), answers=0))
    questions = [q for one in read_locomo(data) for q in one.questions if q.answer is not None]
    scores = [
        locomo_score(short_answer(line["out"], question, 0), question.answer or "", question.category)
        for line, question in zip(outputs(setup), questions, strict=True)
    ]
    assert result.figures["f1"] == pytest.approx(sum(scores) / len(scores), abs=1e-6)
    assert "f1_none" not in result.figures


def test_a_sample_takes_of_each_category_its_share(setup: Setup, data: Path) -> None:
    run_locomo_answers(setup, data, LocomoRun((Method.parse("none"),), answers=6))
    assert Counter(line["category"] for line in outputs(setup)) == {1: 1, 2: 1, 3: 1, 4: 2, 5: 1}


def test_the_seed_draws_the_sample(setup: Setup, data: Path) -> None:
    def asked(seed: int) -> list[object]:
        with_seed = replace(setup, seed=seed, folder=setup.folder and setup.folder / f"{seed}")
        run_locomo_answers(with_seed, data, LocomoRun((Method.parse("none"),), answers=3))
        return [(line["conversation"], line["out"]["asked"]) for line in outputs(with_seed)]

    drawn = [asked(seed) for seed in range(4)]
    assert all(len(one) == 3 for one in drawn)
    assert len({str(one) for one in drawn}) > 1


def test_a_run_that_was_stopped_ends_as_an_unbroken_one(setup: Setup, data: Path, tmp_path: Path) -> None:
    def stop(stage: str, done: int, total: int | None) -> None:
        if stage == "locomo answers" and done == 7:
            raise Stopped

    run = LocomoRun((Method.parse("none"), Method.parse("hybrid"), Method.parse("bm25")), answers=0)
    whole = run_locomo_answers(setup, data, run)
    stopped = replace(setup, folder=tmp_path / "stopped", progress=stop)
    with pytest.raises(Stopped):
        run_locomo_answers(stopped, data, run)
    assert 0 < len(outputs(stopped)) < len(outputs(setup))
    resumed = replace(setup, folder=tmp_path / "stopped")
    assert run_locomo_answers(resumed, data, run) == whole
    assert outputs(resumed) == outputs(setup)


def test_what_is_on_file_needs_no_vault(setup: Setup, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = LocomoRun((Method.parse("hybrid"),), answers=4)
    first = run_locomo_answers(setup, data, run)
    monkeypatch.setattr(Setup, "vault", lambda *_: pytest.fail("a vault was made"))
    assert run_locomo_answers(setup, data, run) == first


def test_small_models_get_the_question_alone(setup: Setup, data: Path) -> None:
    run_locomo_answers(setup, data, LocomoRun((Method.parse("none"),), answers=0))
    assert all(line["out"]["asked"].endswith("?") for line in outputs(setup))


def test_others_are_asked_as_the_authors_ask(setup: Setup, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locomo_answers, "reader_for", lambda _: SimpleNamespace(quotes=False))
    searched: list[str] = []
    search = Retriever.search

    def noted(self: Retriever, query: Query) -> list[Hit]:
        searched.append(query.text)
        return search(self, query)

    monkeypatch.setattr(Retriever, "search", noted)
    run_locomo_answers(setup, data, LocomoRun((Method.parse("bm25"),), answers=0))
    asked = {line["category"]: line["out"]["asked"].partition("\n")[2] for line in outputs(setup)}
    assert asked[1] == asked[3] == asked[4] == "Answer in a few words."
    assert "date" in asked[2]
    never = "Not mentioned in the conversation"
    assert asked[5] in {
        f"Select the correct answer: (a) {one} (b) {other}" for one, other in (("parrot", never), (never, "parrot"))
    }
    assert searched
    assert all(question.endswith("?") for question in searched)


NEVER = LocomoQuestion("Which bird did Ben adopt?", 5, (), "a parrot")
SAID = LocomoQuestion("Which bird did Ann adopt?", 4, (), "a parrot")


@pytest.mark.parametrize(
    ("said", "begun", "counts"),
    [
        ("The bird Ann adopted is a parrot.", "The bird Ann adopted is", "a parrot."),
        ("\n  A parrot\nBecause she said so", "", "A parrot"),
        ('Answer: "A parrot"', "", "A parrot"),
        (NOTHING_FOUND, "", "Not mentioned in the conversation"),
        ("(a)", "", "(a)"),
        ("", "", ""),
    ],
)
def test_what_counts_of_an_answer(said: str, begun: str, counts: str) -> None:
    assert short_answer({"said": said, "begun": begun}, SAID, 0) == counts


def test_a_letter_stands_for_its_option() -> None:
    given = {short_answer({"said": said, "begun": ""}, NEVER, 0) for said in ("a", "(b)")}
    assert given == {"a parrot", "Not mentioned in the conversation"}
    assert short_answer({"said": "(B).", "begun": ""}, NEVER, 0) == short_answer({"said": "b", "begun": ""}, NEVER, 0)


def test_a_persons_profile_makes_no_sense_here() -> None:
    with pytest.raises(UsageError):
        LocomoRun((Method.parse("hybrid+profile"),))


def test_a_file_without_answers(setup: Setup, tmp_path: Path) -> None:
    path = tmp_path / "locomo.json"
    record = conversation(0)
    record["qa"] = record["qa"][-1:]
    path.write_text(json.dumps([record]), encoding="utf-8")
    with pytest.raises(DataInvalid, match=r"locomo\.json holds no question with an answer"):
        run_locomo_answers(setup, path, LocomoRun())


@pytest.fixture
def real_setup(models_dir: Path) -> Iterator[Setup]:
    catalogue = Catalogue(models_dir)
    with Engine.open(catalogue.locate("smollm2-135m"), n_ctx=2048, n_threads=1) as engine:
        yield Setup(engine, catalogue, load_embedder(catalogue, "minilm-int8"))


@pytest.mark.model
def test_the_small_model_answers_from_the_conversation(real_setup: Setup, data: Path) -> None:
    result = run_locomo_answers(real_setup, data, LocomoRun(limit=1, answers=0))
    assert result.figures["f1"] > result.figures["f1_none"]
