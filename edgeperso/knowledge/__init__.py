"""Statements in memories become facts; a newer fact closes an older one. What the person likes is told apart."""

from __future__ import annotations

from edgeperso.knowledge.asking import earlier_fact, facts_asked_for, outdated_by
from edgeperso.knowledge.derive import DeriveReport, current_facts, derive_facts
from edgeperso.knowledge.preferences import Preferences, states_preference
from edgeperso.knowledge.statement import SELF

__all__ = [
    "SELF",
    "DeriveReport",
    "Preferences",
    "current_facts",
    "derive_facts",
    "earlier_fact",
    "facts_asked_for",
    "outdated_by",
    "states_preference",
]
