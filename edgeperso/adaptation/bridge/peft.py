"""LoRA adapters to and from the folders that Hugging Face's PEFT writes: ``adapter_config.json`` beside
``adapter_model.safetensors``.

Only what is a plain LoRA of a layer's matrices crosses over. A setting that would change more than ``a`` and ``b``,
known to us or not, is refused, for dropping it in silence would give another model. Nothing is ever unpickled.

Source of the format: PEFT 0.21, ``peft/tuners/lora/config.py`` and ``peft/utils/save_and_load.py``.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np

from edgeperso.adaptation.bridge.files import mapped, read_bounded, write_new
from edgeperso.adaptation.bridge.layout import MODULES, Layout, read_layout
from edgeperso.engine.adapters.values import Lora, LoraPair
from edgeperso.errors import AdapterInvalid, AdapterMismatch, ExtraMissing, UsageError
from edgeperso.types import Float32

__all__ = ["CONFIG", "WEIGHTS", "export_peft", "import_peft"]

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"

_CONFIG_BYTES: Final = 1 << 20
_MOST_ALPHA: Final = 1e9
_BASE: Final = "edgeperso.base.sha256"
_NAMES: Final = {module: name for name, module in MODULES.items()}
_KEY: Final = re.compile(
    r"base_model\.model\.(model\.layers\.(0|[1-9]\d{0,3})\.("
    + "|".join(map(re.escape, _NAMES))
    + r"))\.lora_([AB])\.weight"
)
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.]{1,200}")
_SETTINGS: Final = frozenset({"peft_type", "task_type", "r", "lora_alpha", "rank_pattern", "alpha_pattern"})
_WITHOUT_EFFECT: Final = frozenset(
    {
        "auto_mapping", "base_model_name_or_path", "exclude_modules", "inference_mode", "layers_pattern",
        "layers_to_transform", "lora_dropout", "megatron_core", "peft_version", "qalora_group_size", "revision",
        "runtime_config", "target_modules", "eva_config",
    }
)  # fmt: skip
"""Settings of the training, or of where the tensors are, which the tensors' own names say."""
_ONLY: Final[Mapping[str, tuple[object, ...]]] = {
    "bias": ("none",),
    "init_lora_weights": (None, True, False, "gaussian", "orthogonal", "eva"),
}
"""The starts that leave the base as it is; others (pissa, olora …) move a part of it into the adapter."""


def export_peft(lora: Lora, model: Path, folder: Path) -> None:
    """Write ``lora``, of the GGUF file ``model``, as a PEFT folder that loads onto the same model in transformers.

    Args:
        folder: is made, readable by its owner alone; it must not exist.

    Raises:
        UsageError: ``folder`` exists.
        AdapterMismatch, AdapterInvalid, ModelUnsupported: as `Layout.check` and `read_layout`. Whether ``model`` is
            the very file of ``lora.base_sha256`` is the caller's to know: finding out takes reading it whole.
        ExtraMissing: the ``[train]`` extra isn't installed.
        ReadOnly, DiskFull: it can't be written; nothing is left behind.
    """
    layout = read_layout(model)
    layout.check(lora, lora.base_sha256)
    weights = _weights(lora, layout)
    config = json.dumps(_config(lora, layout), indent=2, sort_keys=True).encode()
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        raise UsageError(f"{folder.name} exists already.", hint="Nothing was changed. Choose another name.") from None
    except OSError as error:
        raise mapped(error) from None
    try:
        write_new(folder / WEIGHTS, weights)
        write_new(folder / CONFIG, config)
    except BaseException:
        with contextlib.suppress(OSError):
            (folder / WEIGHTS).unlink(missing_ok=True)
            folder.rmdir()
        raise


def import_peft(folder: Path, model: Path, base_sha256: str) -> Lora:
    """Read a PEFT folder as an adapter of the GGUF file ``model``, whose `ModelInfo.base_sha256` is given.

    A folder from elsewhere does not say which model's weights it is for; matrices and shapes must then be the model's.

    Raises:
        SourceNotFound: a file is missing or can't be read.
        AdapterInvalid: pickled, larger than 512 MiB, damaged, unpaired, of a rank above 256, with values that are not
            numbers, or more than a plain LoRA.
        AdapterMismatch: of another base model, of matrices that the model doesn't have, or of other shapes.
        ModelUnsupported: as `read_layout`.
        ExtraMissing: the ``[train]`` extra isn't installed.
    """
    if not (folder / WEIGHTS).exists() and (folder / "adapter_model.bin").exists():
        raise AdapterInvalid(
            "The adapter's weights are a pickle, which could run anything.",
            hint="Nothing was read. Save it from PEFT as safetensors.",
        )
    layout = read_layout(model)
    config = _read_config(folder / CONFIG)
    tensors, base = _read_tensors(folder / WEIGHTS)
    if base not in ("", base_sha256):
        raise AdapterMismatch("The adapter was trained on another base model.")
    alpha = _number(config["lora_alpha"])
    pairs = {}
    for module, name, a, b in _paired(tensors):
        if _rank(config, module) != a.shape[0]:
            raise AdapterInvalid("The adapter's weights have another rank than its settings say.")
        own = _number(_by_pattern(config, "alpha_pattern", module, alpha))
        b = b if own == alpha else (b * (own / alpha)).astype(np.float32)
        pairs[name] = LoraPair(a, layout.to_gguf(name, b))
    lora = Lora(base_sha256, layout.header.architecture, alpha, pairs)
    layout.check(lora, base_sha256)
    return lora


def _weights(lora: Lora, layout: Layout) -> bytes:
    try:
        from safetensors.numpy import save
    except ImportError:
        raise _extra_missing() from None
    tensors = {}
    for name, pair in sorted(lora.pairs.items()):
        module = f"base_model.model.{_module(name)}"
        tensors[f"{module}.lora_A.weight"] = np.ascontiguousarray(pair.a, np.float32)
        b = layout.to_transformers(name, np.asarray(pair.b, np.float32))
        tensors[f"{module}.lora_B.weight"] = np.ascontiguousarray(b)
    data: bytes = save(tensors, {"format": "pt", _BASE: lora.base_sha256})
    return data


def _config(lora: Lora, layout: Layout) -> dict[str, object]:
    """Modules go by their short names where every layer has them, ranks by the commonest one."""
    kinds = {name.rpartition(".")[2] for name in lora.pairs}
    everywhere = all(f"blk.{layer}.{kind}" in lora.pairs for layer in range(layout.layers) for kind in kinds)
    targets = [MODULES[kind].rpartition(".")[2] for kind in kinds] if everywhere else map(_module, lora.pairs)
    ranks = [pair.rank for pair in lora.pairs.values()]
    rank = max(sorted(set(ranks)), key=ranks.count)
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": None,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": int(lora.alpha) if lora.alpha == int(lora.alpha) else lora.alpha,
        "rank_pattern": {_module(name): pair.rank for name, pair in lora.pairs.items() if pair.rank != rank},
        "alpha_pattern": {},
        "target_modules": sorted(targets),
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
        "modules_to_save": None,
        "use_dora": False,
        "use_rslora": False,
    }


def _module(name: str) -> str:
    """transformers' name of the module: ``blk.0.attn_q`` → ``model.layers.0.self_attn.q_proj``."""
    _, layer, kind = name.split(".")
    return f"model.layers.{layer}.{MODULES[kind]}"


def _read_config(path: Path) -> dict[str, object]:
    try:
        config = json.loads(read_bounded(path, _CONFIG_BYTES))
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise AdapterInvalid(f"{path.name} is not a JSON object.")
    if config.get("peft_type") != "LORA":
        raise AdapterInvalid("The adapter is not a LoRA; of PEFT's adapters only these are read.")
    if config.get("task_type") not in (None, "CAUSAL_LM"):
        raise AdapterInvalid("The adapter is not for a language model.")
    for key, value in config.items():
        if key in _ONLY:
            if not any(value is allowed or value == allowed for allowed in _ONLY[key]):
                _more_than_lora(key)
        elif value and key not in _SETTINGS | _WITHOUT_EFFECT:
            _more_than_lora(key)
    return {"r": 8, "lora_alpha": 8, **config}  # PEFT's own defaults


def _more_than_lora(key: str) -> NoReturn:
    name = key if _PLAIN.fullmatch(key) else "with a name that is none"
    raise AdapterInvalid(
        f"The adapter is more than a plain LoRA: setting {name}.", hint="Nothing was changed. Train one without it."
    )


def _read_tensors(path: Path) -> tuple[dict[str, Float32], str]:
    """By name, and the base that the file names (empty where it names none)."""
    try:
        from safetensors import SafetensorError, deserialize
    except ImportError:
        raise _extra_missing() from None
    data = read_bounded(path)
    try:
        read: Callable[[bytes], list[tuple[str, dict[str, Any]]]] = deserialize  # it has no types of its own
        found = read(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except (SafetensorError, ValueError, RecursionError):
        raise AdapterInvalid(f"{path.name} is damaged, or is no safetensors file.") from None
    base = (header.get("__metadata__") or {}).get(_BASE, "")
    return {name: _floats(tensor["dtype"], tensor["shape"], tensor["data"]) for name, tensor in found}, base


def _floats(kind: str, shape: list[int], data: bytes) -> Float32:
    match kind:
        case "F32":
            values = np.frombuffer(data, "<f4").astype(np.float32)
        case "F16":
            values = np.frombuffer(data, "<f2").astype(np.float32)
        case "BF16":  # the upper half of a float32
            values = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
        case _:
            raise AdapterInvalid("The adapter's values are of a type that is not read; F32, F16 and BF16 are.")
    return values.reshape(shape)


def _paired(tensors: Mapping[str, Float32]) -> list[tuple[str, str, Float32, Float32]]:
    """(module, name, a, b), in order."""
    halves: dict[tuple[str, str], dict[str, Float32]] = {}
    for key, tensor in sorted(tensors.items()):
        match = _KEY.fullmatch(key)
        if match is None or tensor.ndim != 2:
            raise AdapterInvalid("The adapter holds weights that are not of a plain LoRA of a layer's matrix.")
        module, layer, kind, half = match.groups()
        halves.setdefault((module, f"blk.{layer}.{_NAMES[kind]}"), {})[half] = tensor
    if any(len(pair) < 2 for pair in halves.values()):
        raise AdapterInvalid("The adapter holds one factor of a matrix without the other.")
    return [(module, name, pair["A"], pair["B"]) for (module, name), pair in halves.items()]


def _rank(config: Mapping[str, object], module: str) -> object:
    return _by_pattern(config, "rank_pattern", module, config["r"])


def _by_pattern(config: Mapping[str, object], key: str, module: str, default: object) -> object:
    """PEFT's patterns are regular expressions; only names are taken, for an expression may never end."""
    patterns = config.get(key) or {}
    if not isinstance(patterns, dict) or not all(map(_PLAIN.fullmatch, patterns)):
        raise AdapterInvalid(f"The adapter's {key} is more than a list of modules.")
    return next((value for name, value in patterns.items() if f".{module}".endswith(f".{name}")), default)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _MOST_ALPHA:
        raise AdapterInvalid("The adapter's alpha is not a number above 0.")
    return float(value)


def _extra_missing() -> ExtraMissing:
    return ExtraMissing(
        "Reading and writing PEFT's adapters needs the safetensors library.",
        hint='Install the extra: `pip install "edgeperso[train]"`.',
    )
