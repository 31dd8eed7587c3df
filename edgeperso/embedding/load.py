"""From a name or a folder to an embedder."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from edgeperso.embedding.onnx import OnnxEmbedder
from edgeperso.errors import ModelNotFound

__all__ = ["ModelLocator", "load_embedder"]


class ModelLocator(Protocol):
    """Finds model files: the catalogue."""

    def locate(self, name: str) -> Path: ...


def load_embedder(catalogue: ModelLocator, name: str = "minilm-int8") -> OnnxEmbedder:
    """The embedder of the catalogue's entry ``name``, or of a local folder or ONNX file.

    A folder holds one ONNX file (``model.onnx`` if there are several) and ``tokenizer.json``, as `export` writes it.

    Raises:
        ModelNotFound: no such entry, folder or file.
        ModelCorrupt: a file is damaged.
        ModelUnsupported: the model is no text encoder.
    """
    path = Path(catalogue.locate(name))
    onnx_path = _onnx_file(path) if path.is_dir() else path
    is_path = Path(name).name != name or Path(name).exists()
    label = onnx_path.parent.name if is_path else name
    return OnnxEmbedder(onnx_path, onnx_path.parent / "tokenizer.json", name=label)


def _onnx_file(folder: Path) -> Path:
    found = sorted(folder.glob("*.onnx"))
    named = folder / "model.onnx"
    if named in found:
        return named
    if len(found) == 1:
        return found[0]
    raise ModelNotFound(
        f"The folder {folder.name} holds {len(found)} ONNX files where one is needed.",
        hint="Name the one to use model.onnx.",
    )
