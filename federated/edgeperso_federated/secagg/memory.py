"""A client's memory of the rounds it joined: none is joined twice, whatever became of it.

Two sums of one round over two cohorts that differ by one client would give that client's update away, by subtraction;
so a server may not say "it failed, once more" and get a second one. Within a run the round's number must rise; a retry
is a new round, trained or noised anew. The memory is saved before the first message leaves the client, so that a kill
forgets nothing. What it can't see is a new run that asks for the same again: that is for the consent and the ledger to
bound.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from threading import Lock
from typing import Final

from edgeperso_federated.errors import SecaggFailed
from edgeperso_federated.secagg.primitives import fingerprint
from edgeperso_federated.store import Store

__all__ = ["MOST_RUNS", "RoundMemory"]

MOST_RUNS: Final = 10_000
"""With more, no new run is joined: to forget an old one would open it again."""

_MAGIC: Final = b"EPSR\x01"
_ROW: Final = struct.Struct("<32sI")


class RoundMemory:
    """The last round of each run. One object is used for all rounds of a device; safe between threads.

    Raises:
        SecaggFailed: what the store holds is not what was saved.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = Lock()
        self._last = _read(store.load())

    def join(self, run: bytes, round_: int) -> None:
        """Remembers that the round is joined.

        Raises:
            SecaggFailed: it was before, or a later one of the run was.
        """
        key = fingerprint(b"run", run)
        with self._lock:
            if round_ <= self._last.get(key, 0):
                raise SecaggFailed("This round was joined before; no round is joined twice.")
            if key not in self._last and len(self._last) >= MOST_RUNS:
                raise SecaggFailed("Too many federated runs were joined.")
            then = {**self._last, key: round_}
            self._store.save(_MAGIC + b"".join(_ROW.pack(*row) for row in sorted(then.items())))
            self._last = then


def _read(state: bytes | None) -> dict[bytes, int]:
    if state is None:
        return {}
    rows = state[len(_MAGIC) :]
    sound = state[: len(_MAGIC)] == _MAGIC and len(rows) % _ROW.size == 0 and len(rows) <= MOST_RUNS * _ROW.size
    found: list[tuple[bytes, int]] = list(_ROW.iter_unpack(rows)) if sound else []
    if not sound or any(one >= other for (one, _), (other, _) in pairwise(found)):
        raise SecaggFailed("The memory of joined rounds is damaged.")
    return dict(found)
