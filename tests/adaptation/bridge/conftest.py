"""Tiny models of both families, the same in GGUF and in transformers, and adapters with weights that show."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeperso.adaptation.plan import EVERY_MATRIX
from edgeperso.engine.adapters.values import Lora, LoraPair
from edgeperso.types import Float32

BASE = "5" * 64
MODULES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


@pytest.fixture(scope="session")
def gguf_files() -> SimpleNamespace:
    makers = Path(__file__).parent.parent.parent / "engine" / "gguf_files.py"
    return SimpleNamespace(**runpy.run_path(str(makers)))


class Family:
    """A tiny model of one architecture, with 4 heads of queries to 2 of keys."""

    def __init__(self, makers: SimpleNamespace, architecture: str, folder: Path) -> None:
        self.architecture = architecture
        self.shape = makers.TinyShape(architecture=architecture, heads=4, groups=2)
        self.tensors: dict[str, Float32] = makers.tiny_tensors(3, self.shape)
        self._makers = makers
        self._folder = folder
        self.path = self.write("base.gguf", self.tensors)

    def write(self, name: str, tensors: dict[str, Float32]) -> Path:
        path = self._folder / name
        path.write_bytes(self._makers.gguf(self._makers.tiny_metadata(self.shape), tensors))
        return path

    def lora(self, seed: int = 0, *, rank: int = 4, alpha: float = 6.0, names: tuple[str, ...] = EVERY_MATRIX) -> Lora:
        """Random, strong enough to change every answer."""
        random = np.random.default_rng(seed)
        pairs = {}
        for layer in range(self.shape.layers):
            for kind in names:
                rows, columns = self.tensors[f"blk.{layer}.{kind}.weight"].shape
                a = random.standard_normal((rank, columns)).astype(np.float32) / 8
                b = random.standard_normal((rows, rank)).astype(np.float32) / 8
                pairs[f"blk.{layer}.{kind}"] = LoraPair(a, b)
        return Lora(BASE, self.architecture, alpha, pairs)

    def with_lora(self, lora: Lora, name: str = "with.gguf") -> Path:
        """A model file into whose own weights the adapter was added."""
        tensors = dict(self.tensors)
        for matrix, pair in lora.pairs.items():
            tensors[f"{matrix}.weight"] = tensors[f"{matrix}.weight"] + lora.alpha / pair.rank * pair.b @ pair.a
        return self.write(name, tensors)

    def transformer(self) -> Any:
        """The same model in transformers, float32. A head's rows lie there as two halves, in llama's file in turns."""
        torch = pytest.importorskip("torch")
        import transformers

        kind = "Llama" if self.architecture == "llama" else "Qwen2"
        config = getattr(transformers, f"{kind}Config")(
            hidden_size=self.shape.width,
            intermediate_size=self.shape.hidden,
            num_hidden_layers=self.shape.layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            vocab_size=self.tensors["token_embd.weight"].shape[0],
            rms_norm_eps=1e-5,
            tie_word_embeddings=False,
        )
        state = {
            "model.embed_tokens.weight": self.tensors["token_embd.weight"],
            "lm_head.weight": self.tensors["output.weight"],
            "model.norm.weight": self.tensors["output_norm.weight"],
        }
        for name, tensor in self.tensors.items():
            if name.startswith("blk."):
                _, layer, matrix, ending = name.split(".")
                rows = self.rows_in_transformers(matrix, tensor.shape[0])
                state[f"model.layers.{layer}.{MODULES[matrix]}.{ending}"] = tensor[rows]
        model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
        model.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
        return model

    def rows_in_transformers(self, matrix: str, count: int) -> list[int]:
        """Which of the file's rows lies at each place, one by one."""
        heads = {"attn_q": 4, "attn_k": 2}.get(matrix)
        if heads is None or self.architecture == "qwen2":
            return list(range(count))
        size = count // heads
        return [head * size + 2 * i + half for head in range(heads) for half in range(2) for i in range(size // 2)]


@pytest.fixture(params=["llama", "qwen2"])
def family(request: pytest.FixtureRequest, gguf_files: SimpleNamespace, tmp_path: Path) -> Family:
    return Family(gguf_files, request.param, tmp_path)


@pytest.fixture
def llama(gguf_files: SimpleNamespace, tmp_path: Path) -> Family:
    return Family(gguf_files, "llama", tmp_path)
