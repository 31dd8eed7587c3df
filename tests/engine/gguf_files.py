"""GGUF files made on the spot: a real but tiny model with random weights, and headers to break."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Value = str | int | float | Sequence[str] | Sequence[int] | Sequence[float]


@dataclass(frozen=True)
class TinyShape:
    """A tiny model's sizes. ``groups`` is the number of key and value heads; ``architecture`` llama or qwen2 (biases on
    q, k and v, and no permuted rows)."""

    architecture: str = "llama"
    width: int = 64
    hidden: int = 128
    layers: int = 2
    heads: int = 2
    groups: int = 2

    @property
    def group_width(self) -> int:
        return self.width // self.heads * self.groups


_SHAPE = TinyShape()


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


def tiny_metadata(shape: TinyShape = _SHAPE, **changes: Value) -> dict[str, Value]:
    """A model with 3 control tokens, 256 bytes and the printable characters for a vocabulary; no chat template.
    ``changes`` replace entries, with ``__`` for the dots of their names."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *map(chr, range(33, 127)), "▁"]
    sizes: dict[str, Value] = {
        "block_count": shape.layers,
        "context_length": 1024,
        "embedding_length": shape.width,
        "feed_forward_length": shape.hidden,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": shape.groups,
        "rope.dimension_count": shape.width // shape.heads,
        "attention.layer_norm_rms_epsilon": 1e-5,
    }
    metadata: dict[str, Value] = {
        "general.architecture": shape.architecture,
        "general.name": "tiny",
        **{f"{shape.architecture}.{name}": value for name, value in sizes.items()},
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [0.0] * len(tokens),
        "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1] * 95,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }
    return metadata | {name.replace("__", "."): value for name, value in changes.items()}


def tiny_tensors(seed: int = 0, shape: TinyShape = _SHAPE) -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    vocabulary = 3 + 256 + 95
    width, hidden, grouped = shape.width, shape.hidden, shape.group_width

    def weights(*shape: int) -> NDArray[np.float32]:
        return random.standard_normal(shape).astype(np.float32) / np.float32(np.sqrt(shape[-1]))

    tensors = {"token_embd.weight": weights(vocabulary, width), "output.weight": 8 * weights(vocabulary, width)}
    tensors["output_norm.weight"] = np.ones(width, np.float32)
    for layer in range(shape.layers):
        for name in ("attn_norm", "ffn_norm"):
            tensors[f"blk.{layer}.{name}.weight"] = np.ones(width, np.float32)
        for name, rows in (("attn_q", width), ("attn_k", grouped), ("attn_v", grouped), ("attn_output", width)):
            tensors[f"blk.{layer}.{name}.weight"] = weights(rows, width)
            if shape.architecture == "qwen2" and name != "attn_output":
                tensors[f"blk.{layer}.{name}.bias"] = weights(rows)
        for name in ("ffn_gate", "ffn_up"):
            tensors[f"blk.{layer}.{name}.weight"] = weights(hidden, width)
        tensors[f"blk.{layer}.ffn_down.weight"] = weights(width, hidden)
    return tensors


def tiny_model(shape: TinyShape = _SHAPE, **changes: Value) -> bytes:
    """A whole model file, 500 kB as it is."""
    return gguf(tiny_metadata(shape, **changes), tiny_tensors(shape=shape))
