"""Adapters that leave and come: a GGUF file (ours, or another program's), or a folder that PEFT wrote.

What comes in is judged whole before anything is made of it, and nothing is stored here. A card (`personas.Card`) goes
in a file beside, so that it is given along only where somebody wants to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edgeperso.adaptation.bridge.files import read_bounded, write_new
from edgeperso.adaptation.bridge.peft import import_peft
from edgeperso.adaptation.personas import Card
from edgeperso.engine.adapters.checks import check_fits
from edgeperso.engine.adapters.file import adapter_from_bytes, adapter_to_bytes
from edgeperso.engine.adapters.values import Adapter
from edgeperso.engine.gguf import check_model_file
from edgeperso.engine.results import ModelInfo
from edgeperso.errors import AdapterInvalid

__all__ = ["export_adapter", "export_card", "import_adapter", "import_card"]

_CARD_BYTES: Final = 1 << 20
_PICKLES: Final = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl"})


def export_adapter(adapter: Adapter, path: Path) -> None:
    """Write ``adapter`` as a new GGUF file, unencrypted and readable by its owner alone.

    llama.cpp loads a LoRA from it as it is (``--lora``).

    Raises:
        UsageError: ``path`` exists.
        AdapterInvalid: as `adapter_to_bytes`.
        ReadOnly, DiskFull: it can't be written; nothing is left behind.
    """
    write_new(path, adapter_to_bytes(adapter))


def import_adapter(path: Path, model: Path, info: ModelInfo) -> Adapter:
    """Read and check an adapter for ``model``, whose engine gives ``info``. The form is told by what is there.

    A file of another program does not name its base: it is taken for one of this model if all shapes are the model's.

    Raises:
        SourceNotFound: nothing is there, or it can't be read.
        AdapterInvalid: a pickle, or not an adapter, or a damaged, oversized or unsound one.
        AdapterMismatch: made for another model.
        ModelUnsupported, ExtraMissing: as `import_peft`, for a folder.
    """
    if path.is_dir():
        return import_peft(path, model, info.base_sha256)
    if path.suffix.lower() in _PICKLES:
        raise AdapterInvalid(f"{path.name} is a pickle, which could run anything.", hint="Nothing was read.")
    if path.suffix.lower() == ".safetensors":
        raise AdapterInvalid(f"{path.name} lacks its settings.", hint="Give the folder that PEFT wrote, not the file.")
    adapter = adapter_from_bytes(read_bounded(path), base_sha256=info.base_sha256)
    check_fits(adapter, check_model_file(model), info.base_sha256)
    return adapter


def export_card(card: Card, path: Path) -> Path:
    """Write ``card`` beside the adapter exported at ``path``, and return where: a vector that tells something of what
    the person writes about, for the makers of personas.

    Raises:
        UsageError, ReadOnly, DiskFull: as `export_adapter`.
    """
    place = _card_place(path)
    write_new(place, json.dumps(card.as_dict()).encode())
    return place


def import_card(path: Path) -> Card | None:
    """The card beside the adapter at ``path``; None where there is none.

    Raises:
        AdapterInvalid: it is malformed.
    """
    place = _card_place(path)
    if not place.exists():
        return None
    try:
        card = json.loads(read_bounded(place, _CARD_BYTES))
    except (ValueError, RecursionError):
        raise AdapterInvalid(f"{place.name} is not JSON.") from None
    return Card.from_dict(card if isinstance(card, Mapping) else {})


def _card_place(path: Path) -> Path:
    return path / "card.json" if path.is_dir() else path.with_name(f"{path.name}.card.json")
