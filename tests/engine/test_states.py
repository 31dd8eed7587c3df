"""The context's state of its first tokens: the same answer with it, and none at all where it can't be believed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgeperso.engine import Engine, SoftPrompt, Worn
from edgeperso.engine.states import settings_of

PREFIX = [1, *range(40, 90)]
MORE = [100, 101, 102]
SHA = "cd" * 32


@pytest.fixture
def tiny(tiny_path: Path) -> Iterator[Engine]:
    with Engine.open(tiny_path, n_ctx=256, n_threads=1) as engine:
        yield engine


def saved(engine: Engine, tokens: list[int] = PREFIX) -> bytes:
    engine.clear()
    engine.begin_with(tokens)
    engine.next_log_probs([*tokens, *MORE])
    state = engine.prefix_state(tokens)
    assert state is not None
    engine.clear()
    return state


def evaluated(engine: Engine) -> int:
    """How many tokens of the whole prompt were not in the context."""
    generation = engine.generate([*PREFIX, *MORE], max_tokens=1)
    list(generation)
    return generation.stats.evaluated_tokens


def test_what_follows_a_restored_state_is_the_same_to_the_last_digit(tiny: Engine) -> None:
    tiny.begin_with(PREFIX)
    whole = tiny.next_log_probs([*PREFIX, *MORE]).copy()
    state = saved(tiny)
    assert tiny.begin_with(PREFIX, state)
    np.testing.assert_array_equal(tiny.next_log_probs([*PREFIX, *MORE]), whole)
    tiny.clear()
    tiny.begin_with(PREFIX, state)
    assert evaluated(tiny) == len(MORE)


def test_what_is_judged_after_a_restored_state_is_the_same_to_the_last_digit(tiny: Engine) -> None:
    """As a small model judges notes: the beginning alone comes first, then each note, then the whole prompt."""

    def judged() -> tuple[list[float], list[float]]:
        scores = tiny.score_tails(PREFIX, [([50, 51], [52, 53]), ([60], [61])])
        return [score.log_likelihood for score in scores], tiny.next_log_probs([*PREFIX, *MORE]).tolist()

    state = saved(tiny)
    tiny.begin_with(PREFIX)
    cold = judged()
    tiny.clear()
    assert tiny.begin_with(PREFIX, state)
    assert judged() == cold
    assert tiny.prefix_state(PREFIX) == state


def test_a_state_serves_another_engine_of_the_same_model(tiny: Engine, tiny_path: Path) -> None:
    state = saved(tiny)
    tiny.begin_with(PREFIX)
    whole = tiny.next_log_probs([*PREFIX, *MORE])
    with Engine.open(tiny_path, n_ctx=256, n_threads=1) as other:
        assert other.begin_with(PREFIX, state)
        np.testing.assert_array_equal(other.next_log_probs([*PREFIX, *MORE]), whole)


def test_the_state_is_of_the_beginning_alone(tiny: Engine) -> None:
    state = saved(tiny)
    tiny.next_log_probs(PREFIX)
    assert tiny.prefix_state(PREFIX) is not None
    assert len(state) == len(tiny.prefix_state(PREFIX) or b"")
    tiny.next_log_probs([*PREFIX, *MORE])
    assert evaluated(tiny) == 1, "what came after the beginning is still held"


def test_what_the_context_does_not_hold_has_no_state(tiny: Engine) -> None:
    assert tiny.prefix_state(PREFIX) is None
    tiny.next_log_probs([*PREFIX[:-1], 7])
    assert tiny.prefix_state(PREFIX) is None
    assert tiny.prefix_state([]) is None


def test_what_is_held_already_is_not_restored_again(tiny: Engine) -> None:
    state = saved(tiny)
    tiny.next_log_probs([*PREFIX, *MORE])
    assert tiny.begin_with(PREFIX, state)
    assert evaluated(tiny) == 1


@pytest.mark.parametrize("cut", [0, 3, 200, -1])
def test_a_part_of_a_state_counts_for_nothing(tiny: Engine, cut: int) -> None:
    tiny.begin_with(PREFIX)
    whole = tiny.next_log_probs([*PREFIX, *MORE]).copy()
    state = saved(tiny)
    assert not tiny.begin_with(PREFIX, state[:cut])
    np.testing.assert_array_equal(tiny.next_log_probs([*PREFIX, *MORE]), whole)


def test_a_state_of_another_length_counts_for_nothing(tiny: Engine) -> None:
    state = saved(tiny)
    assert not tiny.begin_with(PREFIX[:-1], state)
    assert not tiny.begin_with([*PREFIX, 5], state)
    assert not tiny.begin_with(PREFIX, state + b"x")
    assert evaluated(tiny) == len(PREFIX) + len(MORE)


def test_a_state_of_a_model_of_another_shape_counts_for_nothing(
    tiny: Engine, gguf_files: SimpleNamespace, tmp_path: Path
) -> None:
    path = tmp_path / "other.gguf"
    path.write_bytes(gguf_files.tiny_model(gguf_files.TinyShape(layers=3)))
    with Engine.open(path, n_ctx=256, n_threads=1) as other:
        state = saved(other)
    assert not tiny.begin_with(PREFIX, state)
    assert evaluated(tiny) == len(PREFIX) + len(MORE)


def test_a_state_longer_than_the_context_counts_for_nothing(tiny: Engine, tiny_path: Path) -> None:
    long = [1, *(40 + number % 50 for number in range(300))]
    with Engine.open(tiny_path, n_ctx=512, n_threads=1) as roomy:
        state = saved(roomy, long)
    assert not tiny.begin_with(long, state)
    assert evaluated(tiny) == len(PREFIX) + len(MORE)


def test_the_soft_prompt_before_it_is_part_of_the_state(tiny: Engine) -> None:
    values = np.random.default_rng(0).standard_normal((5, 64)).astype(np.float32)
    plain = saved(tiny)
    tiny.wear([Worn("soft", SoftPrompt(tiny.info.base_sha256, "llama", values))])
    tiny.begin_with(PREFIX)
    whole = tiny.next_log_probs([*PREFIX, *MORE]).copy()
    state = saved(tiny)
    assert not tiny.begin_with(PREFIX, plain)
    assert tiny.begin_with(PREFIX, state)
    np.testing.assert_array_equal(tiny.next_log_probs([*PREFIX, *MORE]), whole)


def test_the_state_does_not_depend_on_what_was_held_before(tiny: Engine) -> None:
    state = saved(tiny)
    tiny.next_log_probs([*PREFIX[:20], 7, 8, 9])
    tiny.begin_with(PREFIX)
    tiny.next_log_probs([*PREFIX, *MORE])
    assert tiny.prefix_state(PREFIX) == state


def test_clearing_ends_the_expectation(tiny: Engine) -> None:
    """Else a unit of work would depend on the one before it."""
    free = tiny.next_log_probs([*PREFIX, *MORE]).copy()
    tiny.begin_with(PREFIX)
    tiny.clear()
    assert tiny._prefix_cache._beginning == []
    np.testing.assert_array_equal(tiny.next_log_probs([*PREFIX, *MORE]), free)


def test_all_that_a_state_depends_on_is_in_its_binding(
    tiny: Engine, tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny.info.base_sha256
    soft = SoftPrompt(base, "llama", np.ones((2, 64), np.float32))
    seen = [tiny.state_binding(SHA), tiny.state_binding("ef" * 32)]
    assert tiny.state_binding(SHA) == seen[0]
    tiny.wear([Worn("one", soft)])
    seen.append(tiny.state_binding(SHA))
    tiny.wear([Worn("two", soft)])
    seen.append(tiny.state_binding(SHA))
    tiny.wear([])
    assert tiny.state_binding(SHA) == seen[0]
    with Engine.open(tiny_path, n_ctx=128, n_threads=1) as other:
        seen.append(other.state_binding(SHA))
    with Engine.open(tiny_path, n_ctx=256, n_threads=2) as other:
        assert other.state_binding(SHA) == seen[0], "threads change nothing"
    states = sys.modules["edgeperso.engine.states"]
    monkeypatch.setattr(states, "_build", lambda: ["another build"])
    seen.append(tiny.state_binding(SHA))
    assert len(set(seen)) == len(seen)


def test_a_scale_is_in_the_binding(tiny: Engine) -> None:
    states = sys.modules["edgeperso.engine.states"]
    adapter = SoftPrompt(SHA, "llama", np.ones((2, 64), np.float32))
    half, whole, off = (states.binding(SHA, {}, [Worn("a", adapter, scale)]) for scale in (0.5, 1.0, 0.0))
    assert len({half, whole, off}) == 3
    assert off == states.binding(SHA, {}, [])


def test_the_build_names_the_library_itself() -> None:
    states = sys.modules["edgeperso.engine.states"]
    _, system, main, sizes = states._build()
    assert system
    assert len(main) >= 1
    assert all(len(digest) == 64 for digest in main)
    assert any("ggml" in name for name, _ in sizes)


def test_pointers_and_threads_are_no_settings() -> None:
    from edgeperso.engine.native import ffi

    settings = settings_of(ffi.llama_context_default_params())
    assert {"n_ctx", "type_k", "flash_attn_type", "rope_freq_base"} <= settings.keys()
    assert not {"n_threads", "no_perf", "cb_eval", "cb_eval_user_data"} & settings.keys()


@pytest.mark.model
def test_a_real_model_answers_the_same_from_a_restored_state(engine: Engine) -> None:
    prefix = engine.tokenize(
        "Notes about Ines: she lives in Ghent, plays the cello on Thursdays and hates celery. " * 4
    )
    prompt = prefix + engine.tokenize("\nQuestion: What does Ines play?\nAnswer:")
    engine.begin_with(prefix)
    fresh = engine.generate(prompt, max_tokens=16)
    said = "".join(fresh)
    state = engine.prefix_state(prefix)
    assert state is not None
    engine.clear()
    assert engine.begin_with(prefix, state)
    again = engine.generate(prompt, max_tokens=16)
    assert "".join(again) == said
    assert again.stats.cached_tokens == len(prefix)
    assert fresh.stats.cached_tokens == 0
