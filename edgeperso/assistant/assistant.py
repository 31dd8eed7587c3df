"""The façade: one vault, one embedder, one model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self
from unicodedata import normalize
from weakref import WeakSet

from edgeperso.assistant.chat import Chat
from edgeperso.assistant.export import ExportReport, export_jsonl
from edgeperso.assistant.finding import by_facts
from edgeperso.assistant.people import adopt
from edgeperso.assistant.prefixes import Prefixes
from edgeperso.assistant.readers import Reader, layout_for, reader_for
from edgeperso.assistant.reading_ahead import ReadAhead, ReadingAhead
from edgeperso.assistant.reply import Reply
from edgeperso.assistant.shelf import Shelf
from edgeperso.assistant.shortening import shortener
from edgeperso.assistant.teaching import EVERYTHING, Taught
from edgeperso.assistant.trace import Trace
from edgeperso.assistant.wearing import Outfit
from edgeperso.assistant.weighing import Weighed, Weigher
from edgeperso.catalogue import Catalogue
from edgeperso.embedding import embed_missing, load_embedder
from edgeperso.engine import Engine
from edgeperso.engine.optimize import best_file
from edgeperso.engine.origin import base_sha256
from edgeperso.errors import EmptyQuestion, NotFound, UsageError
from edgeperso.importers import ImportReport, import_path
from edgeperso.knowledge import Preferences, derive_facts
from edgeperso.prompting import Shorten
from edgeperso.retrieval import Retriever, favour_current
from edgeperso.settings import default_home, default_models_dir
from edgeperso.times import now_ms
from edgeperso.types import Asking, Embedder, Hit, Kind, Memory, MemoryFilter, Progress, Query, Record, Trust
from edgeperso.vault import Vault
from edgeperso.vault.adapters import StoredAdapter
from edgeperso.vault.credentials import Credential
from edgeperso.vault.erasure import ErasurePlan, Receipt, erase
from edgeperso.vault.erasure import plan as plan_erasure

__all__ = ["DEFAULT_EMBEDDER", "DEFAULT_MODEL", "Assistant", "open_assistant"]

DEFAULT_MODEL = "smollm2-135m"
DEFAULT_EMBEDDER = "minilm-int8"
_SEARCHED = 40
_REMEMBERED = "remembered"
_ADVISING = "You know a person well and advise them."
_ADVISED_BY = 3
"""Memories that a recommendation rests on, at most."""
_NEARLY = 1.0
"""Of those the ones that score nearly as well as the best: by so many standard deviations less. Beside others a small
model loses sight of what decides (docs/explanation/asking.md)."""


class Assistant(Taught):
    """What a person does with their vault. Models are loaded when first needed.

    Use it as a context manager, or `close` it: the key and the models leave memory then.
    """

    def __init__(
        self,
        vault: Vault,
        catalogue: Catalogue,
        *,
        model: str | None = None,
        engine: Engine | None = None,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        """``engine`` shares one that is loaded; it stays open when the assistant closes. See `open_assistant`."""
        self.vault = vault
        self.catalogue = catalogue
        self._model = model
        self._clock = clock
        self._embedder: Embedder | None = None
        self._retriever: Retriever | None = None
        self._engine = engine
        self._own_engine = engine is None
        self._replies: WeakSet[Reply] = WeakSet()
        self._ahead: threading.Event | None = None
        self.prefixes = Prefixes(vault)
        self._outfit = Outfit(vault)
        self.adapters = Shelf(self, self._outfit)

    # Taking in

    def add(self, path: str | Path, *, scope: str = "personal", progress: Progress | None = None) -> ImportReport:
        """Import files of any format that the importers know, then make what is new findable. Safe to repeat."""
        report = import_path(self.vault, Path(path), scope=scope, progress=progress)
        self.catch_up(progress)
        return report

    def remember(
        self,
        text: str,
        *,
        kind: Kind = Kind.NOTE,
        scope: str = "personal",
        occurred_ms: int | None = None,
    ) -> Memory:
        """Store what the person says, as true from now on; what it replaces is closed, not deleted.

        Raises:
            EmptyQuestion: nothing but white space.
        """
        if not text.strip():
            raise EmptyQuestion("There is nothing to remember.", hint="Write what should be remembered.")
        when = self._clock() if occurred_ms is None else occurred_ms
        record = Record(text=text.strip(), kind=kind, source=_REMEMBERED, occurred_ms=when, scope=scope)
        report = self.vault.memories.add([record])
        self.catch_up()
        if report.ids:
            return self.vault.memories.one(report.ids[0])
        said = normalize("NFC", record.text)
        stored = self.vault.memories.scan(MemoryFilter(sources=(_REMEMBERED,)))
        return next(memory for memory in stored if normalize("NFC", memory.text) == said)

    def catch_up(self, progress: Progress | None = None) -> None:
        """Derive facts and embed whatever isn't yet: after an import, or after one that was interrupted."""
        self.vault.memories.name_languages()
        derive_facts(self.vault, progress)
        embed_missing(self.vault, self.embedder, progress)

    def follow(self, reply: Reply) -> None:
        """End ``reply`` with the assistant, if nobody ended it before: what was said of it can still be stored."""
        self._replies.add(reply)

    # Finding and answering

    def recall(self, text: str, *, limit: int = 10, where: MemoryFilter = EVERYTHING) -> list[Hit]:
        """The memories that bear on ``text``, best first."""
        self.catch_up()
        return self.retriever.search(Query(text, now_ms=self._clock(), limit=limit, where=where))

    def sought(self, question: str) -> str:
        """What of ``question`` memories are searched by: all of it."""
        return question

    def find(self, question: str, where: MemoryFilter) -> tuple[list[Hit], list[Hit]]:
        """What an answer may draw on, best first, and what was found but is superseded for this question."""
        question = self.sought(question)
        if not question.strip():
            return [], []
        hits = favour_current(question, self.recall(question, limit=_SEARCHED, where=where))
        query = Query(question, now_ms=self._clock(), limit=_SEARCHED, where=where)
        return by_facts(self.vault, question, hits, lambda ids: self.retriever.rank(ids, query))

    def shortener(self, question: str, whole_tokens: int | None) -> Shorten | None:
        """How notes for ``question`` are shortened that have more than ``whole_tokens`` together; None: they aren't."""
        if whole_tokens is None:
            return None
        return shortener(self.retriever, self.engine, self.sought(question), whole_tokens, self._clock())

    def find_for_advice(self, question: str, where: MemoryFilter) -> list[Hit]:
        """What advice may draw on, best first: what the person said of their tastes, as far as it bears on ``question``
        about as much as the best of it; where they said nothing, what else was found in their own words."""
        query = Query(question, now_ms=self._clock(), limit=_SEARCHED, where=where)
        stated = self.retriever.rank(self.preferences.ids(), query)
        if stated:
            return [hit for hit in stated if hit.score >= stated[0].score - _NEARLY]
        hits, _ = self.find(question, where)
        return [hit for hit in hits if hit.memory.trust is Trust.SELF] or hits

    def ask(
        self,
        question: str,
        *,
        where: MemoryFilter = EVERYTHING,
        max_tokens: int | None = None,
        memory_states: bool | None = None,
    ) -> Reply:
        """One question, one answer, drawn from what the vault knows; ``memory_states`` as in `chat`."""
        return self.chat(where=where, memory_states=memory_states).ask(question, max_tokens=max_tokens)

    def chat(self, *, where: MemoryFilter = EVERYTHING, memory_states: bool | None = None) -> Chat:
        """A conversation.

        Args:
            memory_states: whether memories that were read ahead are taken over from their states, and more of them
                read at once; None: where that was measured to pay.
        """
        self.stop_reading_ahead()
        self.dress()
        return Chat(self, self.engine, self.reader, where, memory_states=memory_states)

    def read_ahead(
        self,
        budget_s: float | None = None,
        cancel: threading.Event | None = None,
        *,
        progress: Progress | None = None,
    ) -> ReadAhead:
        """Compute the model's states of memories, the most useful first, as long as there is time and room. Safe to
        repeat, and to run in another thread: a question ends it.

        Args:
            budget_s: seconds at most; None: until it is done.
            cancel: once set, also by a question, it ends at once. What was computed is kept.

        Raises:
            VaultError, ModelError: a state can't be stored or computed.
            QuestionTooLong: the profile alone doesn't fit the model's context.
        """
        self.dress()
        self._ahead = threading.Event() if cancel is None else cancel
        reading = ReadingAhead(self.vault, self.engine, self.reader, at_ms=self._clock(), busy=self._answers)
        return reading.run(budget_s, self._ahead, progress)

    def stop_reading_ahead(self) -> None:
        if self._ahead is not None:
            self._ahead.set()
            self._ahead = None

    def _answers(self) -> bool:
        """Whether a question is being answered."""
        return any(not reply.ended for reply in list(self._replies))

    def recommend(
        self,
        question: str,
        options: Sequence[str],
        *,
        where: MemoryFilter = EVERYTHING,
        asking: Asking = Asking.REASONED,
    ) -> Weighed:
        """How well each of ``options`` suits the person as an answer to ``question``, by what the vault knows of them.

        Raises:
            EmptyQuestion: no question.
            UsageError: fewer than two options, or an empty one.
            QuestionTooLong: question and options don't fit the model's context.
        """
        if not question.strip():
            raise EmptyQuestion("There is nothing to recommend for.", hint="Say what the options answer.")
        hits = self.find_for_advice(question, where)
        return self.weigher(_ADVISING, most=_ADVISED_BY).weigh(question, options, hits, asking)

    def weigher(self, task: str, *, most: int | None = None) -> Weigher:
        """What judges given texts under ``task``, the model's instruction; reads ``most`` memories at once."""
        self.dress()
        engine, reader = self.engine, self.reader
        layout = layout_for(engine, reader, self.vault.profile.all(), task)
        return Weigher(engine, layout, most=reader.most if most is None else most)

    def why(self) -> Trace:
        """How the last answer came about, whichever process gave it.

        Raises:
            NotFound: there is none yet.
        """
        turn = self.vault.conversations.last_answer()
        if turn is None or turn.trace is None:
            raise NotFound("No answer is stored yet.", hint="Ask something first.")
        if turn.trace.get("forgotten"):
            raise NotFound("The last answer drew on something that was forgotten since.", hint="Ask again.")
        return Trace.from_dict(turn.trace)

    # Correcting and letting go

    def edit(self, memory_id: int, text: str) -> Memory:
        """Replace a memory's text; what was derived from the old text goes, and adapters that learnt it are taken off.

        Raises:
            NotFound: there is no such memory.
        """
        if not text.strip():
            raise UsageError("The new text is empty.", hint="Use `forget` to delete a memory.")
        memory = self.vault.memories.edit(memory_id, text.strip())
        self._follow_taint()
        self.catch_up()
        return memory

    def plan_forget(self, *, ids: tuple[int, ...] = (), where: MemoryFilter | None = None) -> ErasurePlan:
        """What `forget` would delete; touches nothing."""
        return plan_erasure(self.vault, ids=ids, where=where)

    def forget(self, what: ErasurePlan) -> Receipt:
        """Delete it for good: text, vectors, index, facts, the answers that drew on it, and what adapters learnt with
        it: those are taken off at once (`Receipt.adapter_ids`). `relearn` trains them again without it."""
        receipt = erase(self.vault, what)
        self._follow_taint()
        derive_facts(self.vault)
        return receipt

    def _follow_taint(self) -> None:
        """What was learnt from a text that went is not worn a moment longer."""
        if self._engine is not None:
            self.dress()

    def export(self, path: str | Path) -> ExportReport:
        """Write all memories, the profile and the conversations as readable JSONL to a new file: the person's own data,
        in plain text, only ever on their word."""
        return export_jsonl(self.vault, Path(path))

    def nearest_persona(self) -> StoredAdapter | None:
        """Wear the persona whose people write most like this one, by profile and first memories; None where none does.

        Raises:
            TooLittle: nothing is known of the person yet.
        """
        return adopt(self)

    # What it runs on

    @property
    def embedder(self) -> Embedder:
        if self._embedder is None:
            self._embedder = load_embedder(self.catalogue, self.vault.meta.get("embedder_name") or DEFAULT_EMBEDDER)
        return self._embedder

    @property
    def retriever(self) -> Retriever:
        if self._retriever is None:
            self._retriever = Retriever(self.vault, self.embedder)
        return self._retriever

    @cached_property
    def preferences(self) -> Preferences:
        return Preferences(self.vault)

    @property
    def reader(self) -> Reader:
        """How much the model reads at once."""
        return reader_for(self.engine.info)

    @property
    def model_path(self) -> Path:
        """The model's file, loaded or not."""
        if self._engine is not None:
            return self._engine.info.path
        return best_file(self.catalogue.locate(self._model or self.vault.meta.get("model") or DEFAULT_MODEL))

    @property
    def base_sha256(self) -> str:
        """The model, as adapters name it."""
        return base_sha256(self.model_path)

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            self._engine = Engine.open(self.model_path)
        return self._engine

    def close(self) -> None:
        for reply in list(self._replies):
            reply.close()
        if self._engine is not None:
            self._outfit.undress(self._engine)
            if self._own_engine:
                self._engine.close()
        self._engine = None
        self.vault.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def open_assistant(
    home: str | Path | None = None,
    *,
    key: Credential,
    model: str | None = None,
    models_dir: str | Path | None = None,
    clock: Callable[[], int] = now_ms,
    progress: Progress | None = None,
) -> Assistant:
    """Open the vault in ``home`` (default: `default_home`) with ``key``.

    Args:
        model: a catalogue name or a path to a GGUF file; None takes the one that `model use` chose.
        models_dir: where model files lie (default: `default_models_dir`).
        clock: tells the time in ms since the epoch: what "now" and "last week" mean.
        progress: see `Vault.open`.

    Raises:
        VaultNotFound, WrongKey, VaultDamaged and the rest of those families.
    """
    vault = Vault.open(default_home() if home is None else Path(home).expanduser(), key, progress=progress)
    return Assistant(
        vault,
        Catalogue(default_models_dir() if models_dir is None else Path(models_dir)),
        model=model,
        clock=clock,
    )
