"""Experiment 3, first part: a judge of empathy, against people.

Empathic Conversations (Omitaomu et al., 2022, arXiv:2205.12698): two people talk about a news story, and third persons
rated each turn. The judge reads one turn by itself: a small model that reads the whole dialogue loses sight of the turn
that is asked about (a 1.5B model over 75 turns: 0.20 at best, where single turns gave 0.63). It is asked in three ways
that err differently, and the panel is the mean of their ranks, without weights:

    mark       a mark from 0 to 5, after twelve examples (few-shot)
    yes        whether the writer feels sad or sorry for others (Yes against No)
    continues  whether "I feel so sorry for them" is the likelier next sentence than "I don't really care"

Longer turns are rated higher, so a judge that only counts words would look good: what is left of its agreement once
length is taken out stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from edgeperso.errors import DataInvalid
from edgeperso.evals.experiments.agreement import Scale, agreement_table, mean_of_ranks, scatter
from edgeperso.evals.experiments.tables import key, result
from edgeperso.evals.judging import Judge, Mark, YesNo
from edgeperso.evals.metrics.checks import Float64
from edgeperso.evals.readers import Conversation, read_empathy
from edgeperso.evals.report import Headline, Result
from edgeperso.evals.setup import Setup

__all__ = ["run_empathy"]

_VERSION: Final = 1
_RATING: Final = "empathy"
_RATES: Final = "You rate how much empathy a message shows for people or animals that suffer."
_JUDGES: Final = "You judge messages that people write after they read a sad news story."
_LONGEST: Final = 1200
"""Characters of a turn that are read."""
_EXAMPLES: Final = (
    ("hello , how are you doing today ?", 0),
    ("It breaks my heart to think of those children without their mother. I can't imagine what they go through.", 5),
    ("Did you read the whole article?", 0),
    ("yeah i agree", 1),
    ("That is so sad. I hope they get the help they need.", 4),
    ("The government should have built the dam years ago.", 1),
    ("I feel terrible for the families, nobody deserves to lose their home like that.", 5),
    ("True, and it was in the news last week as well.", 1),
    ("poor animals", 3),
    ("I work in a bank, what about you?", 0),
    ("It made me angry that nobody helped him, he must have felt so alone.", 4),
    ("I guess it is what it is, people should be more careful.", 1),
)
_SHOWN: Final = (
    "Messages from chats about news stories, each with the empathy that it shows, 0 (none) to 5 (deep compassion).\n\n"
    + "".join(f'Message: "{text}"\nEmpathy: {mark}\n\n' for text, mark in _EXAMPLES)
)
_SORRY: Final = YesNo("yes", "\nDoes the writer feel sad or sorry for other people or animals? Answer Yes or No.")
_CARES, _CARES_NOT = " I feel so sorry for them, it breaks my heart.", " I don't really care about them."
_FEELING: Final = frozenset(
    [
        "sad",
        "sorry",
        "heart",
        "heartbreaking",
        "terrible",
        "awful",
        "horrible",
        "tragic",
        "poor",
        "feel",
        "felt",
        "hope",
        "pain",
        "suffer",
        "suffering",
        "hurt",
        "cry",
        "tears",
        "loss",
        "lost",
        "tough",
        "hard",
        "scary",
        "worried",
        "care",
    ]
)
"""A baseline: how many such words a turn has."""


def run_empathy(setup: Setup, turns: Path, articles: Path | None = None, *, limit: int | None = None) -> Result:
    """Judge every turn of the first ``limit`` conversations, and compare with the people who rated them.

    Raises:
        SourceNotFound, DataInvalid: the files are missing or malformed, or no turn is rated.
    """
    conversations = list(islice(read_empathy(turns, articles), limit))
    raw = setup.raw("judge-empathy")
    outputs: list[dict[str, float]] = []
    for done, conversation in enumerate(conversations):
        of = {"empathy": _VERSION, "models": setup.models, "read": [turn.text for turn in conversation.turns]}
        outputs += raw.unit(of, {"id": conversation.id}, partial(_judge, setup, conversation))
        setup.progress("judge", done + 1, len(conversations))
    every = [(conversation.id, turn) for conversation in conversations for turn in conversation.turns]
    rated = [(of, turn, output) for (of, turn), output in zip(every, outputs, strict=True) if _RATING in turn.ratings]
    if not rated:
        raise DataInvalid(f"{turns.name} holds no turn that is rated for empathy.")
    people = np.array([turn.ratings[_RATING] for _, turn, _ in rated])
    texts = [turn.text.lower().split() for _, turn, _ in rated]
    judges = {
        "length": np.array([float(len(words)) for words in texts]),
        "feeling words": np.array([float(sum(word.strip(".,!?'\"") in _FEELING for word in words)) for words in texts]),
        **{name: np.array([output[name] for _, _, output in rated]) for name in ("mark", "yes", "continues")},
    }
    judges["panel"] = mean_of_ranks([judges["mark"], judges["yes"], judges["continues"]])
    return _result(setup, [of for of, _, _ in rated], people, judges)


def _judge(setup: Setup, conversation: Conversation) -> list[dict[str, float]]:
    setup.engine.clear()
    texts = [" ".join(turn.text.split())[:_LONGEST] for turn in conversation.turns]
    marks = _marks(setup, texts)
    judge = Judge(setup.engine, _JUDGES)
    read = judge.begin("")
    # One question after the other: what they share is then read once.
    sorry = [judge.ask([*read, *judge.words(f'Message: "{text}"')], [_SORRY])["yes"] for text in texts]
    onward = [judge.goes_on(f'"{text}"', _CARES, _CARES_NOT) for text in texts]
    return [
        {"mark": mark, "yes": yes, "continues": continues}
        for mark, yes, continues in zip(marks, sorry, onward, strict=True)
    ]


def _marks(setup: Setup, texts: Sequence[str]) -> list[float]:
    """Each text's mark, after the examples, which are read once."""
    judge = Judge(setup.engine, _RATES)
    shown = judge.begin(_SHOWN)
    return [judge.continues_with_mark(shown, f'Message: "{text}"\nEmpathy: ', Mark("mark", "", 0, 5)) for text in texts]


def _result(setup: Setup, units: Sequence[str], people: Float64, judges: dict[str, Float64]) -> Result:
    baselines = ("length", "feeling words")
    scale = Scale(people, units, low=0, high=5)
    table = agreement_table("Empathy of a turn", scale, judges["length"], judges, baselines=baselines, seed=setup.seed)
    rows = {row.label: row.cells for row in table.rows}
    return result(
        setup,
        "judge_empathy",
        {
            "spearman": rows["panel"]["spearman"].value or 0.0,
            "spearman_length": rows["length"]["spearman"].value or 0.0,
            "partial_given_length": rows["panel"]["partial"].value or 0.0,
            **{f"spearman_{key(name)}": rows[name]["spearman"].value or 0.0 for name in judges},
        },
        n=len(people),
        title="A judge of empathy",
        question="Does a local model see how much empathy a message shows, as people do?",
        tables=(table,),
        plots=(scatter("The panel against people", "panel", judges["panel"], people, rows["panel"]["spearman"]),),
        headline=Headline("spearman", "panel"),
        notes=(
            "Intervals resample conversations.",
            "The judge sees no more than the message: irony, and the empathy of answering at all, are lost on it.",
            "It ranks messages; its marks are not people's marks. Don't use it to tell one message's empathy.",
        ),
    )
