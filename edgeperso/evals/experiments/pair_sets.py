"""Preference pairs to learn from and to be judged by: of an invented person with a style, and of people's judgments.

The invented person wants the figure first, then the next step, in plain sentences, without praise and officialese.
Three parts share nothing but that style: tasks, forms of questions, and forms of both answers are different in each.
The forms were worded so that a model that knows nothing of the person is near chance (SmolLM2-135M, nats a token:
0.58 on the part for the figures), before anything was trained on them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, groupby, zip_longest
from pathlib import Path
from typing import Final

from edgeperso.errors import DataInvalid
from edgeperso.evals.raw import digest
from edgeperso.evals.readers import Judgment, read_unieval

__all__ = ["PairSet", "Preference", "invented_pairs", "judged_pairs"]

_TRAINED: Final = 50
"""Pairs to learn from."""


@dataclass(frozen=True, slots=True)
class Preference:
    """``chosen`` is better than ``rejected`` after ``prompt``. Pairs of one ``group`` resemble each other: a task, a
    dialogue."""

    group: str
    prompt: str
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True)
class PairSet:
    """``train`` to learn from, ``dev`` to choose settings by, ``test`` for the figures; no group is in two of them."""

    name: str
    title: str
    train: tuple[Preference, ...]
    dev: tuple[Preference, ...]
    test: tuple[Preference, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    """``tasks`` are (what is done, how long, what comes next)."""

    tasks: tuple[tuple[str, str, str], ...]
    questions: tuple[str, ...]
    chosen: tuple[str, ...]
    rejected: tuple[str, ...]


_TRAIN: Final = _Part(
    (
        ("soak chickpeas", "twelve hours", "rinse them well"),
        ("boil a large egg hard", "ten minutes", "put it in cold water"),
        ("rest a steak", "five minutes", "cut it across the grain"),
        ("steep black tea", "four minutes", "take the bag out"),
        ("bake a jacket potato", "seventy minutes", "split it open"),
        ("proof a sourdough loaf", "three hours", "score the top"),
        ("simmer a vegetable stock", "forty minutes", "strain it"),
        ("marinate tofu", "half an hour", "pat it dry"),
        ("toast walnuts in a pan", "six minutes", "let them cool on a plate"),
        ("cook brown rice", "thirty minutes", "leave the lid on for a while"),
        ("dry a wool jumper flat", "two days", "fold it loosely"),
        ("let a first coat of wall paint dry", "four hours", "sand it lightly"),
        ("cure a bead of silicone", "one day", "peel the tape off"),
        ("clamp a glued chair leg", "eight hours", "wipe the joint clean"),
        ("descale a kettle with vinegar", "one hour", "boil it twice with water"),
        ("soak a burnt pan", "overnight", "scrape it with wood"),
        ("leave boots on a shoe tree", "a day", "rub in some grease"),
        ("charge a bicycle light", "two hours", "check that it blinks"),
        ("water a new hedge with a hose", "twenty minutes", "spread some bark"),
        ("chill a pie crust", "forty-five minutes", "roll it thin"),
        ("keep cuttings in water", "three weeks", "pot them in sand"),
        ("hold a hamstring stretch", "thirty seconds", "change legs"),
        ("warm up before a run", "eight minutes", "start slowly"),
        ("air a bedroom in winter", "ten minutes", "turn the heating up again"),
        ("ripen hard pears on a shelf", "five days", "move them to the fridge"),
    ),
    ("How long should I {task}?", "I want to {task}. For how long?"),
    (
        "{Amount}. After that you {step}, and that is all.",
        "{Amount} is enough. Then you can {step}.",
        "{Amount}. When the time is up, {step}.",
        "{Amount}, no more and no less. The next thing to do is to {step}.",
        "{Amount} at least. As soon as it is over, {step}.",
    ),
    (
        "What a great question! Give it {amount}, and then {step}!",
        "Yay, splendid plan, bravo! Then {step}, after a dreamy {amount}, hooray!",
        "Pursuant to usage, a term of {amount} be observed; thereupon {step}.",
        "It is generally recommended to allow a period of {amount}, after which one should {step}.",
        "Whoever wants to {step} waits first, and waiting here means {amount}.",
        "Before you {step}, you have to wait for {amount}.",
    ),
)
_DEV: Final = _Part(
    (
        ("roast a tray of carrots", "thirty-five minutes", "salt them"),
        ("freeze ice cubes", "five hours", "twist the tray"),
        ("brine a chicken", "six hours", "dry its skin"),
        ("leave primer on a door", "three hours", "paint the edges first"),
        ("soak oats for breakfast", "one night", "stir in some milk"),
        ("cool a sponge cake", "an hour", "slice it in two"),
        ("hold a plank", "forty seconds", "rest on your knees"),
        ("let grout harden", "two days", "seal it"),
        ("wash a down jacket", "fifty minutes", "dry it with tennis balls"),
        ("keep seedlings indoors", "six weeks", "set them out by day"),
    ),
    ("How much time does it take to {task}?", "Can you say how long one has to {task}?"),
    (
        "{Amount} does it. Once that is done, you only have to {step}.",
        "Take {amount}. What is left for you to do is to {step}.",
        "{Amount}, roughly. From then on you are free to {step}.",
    ),
    (
        "I am so glad you asked me this! It takes {amount}, and then it is time to {step}!",
        "Interval as customary hereabouts: {amount}; subsequent measure, to wit, {step}.",
        "To {step} is what comes at the end, and the wait before it is {amount}.",
    ),
)
_TEST: Final = _Part(
    (
        ("steam broccoli", "five minutes", "squeeze a lemon over it"),
        ("knead bread dough by hand", "twelve minutes", "cover the bowl"),
        ("brew cold coffee", "sixteen hours", "filter it twice"),
        ("thaw a frozen lasagne", "one day", "bake it covered"),
        ("poach a pear in wine", "twenty-five minutes", "reduce the liquid"),
        ("pickle red onions", "two hours", "close the jar"),
        ("fry a fish fillet on its skin", "four minutes", "turn it once"),
        ("dry fresh herbs on a string", "two weeks", "crumble them into a tin"),
        ("let yoghurt set", "nine hours", "put it in the fridge"),
        ("oil a cutting board", "a few hours", "wipe off the rest"),
        ("let wood stain soak in", "fifteen minutes", "rub it with a cloth"),
        ("keep plaster from being painted", "four weeks", "start with a thin coat"),
        ("soak a paint brush", "half a day", "comb the bristles"),
        ("bleed a radiator", "one minute", "check the pressure"),
        ("leave a new lawn alone", "six weeks", "mow it high"),
        ("store onions in a dark cellar", "five months", "throw out the soft ones"),
        ("ice a sprained ankle", "fifteen minutes", "lift the foot"),
        ("nap after lunch", "twenty minutes", "walk around the block"),
        ("break in hiking boots", "ten days", "try a longer walk"),
        ("sharpen a kitchen knife on a stone", "eight minutes", "test it on paper"),
    ),
    ("What is a good time to {task}, in your view?", "Today I have to {task}; tell me the time it needs."),
    (
        "About {amount} will do. Once you have waited that long, {step}.",
        "{Amount}, by the clock. The last thing that you do is to {step}.",
        "Count on {amount}. At the end of it, {step}.",
        "{Amount}, and not a moment longer. Finish by going on to {step}.",
    ),
    (
        "That sounds like so much fun, thank you for asking! Take {amount} and then {step}!",
        "Wow, wow, marvellous! Oh {amount}, precious {amount}, then {step}, cheers!",
        "Please note that the process normally requires {amount} before you {step}.",
        "Stipulated duration {amount}, whereupon the undersigned would {step}.",
        "In the end you {step}, and what comes before that lasts {amount}.",
        "There will be a moment to {step}, but not until a while has gone by, namely {amount}.",
    ),
)


def invented_pairs(seed: int) -> PairSet:
    """The pairs of a person with a consistent style: 50 to learn from, 20 to choose by, 40 to be judged by."""
    train, dev, test = (_made(part, seed) for part in (_TRAIN, _DEV, _TEST))
    return PairSet("invented", "an invented person's style", train, dev, test)


def _made(part: _Part, seed: int) -> tuple[Preference, ...]:
    chance = random.Random(digest([seed, part.questions]))  # noqa: S311 - to be repeated, not secret
    made = []
    for task, amount, step in part.tasks:
        words = {"task": task, "amount": amount, "Amount": _begun(amount), "step": step, "Step": _begun(step)}
        for question in part.questions:
            chosen, rejected = chance.choice(part.chosen), chance.choice(part.rejected)
            made.append(Preference(task, question.format(**words), chosen.format(**words), rejected.format(**words)))
    chance.shuffle(made)
    return tuple(made)


def _begun(words: str) -> str:
    return words[0].upper() + words[1:]


_RATING: Final = "overall"
_APART: Final = 1.0
"""Marks, of 1 to 5, by which two responses must differ: less is what raters differ by."""
_TURNS: Final = 4
"""Last turns of a dialogue that are read."""
_EACH: Final = 6
"""Pairs of one dialogue at most."""
_SHARES: Final = (0.45, 0.2)
"""Of the dialogues, to learn from and to choose by; the rest is for the figures."""


def judged_pairs(data: Path, seed: int) -> PairSet:
    """Pairs of responses to the same dialogue that people marked differently, the dialogues parted by the seed.

    Mehri and Eskenazi, "USR", 2020 (arXiv:2005.00456), as UniEval has them (arXiv:2210.07197).

    Raises:
        SourceNotFound, DataInvalid: the file is missing or malformed, or holds too few dialogues.
    """
    rated = [one for one in read_unieval(data) if _RATING in one.scores]
    dialogues = [list(group) for _, group in groupby(rated, key=lambda one: one.history)]
    chance = random.Random(digest([seed, "dialogues"]))  # noqa: S311 - to be repeated, not secret
    chance.shuffle(dialogues)
    pairs = [found for dialogue in dialogues if (found := _pairs_of(dialogue, chance))]
    first, second = (round(sum(_SHARES[:count]) * len(pairs)) for count in (1, 2))
    parts = pairs[:first], pairs[first:second], pairs[second:]
    if not all(parts):
        raise DataInvalid(f"{data.name} holds too few dialogues whose responses were marked differently.")
    train, dev, test = (_in_turn(part) for part in parts)
    return PairSet("topical_chat", "people's marks of responses", train[:_TRAINED], dev, test)


def _in_turn(groups: Sequence[Sequence[Preference]]) -> tuple[Preference, ...]:
    """A pair of each group, then a second one of each, so that the first so many come from all of them."""
    return tuple(pair for row in zip_longest(*groups) for pair in row if pair is not None)


def _pairs_of(dialogue: Sequence[Judgment], chance: random.Random) -> list[Preference]:
    found = []
    for one, other in combinations(dialogue, 2):
        better, worse = sorted((one, other), key=lambda judged: -judged.scores[_RATING])
        if better.scores[_RATING] - worse.scores[_RATING] >= _APART and better.response and worse.response:
            said = " ".join(f"“{turn}”" for turn in one.history[-_TURNS:])
            prompt = f"In a chat was said, turn by turn: {said} What do you say next?"
            found.append(Preference(dialogue[0].id, prompt, better.response, worse.response))
    chance.shuffle(found)
    return found[:_EACH]
