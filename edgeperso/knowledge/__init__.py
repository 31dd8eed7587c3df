"""Statements in memories become facts; a newer fact closes an older one."""

from __future__ import annotations

from edgeperso.knowledge.asking import facts_asked_for
from edgeperso.knowledge.derive import DeriveReport, current_facts, derive_facts

__all__ = ["DeriveReport", "current_facts", "derive_facts", "facts_asked_for"]
