"""Choosing the next token: llama.cpp's sampler chain, and a grammar over it."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from llama_cpp.llama_grammar import json_schema_to_gbnf

from edgeperso.engine.native import NativeModel, ffi
from edgeperso.engine.results import Sampling
from edgeperso.errors import UsageError
from edgeperso.types import Float32

__all__ = ["Sampler"]

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Sampler:
    """Picks tokens for one generation; close it when done.

    Args:
        model: whose vocabulary and logits are used.
        sampling: see `Sampling`.
        schema: a JSON schema; only text that fits it can come out.

    Raises:
        UsageError: the schema can't be turned into a grammar.
    """

    def __init__(self, model: NativeModel, sampling: Sampling, schema: Mapping[str, object] | None) -> None:
        self._model = model
        self._grammar = _grammar(model, schema) if schema is not None else None
        self._chain: Any = _chain(model, sampling)

    def close(self) -> None:
        for sampler in (self._chain, self._grammar):
            if sampler is not None:
                ffi.llama_sampler_free(sampler)
        self._chain = self._grammar = None

    def next(self) -> int | None:
        """The next token; None when the grammar allows nothing more."""
        if self._grammar is None:
            return self._model.sample(self._chain)
        logits = self._model.logits()
        token = self._pick(logits, constrained=False)
        # Checking one candidate is quick and mostly enough; the grammar over the whole vocabulary is slow.
        if not self._allows(token):
            token = self._pick(logits, constrained=True)
            if not self._allows(token):
                return None
        ffi.llama_sampler_accept(self._grammar, token)
        ffi.llama_sampler_accept(self._chain, token)
        return token

    def _pick(self, logits: Float32, *, constrained: bool) -> int:
        rows = np.zeros(len(logits), dtype=_CANDIDATE)
        rows["id"] = np.arange(len(logits), dtype=np.int32)
        rows["logit"] = logits
        candidates = _candidates(rows)
        if constrained:
            ffi.llama_sampler_apply(self._grammar, ctypes.byref(candidates))
        ffi.llama_sampler_apply(self._chain, ctypes.byref(candidates))
        return int(candidates.data[candidates.selected].id)

    def _allows(self, token: int) -> bool:
        row = np.array([(token, 1.0, 0.0)], dtype=_CANDIDATE)
        candidates = _candidates(row)
        ffi.llama_sampler_apply(self._grammar, ctypes.byref(candidates))
        return bool(np.isfinite(row["logit"][0]))


def _candidates(rows: np.ndarray[Any, np.dtype[np.void]]) -> Any:
    data = rows.ctypes.data_as(ctypes.POINTER(ffi.llama_token_data))
    return ffi.llama_token_data_array(data, len(rows), -1, False)


def _chain(model: NativeModel, sampling: Sampling) -> Any:
    chain = ffi.llama_sampler_chain_init(ffi.llama_sampler_chain_default_params())

    def add(sampler: Any) -> None:
        ffi.llama_sampler_chain_add(chain, sampler)

    if sampling.penalizes:
        add(
            ffi.llama_sampler_init_penalties(
                model.n_vocab,
                sampling.repeat_window,
                sampling.repeat_penalty,
                sampling.frequency_penalty,
                sampling.presence_penalty,
            )
        )
    if sampling.temperature == 0.0:
        add(ffi.llama_sampler_init_greedy())
        return chain
    if sampling.top_k > 0:
        add(ffi.llama_sampler_init_top_k(sampling.top_k))
    if sampling.top_p < 1.0:
        add(ffi.llama_sampler_init_top_p(sampling.top_p, 1))
    if sampling.min_p > 0.0:
        add(ffi.llama_sampler_init_min_p(sampling.min_p, 1))
    add(ffi.llama_sampler_init_temp(sampling.temperature))
    add(ffi.llama_sampler_init_dist(sampling.seed))
    return chain


def _grammar(model: NativeModel, schema: Mapping[str, object]) -> Any:
    sampler = None
    try:
        text = json_schema_to_gbnf(json.dumps(schema))
        sampler = ffi.llama_sampler_init_grammar(model.vocab, text.encode(), b"root")
    except (ValueError, TypeError, KeyError, AttributeError, AssertionError, IndexError, RecursionError):
        sampler = None
    if not sampler:
        raise UsageError("The JSON schema can't be turned into a grammar.", hint="Use a simpler schema.")
    return sampler
