from __future__ import annotations

import json
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeperso.adaptation import gate
from edgeperso.adaptation.gate import adapter_key, judge, mean_nats, pair_margins, paired_gain
from edgeperso.adaptation.general import general_examples, general_texts
from edgeperso.adaptation.lesson import Lesson, pair_example, text_example
from edgeperso.adaptation.plan import Example
from edgeperso.engine.adapters.values import Worn

Judge = Callable[..., gate.GateReport]


@pytest.fixture
def judged(toy: Any, toys: SimpleNamespace) -> Judge:
    """Judges an adapter that lowers or raises losses by so much: of each personal text, of each general one."""

    def run(personal: list[float], general: float, spread: float = 0.0, **how: Any) -> gate.GateReport:
        adapter = how.pop("adapter", toys.lora())
        texts = [f"personal {number}" for number in range(len(personal))]
        places = {text: number for number, (_, text) in enumerate(general_texts())}

        def nats(_context: str, text: str, worn: Any) -> float:
            on = sum(one.scale for one in worn if one.key == adapter_key(adapter))
            if text in texts:
                return 3.0 + texts.index(text) - on * personal[texts.index(text)]
            return 2.0 + on * (general + spread * (-1) ** places[text.removesuffix(chr(10))])

        toy.nats = nats
        lesson = Lesson((), tuple(text_example(toy, "", text) for text in texts))
        return judge(toy, how.pop("below", ()), adapter, lesson, **how)

    return run


def test_better_on_the_person_and_no_worse_elsewhere_passes(judged: Judge) -> None:
    report = judged([0.3, 0.2, 0.25, 0.4], 0.02)
    assert (report.passed, report.reasons, report.held_out) == (True, (), 4)
    assert report.personal_before == pytest.approx(4.5)
    assert report.personal_after == pytest.approx(4.5 - 0.2875)
    assert 0 < report.gain_low < 0.2875 < report.gain_high
    assert (report.general_before, report.general_after) == pytest.approx((2.0, 2.02))
    assert (report.accuracy_before, report.accuracy_after) == (None, None)


@pytest.mark.parametrize("gains", [[0.5, -0.4, 0.3, -0.2], [-0.1] * 4, [0.0] * 6])
def test_a_gain_that_may_be_noise_does_not_pass(judged: Judge, gains: list[float]) -> None:
    report = judged(gains, 0.0)
    assert (report.passed, report.reasons) == (False, (gate.PERSONAL_NOT_BETTER,))


def test_harm_to_the_general_set_does_not_pass(judged: Judge) -> None:
    assert judged([0.3] * 4, 0.09).passed
    report = judged([0.3] * 4, 0.11)
    assert report.reasons == (gate.GENERAL_WORSE,)
    assert report.general_bound == gate.GENERAL_BOUND
    assert judged([-0.3] * 4, 0.5).reasons == (gate.PERSONAL_NOT_BETTER, gate.GENERAL_WORSE)


def test_harm_that_may_lie_above_the_bound_does_not_pass(judged: Judge) -> None:
    report = judged([0.3] * 4, 0.08, spread=0.2)
    assert report.general_low < 0.08 < gate.GENERAL_BOUND < report.general_high
    assert report.reasons == (gate.GENERAL_WORSE,)


def test_what_harms_at_the_whole_scale_may_pass_at_a_weaker_one(judged: Judge, toy: Any) -> None:
    report = judged([0.3] * 4, 0.25, scale=0.8, weaker=(0.5, 0.3, 0.1))
    assert (report.passed, report.scale) == (True, 0.3)
    assert report.personal_before - report.personal_after == pytest.approx(0.09, abs=1e-5)
    assert [worn[-1][1] for worn in toy.wore[1:-1]] == [0.8, 0.5, 0.3]
    report = judged([0.3] * 4, 2.0, scale=0.8, weaker=(0.5,))
    assert (report.scale, report.reasons) == (0.8, (gate.GENERAL_WORSE,))
    toy.wore.clear()
    assert judged([-0.3] * 4, 0.2, scale=0.8, weaker=(0.1,)).scale == 0.8, "no weaker one helps who isn't helped"
    assert len(toy.wore) == 3


def test_losses_that_are_no_numbers_do_not_pass(judged: Judge) -> None:
    report = judged([0.3, math.nan, 0.3, 0.3], math.nan)
    assert report.reasons == (gate.PERSONAL_NOT_BETTER, gate.GENERAL_WORSE)
    told = report.as_dict()
    assert json.loads(json.dumps(told, allow_nan=False))["general_after"] is None
    assert (told["gain_low"], told["passed"], told["held_out"]) == (None, False, 4)


def test_it_says_how_far_it_is(judged: Judge) -> None:
    told: list[tuple[str, int, int]] = []
    judged([0.3] * 4, 0.02, progress=lambda *step: told.append(step))
    size = 2 * (len(general_texts()) + 4)
    assert [done for _, done, _ in told] == sorted({done for _, done, _ in told})
    assert {(stage, total) for stage, _, total in told} == {("judging", size)}
    assert told[-1][1] == size
    told.clear()
    judged([0.3] * 4, 0.25, scale=0.8, weaker=(0.5, 0.1), progress=lambda *step: told.append(step))
    assert told[-1] == ("judging", 2 * size, 2 * size)
    assert all(done <= total for _, done, total in told)


def test_the_scale_counts_and_what_was_worn_is_worn_again(judged: Judge, toy: Any, toys: SimpleNamespace) -> None:
    wore = [Worn("mine", toys.lora(seed=5), 0.5)]
    below = [Worn("below", toys.lora(seed=6), 0.25)]
    toy.wear(wore)
    adapter = toys.lora()
    report = judged([0.4] * 4, 0.1, adapter=adapter, below=below, scale=0.5)
    assert report.personal_before - report.personal_after == pytest.approx(0.2)
    assert report.general_after - report.general_before == pytest.approx(0.05, abs=1e-5)
    key = adapter_key(adapter)
    assert toy.wore[1:] == [(("below", 0.25),), (("below", 0.25), (key, 0.5)), (("mine", 0.5),)]
    assert toy.worn == tuple(wore)


def test_what_is_worn_comes_back_when_judging_fails(toy: Any, toys: SimpleNamespace) -> None:
    def fails(*_: object) -> float:
        raise RuntimeError

    toy.wear([Worn("mine", toys.lora())])
    toy.nats = fails
    with pytest.raises(RuntimeError):
        judge(toy, (), toys.lora(seed=1), None)
    assert [worn.key for worn in toy.worn] == ["mine"]


def test_an_adapter_that_goes_on_from_another_has_to_beat_it(judged: Judge, toy: Any, toys: SimpleNamespace) -> None:
    old = Worn("old", toys.lora(seed=9), 1.0)
    report = judged([0.3] * 4, 0.0, instead_of=old)
    assert toy.wore[:3] == [(), (("old", 1.0),), ((adapter_key(toys.lora()), 1.0),)]
    assert report.passed


def test_without_anything_held_out_the_general_set_alone_decides(toy: Any, toys: SimpleNamespace) -> None:
    report = judge(toy, (), toys.lora(), None)
    assert (report.passed, report.held_out) == (True, 0)
    assert math.isnan(report.personal_before)
    toy.nats = lambda _context, _text, worn: 3.0 + len(worn)
    assert judge(toy, (), toys.lora(), None).reasons == (gate.GENERAL_WORSE,)


def test_pairs_are_judged_by_how_much_likelier_the_chosen_answer_is(toy: Any, toys: SimpleNamespace) -> None:
    pairs = tuple(pair_example(toy, f"Question {n}?", "yes, quite so", "no") for n in range(4))
    toy.nats = lambda _context, text, worn: {"yes, quite so\n": 2.5 - len(worn), "no\n": 2.0}.get(text, 3.0)
    heard: list[int] = []
    assert pair_margins(toy, pairs, heard.append) == pytest.approx([-0.5] * 4)
    assert sum(heard) == 4
    report = judge(toy, (), toys.lora(), Lesson((), pairs))
    assert (report.personal_before, report.personal_after) == pytest.approx((0.5, -0.5))
    assert (report.accuracy_before, report.accuracy_after) == (0.0, 1.0)
    assert report.passed


def test_the_interval_is_of_pairs_and_grows_with_their_spread() -> None:
    random = np.random.default_rng(3)
    level = random.uniform(1, 9, 40).astype(np.float32)
    low, high = paired_gain(level + np.float32(0.1), level, seed=0)
    assert (low, high) == pytest.approx((0.1, 0.1), abs=1e-5)
    noisy = level + random.normal(0.1, 1, 40).astype(np.float32)
    low, high = paired_gain(noisy, level, seed=0)
    assert low < 0.1 < high
    assert high - low == pytest.approx(2 * 1.96 * float((noisy - level).std(ddof=1)) / math.sqrt(40), rel=0.1)
    assert paired_gain(noisy, level, seed=0) == (low, high)


def test_one_example_is_no_evidence() -> None:
    one = np.ones(1, np.float32)
    assert paired_gain(one + 5, one, seed=0) == (-math.inf, math.inf)


def test_a_text_longer_than_the_context_loses_its_front(toy: Any) -> None:
    long = Example((1, *range(4, 804), 99, 98), 801)
    short = Example((1, 50, 51, 52), 2)
    assert mean_nats(toy, [long, short]) == pytest.approx([3.0, 3.0])
    context = max((read[0] for read in toy.read), key=len)
    assert context[0] == "<"
    assert context[-1] == chr(803 - 3)


def test_each_text_has_its_own_loss(toy: Any) -> None:
    toy.nats = lambda context, text, _worn: len(context) + len(text) / 100
    examples = [Example((1, 70, 71), 1), Example((1, 70, 71), 2), Example((1, 80, 81), 1), Example((1, 60, 61, 62), 1)]
    assert mean_nats(toy, examples) == pytest.approx([1.02, 2.01, 1.02, 1.03])


def test_the_general_set_is_of_many_kinds_and_fits_any_context(toy: Any) -> None:
    texts = general_texts()
    assert len(set(texts)) == len(texts) >= 60
    assert 15 <= sum(bool(prompt) for prompt, _ in texts) <= 30
    assert all(20 <= len(text) + len(prompt) <= 600 for prompt, text in texts)
    assert len(general_examples(toy)) == len(texts)
