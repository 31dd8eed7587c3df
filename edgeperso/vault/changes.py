"""What one process knows of its own changes, so that it needn't look for them in the database."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

__all__ = ["Changes"]

_GENERATIONS = 64
_MEMORIES = 1024


class Changes:
    """The memories that the transactions of one connection took away or gave another text, by the generation that each
    of them made. Only the last 64 are kept, and none that changed more than 1,024 memories.

    A generation is known only if this connection made it: what others did is not in here.
    """

    def __init__(self) -> None:
        self._made: OrderedDict[int, frozenset[int]] = OrderedDict()

    def note(self, generation: int, ids: Iterable[int]) -> None:
        """The transaction under way makes ``generation`` and changes the memories ``ids``."""
        changed = frozenset(ids)
        if len(changed) > _MEMORIES:
            return
        self._made[generation] = self._made.get(generation, frozenset()) | changed
        while len(self._made) > _GENERATIONS:
            self._made.popitem(last=False)

    def clear(self) -> None:
        """A transaction was taken back: another one will make the generation that was noted."""
        self._made.clear()

    def between(self, before: int, until: int) -> frozenset[int] | None:
        """The memories that were changed after the generation ``before``, up to ``until``; None where one of the
        generations in between isn't known."""
        if until < before or until - before > _GENERATIONS:
            return None
        made = [self._made.get(generation) for generation in range(before + 1, until + 1)]
        known = [changed for changed in made if changed is not None]
        return frozenset().union(*known) if len(known) == len(made) else None
