"""Readers of the field's own files, as they are downloaded: streaming, checked, with errors that say where and what."""

from edgeperso.evals.readers.empathy import Conversation, EmpathyTurn, read_empathy
from edgeperso.evals.readers.lamp import LampEntry, LampItem, read_lamp
from edgeperso.evals.readers.locomo import LocomoConversation, LocomoQuestion, read_locomo
from edgeperso.evals.readers.longmemeval import LongMemItem, LongMemSession, LongMemTurn, read_longmemeval
from edgeperso.evals.readers.personamem import PersonaMemItem, read_personamem
from edgeperso.evals.readers.pii import PiiItem, PiiSpan, read_pii
from edgeperso.evals.readers.plain import PlainEntry, PlainItem, read_plain
from edgeperso.evals.readers.prefeval import FillerTurn, PrefForm, PrefItem, read_fillers, read_prefeval
from edgeperso.evals.readers.source import Turn
from edgeperso.evals.readers.unieval import Judgment, read_unieval

__all__ = [
    "Conversation",
    "EmpathyTurn",
    "FillerTurn",
    "Judgment",
    "LampEntry",
    "LampItem",
    "LocomoConversation",
    "LocomoQuestion",
    "LongMemItem",
    "LongMemSession",
    "LongMemTurn",
    "PersonaMemItem",
    "PiiItem",
    "PiiSpan",
    "PlainEntry",
    "PlainItem",
    "PrefForm",
    "PrefItem",
    "Turn",
    "read_empathy",
    "read_fillers",
    "read_lamp",
    "read_locomo",
    "read_longmemeval",
    "read_personamem",
    "read_pii",
    "read_plain",
    "read_prefeval",
    "read_unieval",
]
