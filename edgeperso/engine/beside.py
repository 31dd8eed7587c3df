"""A second context of a loaded model, for prompts that are put together from states."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

from edgeperso.engine.native import N_BATCH, NativeModel, ffi
from edgeperso.engine.states import read_aside, write_aside

__all__ = ["BesideModel"]

_UBATCH: Final = 128
"""Most tokens computed at once: without flash attention each costs a row of the whole context. Few are evaluated."""


class BesideModel(NativeModel):
    """``model`` with a context of its own, of the same size. It wears what ``model`` wears, and closes with it.

    It is without flash attention, with which on a CPU a few tokens that look back on many take up to three times as
    long. The first context keeps it: without, its numbers would depend on how a prompt is cut into calls.

    Raises:
        ModelError: there isn't enough memory for it.
    """

    def __init__(self, model: NativeModel) -> None:
        vars(self).update(vars(model))
        self.held = []
        self.settings = dict(model.settings)
        self._context = self._batch = None
        self._soft_prompt_held = False
        self.beside = None
        params = type(self._params).from_buffer_copy(self._params)
        params.n_ubatch, params.n_seq_max = _UBATCH, 2
        params.flash_attn_type = ffi.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self._make_context(params)
        self.wear(*self._worn)
        model.beside = self

    def close(self) -> None:
        """Free the context; the model is not its own."""
        self._model = None
        super().close()

    def state_after(self, count: int, tokens: Sequence[int], cancel: threading.Event | None) -> bytes | None:
        """The state of ``tokens`` alone (at most N_BATCH), as they are after the first ``count`` tokens held. What is
        held stays. None: there is no room for them, or it was cancelled."""
        if not 0 < len(tokens) <= min(self.room, N_BATCH):
            return None
        start = self._place(count)
        ffi.llama_memory_seq_cp(self._memory, 0, 1, 0, start)
        try:
            rows = [(1, start + offset, token) for offset, token in enumerate(tokens)]
            whole = self.evaluate_forks(rows, [False] * len(rows), cancel)
            return read_aside(self._context, start, len(tokens)) if whole else None
        finally:
            ffi.llama_memory_seq_rm(self._memory, 1, -1, -1)

    def splice(self, tokens: Sequence[int], state: bytes, count: int) -> bool:
        """Hold ``tokens`` after the others, by the state that they had after ``count`` tokens (`state_after`), moved to
        where they stand now. False: llama.cpp refused it, and nothing changed."""
        room = len(tokens) <= self.room
        if not room or not write_aside(self._context, state, self._place(count), len(tokens), self.position):
            return False
        self.held.extend(tokens)
        return True

    def _place(self, count: int) -> int:
        """The position after ``count`` tokens."""
        return self.position - len(self.held) + count
