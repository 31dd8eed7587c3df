"""The decoder that a GGUF file describes, as far as training computes it: the llama and qwen2 families."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgeperso.engine.gguf import GgufHeader
from edgeperso.errors import ModelUnsupported

__all__ = ["ARCHITECTURES", "SITES", "Architecture", "read_architecture"]

ARCHITECTURES: Final = ("llama", "qwen2")

SITES: Final = {
    "qkv": ("attn_q", "attn_k", "attn_v"),
    "o": ("attn_output",),
    "gate_up": ("ffn_gate", "ffn_up"),
    "down": ("ffn_down",),
}
"""A layer's matrices, those together that read the same input: they are computed as one."""

_HINT: Final = "Training knows plain models of the llama and qwen2 families; choose one with `edgeperso model use`."


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes of a decoder. ``halves`` tells how positions turn a head's values: the first half with the second (qwen2),
    or neighbours (llama). ``biases``: q, k and v have one."""

    name: str
    layers: int
    width: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    epsilon: float
    rope_base: float
    halves: bool
    biases: bool

    def matrix(self, name: str) -> tuple[int, int]:
        """Outputs and inputs of a layer's matrix, by GGUF's name without the ending (``attn_q``)."""
        queries, keys = self.heads * self.head_size, self.kv_heads * self.head_size
        return {
            "attn_q": (queries, self.width),
            "attn_k": (keys, self.width),
            "attn_v": (keys, self.width),
            "attn_output": (self.width, queries),
            "ffn_gate": (self.hidden, self.width),
            "ffn_up": (self.hidden, self.width),
            "ffn_down": (self.width, self.hidden),
        }[name]


def read_architecture(header: GgufHeader) -> Architecture:
    """What ``header`` describes; every tensor is checked to be there in the right shape, and no other in the layers.

    Raises:
        ModelUnsupported: another family, or a variant that would be computed wrongly.
    """
    name = header.architecture
    if name not in ARCHITECTURES:
        raise ModelUnsupported(f"Models of the architecture {name[:32]!r} can't be trained.", hint=_HINT)
    found = _sizes(header)
    scaling = str(header.metadata.get(f"{name}.rope.scaling.type", "none"))
    turned = header.metadata.get(f"{name}.rope.dimension_count", found.head_size)
    if scaling != "none" or turned != found.head_size or found.head_size % 2 or found.heads % found.kv_heads:
        raise ModelUnsupported("This model's attention is of a kind that can't be trained.", hint=_HINT)
    expected = _tensors(found)
    for tensor, shape in expected.items():
        if tensor not in header.tensors or header.tensors[tensor].shape != shape:
            raise ModelUnsupported(f"The model's tensor {tensor} is missing or of another shape.", hint=_HINT)
    if any(tensor.startswith("blk.") and tensor not in expected for tensor in header.tensors):
        raise ModelUnsupported("The model has tensors that training doesn't know.", hint=_HINT)
    return found


def _sizes(header: GgufHeader) -> Architecture:
    name = header.architecture

    def number(key: str, default: float | None = None) -> float:
        value = header.metadata.get(f"{name}.{key}", default)
        if isinstance(value, str) or value is None or value <= 0:
            raise ModelUnsupported(f"The model file doesn't say its {key}.", hint=_HINT)
        return value

    embeddings = header.tensors.get("token_embd.weight")
    if embeddings is None or len(embeddings.shape) != 2:
        raise ModelUnsupported("The model has no token embeddings.", hint=_HINT)
    width, heads = int(number("embedding_length")), int(number("attention.head_count"))
    return Architecture(
        name=name,
        layers=int(number("block_count")),
        width=width,
        hidden=int(number("feed_forward_length")),
        heads=heads,
        kv_heads=int(number("attention.head_count_kv", heads)),
        head_size=int(number("attention.key_length", width // heads)),
        vocabulary=embeddings.shape[1],
        epsilon=float(number("attention.layer_norm_rms_epsilon")),
        rope_base=float(number("rope.freq_base", 10_000.0)),
        halves=name == "qwen2",
        biases=name == "qwen2",
    )


def _tensors(sizes: Architecture) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor, in ggml's order: the row's length first."""
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (sizes.width, sizes.vocabulary),
        "output_norm.weight": (sizes.width,),
    }
    for layer in range(sizes.layers):
        for name in ("attn_norm", "ffn_norm"):
            shapes[f"blk.{layer}.{name}.weight"] = (sizes.width,)
        for names in SITES.values():
            for name in names:
                shapes[f"blk.{layer}.{name}.weight"] = sizes.matrix(name)[::-1]
        if sizes.biases:
            for name in SITES["qkv"]:
                shapes[f"blk.{layer}.{name}.bias"] = sizes.matrix(name)[:1]
    return shapes
