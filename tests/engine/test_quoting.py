"""Answers in the words of given texts: the search with a made-up model, and with the real one."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeperso.engine import Engine
from edgeperso.engine.quoting import find_quotation
from edgeperso.types import Float32

LATIN = st.text(st.characters(max_codepoint=900), max_size=40)


class Liking:
    """Characters as tokens; the model likes to continue with the letters of ``wanted``, in order, and then to end."""

    def __init__(self, wanted: str) -> None:
        self.wanted = wanted

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        return [min(ord(ch), 999) for ch in text]

    def piece(self, token: int) -> bytes:
        return chr(token).encode()

    def end_tokens(self) -> list[int]:
        return [1000]

    def branch_log_probs(self, prefix: Sequence[int], branches: Sequence[Sequence[int]]) -> list[Float32]:
        rows = []
        for branch in branches:
            row = np.full(1001, -8.0, dtype=np.float32)
            said = "".join(map(chr, branch))
            if self.wanted.startswith(said):
                row[ord(self.wanted[len(said)]) if said != self.wanted else 1000] = -0.1
            rows.append(row)
        return rows


def quote(wanted: str, *sources: str, accept: object = bool) -> str | None:
    found = find_quotation(Liking(wanted), [1], sources, max_tokens=20, accept=accept)  # type: ignore[arg-type]
    return None if found is None else "".join(map(chr, found.tokens))


def test_takes_the_run_that_the_model_likes() -> None:
    assert quote(" Dr Amrani", "My dentist is Dr Amrani in Ghent.", "Dr Peeters retired.") == " Dr Amrani"


def test_says_nothing_that_does_not_stand_there() -> None:
    said = quote(" Dr Evil", "My dentist is Dr Amrani.")
    assert said is not None
    assert said.strip() in "My dentist is Dr Amrani."


def test_numbers_are_not_cut_at_their_comma() -> None:
    assert quote(" 1,120", "The rent is 1,120 euros now.") == " 1,120"


def test_what_is_not_accepted_is_not_said() -> None:
    assert quote(" Ann", "Ann and Bo.", accept=lambda text: "Bo" in text) in (" Bo", " and Bo", " Ann and Bo")
    assert quote(" Ann", "Ann and Bo.", accept=lambda text: False) is None


@pytest.mark.parametrize("sources", [(), ("",), ("   ",)])
def test_without_words_there_is_no_answer(sources: tuple[str, ...]) -> None:
    assert quote(" x", *sources) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(LATIN, max_size=3), LATIN)
def test_every_quotation_stands_in_a_source(sources: list[str], wanted: str) -> None:
    said = quote(wanted, *sources)
    if said is not None:
        folded = [" " + "".join(chr(min(ord(ch), 999)) for ch in " ".join(source.split())) for source in sources]
        assert any(said in source for source in folded)


def test_the_real_model_quotes_from_its_note(engine: Engine) -> None:
    note = "My landlord is called Bjarne. The rent is 9,400 kroner."
    prompt = engine.bos + engine.tokenize(f"Note: {note}\nQuestion: Who is my landlord?\nAnswer: Your landlord is")
    answer = engine.quote(prompt, [note])
    assert "".join(answer).strip() in note
    assert answer.stats.prompt_tokens == len(prompt)
    assert answer.stats.stopped == "end"
    again = engine.quote(prompt, [note])
    assert "".join(again) == engine.detokenize(answer.tokens)
    assert again.stats.cached_tokens == len(prompt) - 1


def test_a_cancelled_quotation_is_empty(engine: Engine) -> None:
    cancel = threading.Event()
    cancel.set()
    answer = engine.quote(engine.tokenize("Note: Ann is here. Answer: it is"), ["Ann is here."], cancel=cancel)
    assert "".join(answer) == ""
    assert answer.stats.stopped == "cancelled"


def test_tails_are_scored_as_continuations_are(engine: Engine) -> None:
    prefix = engine.tokenize("The weather in Oslo")
    context, tail = engine.tokenize(" was cold in winter."), engine.tokenize(" Snow fell all day")
    whole, alone = engine.score(prefix, [context + tail, context])
    (judged,) = engine.score_tails(prefix, [(context, tail)])
    assert judged.tokens == len(tail)
    assert judged.log_likelihood == pytest.approx(whole.log_likelihood - alone.log_likelihood, abs=0.3)


def test_branches_see_what_the_engine_would_say_next(engine: Engine) -> None:
    prefix, branch = engine.tokenize("The capital of France"), engine.tokenize(" is")
    empty, longer = engine.branch_log_probs(prefix, [[], branch])
    np.testing.assert_allclose(longer, engine.next_log_probs(prefix + branch), atol=0.5)
    np.testing.assert_allclose(empty, engine.next_log_probs(prefix), atol=0.5)
