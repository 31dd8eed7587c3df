"""The general set: short texts of many kinds, written for this package; by it the gate sees what an adapter unlearns.

Plain prose of several subjects, stories, letters, instructions, code, tables, other languages, and questions with their
answers in the form in which the model is asked. None is about anybody; none is a test of knowledge: what counts is how
much the loss on it changes.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files

from edgeperso.adaptation.lesson import text_example
from edgeperso.adaptation.plan import Example
from edgeperso.engine import Engine

__all__ = ["general_examples", "general_texts"]


@lru_cache(maxsize=1)
def general_texts() -> tuple[tuple[str, str], ...]:
    """(prompt, text) of each; the prompt is empty for a text by itself."""
    lines = (files(__name__) / "general.jsonl").read_text(encoding="utf-8").splitlines()
    return tuple((entry["prompt"], entry["text"]) for entry in map(json.loads, lines))


def general_examples(engine: Engine) -> list[Example]:
    return [text_example(engine, prompt, text) for prompt, text in general_texts()]
