"""LoCoMo's evidence recall: are the turns that answer a question among the first k that the retriever gives?

Each conversation goes into a real, encrypted, temporary vault, a turn a memory, and is asked through the `Retriever`
that `ask` uses. Maharana et al., "Evaluating Very Long-Term Conversational Memory of LLM Agents", 2024
(arXiv:2402.17753); the unit is the dialog turn, as in its table 3.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeperso.embedding import embed_missing
from edgeperso.errors import DataInvalid
from edgeperso.evals.lodging import temporary_vault
from edgeperso.evals.metrics.ranking import recall_at
from edgeperso.evals.readers import LocomoConversation, read_locomo
from edgeperso.evals.readers.locomo import CATEGORIES
from edgeperso.evals.report import Cell, Column, Headline, Result, Row, Table
from edgeperso.retrieval import Retriever
from edgeperso.types import Embedder, Progress, Query

__all__ = ["CUTOFFS", "LocomoReport", "measure_recall", "recall_result", "recall_table", "run_locomo"]

CUTOFFS = (5, 10, 25, 50)


@dataclass(frozen=True, slots=True)
class LocomoReport:
    """Mean recall over questions, 0 to 1: ``recall`` by cutoff, ``by_category`` by category and cutoff."""

    recall: dict[int, float]
    by_category: dict[int, dict[int, float]]
    questions: int
    conversations: int

    @property
    def figures(self) -> dict[str, float]:
        """The flat map that ``--json`` prints."""
        flat = {f"recall_at_{k}": value for k, value in self.recall.items()}
        for category, recall in self.by_category.items():
            flat |= {f"recall_at_{k}_category_{category}": value for k, value in recall.items()}
        return flat | {"questions": float(self.questions), "conversations": float(self.conversations)}


def run_locomo(
    path: Path, embedder: Embedder, *, limit: int | None = None, progress: Progress | None = None
) -> LocomoReport:
    """Measure the retriever on the conversations of ``path``.

    Args:
        path: LoCoMo's JSON file.
        embedder: what embeds turns and questions.
        limit: of conversations, the first so many.
        progress: called once a conversation.

    Raises:
        SourceNotFound: there is no such file.
        DataInvalid: the file isn't LoCoMo's; the message names record and field.
    """
    report = measure_recall(read_locomo(path)[:limit], embedder, progress)
    if not report.questions:
        raise DataInvalid(f"{path.name} holds no question with evidence.", hint="Give LoCoMo's own file.")
    return report


def measure_recall(
    conversations: Sequence[LocomoConversation], embedder: Embedder, progress: Progress | None = None
) -> LocomoReport:
    """The recall over the questions that have evidence; figures are missing where none has."""
    found: list[tuple[int, dict[int, float]]] = []
    for number, conversation in enumerate(conversations):
        found += _measure(conversation, embedder)
        if progress is not None:
            progress("locomo", number + 1, len(conversations))
    return LocomoReport(
        recall=_mean([recall for _, recall in found]),
        by_category={
            wanted: _mean([recall for category, recall in found if category == wanted])
            for wanted in sorted({category for category, _ in found})
        },
        questions=len(found),
        conversations=len(conversations),
    )


def recall_result(report: LocomoReport, measured: Mapping[str, object]) -> Result:
    """The report and what was printed of it as a `Result`, dated today."""
    return Result.of(
        measured,
        title="LoCoMo, evidence found",
        question="Are the turns that answer a question among the first that are found?",
        date=datetime.datetime.now(tz=datetime.UTC).date(),
        tables=(recall_table(report),),
        headline=Headline("recall_10", "all"),
    )


def recall_table(report: LocomoReport) -> Table:
    """The recall of all questions, and of each category's."""
    by_name = {"all": report.recall} | {f"{c} {CATEGORIES[c]}": recall for c, recall in report.by_category.items()}
    columns = tuple(Column(f"recall_{k}", f"recall@{k}", "higher") for k in CUTOFFS)
    rows = tuple(Row(name, {f"recall_{k}": Cell(of[k]) for k in CUTOFFS}) for name, of in by_name.items())
    note = f"Over the {report.questions} questions with evidence."
    return Table("Turns with the answer found", "category", columns, rows, ranked=False, note=note)


def _measure(conversation: LocomoConversation, embedder: Embedder) -> list[tuple[int, dict[int, float]]]:
    """Category and recall of each question with evidence, in a vault that is gone afterwards."""
    with temporary_vault() as vault:
        # Identical turns of one session would be stored once; dialog ids in the locator keep them apart.
        ids = vault.memories.add(conversation.records).ids
        embed_missing(vault, embedder)
        retriever = Retriever(vault, embedder)
        measured = []
        for question in conversation.questions:
            if question.gold:
                query = Query(text=question.text, now_ms=conversation.end_ms, limit=max(CUTOFFS))
                ranked = [hit.memory.id for hit in retriever.search(query)]
                gold = {ids[place] for place in question.gold}
                measured.append((question.category, {k: recall_at(ranked, gold, k) for k in CUTOFFS}))
        return measured


def _mean(recalls: list[dict[int, float]]) -> dict[int, float]:
    return {k: sum(recall[k] for recall in recalls) / len(recalls) for k in CUTOFFS} if recalls else {}
