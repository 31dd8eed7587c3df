"""Who holds which texts: real people from LaMP's files, or texts dealt out anew.

People who are held out take part in nothing. Their older texts train what they could have without a federation, their
newest ones judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from edgeperso.errors import DataInvalid, UsageError
from edgeperso.evals.readers import read_lamp
from edgeperso_federated.cohort import Purpose, chance

__all__ = ["HeldOut", "Split", "Writing", "by_user", "dirichlet", "read_people", "skewed"]

_QUESTIONS: Final = "dev_questions.json"
_LEAST_TEXTS: Final = 3
_LEAST_CHARACTERS: Final = 20
_HELD_OUT_SHARE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Writing:
    """A text, and what it is of: its score or category (empty: not known)."""

    text: str
    label: str


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A person who takes part in nothing: ``older`` and, of the same person, ``newest`` texts, one or more of each."""

    older: tuple[Writing, ...]
    newest: tuple[Writing, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """``clients[i]`` are the texts of client i; none is empty."""

    clients: tuple[tuple[Writing, ...], ...]
    held_out: tuple[HeldOut, ...]


Person = tuple[Writing, ...]


def read_people(folder: Path) -> list[Person]:
    """Everybody in a folder with LaMP's questions who wrote three texts or more, each with their texts by time.

    Args:
        folder: holds ``dev_questions.json``, by itself or in ``rating/``.

    Raises:
        SourceNotFound, DataInvalid: the file is missing, or isn't LaMP's.
    """
    path = folder / _QUESTIONS
    if not path.exists() and (folder / "rating" / _QUESTIONS).exists():
        path = folder / "rating" / _QUESTIONS
    people = []
    for item in read_lamp(path):
        entries = sorted(item.profile, key=lambda entry: entry.when_ms or 0)
        texts = [
            Writing(text, entry.fields.get("category") or entry.fields.get("score") or "")
            for entry in entries
            if len(text := " ".join(entry.fields.get("text", "").split())) >= _LEAST_CHARACTERS
        ]
        unique = tuple({writing.text: writing for writing in texts}.values())
        if len(unique) >= _LEAST_TEXTS:
            people.append(unique)
    return people


def by_user(people: Sequence[Person], clients: int, held_out: int, *, seed: int) -> Split:
    """Each client is a person; others are held out. Who is which is drawn by chance.

    Args:
        people: from `read_people`.
        clients: 1 or more. held_out: people at most, 1 or more; there may be fewer.

    Raises:
        DataInvalid: there are too few people.
    """
    if len(people) <= clients:
        raise DataInvalid(
            f"The data has {len(people)} people who wrote enough, and at least {clients + 1} are needed.",
            hint="Ask for fewer clients, or deal texts out anew with --partition dirichlet.",
        )
    order = chance(seed, Purpose.SPLIT).permutation(len(people)).tolist()
    chosen = tuple(people[place] for place in order[:clients])
    others = tuple(_parted(people[place]) for place in order[clients : clients + held_out])
    return Split(chosen, others)


def dirichlet(people: Sequence[Person], clients: int, held_out: int, *, alpha: float, seed: int) -> Split:
    """A third of people are held out, at most ``held_out``; the texts of all others are dealt to clients, whose shares
    of each label are drawn from a Dirichlet distribution: the smaller ``alpha`` (above 0), the less alike they are. A
    client that would be left with nothing gets one text of the one that has most.

    Raises:
        DataInvalid: there are fewer texts than clients.

    Source: Hsu, Qi & Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
    Classification", 2019 (arXiv:1909.06335).
    """
    if not alpha > 0:
        raise UsageError("Dirichlet's alpha is above 0.")
    kept = max(1, min(held_out, len(people) // 3))
    split = by_user(people, len(people) - kept, kept, seed=seed)
    random = chance(seed, Purpose.SPLIT, 1)
    texts = [writing for person in split.clients for writing in person]
    if len(texts) < clients:
        raise DataInvalid(f"The data has {len(texts)} texts for {clients} clients.", hint="Ask for fewer clients.")
    dealt: list[list[Writing]] = [[] for _ in range(clients)]
    for label in sorted({writing.label for writing in texts}):
        shares = random.dirichlet(np.full(clients, alpha))
        mine = [writing for writing in texts if writing.label == label]
        for writing, client in zip(mine, random.choice(clients, len(mine), p=shares), strict=True):
            dealt[client].append(writing)
    for poor in (texts for texts in dealt if not texts):
        poor.append(max(dealt, key=len).pop())
    return replace(split, clients=tuple(map(tuple, dealt)))


def skewed(split: Split, *, sigma: float, seed: int) -> Split:
    """The same with clients of unlike sizes: each keeps the share ``e^(-σ|z|)`` of its texts, the latest ones, z being
    normal; one at least. ``sigma`` is 0 or more; 0 thins out nothing.
    """
    if sigma < 0:
        raise UsageError("A skew is 0 or more.")
    shares = np.exp(-sigma * np.abs(chance(seed, Purpose.SPLIT, 2).standard_normal(len(split.clients))))
    kept = tuple(
        texts[-max(1, round(float(share) * len(texts))) :] for texts, share in zip(split.clients, shares, strict=True)
    )
    return replace(split, clients=kept)


def _parted(person: Person) -> HeldOut:
    newest = max(1, round(_HELD_OUT_SHARE * len(person)))
    return HeldOut(person[:-newest], person[-newest:])
