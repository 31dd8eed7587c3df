"""Which language a text is in, by py3langid."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

__all__ = ["UNKNOWN", "language_of"]

UNKNOWN: Final = "und"
"""ISO 639's code for a language that couldn't be told: a text too short, or of several languages."""

_LEAST_PROBABILITY: Final = 0.5


def language_of(text: str) -> str:
    """The ISO 639-1 code of the likeliest language of ``text``, or `UNKNOWN` where it is less likely than not.

    Costs some 40 µs, and half a second once for the model.
    """
    code, probability = _identifier().classify(text)
    return str(code) if probability >= _LEAST_PROBABILITY else UNKNOWN


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
