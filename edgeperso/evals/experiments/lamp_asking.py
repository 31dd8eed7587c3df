"""How LaMP's questions are put: a person's history as memories, a question to their assistant, and the same as an
example that a model can be trained on.

An example has the very tokens that are asked at test: the frame of the person's own question around an earlier review,
without notes and, for a method that reads notes, with those that it finds in what was written strictly before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from edgeperso.adaptation.plan import Example
from edgeperso.engine import renderer
from edgeperso.errors import DataInvalid
from edgeperso.evals.methods import ConditionedAssistant, Method
from edgeperso.evals.readers import LampEntry, LampItem
from edgeperso.evals.setup import Setup
from edgeperso.prompting import ChatForm, choose_form
from edgeperso.times import DAY_MS
from edgeperso.types import Kind, MemoryFilter, Record

__all__ = ["ASKED", "SCORES", "LampTask", "examples", "lamp_records", "latest", "now_after", "rate", "title"]

LampTask = Literal["rating", "title"]
SCORES: Final = ("1", "2", "3", "4", "5")
ASKED: Final = 1500
"""Characters of the question that are asked."""
_EXCERPT: Final = 400
"""Characters of an earlier text that its memory keeps: what a score rests on mostly stands at its beginning."""
_RATING: Final = "You predict the score that a person gives, from what they wrote and how they scored before."
_CUE: Final = "Score: "
_TITLE_TOKENS: Final = 24
_TARGETS: Final = ("score", "title", "tag", "category", "citation")
_FRAME: Final = re.compile(r".*?\b(?:review|paper): ", re.DOTALL)
"""What a question has before the text that it asks about, in LaMP-3's and LaMP-5's form."""


def lamp_records(item: LampItem) -> list[Record]:
    """The profile as memories: each earlier text with what the person gave it, oldest first."""
    return [
        Record(
            text=_entry_text(entry.fields),
            kind=Kind.NOTE,
            source="lamp",
            locator=entry.id,
            author="me",
            position=place,
            occurred_ms=entry.when_ms,
        )
        for place, entry in enumerate(_by_time(item))
    ]


def latest(item: LampItem, entries: int) -> LampItem:
    """The same with the ``entries`` latest entries of the profile alone."""
    return replace(item, profile=tuple(_by_time(item)[-entries:]))


def now_after(records: Sequence[Record]) -> int:
    """The time at which a question is asked after ``records``: a day later."""
    return max((record.occurred_ms or 0 for record in records), default=0) + DAY_MS


def rate(me: ConditionedAssistant, question: str) -> dict[str, Any]:
    hits, _ = me.find(question, MemoryFilter())
    weighed = me.weigher(_RATING).label(question, SCORES, hits, cue=_CUE)
    return {"shares": [round(share, 6) for share in weighed.shares], "memories": len(weighed.sources)}


def title(me: ConditionedAssistant, question: str) -> dict[str, Any]:
    reply = me.ask(question, max_tokens=_TITLE_TOKENS)
    line = next((line.strip() for line in reply.text.splitlines() if line.strip()), "")
    said = line.removeprefix("Title:").strip().strip('"“”*').strip()
    return {"title": said, "memories": len(reply.sources)}


def examples(setup: Setup, task: LampTask, item: LampItem, method: Method, *, most: int) -> list[Example]:
    """The person's ``most`` latest entries as examples for ``method``, oldest first.

    Raises:
        DataInvalid: the question has no frame of a known form, so that an entry can't be asked for alike.
    """
    frame = _FRAME.match(item.input)
    if frame is None:
        raise DataInvalid(
            "A question doesn't say “review: ” or “paper: ” before its text.", hint="Take a method that trains nothing."
        )
    bare = replace(method, choice="none", additions=method.additions & {"reminder"})
    reading = () if method.choice == "none" else (replace(bare, choice=method.choice),)
    made = []
    for entry in _by_time(item)[-most:]:
        question = method.asked(f"{frame[0]}{_written(entry)}"[:ASKED])
        # A vault of its own: how well a memory fits depends on what else there is, and what came later isn't yet.
        records = lamp_records(replace(item, profile=_before(entry, item))) if reading else []
        with setup.vault(records) as vault:
            for way in (bare, *(reading if records else ())):
                me = setup.assistant(vault, way, now_ms=now_after(records))
                prompt, notes = _prompt(me, task, question)
                if way is bare or notes:
                    made.append(Example((*prompt, *_answer(me, task, entry)), learn_from=len(prompt)))
    return made


def _before(entry: LampEntry, item: LampItem) -> tuple[LampEntry, ...]:
    """What was written strictly before; nothing where a time isn't known."""
    when_ms = entry.when_ms
    if when_ms is None:
        return ()
    return tuple(one for one in item.profile if one.when_ms is not None and one.when_ms < when_ms)


def _prompt(me: ConditionedAssistant, task: LampTask, question: str) -> tuple[list[int], int]:
    """What the model reads before its answer, and how many notes were found for it."""
    if task == "rating":
        hits, _ = me.find(question, MemoryFilter())
        return me.weigher(_RATING).before_label(question, SCORES, hits, cue=_CUE), len(hits)
    reply = me.ask(question)
    reply.close()
    return reply.prompt.tokens, len(reply.prompt.included)


def _answer(me: ConditionedAssistant, task: LampTask, entry: LampEntry) -> list[int]:
    """What was given to the entry, and for a title the end of an answer, as the model's form has them."""
    engine = me.engine
    if task == "rating":
        return engine.tokenize(str(round(float(entry.fields["score"]))))
    given = " ".join(entry.fields["title"].split())
    if isinstance(choose_form(renderer(engine.info), begin=me.reader.quotes), ChatForm) and engine.info.eos is not None:
        return [*engine.tokenize(given), engine.info.eos]
    return engine.tokenize(f"{given}\n")


def _entry_text(fields: dict[str, str]) -> str:
    """``Text: … Score: 4``: what was written first, what was given to it last."""
    target = next((name for name in _TARGETS if name in fields), "")
    written = next(
        (name for name in ("text", "abstract", "description", "title") if name in fields and name != target), ""
    )
    label = "Review" if target in ("score", "title") else written.capitalize()
    head = f"{label}: {fields[written][:_EXCERPT]}" if written else ""
    tail = f"{target.capitalize()}: {fields[target]}" if target else ""
    return "\n".join(part for part in (head, tail) if part) or "; ".join(fields.values())


def _written(entry: LampEntry) -> str:
    return entry.fields.get("text") or entry.fields.get("abstract") or ""


def _by_time(item: LampItem) -> list[LampEntry]:
    return sorted(item.profile, key=lambda entry: entry.when_ms or 0)
