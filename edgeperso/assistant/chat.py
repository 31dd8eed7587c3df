"""A conversation: its prompt only grows at the end, so each turn costs what is new in it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from edgeperso.assistant.readers import Reader
from edgeperso.assistant.reply import Plan, Reply
from edgeperso.engine import Engine
from edgeperso.engine.chat import ChatMessage, render_chat
from edgeperso.errors import ModelUnsupported
from edgeperso.events import Event, emit
from edgeperso.prompting import Layout, Render, choose_form, profile_card
from edgeperso.types import MemoryFilter, Role

if TYPE_CHECKING:
    from edgeperso.assistant.assistant import Assistant

__all__ = ["Chat"]


class Chat:
    """One conversation with the assistant, kept in the vault as it goes. `Assistant.chat` makes one."""

    def __init__(self, assistant: Assistant, engine: Engine, reader: Reader, where: MemoryFilter) -> None:
        self._assistant = assistant
        self._engine = engine
        self._reader = reader
        self._where = where
        self._budget = reader.budget(engine.info.n_ctx)
        self._layout = Layout(
            engine,
            choose_form(_renderer(engine), begin=reader.begin),
            self._budget,
            bos=engine.bos,
            profile=profile_card(assistant.vault.profile.all()),
        )
        self.conversation_id: int | None = None

    def ask(self, question: str, *, max_tokens: int | None = None) -> Reply:
        """The answer to ``question``, not yet begun: iterate over it.

        Raises:
            EmptyQuestion: nothing but white space.
            QuestionTooLong: it doesn't fit the model's context.
        """
        began = time.perf_counter()
        hits, superseded = self._assistant.find(question, self._where)
        found = time.perf_counter()
        prompt = self._layout.turn(question, hits, begin=self._reader.begin)
        limit = self._budget.answer_tokens if max_tokens is None else min(max_tokens, self._budget.answer_tokens)
        cancel = threading.Event()
        generation = self._engine.generate(prompt.tokens, max_tokens=limit, stop=prompt.stop, cancel=cancel)
        plan = Plan(
            prompt=prompt,
            hits=tuple(hits),
            superseded=tuple(superseded),
            budget=self._budget,
            model=self._engine.info,
            search_ms=(found - began) * 1000,
            prompt_ms=(time.perf_counter() - found) * 1000,
        )
        return Reply(plan, generation, cancel, lambda reply: self._keep(question, reply))

    def _keep(self, question: str, reply: Reply) -> None:
        """Store the turn: the conversation is history, never a source of new memories."""
        self._layout.answered(reply.answer_tokens)
        conversations = self._assistant.vault.conversations
        trace = reply.trace
        with self._assistant.vault.transaction():
            if self.conversation_id is None:
                self.conversation_id = conversations.start()
            conversations.add_turn(self.conversation_id, Role.PERSON, question)
            conversations.add_turn(self.conversation_id, Role.ASSISTANT, reply.text, trace.as_dict())
        emit(
            Event.CANCELLED if trace.stopped == "cancelled" else Event.ANSWERED,
            sources=len(trace.sources),
            **{f"{name}_tokens": count for name, count in trace.tokens.items()},
            total_ms=round(trace.timings_ms["total"], 1),
        )


def _renderer(engine: Engine) -> Render | None:
    """The model's chat template as prompting takes it; None for a model without one."""
    if engine.info.chat_template is None:
        return None

    def render(messages: list[dict[str, str]]) -> str | None:
        try:
            spans = render_chat(engine.info, [ChatMessage(m["role"], m["content"]) for m in messages])  # type: ignore[arg-type]
        except ModelUnsupported:
            return None
        return None if spans is None else "".join(span.text for span in spans)

    return render
