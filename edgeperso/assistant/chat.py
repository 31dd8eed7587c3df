"""A conversation: its prompt only grows at the end, so each turn costs what is new in it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from edgeperso.assistant.readers import Reader, layout_for
from edgeperso.assistant.reply import Plan, Reply
from edgeperso.assistant.splicing import WIDE_TOKENS, Spliceable, can_use_states, spliceable, splicing_pays
from edgeperso.engine import Engine, Generation, QuotedAnswer
from edgeperso.errors import QuestionTooLong
from edgeperso.events import Event, emit
from edgeperso.prompting import (
    AnswerType,
    Prompt,
    answer_type,
    begun_answer,
    may_answer,
    quotable,
)
from edgeperso.retrieval import asks_for_present
from edgeperso.types import Hit, MemoryFilter, Role, Trust

if TYPE_CHECKING:
    from edgeperso.assistant.assistant import Assistant

__all__ = ["Chat"]


_JUDGED: Final = 6
"""Hits that a small model judges itself."""
_NAT: Final = 0.6
"""Worth of a nat of the question's likelihood, in standard deviations of the retriever's score."""
_NO_ANSWER: Final = 6.0


class Chat:
    """One conversation with the assistant, kept in the vault as it goes. `Assistant.chat` makes one."""

    def __init__(
        self,
        assistant: Assistant,
        engine: Engine,
        reader: Reader,
        where: MemoryFilter,
        *,
        memory_states: bool | None = None,
    ) -> None:
        """``memory_states`` as in `Assistant.chat`."""
        self._assistant = assistant
        self._engine = engine
        self._reader = reader
        self._where = where
        self._budget = reader.budget(engine.info.n_ctx)
        self._profile = assistant.vault.profile.all()
        self._layout = layout_for(engine, reader, self._profile)
        self._memory_states = memory_states
        wanted = splicing_pays(engine.info, WIDE_TOKENS) if memory_states is None else memory_states
        self.uses_states = wanted and can_use_states(reader, engine)
        self._states: Spliceable | None = None
        self._texts: dict[int, str] = {}
        self.conversation_id: int | None = None

    def ask(self, question: str, *, max_tokens: int | None = None) -> Reply:
        """The answer to ``question``, not yet begun: iterate over it.

        Raises:
            EmptyQuestion: nothing but white space.
            QuestionTooLong: it doesn't fit the model's context.
        """
        began = time.perf_counter()
        self._assistant.stop_reading_ahead()
        adapters = self._assistant.dress()
        self._resize()
        self._drop_what_went()
        hits, superseded = self._assistant.find(question, self._where)
        found = time.perf_counter()
        quoting = self._reader.quotes and bool(hits) and bool(begun_answer(question))
        prompt = self._wide(question, hits)
        wide = prompt is not None
        if prompt is None:
            self._assistant.prefixes.warm(self._engine, self._layout.stable)
            if quoting:
                hits = self._by_likelihood(question, hits)
            prompt = self._layout.turn(
                question,
                hits,
                begin=self._reader.quotes,
                most=1 if quoting else self._reader.most,
                behind=self._behind(question, hits),
                again=quoting,
                shorten=self._assistant.shortener(question, self._reader.whole_tokens),
            )
        cancel = threading.Event()
        generation = self._generation(question, prompt, hits, max_tokens, cancel, quoting=quoting)
        plan = Plan(
            prompt=prompt,
            hits=tuple(hits),
            superseded=tuple(superseded),
            budget=replace(self._budget, memory_tokens=self._wide_tokens) if wide else self._budget,
            model=self._engine.info,
            search_ms=(found - began) * 1000,
            prompt_ms=(time.perf_counter() - found) * 1000,
            adapters=adapters,
        )
        reply = Reply(plan, generation, cancel, lambda reply: self._keep(question, reply))
        self._assistant.follow(reply)
        return reply

    def _resize(self) -> None:
        """Follow the model's context, of which a soft prompt takes its part while it is worn."""
        self._budget = self._reader.budget(self._engine.info.n_ctx)
        self._layout.resize(self._budget)

    def _drop_what_went(self) -> None:
        """Begin the prompt anew when a memory that stands in it was forgotten or edited: neither its words nor what was
        said on their strength may be read again."""
        shown = sorted(self._layout.shown)
        now = {memory.id: memory.text for memory in self._assistant.vault.memories.get(shown)}
        if any(now.get(id_) != self._texts[id_] for id_ in shown):
            self._layout.restart()
            self._texts.clear()
            self._engine.clear()

    def _generation(
        self,
        question: str,
        prompt: Prompt,
        hits: list[Hit],
        max_tokens: int | None,
        cancel: threading.Event,
        *,
        quoting: bool,
    ) -> Generation | QuotedAnswer:
        if quoting and prompt.included:
            dated = answer_type(question) is AnswerType.DATE
            read = [hit.memory for hit in hits if hit.memory.id in prompt.included]
            texts = [text for memory in read for text in quotable(memory, dated=dated)]
            return self._engine.quote(prompt.tokens, texts, accept=may_answer(question), cancel=cancel)
        limit = self._budget.answer_tokens if max_tokens is None else min(max_tokens, self._budget.answer_tokens)
        if prompt.spans and self._states is not None:
            parts = self._states.parts(prompt)
            return self._states.splicer.generate(parts, max_tokens=limit, stop=prompt.stop, cancel=cancel)
        return self._engine.generate(prompt.tokens, max_tokens=limit, stop=prompt.stop, cancel=cancel)

    @property
    def _wide_tokens(self) -> int:
        """Tokens of notes in a wide prompt: half of the context stays free for conversation."""
        return min(WIDE_TOKENS, self._engine.info.n_ctx // 2)

    def _wide(self, question: str, hits: list[Hit]) -> Prompt | None:
        """The prompt with notes from their states, where that is wanted and most of them have one."""
        self._states = None
        if not self.uses_states or not self._layout.takes_wide:
            return None
        self._states = spliceable(self._assistant.vault, self._engine, self._layout.beginning)
        if self._states is None:
            return None
        prompt = self._layout.wide_turn(question, hits, self._states.wide(self._wide_tokens))
        if prompt is None or self._memory_states or splicing_pays(self._engine.info, prompt.memory_tokens):
            return prompt
        return None

    def _behind(self, question: str, hits: Sequence[Hit]) -> float:
        """How far behind the best of ``hits`` a note is still read: only about how things are now, and only behind the
        person's own words, which gain by being new (`favour_current`), may it be left out as outdated."""
        own = bool(hits) and hits[0].memory.trust is Trust.SELF
        return self._reader.behind if own and asks_for_present(question) else math.inf

    def _by_likelihood(self, question: str, hits: list[Hit]) -> list[Hit]:
        """The first hits in the order of how well each answers the question, by the model's own judgement as well; a
        note without anything of the sort that the question asks for comes after those that have it."""
        first, rest = hits[:_JUDGED], hits[_JUDGED:]
        try:
            # A model without a chat template may have no opening; the judgement needs something to begin with.
            prefix = self._layout.tokens or self._engine.tokenize("\n")
            scores = self._engine.score_tails(prefix, self._layout.judging(question, first))
        except QuestionTooLong:
            return hits  # the context is nearly full: the layout begins anew, or refuses the question
        best = max(score.log_likelihood for score in scores)
        accept = may_answer(question)
        dated = answer_type(question) is AnswerType.DATE
        judged = []
        for hit, score in zip(first, scores, strict=True):
            parts = {**hit.parts, "likelihood": _NAT * (score.log_likelihood - best)}
            if not any(accept(text) for text in quotable(hit.memory, dated=dated)):
                parts["no_answer"] = -_NO_ANSWER
            judged.append(replace(hit, score=hit.score + sum(parts.values()) - sum(hit.parts.values()), parts=parts))
        return [*sorted(judged, key=lambda hit: (-hit.score, hit.memory.id)), *rest]

    def _keep(self, question: str, reply: Reply) -> None:
        """Store the turn: the conversation is history, never a source of new memories."""
        trace = reply.trace
        if trace.stopped != "cancelled" or reply.answer_tokens:
            self._layout.answered(reply.prompt, reply.answer_tokens)
            self._texts |= reply.read
        conversations = self._assistant.vault.conversations
        with self._assistant.vault.transaction():
            if self.conversation_id is None:
                self.conversation_id = conversations.start()
            conversations.add_turn(self.conversation_id, Role.PERSON, question)
            conversations.add_turn(self.conversation_id, Role.ASSISTANT, reply.text, trace.as_dict())
        self._assistant.prefixes.keep(self._engine, self._layout.stable, self._profile)
        if reply.prompt.spans and self._states is not None:
            self._states.keep_beginning(self._profile)
        emit(
            Event.CANCELLED if trace.stopped == "cancelled" else Event.ANSWERED,
            sources=len(trace.sources),
            **{f"{name}_tokens": count for name, count in trace.tokens.items()},
            total_ms=round(trace.timings_ms["total"], 1),
        )
