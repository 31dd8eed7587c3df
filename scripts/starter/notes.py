"""One invented person's notes about one topic: what is stated, by whom, when, and what stands around it."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from scripts.starter.pools import ASIDES, DOINGS, FILLERS, LETTERS, POOLS
from scripts.starter.topics import PEOPLE, Topic
from scripts.starter.values import make, month_name, spelled

__all__ = ["Fact", "Note", "chatter", "earlier", "make_note", "telling", "who_or_what"]

_FIELD: Final = re.compile(r"\{(\w+)\}")
_SMALL_WORDS: Final = re.compile(r"\b(?:I|We|The|the|A|a|an|My|my|Our|our|is|are|has|have) ")
_ME: Final = re.compile(r"^(?:I|We) (?=[a-z])")


@dataclass(frozen=True, slots=True)
class Note:
    """A note as it will be quoted; ``kind`` is ``note``, ``chat`` (the person's words) or ``mail`` (``author``'s)."""

    text: str
    day: date
    kind: str = "note"
    author: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """A topic in one life: what its fields are filled with. ``owner`` is empty where it is the person's own."""

    topic: Topic
    fields: dict[str, str]
    owner: str = ""

    @staticmethod
    def draw(rng: random.Random, topic: Topic, *, owner: str = "", shared: dict[str, str] | None = None) -> Fact:
        """A fact with fields of its own, save those in ``shared``: the people whom a conversation is about."""
        values: list[str] = []
        while len(values) < 4 and topic.maker != "notedate":
            value = make(rng, topic.maker)
            if all(value.lower() not in known.lower() and known.lower() not in value.lower() for known in values):
                values.append(value)
        names = ("v", "o", "x", "x2")
        fields = {**_surroundings(rng), **(shared or {}), **dict(zip(names, values, strict=False))}
        return Fact(topic, fields, owner)

    def fill(self, text: str, day: date) -> str:
        """``text`` with its fields filled, beginning with a capital letter."""
        dated = {"month": month_name(day)}
        filled = _FIELD.sub(lambda found: (dated | self.fields)[found[1]], text)
        return filled[:1].upper() + filled[1:]

    def said_on(self, day: date) -> str:
        """The value, of a topic whose value is the day that its note was written."""
        birthday = self.topic.key.startswith("birthday")
        return spelled(day, year=not birthday)


def _surroundings(rng: random.Random) -> dict[str, str]:
    person = _person(rng)
    other = next(name for name in iter(lambda: _person(rng), "") if name != person)
    drawn = {name: make(rng, name) for name in ("clock", "town", "weekday", "gadget", "food", "thing")}
    return {"p": person, "p2": other, "n": str(rng.randint(3, 70)), **drawn}


def _person(rng: random.Random) -> str:
    return rng.choice(POOLS["first"]) if rng.random() < 0.65 else rng.choice(POOLS["person"])


def chatter(rng: random.Random, lines: tuple[str, ...] = ()) -> str:
    """A sentence that is beside the point: one of ``lines``, or any without them."""
    lines = lines or rng.choice((FILLERS, DOINGS))
    fields = _surroundings(rng)
    fields["P"] = rng.choice(("I", "I", "I", "we", "we", _person(rng)))
    fields["did"], fields["did2"] = rng.sample(POOLS["did"], 2)
    for name in ("when", "mood", "weather"):
        fields[name] = rng.choice(POOLS[name])
        fields[name.capitalize()] = fields[name][:1].upper() + fields[name][1:]
    text = _FIELD.sub(lambda found: fields[found[1]], rng.choice(lines))
    return text[:1].upper() + text[1:]


def telling(rng: random.Random, fact: Fact, day: date, *, changed: bool) -> tuple[str, str]:
    """A sentence that states the fact (``changed``: that it replaced the old one), and the kind of note it is for."""
    topic = fact.topic
    if fact.owner:
        return _in_short(rng, fact, changed=changed, day=day), "note"
    if topic.mails and rng.random() < 0.3:
        return fact.fill(rng.choice(topic.mails), day), "mail"
    if topic.label and rng.random() < 0.25:
        return _in_short(rng, fact, changed=changed, day=day), "note"
    text = rng.choice(topic.changes if changed and topic.changes else topic.states)
    style = rng.random()
    if style < 0.3:
        text = (_ME if style < 0.15 else _SMALL_WORDS).sub("", text)
    return fact.fill(text, day), "note"


def _in_short(rng: random.Random, fact: Fact, *, changed: bool, day: date) -> str:
    """The way notes are jotted down: "Boiler: 1998." """
    said = f"{fact.owner}'s {fact.topic.label}" if fact.owner else fact.topic.label
    plain = (
        f"{said}: {{v}}.",
        f"{said} is {{v}}.",
        f"{'' if fact.owner else 'my '}{said} is {{v}}.",
        f"{said} = {{v}}",
        f"note to self, {said}: {{v}}.",
        f"{said}? {{v}}.",
        f"{{v}} ({said}).",
        f"{said} {{v}}, ok so far.",
    )
    replaced = (
        f"{said} is {{v}} now, no longer {{o}}.",
        f"{said}: {{v}}, used to be {{o}}.",
        f"{said} has changed from {{o}} to {{v}}.",
        f"new {said}: {{v}}.",
        f"{said} from today: {{v}} instead of {{o}}.",
        f"{{o}} is history, {said} is {{v}} now.",
        f"no more {{o}}. {said}: {{v}}.",
        f"switched {said}: {{o}} out, {{v}} in.",
        f"bye {{o}}. {said} is {{v}} for good.",
        f"{said} {{v}} as of now, not {{o}}.",
    )
    return fact.fill(rng.choice(replaced if changed else plain), day)


def make_note(rng: random.Random, told: list[tuple[str, str]], day: date) -> Note:
    """A note of that day that tells what is ``told`` (sentences with their kinds), with chatter around."""
    texts = [text for text, _ in told]
    if any(kind == "mail" for _, kind in told):
        opening = [chatter(rng, LETTERS)] if rng.random() < 0.7 else []
        closing = [chatter(rng, LETTERS)] if rng.random() < 0.7 else []
        author = rng.choice((make(rng, "fullname"), make(rng, "company")))
        title = rng.choice(POOLS["title_mail"]) if rng.random() < 0.8 else ""
        return Note(" ".join([*opening, *texts, *closing]), day, "mail", author, title)
    if rng.random() < 0.1:
        around = [chatter(rng, ASIDES)]
        return Note(" ".join([*texts, *around] if rng.random() < 0.6 else [*around, *texts]), day, "chat", "me")
    before = [chatter(rng) for _ in range(rng.choice((0, 0, 0, 1, 1, 2)))]
    after = [chatter(rng) for _ in range(rng.choice((0, 0, 1, 1, 2)))]
    return Note(" ".join([*before, *texts, *after]), day)


def earlier(rng: random.Random, day: date) -> date:
    """A day some weeks to a year and a half before."""
    return day - timedelta(days=rng.randint(20, 540))


def who_or_what(topic: Topic) -> str:
    """How the value is asked for in short."""
    return "Who" if topic.maker in PEOPLE else "What"
