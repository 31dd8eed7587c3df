"""Conversations as the prompts that the product makes of them, and what is to be answered."""

from __future__ import annotations

import re
from typing import Final

from edgeperso.adaptation.plan import Example
from edgeperso.assistant.readers import Reader
from edgeperso.engine import Engine, renderer
from edgeperso.prompting import Layout, choose_form
from edgeperso.times import date_ms
from edgeperso.types import Hit, Kind, Memory, Trust
from scripts.starter.conversation import Conversation
from scripts.starter.notes import Note

__all__ = ["READER", "example", "layout_for"]

READER: Final = Reader(quotes=True, most=5, memory_tokens=500, answer_tokens=48)
"""How the starter reads: five notes, the best nearest to the question, the answer begun for it, its own words after."""

_WHERE_OR_WHEN: Final = re.compile(r"\b(where|when)\b", re.IGNORECASE)
_LED: Final = re.compile(r"\b(in|on|at|for|with|to|from|of|about|by|into|as|over|is|are|was|were)$")
_KINDS: Final = {"note": Kind.NOTE, "chat": Kind.CHAT, "mail": Kind.MAIL}


def layout_for(engine: Engine) -> Layout:
    """A conversation with ``engine`` that has not begun, in the form in which the starter is asked."""
    form = choose_form(renderer(engine.info), begin=READER.quotes)
    return Layout(engine, form, READER.budget(engine.info.n_ctx), bos=engine.bos)


def example(engine: Engine, conversation: Conversation) -> Example:
    """The tokens of the whole turn, of which those of the answer count, its end included."""
    hits = [Hit(_memory(number, note), 0.0, {}) for number, note in enumerate(conversation.notes, start=1)]
    prompt = layout_for(engine).turn(conversation.question, hits, begin=READER.quotes, most=READER.most)
    value = conversation.answer
    if conversation.preposition and _WHERE_OR_WHEN.search(conversation.question) and not _LED.search(prompt.begun):
        value = f"{conversation.preposition} {value}"
    said = f" {value}." if prompt.begun else f"{value[:1].upper()}{value[1:]}."
    answer = [*engine.tokenize(said), *engine.tokenize(engine.info.eos_text, special=True)]
    return Example((*prompt.tokens, *answer), len(prompt.tokens))


def _memory(number: int, note: Note) -> Memory:
    moment = date_ms(note.day)
    return Memory(
        id=number,
        text=note.text,
        kind=_KINDS[note.kind],
        source="starter",
        locator=str(number),
        title=note.title,
        author=note.author,
        thread="",
        position=0,
        occurred_ms=moment,
        recorded_ms=moment,
        scope="personal",
        trust=Trust.OTHER if note.kind == "mail" else Trust.SELF,
        language="en",
    )
