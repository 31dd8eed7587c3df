"""Prompts put together from states: what is spliced is never taken for what was evaluated, and the engine's own context
knows nothing of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgeperso.engine import Engine, Part, SoftPrompt, Splicer, Worn
from edgeperso.errors import EmptyQuestion, ModelError, QuestionTooLong, UsageError
from edgeperso.types import Float32

BEGINNING = [1, *range(40, 60)]
NOTES = [[100, 101, 102, 103], [110, 111, 112], [120, 121, 122, 123, 124]]
TAIL = [130, 131]


@pytest.fixture
def tiny(tiny_path: Path) -> Iterator[Engine]:
    with Engine.open(tiny_path, n_ctx=256, n_threads=1) as engine:
        yield engine


@pytest.fixture
def splicer(tiny: Engine) -> Splicer:
    splicer = tiny.splicer
    assert splicer is not None
    return splicer


@pytest.fixture
def states(splicer: Splicer) -> list[bytes]:
    states = [splicer.note_state(BEGINNING, note) for note in NOTES]
    assert all(states)
    splicer.clear()
    return [state or b"" for state in states]


def parts(states: list[bytes] | list[bytes | None], notes: list[list[int]] = NOTES) -> list[Part]:
    """A prompt that takes these notes over from their states."""
    kept = [Part(note, f"{note}", lambda one=one: one) for note, one in zip(notes, states, strict=True)]
    return [Part(BEGINNING), *kept, Part(TAIL)]


def run(splicer: Splicer, prompt: list[Part], max_tokens: int = 4) -> tuple[list[int], tuple[int, int, int], Float32]:
    """What is said, how many of the prompt's tokens were (kept, spliced, evaluated), the logits after the prompt."""
    first = splicer.generate(prompt, max_tokens=1)
    list(first)
    logits, stats = splicer._native.logits().copy(), first.stats
    whole = splicer.generate(prompt, max_tokens=max_tokens)
    list(whole)
    return whole.tokens, (stats.cached_tokens, stats.spliced_tokens, stats.evaluated_tokens), logits


EVALUATED = [Part(BEGINNING), *map(Part, NOTES), Part(TAIL)]
WHOLE = len(BEGINNING) + sum(map(len, NOTES)) + len(TAIL)


def test_a_note_in_its_own_place_is_what_it_would_be_evaluated(splicer: Splicer, states: list[bytes]) -> None:
    said, cost, logits = run(splicer, parts(states[:1], NOTES[:1]))
    assert cost == (0, len(NOTES[0]), len(BEGINNING) + len(TAIL))
    splicer.clear()
    again, cost, evaluated = run(splicer, [Part(BEGINNING), Part(NOTES[0]), Part(TAIL)])
    assert cost[1] == 0
    assert said == again
    np.testing.assert_array_equal(logits, evaluated)


def test_a_note_in_another_place_was_moved_there(splicer: Splicer, states: list[bytes]) -> None:
    """With its position wrong, or its tokens unseen, the logits would be others; with what it didn't see, they are."""
    _, cost, spliced = run(splicer, parts(states))
    assert cost == (0, sum(map(len, NOTES)), len(BEGINNING) + len(TAIL))
    splicer.clear()
    _, _, evaluated = run(splicer, EVALUATED)
    splicer.clear()
    _, _, without = run(splicer, [Part(BEGINNING), Part(TAIL)])
    assert 0 < np.abs(spliced - evaluated).max() < 0.5 * np.abs(without - evaluated).max()


def test_what_was_spliced_is_kept_for_a_prompt_that_asks_for_the_same(splicer: Splicer, states: list[bytes]) -> None:
    said, _, first = run(splicer, parts(states))
    asked: list[int] = []
    prompt = [
        Part(part.tokens, part.name, lambda: asked.append(1)) if part.load else part  # type: ignore[func-returns-value]
        for part in parts(states)
    ]
    again, cost, second = run(splicer, prompt)
    assert cost[2] == 1, "the last token alone"
    assert asked == []
    assert said == again
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-4)
    turn = [*prompt[:-1], Part([*TAIL, *said, 140, 141])]
    assert run(splicer, turn)[1] == (WHOLE + len(said) - 1, 0, 3), "the next turn goes on from it"


def test_spliced_cells_are_never_taken_for_evaluated_ones(splicer: Splicer, states: list[bytes]) -> None:
    _, _, fresh = run(splicer, EVALUATED)
    splicer.clear()
    run(splicer, parts(states))
    _, cost, after = run(splicer, EVALUATED)
    assert cost == (len(BEGINNING), 0, WHOLE - len(BEGINNING))
    np.testing.assert_array_equal(fresh, after)
    assert run(splicer, parts(states))[1] == (len(BEGINNING), sum(map(len, NOTES)), len(TAIL))
    other = parts(states[1:], NOTES[1:])
    assert run(splicer, other)[1] == (len(BEGINNING), sum(map(len, NOTES[1:])), len(TAIL)), "they stand elsewhere"


def test_the_engines_own_context_is_left_alone(tiny: Engine, splicer: Splicer, states: list[bytes]) -> None:
    prompt = [token for part in EVALUATED for token in part.tokens]
    tiny.clear()
    before = tiny.next_log_probs(prompt)
    tiny.clear()
    tiny.next_log_probs(prompt[:-1])
    run(splicer, parts(states))
    generation = tiny.generate(prompt, max_tokens=1)
    list(generation)
    assert generation.stats.cached_tokens == len(prompt) - 1
    tiny.clear()
    run(splicer, parts(states))
    np.testing.assert_array_equal(tiny.next_log_probs(prompt), before)


@pytest.mark.parametrize("state", [None, b"", b"not a state", "cut", "of another note"])
def test_a_state_that_is_missing_or_refused_is_evaluated(splicer: Splicer, states: list[bytes], state) -> None:
    bad = {"cut": states[1][:-9], "of another note": states[0]}.get(state, state) if state else state
    _, cost, logits = run(splicer, parts([states[0], bad, states[2]]))
    spliced = len(NOTES[0]) + len(NOTES[2])
    assert cost == (0, spliced, WHOLE - spliced)
    splicer.clear()
    mixed = parts(states)
    mixed[2] = Part(NOTES[1])
    np.testing.assert_array_equal(run(splicer, mixed)[2], logits)


def test_a_state_costs_a_conversation_nothing(splicer: Splicer, states: list[bytes]) -> None:
    said, _, _ = run(splicer, parts(states))
    assert splicer.note_state(BEGINNING, NOTES[1]) is not None
    assert run(splicer, [*parts(states)[:-1], Part([*TAIL, *said, 140])])[1][0] == WHOLE + len(said) - 1


def test_the_beginning_has_a_state_of_its_own(tiny: Engine, splicer: Splicer, states: list[bytes]) -> None:
    assert splicer.beginning_state(BEGINNING) is None
    _, _, logits = run(splicer, parts(states))
    state = splicer.beginning_state(BEGINNING)
    assert state is not None
    splicer.clear()
    assert not splicer.begin_with(BEGINNING)
    assert not splicer.begin_with(BEGINNING, state[:-3])
    assert splicer.begin_with(BEGINNING, state)
    _, cost, again = run(splicer, parts(states))
    assert cost == (len(BEGINNING), sum(map(len, NOTES)), len(TAIL))
    np.testing.assert_array_equal(logits, again)
    sha = "ab" * 32
    assert tiny.state_binding(sha, splicer) != tiny.state_binding(sha), "one is not the other's"


def test_what_is_worn_computes_other_states(tiny: Engine, splicer: Splicer, states: list[bytes]) -> None:
    sha = "ab" * 32
    bound = tiny.state_binding(sha, splicer)
    _, _, plain = run(splicer, parts(states))
    values = np.random.default_rng(3).standard_normal((2, 64)).astype(np.float32)
    tiny.wear([Worn("soft", SoftPrompt(tiny.info.base_sha256, "llama", values))])
    assert tiny.state_binding(sha, splicer) != bound
    worn = splicer.note_state(BEGINNING, NOTES[0])
    assert worn is not None
    assert worn != states[0]
    splicer.clear()
    _, cost, logits = run(splicer, parts([worn], NOTES[:1]))
    assert cost == (0, len(NOTES[0]), len(BEGINNING) + len(TAIL)), "nothing computed without it was kept"
    splicer.clear()
    _, _, evaluated = run(splicer, [Part(BEGINNING), Part(NOTES[0]), Part(TAIL)])
    np.testing.assert_array_equal(logits, evaluated)
    tiny.wear([])
    _, cost, again = run(splicer, parts(states))
    assert cost[0] == 0
    np.testing.assert_array_equal(again, plain)


def test_cancelling_ends_it_at_once(splicer: Splicer, states: list[bytes]) -> None:
    cancel = threading.Event()
    cancel.set()
    assert splicer.note_state(BEGINNING, NOTES[0], cancel) is None
    generation = splicer.generate(parts(states), max_tokens=4, cancel=cancel)
    assert list(generation) == []
    assert generation.stats.stopped == "cancelled"
    run(splicer, parts(states))
    assert splicer.note_state(BEGINNING, NOTES[0], cancel) is None, "also where the beginning is held"


def test_what_does_not_fit_has_no_state(splicer: Splicer) -> None:
    assert splicer.note_state(BEGINNING, [5] * 300) is None
    assert splicer.note_state([5] * 300, NOTES[0]) is None
    assert splicer.note_state(BEGINNING, []) is None
    full = [Part(BEGINNING), Part([7] * 230)]
    run(splicer, full, max_tokens=1)
    assert splicer.note_state(BEGINNING, [5] * 9) is None, "a conversation doesn't make way"


@pytest.mark.parametrize(
    ("prompt", "error"),
    [
        ([Part([])], EmptyQuestion),
        ([Part(BEGINNING), Part([])], EmptyQuestion),
        ([Part(BEGINNING), Part(TAIL, "a", bytes)], UsageError),
        ([Part(BEGINNING, "a", bytes), Part(TAIL)], UsageError),
        ([Part(BEGINNING), Part([3] * 250)], QuestionTooLong),
        ([Part(BEGINNING), Part([10**6])], UsageError),
    ],
)
def test_a_prompt_that_can_not_be_is_refused(splicer: Splicer, prompt: list[Part], error: type[Exception]) -> None:
    with pytest.raises(error):
        splicer.generate(prompt, max_tokens=4)


def test_a_closed_engine_says_so(tiny: Engine, splicer: Splicer, states: list[bytes]) -> None:
    generation = splicer.generate(parts(states), max_tokens=4)
    tiny.close()
    for call in (lambda: list(generation), splicer.clear, lambda: splicer.note_state(BEGINNING, NOTES[0])):
        with pytest.raises(ModelError):
            call()


def test_models_whose_states_can_not_be_moved_have_none(tiny: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeperso.engine.native import ffi

    monkeypatch.setattr(ffi, "llama_memory_can_shift", lambda _memory: False)
    assert tiny.splicer is None
    monkeypatch.undo()
    monkeypatch.setattr(ffi, "llama_model_is_hybrid", lambda _model: True)
    assert tiny.splicer is None
    monkeypatch.undo()
    monkeypatch.setattr(ffi, "llama_model_n_swa", lambda _model: 512)
    assert tiny.splicer is None
    monkeypatch.undo()
    assert tiny.splicer is tiny.splicer is not None
