"""GGUF files made on the spot: a real but tiny model with random weights, and headers to break."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Value = str | int | float | Sequence[str] | Sequence[int] | Sequence[float]

_WIDTH, _HIDDEN, _LAYERS = 64, 128, 2


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def _scalar(value: str | float) -> tuple[int, bytes]:
    match value:
        case str():
            return 8, text(value)
        case int():
            return 4, struct.pack("<I", value)
        case _:
            return 6, struct.pack("<f", value)


def _entry(key: str, value: Value) -> bytes:
    if isinstance(value, str | int | float):
        kind, data = _scalar(value)
        return text(key) + struct.pack("<I", kind) + data
    items = [_scalar(item) for item in value]
    kind = 5 if items[0][0] == 4 else items[0][0]  # arrays of numbers are signed
    return text(key) + struct.pack("<IIQ", 9, kind, len(items)) + b"".join(data for _, data in items)


def gguf(metadata: Mapping[str, Value], tensors: Mapping[str, NDArray[np.float32]], *, version: int = 3) -> bytes:
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    out += b"".join(_entry(key, value) for key, value in metadata.items())
    offset = 0
    for name, tensor in tensors.items():
        shape = tensor.shape[::-1]
        out += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset)
        offset += -(-tensor.nbytes // 32) * 32
    out += b"\0" * (-len(out) % 32)
    for tensor in tensors.values():
        out += tensor.tobytes() + b"\0" * (-tensor.nbytes % 32)
    return out


def tiny_metadata(**changes: Value) -> dict[str, Value]:
    """A llama with 3 control tokens, 256 bytes and the printable characters for a vocabulary; no chat template.
    ``changes`` replace entries, with ``__`` for the dots of their names."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *map(chr, range(33, 127)), "▁"]
    metadata: dict[str, Value] = {
        "general.architecture": "llama",
        "general.name": "tiny",
        "llama.block_count": _LAYERS,
        "llama.context_length": 1024,
        "llama.embedding_length": _WIDTH,
        "llama.feed_forward_length": _HIDDEN,
        "llama.attention.head_count": 2,
        "llama.attention.head_count_kv": 2,
        "llama.rope.dimension_count": _WIDTH // 2,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [0.0] * len(tokens),
        "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1] * 95,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }
    return metadata | {name.replace("__", "."): value for name, value in changes.items()}


def tiny_tensors(seed: int = 0) -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    vocabulary = 3 + 256 + 95

    def weights(*shape: int) -> NDArray[np.float32]:
        return random.standard_normal(shape).astype(np.float32) / np.float32(np.sqrt(shape[-1]))

    tensors = {"token_embd.weight": weights(vocabulary, _WIDTH), "output.weight": 8 * weights(vocabulary, _WIDTH)}
    tensors["output_norm.weight"] = np.ones(_WIDTH, np.float32)
    for layer in range(_LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            tensors[f"blk.{layer}.{name}.weight"] = np.ones(_WIDTH, np.float32)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensors[f"blk.{layer}.{name}.weight"] = weights(_WIDTH, _WIDTH)
        for name in ("ffn_gate", "ffn_up"):
            tensors[f"blk.{layer}.{name}.weight"] = weights(_HIDDEN, _WIDTH)
        tensors[f"blk.{layer}.ffn_down.weight"] = weights(_WIDTH, _HIDDEN)
    return tensors


def tiny_model(**changes: Value) -> bytes:
    """A whole model file, 500 kB."""
    return gguf(tiny_metadata(**changes), tiny_tensors())
