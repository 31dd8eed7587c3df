"""Which sentences of what was found are worth reading."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from edgeperso.retrieval import Retriever, asks_for_time
from edgeperso.retrieval.passages import fitting
from edgeperso.vault import Vault

NOW_MS = 1_760_000_000_000


def test_worth_is_cosine_shared_words_and_what_else_is_said() -> None:
    cosine = np.array([0.5, 0.1, 0.0], np.float32)
    terms = [{"bee", "roof"}, {"bee"}, set()]
    rare, common = log(1 + 3 / 1), log(1 + 3 / 2)
    asked = {"bee", "honey"}
    whole = common + log(1 + 3)  # no passage holds "honey"
    wanted = [0.5 + common / whole + 0.5 * rare / 20, 0.1 + common / whole, 0.0]
    assert fitting(cosine, asked, terms) == pytest.approx(wanted, abs=1e-6)


def test_much_else_counts_to_a_bound() -> None:
    words = {f"word{number}" for number in range(100)}
    worth = fitting(np.zeros(2, np.float32), {"bee"}, [words, words | {"more"}])
    assert worth == pytest.approx([0.5, 0.5])


def test_a_question_without_words_and_no_passages() -> None:
    assert fitting(np.array([0.25], np.float32), set(), [set()]) == pytest.approx([0.25])
    assert len(fitting(np.empty(0, np.float32), {"bee"}, [])) == 0


def test_the_retriever_tells_the_answer_from_the_small_talk(vault: Vault, fake_embedder) -> None:
    retriever = Retriever(vault, fake_embedder)
    said = ["Thanks, that is kind!", "My sister keeps bees on the roof.", "Bienen wohnen auf dem Dach."]
    fit = retriever.fit("Who keeps bees?", list(zip(said, ["en", "en", "de"], strict=True)))
    assert fit.dtype == np.float32
    assert int(fit.argmax()) == 1
    assert len(retriever.fit("Who keeps bees?", [])) == 0


def test_text_that_no_encoding_takes_is_no_error(vault: Vault, fake_embedder) -> None:
    assert len(Retriever(vault, fake_embedder).fit("\ud800 bees?", [("\udfff honey", "en")])) == 1


@pytest.mark.parametrize(
    "question",
    ["When did Ann move?", "How long have I lived here?", "What did I do in May 2023?", "Who was my boss before Bo?",
     "Which day is the market?", "How many years did it take?", "What was the last film I saw?"],
)  # fmt: skip
def test_a_question_that_hangs_on_time(question: str) -> None:
    assert asks_for_time(question, NOW_MS)


@pytest.mark.parametrize(
    "question", ["Where is my bike?", "What does Ann like to eat?", "Who may come?", "How many bees are there?"]
)
def test_a_question_that_does_not(question: str) -> None:
    assert not asks_for_time(question, NOW_MS)
