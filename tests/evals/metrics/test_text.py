"""Word overlap against values computed by hand, and against definitions written out once more."""

from __future__ import annotations

import math
import re
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.stem import PorterStemmer

from edgeperso.evals.metrics import text

WORDS = st.lists(st.sampled_from(["cat", "dog", "ran", "sat", "red"]), max_size=6).map(" ".join)
ANSWERS = st.text(alphabet="adeinrsthe ,.;AT", max_size=30)


def harmonic(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def longest_common(one: list[str], other: list[str]) -> int:
    """By trying every subsequence."""

    def subsequences(words: list[str], size: int) -> set[tuple[str, ...]]:
        return set(combinations(words, size))

    sizes = range(min(len(one), len(other)), 0, -1)
    return next((size for size in sizes if subsequences(one, size) & subsequences(other, size)), 0)


def test_rouge_by_hand() -> None:
    score = text.rouge("The cat sat.", "the cat lay down")
    assert score.rouge_1 == pytest.approx(harmonic(2 / 3, 2 / 4))
    assert score.rouge_l == pytest.approx(harmonic(2 / 3, 2 / 4))
    assert text.rouge("cat the", "the cat") == text.Rouge(1.0, 0.5)


def test_rouge_stems_only_when_asked() -> None:
    assert text.rouge("houses", "house").rouge_1 == 0.0
    assert text.rouge("houses", "house", use_stemmer=True).rouge_1 == 1.0


def test_the_best_reference_counts_for_each_measure() -> None:
    references = ["b a", "a b c d"]
    assert text.rouge("a b", references).rouge_1 == 1.0
    assert text.rouge("a b", references).rouge_l == pytest.approx(harmonic(1.0, 0.5))


@given(WORDS, WORDS)
@settings(deadline=None)
def test_rouge_against_its_definition(prediction: str, reference: str) -> None:
    given_, wanted = prediction.split(), reference.split()
    score = text.rouge(prediction, reference)
    common = sum(min(given_.count(word), wanted.count(word)) for word in set(given_))
    total = len(given_) + len(wanted)
    assert score.rouge_1 == pytest.approx(2 * common / total if total else 0.0)
    assert score.rouge_l == pytest.approx(2 * longest_common(given_, wanted) / total if total else 0.0)


def test_bleu_by_hand() -> None:
    score = text.sentence_bleu("the cat sat on the mat", "the cat sat on a mat")
    assert score.score == pytest.approx(100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** (1 / 4))
    short = text.corpus_bleu(["a b c d"], ["a b c d e"])
    assert short.score == pytest.approx(100 * math.exp(1 - 5 / 4))


def test_a_corpus_is_counted_together() -> None:
    predictions, references = ["a b c d e", "v w x y z"], ["a b c d e", "a b c d e"]
    together = text.corpus_bleu(predictions, references).score
    assert together == pytest.approx(100 * (5 / 10 * 4 / 8 * 3 / 6 * 2 / 4) ** (1 / 4))


def test_a_bleu_says_how_it_was_made() -> None:
    corpus = text.corpus_bleu(["a b c d", "e f g h"], [["a b c d"], ["x", "e f g h"]])
    assert corpus.score == 100.0
    assert {"nrefs:var", "eff:no", "tok:13a", "smooth:exp"} <= set(corpus.signature.split("|"))
    assert {"nrefs:1", "eff:yes"} <= set(text.sentence_bleu("a b", "a b").signature.split("|"))


@given(WORDS, WORDS)
@settings(deadline=None)
def test_bleu_keeps_its_bounds(prediction: str, reference: str) -> None:
    assert 0 <= text.sentence_bleu(prediction, reference).score <= 100


@pytest.mark.parametrize(
    ("prediction", "reference", "score"),
    [
        ("the cat sat", "The cat sat", 1 - 0.5 * (1 / 3) ** 3),
        ("a b c", "c a b", 1 - 0.5 * (2 / 3) ** 3),
        ("the cat", "the cat sat down", (10 * 0.5 / (0.5 + 9)) * (1 - 0.5 * (1 / 2) ** 3)),
        ("houses", "house", 1 - 0.5),
        ("car", "automobile", 0.0),
        ("", "a", 0.0),
        ("", "", 0.0),
    ],
)
def test_meteor_by_hand(prediction: str, reference: str, score: float) -> None:
    assert text.meteor_no_synonyms(prediction, reference) == pytest.approx(score)


def test_meteor_parts_the_full_stop_of_every_sentence() -> None:
    assert text.meteor_no_synonyms("It ran. It sat.", "It ran . It sat .") == pytest.approx(1 - 0.5 * (1 / 6) ** 3)


def test_meteor_takes_the_best_reference() -> None:
    assert text.meteor_no_synonyms("a b", ["x", "a b"]) == text.meteor_no_synonyms("a b", "a b")


@pytest.mark.parametrize(
    ("prediction", "answer", "score"),
    [
        ("The cats, and a dog!", "dog cat", 1.0),
        ("red car", "blue car", 0.5),
        ("no no no", "no", harmonic(1 / 3, 1)),
        ("It's 1,500", "its 1500", 1.0),
        ("", "", 0.0),
        ("the", "the", 0.0),
        ("the", "Ghent", 0.0),
    ],
)
def test_token_f1_by_hand(prediction: str, answer: str, score: float) -> None:
    assert text.token_f1(prediction, answer) == pytest.approx(score)


@pytest.mark.parametrize(
    ("prediction", "answer", "share"),
    [
        ("She moved to Lyon on 7 May.", "7 May 2023", 2 / 3),
        ("Cats and dogs", "a dog", 1.0),
        ("x", "", 0.0),
        ("", "x", 0.0),
    ],
)
def test_token_recall_by_hand(prediction: str, answer: str, share: float) -> None:
    assert text.token_recall(prediction, answer) == pytest.approx(share)


@given(ANSWERS, ANSWERS)
@settings(deadline=None)
def test_token_f1_against_precision_and_recall(prediction: str, answer: str) -> None:
    def words(raw: str) -> list[str]:
        bare = re.sub(r"[,.;]", "", raw).lower().split()
        return [PorterStemmer().stem(word) for word in bare if word not in {"a", "an", "the", "and"}]

    given_, wanted = words(prediction), words(answer)
    left = list(wanted)
    for word in given_:
        if word in left:
            left.remove(word)
    same = len(wanted) - len(left)
    expected = harmonic(same / len(given_), same / len(wanted)) if same else 0.0
    assert text.token_f1(prediction, answer) == pytest.approx(expected)
    assert text.token_f1(prediction, answer) == text.token_f1(answer, prediction)


def test_parts_of_an_answer_are_each_sought() -> None:
    assert text.token_f1_multi("rome", "Paris, Rome") == pytest.approx(0.5)
    assert text.token_f1_multi("Rome, Paris, Ghent", "paris, rome") == pytest.approx(1.0)
    assert text.token_f1_multi("red rome", "Rome, red car") == pytest.approx((2 / 3 + 0.5) / 2)


def test_each_category_of_locomo_has_its_measure() -> None:
    assert text.locomo_score("rome", "Paris, Rome", 1) == pytest.approx(0.5)
    assert text.locomo_score("rome", "Paris, Rome", 2) == text.token_f1("rome", "Paris Rome")
    assert text.locomo_score("yes", "Yes; she said so", 3) == 1.0
    assert text.locomo_score("yes", "Yes; she said so", 4) < 1.0
    assert text.locomo_score("It is NOT mentioned.", "yes", 5) == 1.0
    assert text.locomo_score("No information available", "", 5) == 1.0
    assert text.locomo_score("yes", "yes", 5) == 0.0
    with pytest.raises(ValueError, match="not 6"):
        text.locomo_score("yes", "yes", 6)


def test_there_must_be_something_to_compare_with() -> None:
    for one in (text.rouge, text.sentence_bleu, text.meteor_no_synonyms):
        with pytest.raises(ValueError, match="reference"):
            one("a", [])
    with pytest.raises(ValueError, match="reference"):
        text.corpus_bleu(["a"], [[]])
    with pytest.raises(ValueError, match="no value"):
        text.corpus_bleu([], [])
    with pytest.raises(ValueError, match="differ"):
        text.corpus_bleu(["a", "b"], ["a"])


def test_a_text_without_words_scores_nothing() -> None:
    assert text.rouge("", "") == text.Rouge(0.0, 0.0)
    assert text.sentence_bleu("", "a").score == 0.0
    assert text.sentence_bleu("a", "").score == 0.0
