"""The judge: marks within their bounds, odds that change sign, and one reading for all that is asked about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeperso.engine import Engine, Score
from edgeperso.evals.judging import Judge, Mark, YesNo
from edgeperso.types import Float32

Script = Callable[[str], dict[str, float]]
SPACE = "▁"


class Scripted:
    """A token a character. ``says`` gives, for all that was read, log-probabilities of the next character; every other
    one is as good as impossible. With ``space``, a token of its own stands before each text, as some vocabularies do.
    """

    bos = (0,)
    info = SimpleNamespace(chat_template=None)

    def __init__(self, says: Script, *, space: bool = False) -> None:
        self._says = says
        self._space = SPACE if space else ""
        self.read: list[str] = []

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        return [ord(letter) for letter in (self._space + text if text else "")]

    def branch_log_probs(self, read: Sequence[int], branches: Sequence[Sequence[int]]) -> list[Float32]:
        self.read = ["".join(map(chr, [*read, *branch])).replace(SPACE, "") for branch in branches]
        out = np.full((len(branches), 0x3000), -60.0, np.float32)
        for row, text in zip(out, self.read, strict=True):
            for letter, value in self._says(text).items():
                row[ord(letter)] = value
        return list(out)

    def score_tails(self, read: Sequence[int], branches: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Score]:
        """A tail is the likelier the fewer of its letters weren't read before."""
        self.read = ["".join(map(chr, [*read, *context])) for context, _ in branches]
        new = [set(tail) - {*read, *context} for context, tail in branches]
        return [Score(-float(len(letters)), len(tail)) for letters, (_, tail) in zip(new, branches, strict=True)]


def judge(says: Script | dict[str, float], *, space: bool = False) -> Judge:
    script = (lambda _text: says) if isinstance(says, dict) else says
    return Judge(Scripted(script, space=space), "You judge.")  # type: ignore[arg-type]


@given(st.integers(0, 9), st.integers(0, 9), st.lists(st.floats(-30, 0, width=32), min_size=10, max_size=10))
def test_a_mark_is_an_expectation_within_its_bounds(one: int, other: int, values: list[float]) -> None:
    low, high = sorted((one, other))
    asked = judge({str(mark): value for mark, value in enumerate(values)})
    found = asked.ask([], [Mark("fit", "How well?", low, high)])["fit"]
    assert low - 1e-9 <= found <= high + 1e-9
    weights = np.exp(values[low : high + 1])
    assert found == pytest.approx(float((weights * np.arange(low, high + 1)).sum() / weights.sum()), abs=1e-4)


def test_an_expectation_moves_with_the_probabilities() -> None:
    def found(says: dict[str, float]) -> float:
        return judge(says).ask([], [Mark("fit", "How well?", 1, 5)])["fit"]

    even = dict.fromkeys("12345", -2.0)
    assert found(even) == pytest.approx(3.0)
    assert found(even | {"5": -1.0}) > 3.0 > found(even | {"1": -1.0})
    assert found({"4": -0.1}) == pytest.approx(4.0)
    assert found(even | {"9": -0.1}) == pytest.approx(3.0), "what is no mark doesn't count"


@pytest.mark.parametrize("space", [False, True])
def test_a_no_is_worth_what_a_yes_costs(space: bool) -> None:
    says = {"Y": -1.0, "y": -3.0, "N": -2.0, SPACE: -0.5, " ": -0.5}
    odds = judge(says, space=space).ask([], [YesNo("kind", "Kind?"), YesNo("rude", "Rude?", sign=-1)])
    assert odds["kind"] == pytest.approx(float(np.logaddexp(-1.0, -3.0)) + 2.0, abs=1e-3)
    assert odds["rude"] == -odds["kind"]


def test_each_question_is_put_after_the_same_reading() -> None:
    engine = Scripted(lambda text: {"Y": -1.0 if "Kind?" in text else -9.0, "N": -5.0, "3": -1.0})
    asked = Judge(engine, "You judge.")  # type: ignore[arg-type]
    read = [*asked.begin("Ann: hello\n"), *asked.words("Ben: go away\n")]
    found = asked.ask(read, [YesNo("kind", "Kind?"), YesNo("calm", "Calm?"), Mark("fit", "How well?", 1, 5)])
    assert list(found) == ["kind", "calm", "fit"]
    assert found["kind"] > 0 > found["calm"]
    reading = "\0You judge.\n\nAnn: hello\nBen: go away\n"
    assert engine.read == [f"{reading}{question}\nAnswer:" for question in ("Kind?", "Calm?", "How well?")]


@given(st.floats(-20, 0, width=32), st.floats(-20, 0, width=32), st.booleans())
def test_what_comes_first_of_two_comes_last_of_the_two_exchanged(one: float, other: float, space: bool) -> None:
    says, exchanged = {"A": one, "B": other, SPACE: -1.0}, {"B": one, "A": other, SPACE: -1.0}
    odds = judge(says, space=space).first_of_two([], "Which?")
    assert odds == pytest.approx(one - other, abs=1e-4)
    assert odds == -judge(exchanged, space=space).first_of_two([], "Which?")


def test_a_judge_that_reads_is_not_moved_by_places() -> None:
    def says(text: str) -> dict[str, float]:
        return {"A": -1.0, "B": -3.0} if text.index("kind") < text.index("rude") else {"A": -3.0, "B": -1.0}

    asked = judge(says)
    odds = [
        asked.first_of_two(asked.begin(f"A: {one}\nB: {other}\n"), "Which is better?")
        for one, other in (("kind", "rude"), ("rude", "kind"))
    ]
    assert odds == [2.0, -2.0]


@pytest.mark.parametrize("bos", [(0,), ()])
def test_what_follows_more_likely_is_told_without_an_instruction(bos: tuple[int, ...]) -> None:
    engine = Scripted(lambda _text: {})
    engine.bos = bos  # type: ignore[assignment]
    asked = Judge(engine, "You judge.")  # type: ignore[arg-type]
    assert asked.goes_on("tea for two, ", "feet", "milk") == 4.0
    assert asked.goes_on("tea for two, ", "milk", "feet") == -4.0
    assert asked.goes_on("tea", "tea", "tea") == 0.0
    assert engine.read == ["\0tea" if bos else "\ntea"] * 2


def test_a_mark_may_come_next_in_a_row_of_examples() -> None:
    engine = Scripted(lambda text: {"5": -1.0} if text.endswith("good: ") else {"1": -1.0})
    asked = Judge(engine, "You judge.")  # type: ignore[arg-type]
    read = asked.begin("bad: 1\n")
    mark = Mark("stars", "", 1, 5)
    assert asked.continues_with_mark(read, "good: ", mark) == pytest.approx(5.0)
    assert asked.continues_with_mark(read, "bad: ", mark) == pytest.approx(1.0)
    assert engine.read == ["\0You judge.\n\nbad: 1\nbad: "]


def test_a_real_engine_with_a_space_of_its_own_gives_numbers(tiny_engine: Engine) -> None:
    asked = Judge(tiny_engine, "You judge.")
    read = asked.begin("It rains.")
    questions = [YesNo("wet", "Wet?"), YesNo("dry", "Wet?", sign=-1), Mark("fit", "How well?", 1, 5)]
    found = asked.ask(read, questions)
    assert np.isfinite(list(found.values())).all()
    assert found["wet"] == -found["dry"] != 0
    assert 1 <= found["fit"] <= 5
    assert asked.first_of_two(read, "A or B?") != 0
    assert asked.ask(read, questions) == pytest.approx(found, abs=1e-4)


@pytest.mark.model
def test_the_small_model_reads_its_own_template(models_dir: Path) -> None:
    with Engine.open(models_dir / "smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf", n_ctx=512, n_threads=1) as engine:
        asked = Judge(engine, "You judge.")
        text = engine.detokenize(asked.begin("It rains."))
        assert text.endswith("It rains.")
        assert "You judge." in text
        (stars,) = asked.ask(asked.begin("A review: wonderful\n"), [Mark("stars", "Stars from 1 to 5?", 1, 5)]).values()
        assert 1 < stars < 5
