"""One review of each person, held out and put among other people's."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgeperso.errors import DataInvalid
from edgeperso.evals.raw import digest
from edgeperso.evals.readers import LampEntry, LampItem, read_lamp

__all__ = ["RankCase", "held_out", "read_ratings"]

_LIKED: Final = 4.0
"""Stars from which on a review counts as liking."""
_OPTION: Final = 200
"""Characters of a candidate: what a review is about mostly stands at its beginning."""
_ASKED: Final = "review: "
"""What a question has before the review that it asks about."""


@dataclass(frozen=True, slots=True)
class RankCase:
    """A person's candidates: ``options[right]`` is their own, ``history`` what else they wrote, oldest first."""

    item: LampItem
    category: str
    history: tuple[LampEntry, ...]
    options: tuple[str, ...]
    right: int

    @property
    def id(self) -> str:
        return self.item.id

    @property
    def texts(self) -> tuple[str, ...]:
        """The history's texts, cut as the candidates are."""
        return tuple(_cut(entry.fields["text"]) for entry in self.history)


@dataclass(frozen=True, slots=True)
class _Liked:
    """A review that may be held out or stand among somebody's candidates; ``entry`` is None for the question's."""

    text: str
    category: str
    entry: LampEntry | None


def read_ratings(questions: Path, outputs: Path) -> list[LampItem]:
    """LaMP-3's questions.

    Raises:
        SourceNotFound, DataInvalid: as `read_lamp`, or a review has no text or no score.
    """
    items = list(read_lamp(questions, outputs))
    for number, item in enumerate(items):
        scores = [item.gold, *(entry.fields.get("score") for entry in item.profile)]
        if not all(map(_is_number, scores)) or not all("text" in entry.fields for entry in item.profile):
            raise DataInvalid(
                f"{questions.name}, record {number}: a review has no text or no score.",
                hint="Give questions and outputs of LaMP-3's form.",
            )
    return items


def held_out(items: Sequence[LampItem], candidates: int, seed: int) -> list[RankCase]:
    """A case for each person who liked something of which others liked enough too.

    Held out is the question's own review where it has 4 stars or more, else the latest such one before it, but none
    that the person wrote word for word elsewhere. A question doesn't tell its category; it is taken for the one of
    which the person's history has fewest reviews, and where several have, the question's review isn't used.

    Args:
        items: ratings, as `read_ratings` gives them.
        candidates: of each person, their own among them.
        seed: of the draw, and of the candidates' order.
    """
    liked = {item.id: list(_liked(item)) for item in items}
    pool: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for person, reviews in liked.items():
        for review in reviews:
            pool[review.category].append((person, review.text))
    found = [_case(item, liked[item.id], pool, candidates, seed) for item in items]
    return [case for case in found if case is not None]


def _case(
    item: LampItem,
    liked: Sequence[_Liked],
    pool: Mapping[str, Sequence[tuple[str, str]]],
    candidates: int,
    seed: int,
) -> RankCase | None:
    for own in liked:
        history = tuple(entry for entry in _by_time(item) if entry is not own.entry)
        seen = {_cut(entry.fields["text"]).casefold() for entry in history}
        if history and own.text.casefold() not in seen:
            break
    else:
        return None
    seen.add(own.text.casefold())
    others: dict[str, str] = {}
    for person, text in pool[own.category]:
        if person != item.id and text.casefold() not in seen:
            others.setdefault(text.casefold(), text)
    if len(others) < candidates - 1:
        return None
    chance = random.Random(digest([seed, item.id]))  # noqa: S311 - to be repeated, not secret
    options = [own.text, *chance.sample(list(others.values()), candidates - 1)]
    chance.shuffle(options)
    return RankCase(item, own.category, history, tuple(options), options.index(own.text))


def _liked(item: LampItem) -> Iterator[_Liked]:
    """What the person liked, in the order in which it is to be held out: the question's review, then the latest."""
    asked = _cut(item.input.partition(_ASKED)[2])
    category = _question_category(item)
    if asked and category is not None and float(item.gold or 0) >= _LIKED:
        yield _Liked(asked, category, None)
    for entry in reversed(_by_time(item)):
        text = _cut(entry.fields["text"])
        if text and float(entry.fields["score"]) >= _LIKED:
            yield _Liked(text, entry.fields.get("category", ""), entry)


def _by_time(item: LampItem) -> list[LampEntry]:
    return sorted(item.profile, key=lambda entry: entry.when_ms or 0)


def _question_category(item: LampItem) -> str | None:
    """The category of which the history has one review fewer than of the others, which is how such files are made."""
    counts = Counter(entry.fields.get("category", "") for entry in item.profile).most_common()
    if not counts or (len(counts) > 1 and counts[-1][1] == counts[-2][1]):
        return None
    return counts[-1][0]


def _is_number(written: str | None) -> bool:
    try:
        return math.isfinite(float(written or ""))
    except ValueError:
        return False


def _cut(text: str) -> str:
    return " ".join(text.split())[:_OPTION].rstrip()
