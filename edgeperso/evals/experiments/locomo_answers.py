"""LoCoMo's questions, answered by the assistant from the conversation in its vault, and scored as LoCoMo scores.

Maharana et al., "Evaluating Very Long-Term Conversational Memory of LLM Agents", 2024 (arXiv:2402.17753). The questions
are put as the data set's authors put them: for a short phrase, for an approximate date where time is asked for, and
what was never said as a choice between the wrong answer and that it isn't mentioned. All of that stands on the lines
after the question: memories are searched by the question alone. A model that may only quote takes no instructions, and
gets the question alone.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgeperso.assistant.readers import reader_for
from edgeperso.assistant.reply import NOTHING_FOUND
from edgeperso.errors import DataInvalid, UsageError
from edgeperso.evals.experiments.locomo import LocomoReport, measure_recall, recall_table
from edgeperso.evals.experiments.tables import cell, result
from edgeperso.evals.methods import ConditionedAssistant, Method
from edgeperso.evals.metrics.intervals import Resampling, bootstrap_mean, compare_means
from edgeperso.evals.metrics.text import locomo_score
from edgeperso.evals.raw import RawOutputs, digest
from edgeperso.evals.readers import LocomoConversation, LocomoQuestion, read_locomo
from edgeperso.evals.readers.locomo import CATEGORIES
from edgeperso.evals.report import Cell, Column, Headline, Interval, Intervals, Result, Row, Table
from edgeperso.evals.setup import Setup
from edgeperso.knowledge import derive_facts
from edgeperso.vault import Vault

__all__ = ["Asked", "LocomoRun", "put", "run_locomo_answers", "sampled", "short_answer"]

_VERSION: Final = 3
"""Part of each unit's name: goes up when what a unit does changes."""
_TOKENS: Final = 32
"""Of an answer at most, as the authors ask for."""
_NEVER_SAID: Final = 5
_NOT_MENTIONED: Final = "Not mentioned in the conversation"
_BRIEFLY: Final = "Answer in a few words."
_DATED: Final = "Answer in a few words, with an approximate date: every note begins with its own."
_LETTER: Final = re.compile(r"\(?([ab])\)?[.:]?", re.IGNORECASE)
_PUBLISHED: Final = (
    "Published F1 on all ten conversations, of 100 (Maharana et al., 2024): gpt-3.5-turbo 38.8 to 43.3, people 87.9."
)


@dataclass(frozen=True, slots=True)
class LocomoRun:
    """What is asked: under which conditions (figures are of the last), how many questions (0: all), of the first so
    many conversations."""

    methods: tuple[Method, ...] = (Method.parse("none"), Method.parse("hybrid"))
    answers: int = 200
    limit: int | None = None

    def __post_init__(self) -> None:
        if any(method.additions - {"reminder"} for method in self.methods):
            raise UsageError("LoCoMo's questions are about two people: there is no profile or persona of one.")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of the conversation at that place."""

    place: int
    question: LocomoQuestion


@dataclass(frozen=True, slots=True)
class _Scored:
    """By method, in the questions' order: F1, and whether a turn with the answer was among the memories read."""

    f1: Mapping[str, list[float]]
    reached: Mapping[str, list[bool]]


class _Assistant(ConditionedAssistant):
    """Searches by the first line of a question: what follows says how to answer."""

    def sought(self, question: str) -> str:
        return super().sought(question.partition("\n")[0])


def run_locomo_answers(setup: Setup, path: Path, run: LocomoRun) -> Result:
    """Measure the recall over all questions, and ask some of them under every method.

    Args:
        setup: what it runs on.
        path: LoCoMo's JSON file.
        run: what is asked. Questions are drawn by the seed, from each category its share.

    Raises:
        SourceNotFound, DataInvalid: the file is missing or malformed.
        UsageError: a method needs a profile.
    """
    conversations = read_locomo(path)[: run.limit]
    asked = sampled(conversations, run.answers, setup.seed)
    if not asked:
        raise DataInvalid(f"{path.name} holds no question with an answer.", hint="Give LoCoMo's own file.")
    recall = measure_recall(conversations, setup.embedder, setup.progress)
    methods = tuple(dict.fromkeys(run.methods))
    raw = setup.raw("locomo")
    f1: dict[str, list[float]] = {method.name: [] for method in methods}
    reached: dict[str, list[bool]] = {method.name: [] for method in methods}
    for place, conversation in enumerate(conversations):
        questions = [one.question for one in asked if one.place == place]
        with closing(_answers(setup, conversation, questions, methods, raw)) as answers:
            for question, method, output in answers:
                gold = {conversation.records[turn].locator for turn in question.gold}
                answer = short_answer(output, question, setup.seed)
                f1[method.name].append(locomo_score(answer, question.answer or "", question.category))
                reached[method.name].append(not gold.isdisjoint(output["read"]))
                if method == methods[-1]:
                    setup.progress("locomo answers", len(f1[method.name]), len(asked))
    return _result(setup, conversations, asked, recall, _Scored(f1, reached))


def short_answer(output: Mapping[str, Any], question: LocomoQuestion, seed: int) -> str:
    """What counts of an answer: its first line, without the words that restate the question in a small model's place; a
    letter stands for its option; that nothing was found is said in LoCoMo's words."""
    said = output["said"]
    if said == NOTHING_FOUND:
        return _NOT_MENTIONED
    line = next((line.strip() for line in said.removeprefix(output["begun"]).splitlines() if line.strip()), "")
    line = line.removeprefix("Answer:").strip().strip('"“”').strip()
    letter = _LETTER.fullmatch(line)
    if letter is not None and question.category == _NEVER_SAID:
        return _options(question, seed)["ab".index(letter[1].lower())]
    return line


def sampled(
    conversations: Sequence[LocomoConversation], wanted: int, seed: int, among: Collection[int] = tuple(CATEGORIES)
) -> list[Asked]:
    """``wanted`` of the questions that have an answer, in their order: of each category ``among`` them its share, by
    largest remainders. More questions mostly hold those of fewer."""
    every = [
        Asked(place, question)
        for place, conversation in enumerate(conversations)
        for question in conversation.questions
        if question.answer is not None and question.category in among
    ]
    if not 0 < wanted < len(every):
        return every
    groups = {c: [n for n, one in enumerate(every) if one.question.category == c] for c in among}
    shares = {c: wanted * len(group) / len(every) for c, group in groups.items()}
    by_remainder = sorted(shares, key=lambda c: (int(shares[c]) - shares[c], c))
    missing = wanted - sum(map(int, shares.values()))
    chosen: list[int] = []
    for place, c in enumerate(by_remainder):
        random.Random(digest([seed, c])).shuffle(groups[c])  # noqa: S311 - to be repeated, not secret
        chosen += groups[c][: int(shares[c]) + (place < missing)]
    return [every[number] for number in sorted(chosen)]


def _options(question: LocomoQuestion, seed: int) -> list[str]:
    """The two that a question is given about what was never said, in the order that the seed draws."""
    options = [_NOT_MENTIONED, question.answer or ""]
    random.Random(digest([seed, question.text])).shuffle(options)  # noqa: S311 - to be repeated, not secret
    return options


def put(question: LocomoQuestion, seed: int) -> str:
    """The question as a model is asked that takes instructions; the seed draws the order of its options."""
    words = _DATED if CATEGORIES[question.category] == "time" else _BRIEFLY
    if question.category == _NEVER_SAID:
        first, second = _options(question, seed)
        words = f"Select the correct answer: (a) {first} (b) {second}"
    return f"{' '.join(question.text.split())}\n{words}"


def _answers(
    setup: Setup,
    conversation: LocomoConversation,
    questions: Sequence[LocomoQuestion],
    methods: Sequence[Method],
    raw: RawOutputs,
) -> Generator[tuple[LocomoQuestion, Method, dict[str, Any]]]:
    """Every question under every method, in one vault, which is made once an answer isn't on file. Each answer begins
    with an empty context: see `RawOutputs`."""
    told = digest([astuple(record) for record in conversation.records])
    quotes = reader_for(setup.engine.info).quotes
    with ExitStack() as stack:

        @cache
        def vault() -> Vault:
            opened = stack.enter_context(setup.vault(conversation.records))
            derive_facts(opened)  # now, so that what one method finds doesn't hang on which was asked before
            return opened

        def ask(question: LocomoQuestion, method: Method) -> dict[str, Any]:
            asked = " ".join(question.text.split()) if quotes else method.asked(put(question, setup.seed))
            of = {
                "locomo": _VERSION,
                "models": setup.models,
                "method": method.name,
                "most": setup.most,
                "seed": setup.seed if method.choice == "random" else 0,
                "asked": asked,
                "conversation": told,
            }
            label = {"conversation": conversation.id, "method": method.name, "category": question.category}
            out: dict[str, Any] = raw.unit(of, label, lambda: _answer(setup, vault(), method, conversation, asked))
            return out

        for question in questions:
            for method in methods:
                yield question, method, ask(question, method)


def _answer(setup: Setup, vault: Vault, method: Method, conversation: LocomoConversation, asked: str) -> dict[str, Any]:
    setup.engine.clear()
    me = _Assistant(
        vault,
        setup.catalogue,
        engine=setup.engine,
        embedder=setup.embedder,
        method=method,
        most=setup.most,
        seed=setup.seed,
        clock=lambda: conversation.end_ms,
    )
    reply = me.ask(asked, max_tokens=_TOKENS)
    read = [memory.locator for memory in vault.memories.get(reply.sources)]
    return {"asked": asked, "said": reply.text, "begun": reply.prompt.begun, "read": read}


def _result(
    setup: Setup,
    conversations: Sequence[LocomoConversation],
    asked: Sequence[Asked],
    recall: LocomoReport,
    scored: _Scored,
) -> Result:
    several = len({one.place for one in asked}) > 1
    users = [one.place for one in asked] if several else list(range(len(asked)))
    overall = _overall(setup, asked, users, scored)
    parts = _by_category(setup, asked, users, scored)
    last = overall.rows[-1].label
    total = sum(question.answer is not None for one in conversations for question in one.questions)
    units = f"whole conversations, {len(set(users))} of them: too narrow with so few" if several else "questions"
    return result(
        setup,
        "locomo_answers",
        recall.figures | _figures(asked, scored, last),
        n=len(asked),
        title="LoCoMo",
        question="Are questions about long conversations answered rightly from memory?",
        tables=(overall, parts, *((recall_table(recall),) if recall.questions else ())),
        plots=(_plot(parts, last),),
        headline=Headline("f1", last),
        notes=(
            f"{len(asked)} of {total} questions; those asked are drawn by the seed, from each category its share.",
            f"Intervals draw {units}.",
            _PUBLISHED,
            "What was never said: only saying so counts."
            if reader_for(setup.engine.info).quotes
            else "What was never said is asked as the authors ask it, as a choice of two: a coin gets half.",
        ),
    )


def _figures(asked: Sequence[Asked], scored: _Scored, last: str) -> dict[str, float]:
    category = np.array([one.question.category for one in asked])
    f1 = np.array(scored.f1[last])
    said = category != _NEVER_SAID
    return {
        "f1": float(f1.mean()),
        **({"f1_none": float(np.mean(scored.f1["none"]))} if "none" in scored.f1 else {}),
        **{f"f1_category_{c}": float(f1[category == c].mean()) for c in sorted(set(category.tolist()))},
        **({"f1_answerable": float(f1[said].mean())} if said.any() else {}),
        "answered": float(len(asked)),
    }


def _overall(setup: Setup, asked: Sequence[Asked], users: Sequence[int], scored: _Scored) -> Table:
    """A row a method: F1 over all questions, over those that have an answer, and how often the evidence was read."""
    resampling = Resampling(seed=setup.seed)
    said = [place for place, one in enumerate(asked) if one.question.category != _NEVER_SAID]
    known = [place for place, one in enumerate(asked) if one.question.gold]

    def measured(values: Mapping[str, Sequence[float]], method: str, places: Sequence[int]) -> Cell:
        if not places:
            return Cell(None)
        of, those = np.array(values[method], float)[places], [users[place] for place in places]
        base = None if method == "none" or "none" not in values else np.array(values["none"], float)[places]
        against = None if base is None else compare_means(of, base, those, resampling)
        return cell(bootstrap_mean(of, those, resampling), against)

    rows = tuple(
        Row(
            method,
            {
                "f1": measured(scored.f1, method, range(len(asked))),
                "said": measured(scored.f1, method, said),
                "reached": Cell(float(np.mean(np.array(scored.reached[method])[known])) if known else None),
            },
            n=len(asked),
            baseline=method == "none",
        )
        for method in scored.f1
    )
    columns = (
        Column("f1", "F1", "higher"),
        Column("said", "F1 where something was said", "higher"),
        Column("reached", "evidence read", "higher"),
    )
    return Table("Answers about long conversations", "method", columns, rows, note="p: against none.")


def _by_category(setup: Setup, asked: Sequence[Asked], users: Sequence[int], scored: _Scored) -> Table:
    resampling = Resampling(seed=setup.seed)
    rows = []
    for category in sorted({one.question.category for one in asked}):
        places = [place for place, one in enumerate(asked) if one.question.category == category]
        those = [users[place] for place in places]
        cells = {
            method: cell(bootstrap_mean(np.array(f1)[places], those, resampling)) for method, f1 in scored.f1.items()
        }
        rows.append(Row(f"{category} {CATEGORIES[category]}", cells, n=len(places)))
    columns = tuple(Column(method, f"F1, {method}", "higher") for method in scored.f1)
    return Table("F1 by category", "category", columns, tuple(rows), ranked=False)


def _plot(parts: Table, last: str) -> Intervals:
    """F1 of the last method by category, and of none beside it."""
    shown = [name for name in ("none", last) if name in {column.name for column in parts.columns}]
    points = [
        Interval(f"{row.label}, {name}", found.value, found.low, found.high, baseline=name == "none")
        for row in parts.rows
        for name in dict.fromkeys(shown)
        for found in [row.cells[name]]
    ]
    return Intervals(title="F1 by category", x="F1", points=tuple(points), better="higher")
