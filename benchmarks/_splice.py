"""Memories read ahead: the state of each computed once after the common beginning, and put together for a question.

An experiment, not a part of the package: `benchmarks.ttft` measures whether it is worth one.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeperso.engine.native import N_BATCH, ffi

__all__ = ["Splicer"]

_WHOLE, _ASIDE = 0, 1
"""Sequences: the prompt, and one memory on its way into it."""


class Splicer:
    """A model with a context whose first sequence is put together from evaluated tokens and from kept states.

    Source for splicing by position shift and re-evaluating a part: Yao et al., "CacheBlend", 2024 (arXiv:2405.16444);
    Hu et al., "EPIC", 2024 (arXiv:2410.15332).
    """

    def __init__(self, path: Path, *, n_ctx: int, threads: int) -> None:
        self._model: Any = ffi.llama_model_load_from_file(str(path).encode(), ffi.llama_model_default_params())
        params = ffi.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = n_ctx, N_BATCH, N_BATCH
        params.n_threads = params.n_threads_batch = threads
        params.n_seq_max, params.kv_unified = 2, True
        # On a CPU flash attention is slow where few tokens look back on many: 2 times and more for fifty on a thousand.
        params.flash_attn_type = ffi.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self._context: Any = ffi.llama_init_from_model(self._model, params)
        self._memory = ffi.llama_get_memory(self._context)
        self._vocab = ffi.llama_model_get_vocab(self._model)
        self._batch = ffi.llama_batch_init(N_BATCH, 0, 1)
        self.length = 0

    def close(self) -> None:
        ffi.llama_batch_free(self._batch)
        ffi.llama_free(self._context)
        ffi.llama_model_free(self._model)

    def begin(self, tokens: Sequence[int]) -> None:
        """Hold ``tokens`` and nothing else."""
        ffi.llama_memory_clear(self._memory, False)
        self.length = 0
        self.read(tokens)

    def read(self, tokens: Sequence[int]) -> None:
        """Evaluate ``tokens`` after what is held."""
        self._decode(tokens, self.length, _WHOLE)
        self.length += len(tokens)

    def state_after(self, before: Sequence[int], tokens: Sequence[int]) -> bytes:
        """The state of ``tokens`` alone, as they are after ``before``; the context is empty then."""
        self.begin(before)
        self.read(tokens)
        ffi.llama_memory_seq_rm(self._memory, _WHOLE, 0, len(before))
        size = int(ffi.llama_state_seq_get_size(self._context, _WHOLE))
        buffer = (ctypes.c_uint8 * size)()
        if int(ffi.llama_state_seq_get_data(self._context, buffer, size, _WHOLE)) != size:
            raise RuntimeError("llama.cpp gave no state")
        self.begin(())
        return bytes(buffer)

    def splice(self, state: bytes, before: int, length: int) -> None:
        """Append ``length`` tokens by their state, which was computed at position ``before``."""
        buffer = (ctypes.c_uint8 * len(state)).from_buffer_copy(state)
        if int(ffi.llama_state_seq_set_data(self._context, buffer, len(state), _ASIDE)) != len(state):
            raise RuntimeError("llama.cpp refused a state")
        ffi.llama_memory_seq_add(self._memory, _ASIDE, before, before + length, self.length - before)
        ffi.llama_memory_seq_cp(self._memory, _ASIDE, _WHOLE, -1, -1)
        ffi.llama_memory_seq_rm(self._memory, _ASIDE, -1, -1)
        self.length += length

    def write(self, most: int) -> list[int]:
        """Up to ``most`` tokens after what was read, greedily, without an end token. The first needs no evaluation."""
        written: list[int] = []
        while len(written) < most:
            token = self._likeliest()
            if ffi.llama_vocab_is_eog(self._vocab, token):
                break
            written.append(token)
            self.read([token])
        return written

    def _likeliest(self) -> int:
        size = int(ffi.llama_vocab_n_tokens(self._vocab))
        return int(np.argmax(np.ctypeslib.as_array(ffi.llama_get_logits_ith(self._context, -1), (size,))))

    def _decode(self, tokens: Sequence[int], position: int, sequence: int) -> None:
        """In parts of N_BATCH: llama.cpp ends the process on a larger batch."""
        for start in range(0, len(tokens), N_BATCH):
            part = tokens[start : start + N_BATCH]
            for row, token in enumerate(part):
                self._batch.token[row], self._batch.pos[row] = token, position + start + row
                self._batch.n_seq_id[row], self._batch.seq_id[row][0] = 1, sequence
                self._batch.logits[row] = start + row == len(tokens) - 1
            self._batch.n_tokens = len(part)
            if ffi.llama_decode(self._context, self._batch) != 0:
                raise RuntimeError("llama.cpp could not evaluate a batch")
