"""How far an answer says what a reference says, word by word: ROUGE, BLEU, METEOR without synonyms, LoCoMo's token F1.

Where ``references`` are asked for, one text stands for a list of one. A text without words scores 0.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from typing import Any

from edgeperso.evals.metrics.checks import require_paired
from edgeperso.evals.metrics.extra import eval_extra

__all__ = [
    "Bleu",
    "Rouge",
    "abstains",
    "corpus_bleu",
    "locomo_score",
    "meteor_no_synonyms",
    "rouge",
    "sentence_bleu",
    "token_f1",
    "token_f1_multi",
    "token_recall",
]

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the|and)\b")
_ABSTENTIONS = ("no information available", "not mentioned")


@dataclass(frozen=True, slots=True)
class Rouge:
    """F1 of ROUGE-1 (words) and ROUGE-L (longest common subsequence), 0 to 1."""

    rouge_1: float
    rouge_l: float


@dataclass(frozen=True, slots=True)
class Bleu:
    """BLEU, 0 to 100 as sacrebleu gives it, and sacrebleu's signature, without which a BLEU can't be compared."""

    score: float
    signature: str


def rouge(prediction: str, references: str | Sequence[str], *, use_stemmer: bool = False) -> Rouge:
    """ROUGE of Google's rouge-score; of several references the best one counts, for each of the two measures.

    Words are runs of a-z and 0-9 after lower-casing: other scripts count as nothing.

    Args:
        use_stemmer: whether words of more than three letters are compared by their Porter stem. Off, as in LaMP, which
            takes the default of Hugging Face's evaluate. (That library's figure for a corpus is the median of 1,000
            bootstrap means, drawn anew each time: near the mean of these, but not quite it.)

    Raises:
        ValueError: there is no reference.
        ExtraMissing: the ``[eval]`` extra isn't installed.
    """
    scores = _rouge_scorer(use_stemmer).score_multi(_several(references), prediction)
    return Rouge(float(scores["rouge1"].fmeasure), float(scores["rougeL"].fmeasure))


def corpus_bleu(predictions: Sequence[str], references: Sequence[str | Sequence[str]]) -> Bleu:
    """sacrebleu's BLEU of all predictions together (Post, "A call for clarity in reporting BLEU scores", 2018).

    Args:
        references: those of each prediction; their numbers may differ.

    Raises:
        ValueError: there is no prediction, the lengths differ, or a prediction has no reference.
        ExtraMissing: the ``[eval]`` extra isn't installed.
    """
    require_paired(predictions, references)
    with eval_extra():
        from sacrebleu.metrics.bleu import BLEU
    metric = BLEU()
    # sacrebleu takes them the other way around: the first of each, the second of each, None where there isn't one.
    streams = list(zip_longest(*(_several(one) for one in references)))
    return _bleu(metric, metric.corpus_score(predictions, streams))


def sentence_bleu(prediction: str, references: str | Sequence[str]) -> Bleu:
    """sacrebleu's BLEU of one answer, with effective order: n-grams longer than the answer don't count against it.

    Raises:
        ValueError: there is no reference.
        ExtraMissing: the ``[eval]`` extra isn't installed.
    """
    with eval_extra():
        from sacrebleu.metrics.bleu import BLEU
    metric = BLEU(effective_order=True)
    return _bleu(metric, metric.sentence_score(prediction, _several(references)))


def meteor_no_synonyms(prediction: str, references: str | Sequence[str]) -> float:
    """METEOR with exact and stem matches only, 0 to 1; of several references the best one counts.

    Not the METEOR of papers: its third stage, WordNet's synonyms, needs data that no package of the index holds, so
    figures are somewhat lower. The rest is nltk's: alpha 0.9, beta 3, gamma 0.5, Porter stems, lower case, Treebank
    tokens (sentences are parted by Punkt untrained, for its trained form is such data too). Banerjee and Lavie,
    "METEOR: an automatic metric for MT evaluation with improved correlation with human judgments", 2005.

    Raises:
        ValueError: there is no reference.
        ExtraMissing: the ``[eval]`` extra isn't installed.
    """
    with eval_extra():
        from nltk.translate.meteor_score import meteor_score
    tokens = [_treebank_tokens(reference) for reference in _several(references)]
    return float(meteor_score(tokens, _treebank_tokens(prediction), stemmer=_porter(), wordnet=_NoSynonyms()))


def token_f1(prediction: str, answer: str) -> float:
    """LoCoMo's F1 of the stemmed words of ``prediction`` and ``answer``, as multisets, 0 to 1.

    SQuAD's normalization (lower case; punctuation and articles out) with "and" among the articles, then Porter stems.
    0 where either has no words, also where neither has any. Maharana et al., arXiv:2402.17753, task_eval/evaluation.py.

    Raises:
        ExtraMissing: the ``[eval]`` extra isn't installed.
    """
    given, wanted = _stems(prediction), _stems(answer)
    common = (given & wanted).total()
    return 2 * common / (given.total() + wanted.total()) if common else 0.0


def token_recall(prediction: str, answer: str) -> float:
    """The share of the stemmed words of ``answer`` that are in ``prediction``, 0 to 1; 0 where it has none.

    Words are made alike as for `token_f1`.

    Raises:
        ExtraMissing: the ``[eval]`` extra isn't installed.
    """
    wanted = _stems(answer)
    return (_stems(prediction) & wanted).total() / wanted.total() if wanted else 0.0


def token_f1_multi(prediction: str, answer: str) -> float:
    """LoCoMo's F1 for answers in several parts, 0 to 1.

    Both texts are parted at commas; each part of ``answer`` gets the best `token_f1` of any part of ``prediction``, and
    the mean of these counts.

    Raises:
        ExtraMissing: the ``[eval]`` extra isn't installed.
    """
    given, wanted = prediction.split(","), answer.split(",")
    return sum(max(token_f1(one, part) for one in given) for part in wanted) / len(wanted)


def abstains(prediction: str) -> bool:
    """Whether an answer says, in LoCoMo's words, that the conversation doesn't tell."""
    return any(words in prediction.lower() for words in _ABSTENTIONS)


def locomo_score(prediction: str, answer: str, category: int) -> float:
    """What LoCoMo's own evaluation gives an answer to a question of ``category``, 0 to 1.

    1 (several hops): `token_f1_multi`. 2 (time) and 4 (one hop): `token_f1`. 3 (open domain): `token_f1` with what
    stands before the first ";" of ``answer``. 5 (adversarial): 1 if the prediction `abstains`, whatever ``answer`` is.

    Raises:
        ValueError: ``category`` isn't 1 to 5.
        ExtraMissing: the ``[eval]`` extra isn't installed.
    """
    match category:
        case 1:
            return token_f1_multi(prediction, answer)
        case 2 | 4:
            return token_f1(prediction, answer)
        case 3:
            return token_f1(prediction, answer.partition(";")[0])
        case 5:
            return float(abstains(prediction))
    raise ValueError(f"LoCoMo has categories 1 to 5, not {category}")


class _NoSynonyms:
    """Stands for WordNet in nltk's METEOR."""

    def synsets(self, word: str) -> list[Any]:
        del word
        return []


def _several(references: str | Sequence[str]) -> list[str]:
    several = [references] if isinstance(references, str) else list(references)
    if not several:
        raise ValueError("a prediction needs at least one reference")
    return several


def _bleu(metric: Any, result: Any) -> Bleu:
    """A perfect match comes out a rounding error above 100."""
    return Bleu(min(float(result.score), 100.0), str(metric.get_signature()))


def _stems(text: str) -> Counter[str]:
    stem = _porter().stem
    return Counter(stem(word) for word in _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


@lru_cache(maxsize=2)
def _rouge_scorer(use_stemmer: bool) -> Any:
    with eval_extra():
        from rouge_score.rouge_scorer import RougeScorer
    return RougeScorer(["rouge1", "rougeL"], use_stemmer=use_stemmer)


@lru_cache(maxsize=1)
def _porter() -> Any:
    with eval_extra():
        from nltk.stem import PorterStemmer
    return PorterStemmer()


def _treebank_tokens(text: str) -> list[str]:
    sentences, words = _tokenizers()
    return [token for sentence in sentences.tokenize(text) for token in words.tokenize(sentence)]


@lru_cache(maxsize=1)
def _tokenizers() -> tuple[Any, Any]:
    with eval_extra():
        from nltk.tokenize import NLTKWordTokenizer, PunktSentenceTokenizer
    return PunktSentenceTokenizer(), NLTKWordTokenizer()
