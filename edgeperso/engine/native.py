"""llama.cpp's C interface, as much of it as the engine needs: one model, one context, checked at every call.

Nothing above this file sees a pointer. llama.cpp ends the process on some misuses (a batch over ``n_batch``, a token
that the grammar forbids), so each is ruled out here before the call.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeperso.engine import machine
from edgeperso.engine.adapters.anonymous import anonymous_file
from edgeperso.engine.gguf import check_model_file
from edgeperso.engine.loading import ffi, load_model
from edgeperso.engine.states import read_state, settings_of, write_state
from edgeperso.errors import AdapterInvalid, ModelCorrupt, ModelError, ModelUnsupported, QuestionTooLong, UsageError
from edgeperso.types import Float32

__all__ = ["N_BATCH", "N_SEQUENCES", "NativeModel", "ffi"]

N_BATCH = 512
"""Most tokens in one call of llama_decode."""
N_SEQUENCES = 17
"""Sequence 0 is the conversation; the others are for texts scored side by side."""


class NativeModel:
    """A model with its context. ``held`` are the tokens that sequence 0 holds, in order, after the soft prompt where
    there is one; ``settings`` what both were opened with. Not thread-safe.

    Raises:
        ModelNotFound, ModelCorrupt, ModelUnsupported: see `Engine.open`.
    """

    def __init__(self, path: Path, *, n_ctx: int, n_threads: int | None, n_gpu_layers: int | None) -> None:
        self._model: Any = None
        self._context: Any = None
        self._batch: Any = None
        self.held: list[int] = []
        self._soft_prompt: Float32 | None = None
        self._soft_prompt_held = False
        self._adapted = False
        self._worn: tuple[Sequence[tuple[Any, float]], Float32 | None] = ((), None)
        self.beside: NativeModel | None = None
        self.header = check_model_file(path)
        self._open_model(path, n_gpu_layers)
        try:
            self._open_context(n_ctx, n_threads)
        except BaseException:
            self.close()
            raise

    def _open_model(self, path: Path, n_gpu_layers: int | None) -> None:
        params = ffi.llama_model_default_params()
        offload = bool(ffi.llama_supports_gpu_offload())
        params.n_gpu_layers = (-1 if offload else 0) if n_gpu_layers is None else n_gpu_layers
        self.settings = settings_of(params)
        self._model, errors = load_model(path, params)
        if self._model is None:
            said = " ".join(errors).lower()
            if "unknown model architecture" in said or "unsupported" in said:
                raise ModelUnsupported(
                    f"llama.cpp does not know the architecture of {path.name}.",
                    hint="Use a model that llama.cpp runs, or upgrade llama-cpp-python.",
                )
            raise ModelCorrupt(f"llama.cpp can't load {path.name}.")
        self.vocab = ffi.llama_model_get_vocab(self._model)
        self.n_vocab = int(ffi.llama_vocab_n_tokens(self.vocab))
        self.n_ctx_train = int(ffi.llama_model_n_ctx_train(self._model))
        if not ffi.llama_model_has_decoder(self._model) or self.n_vocab < 1:
            self.close()
            raise ModelUnsupported(f"{path.name} can't generate text.", hint="Use a text model in GGUF.")

    def _open_context(self, n_ctx: int, n_threads: int | None) -> None:
        if n_ctx < 1 or (n_threads is not None and n_threads < 1):
            raise UsageError("n_ctx and n_threads must be 1 or more.")
        params = ffi.llama_context_default_params()
        params.n_ctx = min(n_ctx, self.n_ctx_train) if self.n_ctx_train > 0 else n_ctx
        params.n_batch = params.n_ubatch = N_BATCH
        params.n_threads = n_threads or machine.decode_threads(self.n_params)
        params.n_threads_batch = n_threads or machine.physical_cores()
        params.n_seq_max = N_SEQUENCES
        params.n_outputs_max_per_seq = 0
        params.kv_unified = True
        params.no_perf = True
        self._make_context(params)

    def _make_context(self, params: Any) -> None:
        self._params = params
        self.settings |= settings_of(params)
        self._context = ffi.llama_init_from_model(self._model, params)
        if not self._context:
            self._context = None
            raise ModelError(
                f"llama.cpp can't make a context of {params.n_ctx} tokens.", hint="Free some memory or ask for fewer."
            )
        self.n_ctx = min(int(params.n_ctx), int(ffi.llama_n_ctx_seq(self._context)))
        self._memory = ffi.llama_get_memory(self._context)
        self._batch = ffi.llama_batch_init(N_BATCH, 0, 1)
        self._tokens = np.ctypeslib.as_array(self._batch.token, (N_BATCH,))
        self._positions = np.ctypeslib.as_array(self._batch.pos, (N_BATCH,))
        self._outputs = np.ctypeslib.as_array(self._batch.logits, (N_BATCH,))
        np.ctypeslib.as_array(self._batch.n_seq_id, (N_BATCH,))[:] = 1
        self._pieces: dict[int, bytes] = {}

    def close(self) -> None:
        """Free everything; may be called twice."""
        if self.beside is not None:
            self.beside.close()
        if self._batch is not None:
            ffi.llama_batch_free(self._batch)
        if self._context is not None:
            ffi.llama_free(self._context)
        if self._model is not None:
            ffi.llama_model_free(self._model)
        self.beside = self._batch = self._context = self._model = None
        self.held = []

    @property
    def closed(self) -> bool:
        return self._context is None

    @property
    def can_splice(self) -> bool:
        """Whether states can be cut out, moved and put together: not in recurrent and hybrid models, nor in those that
        let go of early tokens."""
        recurrent = ffi.llama_model_is_recurrent(self._model) or ffi.llama_model_is_hybrid(self._model)
        return not recurrent and not ffi.llama_model_n_swa(self._model) and ffi.llama_memory_can_shift(self._memory)

    # ---- what the model says of itself ---------------------------------------------------------------------------

    @property
    def n_params(self) -> int:
        return int(ffi.llama_model_n_params(self._model))

    @property
    def quantization(self) -> str:
        name = ffi.llama_ftype_name(ffi.llama_model_ftype(self._model))
        return name.decode("ascii", "replace").split(" ")[0] if name else "unknown"

    def token_id(self, which: Callable[[Any], int]) -> int | None:
        token = int(which(self.vocab))
        return token if token >= 0 else None

    def token_text(self, token: int | None) -> str:
        """How the vocabulary writes ``token``, control tokens included; empty for None."""
        text = ffi.llama_vocab_get_text(self.vocab, token) if token is not None else None
        return text.decode("utf-8", "replace") if text else ""

    def adds_bos(self) -> bool:
        return bool(ffi.llama_vocab_get_add_bos(self.vocab))

    def is_end(self, token: int) -> bool:
        return bool(ffi.llama_vocab_is_eog(self.vocab, token))

    # ---- text and tokens -----------------------------------------------------------------------------------------

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        data = text.encode("utf-8", "replace")
        if len(data) >= 2**31 - 16:
            raise QuestionTooLong(f"A text of {len(data)} bytes is too long to be tokenized.")
        room = len(data) + 8
        out = (ffi.llama_token * room)()
        count = int(ffi.llama_tokenize(self.vocab, data, len(data), out, room, False, special))
        if count < 0:
            raise ModelError("llama.cpp could not tokenize a text.", hint="Another model may do.")
        return list(out[:count])

    def piece(self, token: int) -> bytes:
        """The bytes that ``token`` stands for; none for a control token."""
        known = self._pieces.get(token)
        if known is None:
            known = self._pieces[token] = self._render(token)
        return known

    def _render(self, token: int) -> bytes:
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = int(ffi.llama_token_to_piece(self.vocab, token, buffer, size, 0, False))
            if length >= 0:
                return buffer.raw[:length]
            size = -length

    def check_tokens(self, tokens: Sequence[int]) -> None:
        if any(not 0 <= token < self.n_vocab for token in tokens):
            raise UsageError(f"A token id is outside 0..{self.n_vocab - 1}.")

    # ---- the conversation: sequence 0 ----------------------------------------------------------------------------

    @property
    def position(self) -> int:
        """Where the next token goes."""
        return len(self.held) + (0 if self._soft_prompt is None else len(self._soft_prompt))

    @property
    def room(self) -> int:
        """How many more tokens fit."""
        return self.n_ctx - self.position

    def keep(self, count: int) -> int:
        """Drop all but the first ``count`` tokens of sequence 0. Returns how many stayed: none in models whose state
        can't be cut (recurrent ones)."""
        if count < len(self.held):
            start = self.position - len(self.held) + count
            if start == 0 or not ffi.llama_memory_seq_rm(self._memory, 0, start, -1):
                self.clear()
            else:
                del self.held[count:]
        return len(self.held)

    def clear(self) -> None:
        ffi.llama_memory_clear(self._memory, False)
        self.held.clear()
        self._soft_prompt_held = False

    def prefix_state(self, count: int) -> bytes | None:
        """The state of the first ``count`` tokens held, with the soft prompt before them; None where there is none."""
        return read_state(self._model, self._context, self.position - len(self.held) + count)

    def restore_prefix(self, tokens: Sequence[int], state: bytes) -> bool:
        """Hold ``tokens`` alone, by their state; nothing where llama.cpp refuses it (False)."""
        self.clear()
        if len(tokens) > self.room or not write_state(self._context, state, self.position + len(tokens)):
            self.clear()
            return False
        self.held = list(tokens)
        self._soft_prompt_held = self._soft_prompt is not None
        return True

    def append(self, tokens: Sequence[int], cancel: threading.Event | None = None) -> bool:
        """Evaluate ``tokens`` after those held; the logits after the last one can be read then.

        Returns:
            False when ``cancel`` was set on the way; what was evaluated by then is held.

        Raises:
            QuestionTooLong: they don't fit the context.
        """
        if len(tokens) > self.room:
            raise QuestionTooLong(f"{self.position + len(tokens)} tokens don't fit a context of {self.n_ctx}.")
        self._read_soft_prompt()
        for start in range(0, len(tokens), N_BATCH):
            if cancel is not None and cancel.is_set():
                return False
            part = tokens[start : start + N_BATCH]
            size = len(part)
            self._tokens[:size] = part
            self._positions[:size] = np.arange(self.position, self.position + size)
            self._outputs[:size] = 0
            self._outputs[size - 1] = start + size == len(tokens)
            if size == 1:
                self._batch.seq_id[0][0] = 0
            else:
                for row in range(size):
                    self._batch.seq_id[row][0] = 0
            if not self._decode(size, cancel if size > 1 else None):
                ffi.llama_memory_seq_rm(self._memory, 0, self.position, -1)
                return False
            self.held.extend(part)
        return True

    def _read_soft_prompt(self) -> None:
        """Evaluate the soft prompt, unless the context holds it. It is at most N_BATCH vectors long."""
        if self._soft_prompt is None or self._soft_prompt_held:
            return
        size = len(self._soft_prompt)
        self._positions[:size] = np.arange(size)
        self._outputs[:size] = 0
        for row in range(size):
            self._batch.seq_id[row][0] = 0
        vectors = self._soft_prompt.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        rows = self._batch
        self._decode(
            size, None, ffi.llama_batch(size, None, vectors, rows.pos, rows.n_seq_id, rows.seq_id, rows.logits)
        )
        self._soft_prompt_held = True

    def _decode(self, size: int, cancel: threading.Event | None, vectors: Any = None) -> bool:
        """Run the batch's first ``size`` rows, or a batch of ``vectors`` in its place. False when cancelled."""
        self._batch.n_tokens = size
        if cancel is None:
            code = ffi.llama_decode(self._context, vectors or self._batch)
        else:
            abort = ffi.ggml_abort_callback(lambda _data: cancel.is_set())
            ffi.llama_set_abort_callback(self._context, abort, ctypes.c_void_p(0))
            try:
                code = ffi.llama_decode(self._context, self._batch)
            finally:
                ffi.llama_set_abort_callback(self._context, ffi.ggml_abort_callback(0), ctypes.c_void_p(0))
        if code == 2:
            return False
        if code != 0:
            self.clear()
            raise ModelError(f"llama.cpp could not evaluate {size} tokens (code {code}).", hint="Free some memory.")
        return True

    def logits(self, row: int = -1) -> Float32:
        """``float32[n_vocab]`` after the given output row of the last call; a view that the next call overwrites.

        Raises:
            ModelCorrupt: the model computes values that are not numbers.
            AdapterInvalid: it does so with what it wears.
        """
        pointer = ffi.llama_get_logits_ith(self._context, row)
        if not pointer:
            raise ModelError("llama.cpp has no logits for that token.")
        view: Float32 = np.ctypeslib.as_array(pointer, (self.n_vocab,))
        if np.isnan(view.sum(dtype=np.float64)):
            if self._adapted:
                raise AdapterInvalid(
                    "With what it wears the model computes values that are not numbers.",
                    hint="Take the adapter off (`edgeperso adapter off`).",
                )
            raise ModelCorrupt("The model computes values that are not numbers: its weights are damaged.")
        return view

    # ---- side by side --------------------------------------------------------------------------------------------

    def fork(self, count: int) -> None:
        """Let the sequences 1 to ``count`` (below N_SEQUENCES) share what sequence 0 holds."""
        for sequence in range(1, count + 1):
            ffi.llama_memory_seq_cp(self._memory, 0, sequence, -1, -1)

    def drop_forks(self) -> None:
        for sequence in range(1, N_SEQUENCES):
            ffi.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def evaluate_forks(
        self,
        rows: Sequence[tuple[int, int, int]],
        wanted: Sequence[bool] | None = None,
        cancel: threading.Event | None = None,
    ) -> bool:
        """Evaluate up to N_BATCH rows of (fork, position, token) in one call, with logits for every row, or for those
        ``wanted`` (logits of a whole vocabulary cost more than a small model's layers). False when cancelled."""
        for row, (sequence, position, token) in enumerate(rows):
            self._tokens[row] = token
            self._positions[row] = position
            self._outputs[row] = wanted is None or wanted[row]
            self._batch.seq_id[row][0] = sequence
        return self._decode(len(rows), cancel)

    # ---- adapters ------------------------------------------------------------------------------------------------

    def load_lora(self, data: bytes) -> Any:
        """A handle of the LoRA in a GGUF file, which must be known to fit: llama.cpp's own checks are few.

        Raises:
            AdapterInvalid: llama.cpp does not take it.
        """
        with anonymous_file(data) as file:
            handle = ffi.llama_adapter_lora_init_from_file_ptr(self._model, file)
        if not handle:
            raise AdapterInvalid("llama.cpp can't load the adapter.")
        return handle

    def free_lora(self, handle: Any) -> None:
        """Free a LoRA that is not worn. Those left over are freed with the model."""
        ffi.llama_adapter_lora_free(handle)

    def wear(self, loras: Sequence[tuple[Any, float]], soft_prompt: Float32 | None) -> None:
        """Run with these LoRAs (handle and scale), each once, and this soft prompt (``float32[n, n_embd]``, n at most
        N_BATCH), and no others. What the context held is dropped: other weights computed it.

        Raises:
            ModelError: llama.cpp refused; what was worn is worn still.
        """
        handles = (ffi.llama_adapter_lora_p_ctypes * len(loras))(*(handle for handle, _ in loras))
        scales = (ctypes.c_float * len(loras))(*(scale for _, scale in loras))
        if ffi.llama_set_adapters_lora(self._context, handles, len(loras), scales) != 0:
            raise ModelError("llama.cpp can't wear the adapters.")
        self._soft_prompt = None if soft_prompt is None else np.ascontiguousarray(soft_prompt, np.float32)
        self._adapted = bool(loras) or soft_prompt is not None
        self._worn = (loras, soft_prompt)
        self.clear()
        if self.beside is not None:
            self.beside.wear(loras, soft_prompt)

    def sample(self, sampler: Any) -> int:
        """The next token by a sampler chain, from the last call's logits; the chain takes note of it."""
        return int(ffi.llama_sampler_sample(sampler, self._context, -1))
