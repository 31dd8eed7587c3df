"""The encoder in C++ (`native/encoder.hpp`), for files whose graph is known node by node.

The default model's matrices are int8 with a float for each column. onnxruntime multiplies them back to float32; here
they are multiplied as bytes. Whatever file, processor or installation doesn't allow that is left to onnxruntime.
"""

from __future__ import annotations

import hashlib
import os
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgeperso import kernels
from edgeperso.embedding.onnx_file import Graph, Malformed, read_graph

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from edgeperso._native import Encoder
    from edgeperso.types import Float32, Int64

    _Coded = tuple[NDArray[np.int8], Float32]
    _Matrix = tuple[NDArray[np.int8], Float32, Float32]
    _Pair = tuple[Float32, Float32]
    _Layer = tuple[_Matrix, _Matrix, _Pair, _Matrix, _Matrix, _Pair]

__all__ = ["NativeEncoder", "native_encoder"]

# BERT of 6 layers and heads of 32, as torch exports it, with int8 tables and matrices: the order and wiring of its 385
# nodes, their attributes and constants, without names and weights. `structure` computes it.
_STRUCTURE: Final = "d197f62fc9316011ffc1ab8c55065edcd4ff40f40702e85b8aa7c56be2376e1a"
_LAYERS = 6
_HEAD = 32
_POSITIONS = 512
_ATTENTION_SCALE = 0.4204482**2  # as the file writes it, for questions and for keys
_EPSILON = 1e-12
_FLOAT, _INT8 = 1, 3
_SLOW = "scalar"


class NativeEncoder:
    """Token ids to vectors. A text's vector doesn't depend, to the bit, on what else is in the call.

    Args:
        encoder: the native one.
        threads: how many work at once.
    """

    def __init__(self, encoder: Encoder, threads: int) -> None:
        self._encoder = encoder
        self._threads = threads
        self.dim: int = encoder.dim

    def run(self, token_ids: list[list[int]]) -> Float32:
        """``float32[n, dim]`` of unit length; zeros for no tokens.

        Raises:
            ValueError, IndexError: more tokens than the model has positions, or one that it doesn't have.
        """
        starts: Int64 = np.zeros(len(token_ids) + 1, dtype=np.int64)
        np.cumsum([len(ids) for ids in token_ids], out=starts[1:])
        ids = np.fromiter(chain.from_iterable(token_ids), dtype=np.int32, count=int(starts[-1]))
        return self._encoder.encode(ids, starts, self._threads)


def native_encoder(
    model: bytes, *, vocabulary: int, threads: int = 0, implementation: str | None = None
) -> NativeEncoder | None:
    """The encoder of an ONNX file, or None where onnxruntime has to serve.

    Args:
        vocabulary: the tokenizer's; a model with fewer words than it is left to onnxruntime.
        threads: 0 for one on each processor that this process may use.
        implementation: one of ``_native.encoders()``. By default the fastest, unless that is the scalar one, which is
            slower than onnxruntime.
    """
    if not kernels.AVAILABLE:
        return None
    from edgeperso import _native

    if implementation is None and _native.encoders()[0] == _SLOW:
        return None
    try:
        graph = read_graph(model)
        known = structure(graph) == _STRUCTURE
        encoder = _encoder(graph, vocabulary, implementation) if known else None
    except (Malformed, ValueError):
        return None
    return NativeEncoder(encoder, threads or _processors()) if encoder is not None else None


def structure(graph: Graph) -> str:
    """A digest of all that a graph computes, but for its weights: values are numbered in the order in which they are
    first used, so that names don't matter. Constants (whole numbers, truth values, single floats) count as they are.

    Raises:
        Malformed: a value is made twice, or used before it is made.
    """
    numbers = {name: number for number, name in enumerate(("", *graph.inputs))}
    digest = hashlib.sha256(repr((graph.opsets, len(graph.inputs))).encode())
    for node in graph.nodes:
        told: list[object] = [node.op, *node.attributes]
        for name in node.inputs:
            tensor = graph.tensors.get(name)
            if name not in numbers:
                if tensor is None:
                    raise Malformed("a value is used before it is made")
                numbers[name] = len(numbers)
            constant = tensor is not None and not (tensor.kind in (_FLOAT, _INT8) and tensor.shape)
            told += [numbers[name], (tensor.kind, tensor.shape, bytes(tensor.raw)) if constant and tensor else ""]
        for name in node.outputs:
            if name in numbers or name in graph.tensors:
                raise Malformed("a value is made twice")
            numbers[name] = len(numbers)
        digest.update(repr((told, len(node.outputs))).encode())
    digest.update(repr([numbers.get(name) for name in graph.outputs]).encode())
    return digest.hexdigest()


def _encoder(graph: Graph, vocabulary: int, implementation: str | None) -> Encoder | None:
    """From the weights in the order in which the known structure uses them."""
    from edgeperso._native import Encoder

    names = dict.fromkeys(name for node in graph.nodes for name in node.inputs if name in graph.tensors)
    tensors = [graph.tensors[name] for name in names]
    weights = iter([one.array() for one in tensors if one.kind in (_FLOAT, _INT8) and one.shape])
    words, word_scales = _table(next(weights), next(weights))
    positions, position_scales = _table(next(weights), next(weights))
    matrices = [_matrix(next(weights), next(weights)) for _ in range(6 * _LAYERS)]
    type_ = _floats(next(weights)[0])
    first = _floats(next(weights)), _floats(next(weights))
    layers = [_layer(matrices[6 * at : 6 * at + 6], weights) for at in range(_LAYERS)]
    dim = words.shape[1]
    if dim % _HEAD or vocabulary > len(words):
        return None
    longest = positions[:_POSITIONS], position_scales[:_POSITIONS]
    rest = (dim // _HEAD, _ATTENTION_SCALE, _EPSILON, implementation)
    return Encoder((words, word_scales), longest, type_, first, layers, *rest)


def _layer(matrices: list[_Coded], weights: Iterator[NDArray[Any]]) -> _Layer:
    question, key, value, attended, up, down = matrices
    codes, scales = (np.concatenate([part[i] for part in (question, key, value)], axis=-1) for i in (0, 1))
    qkv_bias = np.concatenate([_floats(next(weights)) for _ in range(3)])
    attended_bias, after_attention = _floats(next(weights)), (_floats(next(weights)), _floats(next(weights)))
    up_bias, down_bias = _floats(next(weights)), _floats(next(weights))
    after_all = _floats(next(weights)), _floats(next(weights))
    return (
        (codes, scales, qkv_bias),
        (*attended, attended_bias),
        after_attention,
        (*up, up_bias),
        (*down, down_bias),
        after_all,
    )


def _table(codes: NDArray[Any], scales: NDArray[Any]) -> _Coded:
    """Of one scale for each row. A copy, so that the rest of the file needn't be kept."""
    if codes.dtype != np.int8 or codes.ndim != 2 or scales.shape != (len(codes), 1):
        raise Malformed("a table isn't int8 with a scale for each row")
    return np.array(codes), _floats(scales[:, 0])


def _matrix(codes: NDArray[Any], scales: NDArray[Any]) -> _Coded:
    """Of one scale for each column."""
    if codes.dtype != np.int8 or codes.ndim != 2 or scales.shape != (1, codes.shape[1]):
        raise Malformed("a matrix isn't int8 with a scale for each column")
    return codes, _floats(scales[0])


def _floats(values: NDArray[Any]) -> Float32:
    if values.dtype != np.float32 or values.ndim != 1:
        raise Malformed("a list of floats is something else")
    return np.array(values)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
