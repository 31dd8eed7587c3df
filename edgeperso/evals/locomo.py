"""Evidence recall on LoCoMo: are the turns that answer a question among the first k that the retriever gives?

Each conversation goes into a real, encrypted, temporary vault, a turn a memory, and is asked through the `Retriever`
that `ask` uses. The data set: Maharana et al., "Evaluating Very Long-Term Conversational Memory of LLM Agents", 2024
(arXiv:2402.17753); the unit is the dialog turn, as in its table 3.
"""

from __future__ import annotations

import json
import re
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgeperso.embedding import embed_missing
from edgeperso.errors import DataInvalid, SourceNotFound
from edgeperso.evals.metrics.ranking import recall_at
from edgeperso.retrieval import Retriever
from edgeperso.times import datetime_ms
from edgeperso.types import Embedder, Kind, Progress, Query, Record
from edgeperso.vault import Passphrase, Vault

__all__ = ["CUTOFFS", "LocomoConversation", "LocomoQuestion", "LocomoReport", "read_locomo", "run_locomo"]

CUTOFFS = (5, 10, 25, 50)
_SESSION = re.compile(r"session_(\d+)")
_DIALOG_ID = re.compile(r"D\d+:\d+")


@dataclass(frozen=True, slots=True)
class LocomoQuestion:
    """A question and the places (in `LocomoConversation.records`) of the turns that answer it."""

    text: str
    category: int
    gold: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LocomoConversation:
    """Turns in order, the questions that have evidence, and when the last session was."""

    records: tuple[Record, ...]
    questions: tuple[LocomoQuestion, ...]
    end_ms: int


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
    conversations = read_locomo(path)[:limit]
    found: list[tuple[int, dict[int, float]]] = []
    for number, conversation in enumerate(conversations):
        found += _measure(conversation, embedder)
        if progress is not None:
            progress("locomo", number + 1, len(conversations))
    if not found:
        raise DataInvalid(f"{path.name} holds no question with evidence.", hint="Give LoCoMo's own file.")
    categories = sorted({category for category, _ in found})
    return LocomoReport(
        recall=_mean([recall for _, recall in found]),
        by_category={
            wanted: _mean([recall for category, recall in found if category == wanted]) for wanted in categories
        },
        questions=len(found),
        conversations=len(conversations),
    )


def read_locomo(path: Path) -> list[LocomoConversation]:
    """The conversations of LoCoMo's JSON file.

    Raises:
        SourceNotFound: there is no such file.
        DataInvalid: the file isn't LoCoMo's; the message names record and field.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError:
        raise SourceNotFound(f"There is no readable file {path.name}.", hint="Check --data.") from None
    except (ValueError, RecursionError):
        raise DataInvalid(f"{path.name} is not JSON.", hint="Give LoCoMo's own file.") from None
    _require(isinstance(content, list) and bool(content), path, "the file", "a list of conversations")
    return [_conversation(path, f"record {number}", record) for number, record in enumerate(content)]


def _conversation(path: Path, where: str, record: Any) -> LocomoConversation:
    _require(isinstance(record, dict), path, where, "an object")
    sessions, questions = record.get("conversation"), record.get("qa")
    _require(isinstance(sessions, dict), path, f"{where}, field conversation", "an object")
    _require(isinstance(questions, list), path, f"{where}, field qa", "a list")
    places: dict[str, int] = {}
    records: list[Record] = []
    end_ms = 0
    for name, turns in sessions.items():
        if not _SESSION.fullmatch(name):
            continue
        at = f"{where}, field {name}"
        _require(isinstance(turns, list), path, at, "a list of turns")
        when_ms = _session_ms(path, f"{at}_date_time", sessions.get(f"{name}_date_time"))
        end_ms = max(end_ms, when_ms)
        for position, turn in enumerate(turns):
            _require(
                isinstance(turn, dict) and all(isinstance(turn.get(key), str) for key in ("speaker", "dia_id", "text")),
                path, f"{at}, turn {position}", "an object with speaker, dia_id and text",
            )  # fmt: skip
            places[turn["dia_id"]] = len(records)
            records.append(_turn(turn, name, position, when_ms))
    asked = tuple(_questions(path, where, questions, places))
    return LocomoConversation(records=tuple(records), questions=asked, end_ms=end_ms)


def _turn(turn: dict[str, Any], session: str, position: int, when_ms: int) -> Record:
    caption = turn.get("blip_caption")
    return Record(
        text=f"{turn['text']} [image: {caption}]" if caption else turn["text"],
        kind=Kind.CHAT,
        source="locomo",
        locator=turn["dia_id"],
        author=turn["speaker"],
        thread=session,
        position=position,
        occurred_ms=when_ms,
    )


def _questions(path: Path, where: str, questions: list[Any], places: dict[str, int]) -> Iterator[LocomoQuestion]:
    """Those that have evidence among the turns; the data set has a few without, and a few ids that name no turn."""
    for number, question in enumerate(questions):
        at = f"{where}, qa {number}"
        _require(isinstance(question, dict), path, at, "an object")
        text, category, evidence = (question.get(key) for key in ("question", "category", "evidence"))
        _require(isinstance(text, str) and bool(text.strip()), path, f"{at}, field question", "a text")
        _require(isinstance(category, int), path, f"{at}, field category", "a number")
        _require(
            evidence is None or (isinstance(evidence, list) and all(isinstance(part, str) for part in evidence)),
            path, f"{at}, field evidence", "a list of dialog ids",
        )  # fmt: skip
        named = [dialog_id for part in evidence or () for dialog_id in _DIALOG_ID.findall(part)]
        gold = sorted({places[dialog_id] for dialog_id in named if dialog_id in places})
        if gold:
            yield LocomoQuestion(text=text, category=category, gold=tuple(gold))


def _session_ms(path: Path, where: str, value: Any) -> int:
    """``1:56 pm on 8 May, 2023``, taken as UTC."""
    try:
        return datetime_ms(datetime.strptime(value, "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC))
    except (TypeError, ValueError):
        raise DataInvalid(
            f"{path.name}: {where} is not a time like '1:56 pm on 8 May, 2023'.", hint="Give LoCoMo's own file."
        ) from None


def _measure(conversation: LocomoConversation, embedder: Embedder) -> list[tuple[int, dict[int, float]]]:
    """Category and recall of each question, in a vault that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="edgeperso-eval-") as folder:
        vault, _ = Vault.create(Path(folder) / "vault", Passphrase(secrets.token_urlsafe(24)))
        with vault:
            # Identical turns of one session would be stored once; dialog ids in the locator keep them apart.
            ids = vault.memories.add(conversation.records).ids
            embed_missing(vault, embedder)
            retriever = Retriever(vault, embedder)
            measured = []
            for question in conversation.questions:
                query = Query(text=question.text, now_ms=conversation.end_ms, limit=max(CUTOFFS))
                ranked = [hit.memory.id for hit in retriever.search(query)]
                gold = {ids[place] for place in question.gold}
                measured.append((question.category, {k: recall_at(ranked, gold, k) for k in CUTOFFS}))
            return measured


def _mean(recalls: list[dict[int, float]]) -> dict[int, float]:
    return {k: sum(recall[k] for recall in recalls) / len(recalls) for k in CUTOFFS}


def _require(holds: bool, path: Path, where: str, expected: str) -> None:
    if not holds:
        raise DataInvalid(f"{path.name}: {where} is not {expected}.", hint="Give LoCoMo's own file.")
