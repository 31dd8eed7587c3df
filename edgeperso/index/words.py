"""Text to index terms: words, lower-cased, without stop words, stemmed for their language."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import Stemmer

__all__ = ["ANALYZER_VERSION", "Analyzer"]

ANALYZER_VERSION = 1
"""Stored with each segment; a change to what this module yields raises it, and old segments are built anew."""

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?", re.UNICODE)
_STOP_WORDS = frozenset(
    (  # noqa: SIM905
        "a about all also am an and any are as at be because been being but by can could did do does doing for from "
        "had has have having he her hers him his how i if in into is it its just me more most my no nor not of on or "
        "our out so some such than that the their them then there these they this those to too up us very was we were "
        "what when where which while who whom whose why will with would you your yours"
    ).split()
)
_ALGORITHMS = {
    "ar": "arabic", "ca": "catalan", "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish",
    "et": "estonian", "eu": "basque", "fi": "finnish", "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian",
    "hy": "armenian", "id": "indonesian", "it": "italian", "lt": "lithuanian", "ne": "nepali", "nl": "dutch",
    "no": "norwegian", "nb": "norwegian", "nn": "norwegian", "pt": "portuguese", "ro": "romanian", "ru": "russian",
    "sr": "serbian", "sv": "swedish", "ta": "tamil", "tr": "turkish",
}  # fmt: skip


class Analyzer:
    """Splits and stems. One object keeps its stemmers; it is not for several threads at once."""

    def __init__(self) -> None:
        self._stemmers: dict[str, Stemmer.Stemmer] = {}

    def words(self, text: str) -> list[str]:
        """The words of ``text`` in order, NFKC, case-folded, a possessive's or contraction's tail cut off."""
        folded = unicodedata.normalize("NFKC", text).casefold()
        return [re.split("['’]", word)[0] for word in _WORD.findall(folded)]

    def names(self, text: str) -> list[str]:
        """The words of ``text`` that may be names: capitalized, or any if it has no capitals; no stop words."""
        plain = unicodedata.normalize("NFKC", text)
        words = [re.split("['’]", word)[0] for word in _WORD.findall(plain)]
        capitals = any(word[0].isupper() for word in words[1:])
        return [
            word.casefold()
            for word in words
            if (word[0].isupper() or not capitals) and word.casefold() not in _STOP_WORDS
        ]

    def terms(self, text: str, language: str = "en") -> list[str]:
        """The terms a memory in ``language`` (ISO 639-1; unknown ones as English) is indexed under, with repetition."""
        stemmer = self._stemmer(language)
        return [stemmer.stemWord(word) for word in self.words(text) if word not in _STOP_WORDS]

    def query_terms(self, text: str, languages: Iterable[str]) -> list[str]:
        """Each distinct term that a memory in one of ``languages`` would hold for the words of ``text``, in order."""
        stemmers = {self._algorithm(language): self._stemmer(language) for language in languages}
        kept = [word for word in self.words(text) if word not in _STOP_WORDS]
        return list(dict.fromkeys(stemmer.stemWord(word) for word in kept for stemmer in stemmers.values()))

    @staticmethod
    def _algorithm(language: str) -> str:
        return _ALGORITHMS.get(language.split("-")[0].lower(), "english")

    def _stemmer(self, language: str) -> Stemmer.Stemmer:
        algorithm = self._algorithm(language)
        if algorithm not in self._stemmers:
            self._stemmers[algorithm] = Stemmer.Stemmer(algorithm)
        return self._stemmers[algorithm]
