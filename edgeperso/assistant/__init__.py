"""The façade of edgeperso: a vault, an embedder and a model, and what a person does with them."""

from __future__ import annotations

from edgeperso.assistant.assistant import DEFAULT_EMBEDDER, DEFAULT_MODEL, Assistant, open_assistant
from edgeperso.assistant.chat import Chat
from edgeperso.assistant.learning import TrainedCounts, TrainingReport, plan_for
from edgeperso.assistant.people import Personas
from edgeperso.assistant.readers import Reader
from edgeperso.assistant.reading_ahead import ReadAhead
from edgeperso.assistant.reply import Reply
from edgeperso.assistant.shelf import Compared, ComparedRow, Shelf
from edgeperso.assistant.trace import AdapterTrace, HitTrace, Trace
from edgeperso.assistant.weighing import Weighed, Weigher

__all__ = [
    "DEFAULT_EMBEDDER",
    "DEFAULT_MODEL",
    "AdapterTrace",
    "Assistant",
    "Chat",
    "Compared",
    "ComparedRow",
    "HitTrace",
    "Personas",
    "ReadAhead",
    "Reader",
    "Reply",
    "Shelf",
    "Trace",
    "TrainedCounts",
    "TrainingReport",
    "Weighed",
    "Weigher",
    "open_assistant",
    "plan_for",
]
