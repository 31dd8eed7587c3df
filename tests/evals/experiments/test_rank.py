"""Ranking: what is held out and put among what, what each ranker gives, and that runs resume and repeat."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeperso.errors import DataInvalid, UsageError
from edgeperso.evals.experiments.held_out import RankCase, held_out, read_ratings
from edgeperso.evals.experiments.rank import RankRun, _by_length, _by_vectors, _by_words, run_rank
from edgeperso.evals.methods import Method
from edgeperso.evals.readers import LampEntry, LampItem
from edgeperso.evals.report import load_all, save
from edgeperso.evals.setup import Setup
from edgeperso.types import Asking

TASTES = ("tea", "rope", "chalk", "wool", "brass", "maps")


class Stopped(Exception):
    """A kill in the middle, as a test can have it."""


def entry(taste: str, number: int, score: int = 5, category: str = "Toys", text: str | None = None) -> LampEntry:
    said = f"The {taste} number {number} is just what I want" if text is None else text
    return LampEntry(
        f"{taste}-{number}", {"text": said, "score": str(score), "category": category}, number * 86_400_000
    )


def person(taste: str, *, gold: int = 5, profile: tuple[LampEntry, ...] | None = None) -> LampItem:
    asked = f"What is the score? review: My {taste} is the best {taste}"
    history = tuple(entry(taste, number) for number in (3, 1, 2)) if profile is None else profile
    return LampItem(taste, "LaMP_3", asked, history, str(gold))


def people(*changed: LampItem) -> list[LampItem]:
    by_id = {taste: person(taste) for taste in TASTES} | {item.id: item for item in changed}
    return list(by_id.values())


def case_of(items: list[LampItem], taste: str, candidates: int = 5, seed: int = 0) -> RankCase:
    (case,) = [case for case in held_out(items, candidates, seed) if case.id == taste]
    return case


def test_the_questions_own_review_stands_among_other_peoples() -> None:
    items = people()
    case = case_of(items, "tea")
    assert case.options[case.right] == "My tea is the best tea"
    assert len(set(case.options)) == 5
    assert sum("tea" in option for option in case.options) == 1
    assert [one.id for one in case.history] == ["tea-1", "tea-2", "tea-3"]


def test_a_review_with_few_stars_gives_way_to_the_latest_that_was_liked() -> None:
    profile = (entry("tea", 1), entry("tea", 2), entry("tea", 3, score=2))
    case = case_of(people(person("tea", gold=2, profile=profile)), "tea")
    assert case.options[case.right] == "The tea number 2 is just what I want"
    assert [one.id for one in case.history] == ["tea-1", "tea-3"]


def test_who_likes_nothing_is_left_out_and_so_is_who_has_no_others() -> None:
    grump = person("tea", gold=1, profile=(entry("tea", 1, score=3),))
    loner = person("rope", profile=(entry("rope", 1, category="Yachts"),))
    assert {case.id for case in held_out(people(grump, loner), 5, 0)} == {"chalk", "wool", "brass", "maps"}
    assert held_out(people(), 22, 0) == []


def test_only_what_others_liked_of_the_same_category_is_a_candidate() -> None:
    rope = person("rope", gold=1, profile=tuple(entry("rope", n, score=1) for n in (1, 2, 3)))
    wool = person("wool", profile=tuple(entry("wool", n, category="Pets") for n in (1, 2, 3)))
    options = {option for seed in range(20) for option in case_of(people(rope, wool), "tea", seed=seed).options}
    assert not any("rope" in option or "wool" in option for option in options)


def test_the_questions_category_is_that_with_one_review_fewer() -> None:
    profile = (*(entry("tea", n, category="Pets") for n in (1, 2)), entry("tea", 3, category="Toys"))
    case = case_of(people(person("tea", profile=profile)), "tea")
    assert (case.category, case.options[case.right]) == ("Toys", "My tea is the best tea")
    evenly = (entry("tea", 1, category="Pets"), entry("tea", 2, category="Toys"))
    case = case_of(people(person("tea", profile=evenly)), "tea")
    assert (case.category, case.options[case.right]) == ("Toys", "The tea number 2 is just what I want")


def test_words_that_the_person_repeats_are_not_held_out() -> None:
    profile = (entry("tea", 1), entry("tea", 2, text="Great!"), entry("tea", 3, text="GREAT! "))
    case = case_of(people(person("tea", gold=2, profile=profile)), "tea")
    assert case.options[case.right] == "The tea number 1 is just what I want"


def test_the_seed_draws_the_candidates() -> None:
    assert case_of(people(), "tea", seed=1) == case_of(people(), "tea", seed=1)
    assert len({case_of(people(), "tea", seed=seed).options for seed in range(5)}) > 1
    assert len({case_of(people(), "tea", seed=seed).right for seed in range(30)}) == 5


def test_candidates_are_cut_alike() -> None:
    long = person("tea", profile=(entry("tea", 1), entry("tea", 2, text="tea " * 100)))
    case = case_of(people(long), "tea")
    assert max(map(len, case.texts)) == 199
    options = [option for seed in range(20) for option in case_of(people(long), "maps", seed=seed).options]
    assert max(map(len, options)) == 199


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    items = people()
    questions, outputs = tmp_path / "q.json", tmp_path / "o.json"
    questions.write_text(
        json.dumps(
            [
                {
                    "id": item.id,
                    "input": item.input,
                    "profile": [{"id": e.id, "date": e.when_ms or 0, **e.fields} for e in item.profile],
                }
                for item in items
            ]
        )
    )
    golds = [{"id": item.id, "output": item.gold} for item in items]
    outputs.write_text(json.dumps({"task": "LaMP_3", "golds": golds}))
    return questions, outputs


RUN = RankRun((Method.parse("recent"), Method.parse("bm25")), (Asking.LIKELIHOOD, Asking.GAIN), candidates=5)


def outputs_of(setup: Setup) -> list[dict[str, Any]]:
    assert setup.folder is not None
    return [json.loads(line) for line in (setup.folder / "raw" / "rank.jsonl").read_text().splitlines()]


def test_every_ranker_has_its_row_and_chance_is_exact(setup: Setup, files: tuple[Path, Path]) -> None:
    result = run_rank(setup, *files, RUN)
    (table,) = result.tables
    assert [row.label for row in table.rows] == [
        "random", "length", "bm25", "dense",
        "recent, likelihood", "recent, gain", "bm25, likelihood", "bm25, gain",
        "recent, likelihood, with dense", "recent, gain, with dense",
        "bm25, likelihood, with dense", "bm25, gain, with dense",
    ]  # fmt: skip
    assert [row.baseline for row in table.rows].index(True) == 0
    assert table.rows[0].cells["hr_at_1"].p is None
    assert table.rows[-1].cells["hr_at_1"].p is not None
    assert result.figures["hr_at_1_random"] == pytest.approx(0.2)
    assert result.figures["hr_at_5_random"] == pytest.approx(1.0)
    assert result.figures["mrr_random"] == pytest.approx(np.mean([1 / place for place in range(1, 6)]), abs=1e-6)
    assert result.figures["mrr"] == pytest.approx(table.rows[7].cells["mrr"].value)
    assert result.figures["mrr_combined"] == pytest.approx(table.rows[-1].cells["mrr"].value)
    assert (result.figures["people"], result.figures["left_out"], result.n) == (6, 0, 6)
    assert setup.folder is not None
    save(setup.folder, result)
    assert load_all(setup.folder) == [result]


def test_what_rankers_without_a_model_go_by(setup: Setup) -> None:
    history = tuple(entry("tea", n, text=text) for n, text in enumerate(("strong tea", "a tea so strong")))
    options = ("A very long word on rope and on chalk", "rope", "strong strong tea", "chalk tea")
    case = RankCase(person("tea"), "Toys", history, options, 2)
    assert np.argmax(_by_words(case)) == np.argmax(_by_vectors(setup, case)) == 2
    assert _by_length(case).tolist() == [-24.5, -8.5, -4.5, -3.5]


def test_a_run_that_was_stopped_ends_as_an_unbroken_one(setup: Setup, files: tuple[Path, Path], tmp_path: Path) -> None:
    def stop(_stage: str, done: int, _total: int | None) -> None:
        if done == 3:
            raise Stopped

    whole = run_rank(setup, *files, RUN)
    with pytest.raises(Stopped):
        run_rank(replace(setup, folder=tmp_path / "stopped", progress=stop), *files, RUN)
    resumed = replace(setup, folder=tmp_path / "stopped")
    assert len(outputs_of(resumed)) == 12
    assert run_rank(resumed, *files, RUN) == whole
    assert outputs_of(resumed) == outputs_of(setup)


def test_what_is_on_file_needs_no_vault(
    setup: Setup, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_rank(setup, *files, RUN)
    monkeypatch.setattr(Setup, "vault", lambda *_: pytest.fail("a vault was made"))
    assert run_rank(setup, *files, RUN) == first


def test_the_limit_counts_people_but_all_give_candidates(setup: Setup, files: tuple[Path, Path]) -> None:
    result = run_rank(setup, *files, replace(RUN, methods=RUN.methods[:1], askings=(Asking.GAIN,), limit=2))
    assert result.n == 2
    assert {line["id"] for line in outputs_of(setup)} == {"tea", "rope"}


def test_what_is_refused(setup: Setup, files: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError):
        RankRun((Method.parse("recent+persona"),))
    with pytest.raises(UsageError):
        RankRun(candidates=1)
    with pytest.raises(DataInvalid, match=r"q\.json holds nobody"):
        run_rank(setup, *files, replace(RUN, candidates=25))


@pytest.mark.parametrize(
    "change",
    [
        lambda profile: profile[0].pop("score"),
        lambda profile: profile[0].pop("text"),
        lambda profile: profile[0].update(score="nan"),
        lambda profile: profile[0].update(score="secretword"),
    ],
)
def test_what_is_no_rating_is_named(files: tuple[Path, Path], change: Callable[[Any], object]) -> None:
    questions, outputs = files
    content = json.loads(questions.read_text())
    change(content[1]["profile"])
    questions.write_text(json.dumps(content))
    with pytest.raises(DataInvalid, match=r"q\.json, record 1") as caught:
        read_ratings(questions, outputs)
    assert "secretword" not in str(caught.value)


@pytest.mark.shared
def test_the_real_reviews_give_nearly_everybody_a_case(shared_data: Path) -> None:
    folder = shared_data / "reviews_lamp_format" / "rating"
    items = read_ratings(folder / "dev_questions.json", folder / "dev_outputs.json")
    cases = held_out(items, 20, 0)
    assert len(items) == 277
    assert len(cases) == 270
    assert all(len(case.options) == 20 for case in cases)
