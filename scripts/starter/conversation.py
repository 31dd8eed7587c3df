"""A question about invented notes, with its answer: what a model learns to read from.

The notes come as retrieval gives them. On the development lives the note that answers is the best hit for 7 of 10
questions and among the first five for 19 of 20; for a question about the present the newer of two that fit stands
higher. Both is imitated here, so that the order tells as much as it does later, and no more.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import count
from typing import Final

from scripts.starter.notes import Fact, Note, chatter, earlier, make_note, telling, who_or_what
from scripts.starter.topics import Topic, read_topics

__all__ = ["UNKNOWN", "Conversation", "conversations"]

UNKNOWN: Final = "not in your notes"
"""The answer where no note has one."""

_LAST_DAY: Final = date(2025, 12, 20)
_UNANSWERED: Final = 0.03
_PLACES: Final = (0.64, 0.18, 0.08, 0.06, 0.04)
"""How often the note that answers is the best hit, the second, and so on."""
_SIZES: Final = (3, 3, 4, 4, 5, 5)
"""Notes in a conversation. Five are read later; with fewer, more conversations are read in the same time."""
_KINDRED: Final = {
    "people": {"first", "firstorrel", "fullname", "doctor", "petname", "petpair"},
    "names": {"company", "venue", "title", "team", "brand", "town", "street", "place2"},
    "numbers": {"amount", "amountof", "number", "code", "combo", "phone", "duration", "countof", "year"},
    "times": {"day", "daymonth", "weekday", "clock", "notedate"},
}
"""Makers whose values can be taken for one another."""
_POLITE: Final = ("Can you tell me {q}", "Remind me: {q}", "Tell me, {q}", "Do you know {q}", "So {q}", "Please, {q}")
_NOW: Final = ("now", "currently", "these days", "at the moment", "right now")


@dataclass(frozen=True, slots=True)
class Conversation:
    """``notes`` are best first. ``answer`` is the value alone, ``preposition`` what may stand before it."""

    notes: tuple[Note, ...]
    question: str
    answer: str
    preposition: str
    topic: str


def conversations(seed: int) -> Iterator[Conversation]:
    """Conversations without end, always the same for one seed."""
    for number in count():
        yield _conversation(random.Random(f"{seed}/{number}"))


def _conversation(rng: random.Random) -> Conversation:
    topics = read_topics()
    topic = rng.choice(topics)
    owned = bool(topic.label) and rng.random() < 0.12
    fact = Fact.draw(rng, topic)
    if owned:
        fact = Fact(topic, fact.fields, owner=fact.fields["p"])
    changed = bool(topic.changes) and rng.random() < 0.65
    past = changed and not owned and bool(topic.asks_for_old) and rng.random() < 0.22
    now = _LAST_DAY - timedelta(days=rng.randint(0, 600))
    before = earlier(rng, now)

    old = Fact(topic, {**fact.fields, "v": fact.fields.get("o", ""), "o": fact.fields.get("x", "")}, fact.owner)
    new_note = _tell(rng, fact, now, changed=changed and rng.random() < 0.8, topics=topics)
    old_note = _tell(rng, old, before, changed=rng.random() < 0.25, topics=topics) if changed else None
    question = _question(rng, fact, now, changed=changed, past=past)
    answer = fact.said_on(now) if topic.maker == "notedate" else fact.fields["o" if past else "v"]

    told = [note for note in (new_note, old_note) if note is not None]
    if past:
        # Either note may tell the old value: one that says both, or the old note itself.
        both = answer.lower() in new_note.text.lower()
        told = [new_note] if both and rng.random() < 0.4 else [old_note or new_note, new_note]
    elif old_note is not None and rng.random() < 0.3:
        told = [new_note]
    unanswered = rng.random() < _UNANSWERED
    others = _others(rng, fact, topics, now, rng.choice(_SIZES) - (0 if unanswered else len(told)))
    notes = others if unanswered else _ranked(rng, told, others)
    return Conversation(tuple(notes), question, UNKNOWN if unanswered else answer, topic.preposition, topic.key)


def _tell(rng: random.Random, fact: Fact, day: date, *, changed: bool, topics: tuple[Topic, ...]) -> Note:
    told = [telling(rng, fact, day, changed=changed)]
    if told[0][1] == "note" and rng.random() < 0.4:
        other = _unlike(rng, topics, fact, rng.choice(("", "maker")))
        told.insert(rng.randint(0, 1), (telling(rng, other, day, changed=rng.random() < 0.3)[0], "note"))
    return make_note(rng, told, day)


def _question(rng: random.Random, fact: Fact, day: date, *, changed: bool, past: bool) -> str:
    topic = fact.topic
    if fact.owner:
        thing, word = f"{fact.owner}'s {topic.label}", who_or_what(topic)
        question = rng.choice((f"{word} is {thing}", f"{word}'s {thing}", f"{thing}, {word.lower()} is it"))
    elif past:
        question = rng.choice(topic.asks_for_old)
    elif changed and topic.asks_by_old and rng.random() < 0.4:
        question = rng.choice(topic.asks_by_old)
    else:
        own = f"{who_or_what(topic)} is my {topic.label}"
        question = rng.choice([*topic.asks, own] if topic.label else topic.asks)
        if changed and rng.random() < 0.3 and not question.endswith(_NOW):
            question = f"{question} {rng.choice(_NOW)}"
    question = fact.fill(question, day)
    if rng.random() < 0.1:
        question = fact.fill(rng.choice(_POLITE).replace("{q}", question[:1].lower() + question[1:]), day)
    return f"{question}?"


def _unlike(rng: random.Random, topics: tuple[Topic, ...], fact: Fact, near: str = "") -> Fact:
    """A fact of another topic; ``near`` asks for one of the same ``area`` or with the same ``maker`` of values, so that
    neither the words around a value nor its sort tell enough."""
    while True:
        topic = rng.choice(topics)
        same = topic.key == fact.topic.key or (topic.label and topic.label == fact.topic.label)
        if not same and (not near or _nature(topic, near) == _nature(fact.topic, near)):
            return Fact.draw(rng, topic)


def _nature(topic: Topic, near: str) -> str:
    if near == "area":
        return topic.area
    name = topic.maker.partition(":")[0]
    return next((kind for kind, makers in _KINDRED.items() if name in makers), "other")


def _others(rng: random.Random, fact: Fact, topics: tuple[Topic, ...], now: date, count: int) -> list[Note]:
    """Notes that don't answer: the same matter of somebody else, other matters of the same area or person, chatter."""
    notes = []
    for _ in range(count):
        day = now + timedelta(days=rng.randint(-500, 150))
        kind = rng.random()
        if kind < 0.2 and fact.topic.label:
            other = Fact.draw(rng, fact.topic)
            theirs = Fact(fact.topic, other.fields, owner=other.fields["p"])
            if theirs.owner != fact.owner and other.fields["p"] != fact.fields["p"]:
                notes.append(_tell(rng, theirs, day, changed=rng.random() < 0.3, topics=topics))
                continue
        if kind < 0.2 and "{p}" in "".join(fact.topic.states):
            theirs = Fact.draw(rng, fact.topic)
            if theirs.fields["p"] != fact.fields["p"]:
                notes.append(_tell(rng, theirs, day, changed=False, topics=topics))
                continue
        if kind < 0.85:
            about = _unlike(rng, topics, fact, "maker" if kind < 0.45 else "area" if kind < 0.7 else "")
            if kind < 0.3:
                about = Fact(about.topic, {**about.fields, "p": fact.fields["p"]})
            notes.append(_tell(rng, about, day, changed=rng.random() < 0.3, topics=topics))
        else:
            notes.append(make_note(rng, [(chatter(rng), "note"), (chatter(rng), "note")], day))
    return notes


def _ranked(rng: random.Random, told: list[Note], others: list[Note]) -> list[Note]:
    """Best first: the one that answers (the first of ``told``) where `_PLACES` has it, its rival mostly after it."""
    notes = list(others)
    rng.shuffle(notes)
    for rival in told[1:]:
        notes.insert(0 if rng.random() < 0.6 else rng.randint(0, len(notes)), rival)
    place = rng.choices(range(len(_PLACES)), _PLACES)[0]
    notes.insert(min(place, len(notes)), told[0])
    return notes
