"""A sentence-transformers model as an ONNX folder that `load_embedder` opens. Needs the ``[train]`` extra."""

from __future__ import annotations

import json
import shutil
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeperso.embedding.onnx import OnnxEmbedder
from edgeperso.errors import ModelNotFound, ModelUnsupported, UsageError

if TYPE_CHECKING:
    from edgeperso.types import Float32

__all__ = ["export_embedder"]

_PROBES = ("Where did we spend the summer?", "The plumber comes on Tuesday at nine, and he wants to be paid in cash.")
_LEAST_COSINE = 0.999


def export_embedder(source: Path, destination: Path, *, max_tokens: int = 256) -> Path:
    """Write ``model.onnx`` and ``tokenizer.json`` of the model in ``source`` to the new folder ``destination``.

    The export is kept only if it embeds two probe sentences as the original does (cosine 0.999 or more).

    Args:
        source: a sentence-transformers folder, or a transformers encoder's: configuration, weights, tokenizer. Nothing
            is fetched.
        destination: must not exist yet.
        max_tokens: where texts are cut in the comparison.

    Raises:
        UsageError: the ``[train]`` extra isn't installed, or ``destination`` exists.
        ModelNotFound: ``source`` holds no model.
        ModelUnsupported: it pools otherwise than by the mean, has no fast tokenizer, or changes in the export.
    """
    try:
        torch, transformers = import_module("torch"), import_module("transformers")
    except ModuleNotFoundError:
        raise UsageError("Exporting a model needs torch.", hint="Install edgeperso[train].") from None
    if destination.exists():
        raise UsageError(f"{destination.name} exists already.", hint="Give a new folder.")
    _require_mean_pooling(source)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(source), local_files_only=True)
        model = transformers.AutoModel.from_pretrained(str(source), local_files_only=True).eval()
    except (OSError, ValueError):
        raise ModelNotFound(
            f"{source.name} holds no model that transformers can load.",
            hint="Give the folder with config.json, the weights and the tokenizer.",
        ) from None
    if not tokenizer.is_fast:
        raise ModelUnsupported(f"{source.name} has no tokenizer.json form.", hint="Choose another model.")
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".export-") as folder:
        unproven = Path(folder) / destination.name
        unproven.mkdir()
        tokenizer.backend_tokenizer.save(str(unproven / "tokenizer.json"))
        _write_onnx(torch, tokenizer, model, unproven / "model.onnx")
        _require_same(torch, tokenizer, model, unproven, max_tokens)
        shutil.move(unproven, destination)
    return destination


def _require_mean_pooling(source: Path) -> None:
    path = source / "1_Pooling" / "config.json"
    if not path.is_file():
        return  # a plain transformers encoder: the mean is what sentence-transformers takes too
    try:
        config = json.loads(path.read_bytes())
    except ValueError:
        config = None
    modes = {key for key, on in config.items() if key.startswith("pooling_mode_") and on} if config else set()
    if modes != {"pooling_mode_mean_tokens"}:
        raise ModelUnsupported(f"{source.name} doesn't pool by the mean of its tokens.", hint="Choose another model.")


def _write_onnx(torch: Any, tokenizer: Any, model: Any, path: Path) -> None:
    names = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in tokenizer.model_input_names]

    class TokenVectors(torch.nn.Module):  # type: ignore[misc]
        """The encoder with its inputs by place, and its last hidden state alone."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder = model

        def forward(self, *inputs: Any) -> Any:
            return self.encoder(**dict(zip(names, inputs, strict=True))).last_hidden_state

    probe = tokenizer(list(_PROBES), padding=True, return_tensors="pt")
    axes = {name: {0: "batch", 1: "sequence"} for name in [*names, "last_hidden_state"]}
    torch.onnx.export(
        TokenVectors().eval(), tuple(probe[name] for name in names), str(path),
        input_names=names, output_names=["last_hidden_state"], dynamic_axes=axes, opset_version=17, dynamo=False,
    )  # fmt: skip


def _require_same(torch: Any, tokenizer: Any, model: Any, folder: Path, max_tokens: int) -> None:
    exported = OnnxEmbedder(folder / "model.onnx", folder / "tokenizer.json", name="export", max_tokens=max_tokens)
    for text in _PROBES:
        inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=max_tokens)
        with torch.no_grad():
            original: Float32 = model(**inputs).last_hidden_state[0].mean(dim=0).numpy()
        cosine = float(exported.embed([text])[0] @ (original / np.linalg.norm(original)))
        if not cosine >= _LEAST_COSINE:
            raise ModelUnsupported(
                f"The export of {folder.name} embeds differently (cosine {cosine:.3f}).", hint="Choose another model."
            )
