"""What a model wears: checked, loaded once, and changed as a whole or not at all."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final, Protocol

from edgeperso.engine.adapters.checks import check_adapter, check_fits
from edgeperso.engine.adapters.file import adapter_to_bytes
from edgeperso.engine.adapters.values import Lora, SoftPrompt, Worn
from edgeperso.engine.gguf import GgufHeader
from edgeperso.errors import AdapterMismatch, UsageError
from edgeperso.types import Float32

__all__ = ["MAX_LORAS", "Wardrobe"]

MAX_LORAS: Final = 8
"""Most LoRAs worn at a time, and kept loaded."""
_MAX_SCALE: Final = 100.0


class Wearing(Protocol):
    """What a wardrobe needs of a model."""

    header: GgufHeader
    n_ctx: int

    def load_lora(self, data: bytes) -> Any: ...

    def free_lora(self, handle: Any) -> None: ...

    def wear(self, loras: Sequence[tuple[Any, float]], soft_prompt: Float32 | None) -> None: ...


class Wardrobe:
    """The adapters of one model. LoRAs stay loaded after they were taken off, the last `MAX_LORAS` of them, so that a
    change is quick. Not thread-safe."""

    def __init__(self, model: Wearing) -> None:
        self._model = model
        self._loaded: OrderedDict[str, Any] = OrderedDict()
        self.worn: tuple[Worn, ...] = ()

    @property
    def virtual_tokens(self) -> int:
        """How much of the context the soft prompt takes that is worn."""
        return sum(len(each.adapter.embeddings) for each in self.worn if isinstance(each.adapter, SoftPrompt))

    def wear(self, stack: Sequence[Worn], base_sha256: str) -> bool:
        """See `Engine.wear`; ``base_sha256`` is the model's. Returns whether the model runs otherwise than before."""
        new = tuple(stack)
        _check_stack(new)
        before, after = _effective(self.worn), _effective(new)
        if [(each.key, each.scale) for each in before] == [(each.key, each.scale) for each in after]:
            self.worn = new
            return False
        for each in new:
            self._check(each, base_sha256)
        loras = [(self._handle(each.key, each.adapter), each.scale) for each in after if isinstance(each.adapter, Lora)]
        soft = next((each.adapter.embeddings for each in after if isinstance(each.adapter, SoftPrompt)), None)
        self._model.wear(loras, soft)
        self.worn = new
        self._put_away({each.key for each in after})
        return True

    def _check(self, each: Worn, base_sha256: str) -> None:
        if each.key in self._loaded and isinstance(each.adapter, Lora):
            return
        check_adapter(each.adapter)
        check_fits(each.adapter, self._model.header, base_sha256)
        if isinstance(each.adapter, SoftPrompt) and len(each.adapter.embeddings) >= self._model.n_ctx:
            raise AdapterMismatch(f"The soft prompt leaves no room in a context of {self._model.n_ctx} tokens.")

    def _handle(self, key: str, adapter: Lora) -> Any:
        if key not in self._loaded:
            self._loaded[key] = self._model.load_lora(adapter_to_bytes(adapter))
        self._loaded.move_to_end(key)
        return self._loaded[key]

    def _put_away(self, worn: set[str]) -> None:
        for key in [key for key in self._loaded if key not in worn][: max(0, len(self._loaded) - MAX_LORAS)]:
            self._model.free_lora(self._loaded.pop(key))


def _effective(stack: tuple[Worn, ...]) -> list[Worn]:
    return [each for each in stack if each.scale != 0]


def _check_stack(stack: tuple[Worn, ...]) -> None:
    soft = [each for each in stack if isinstance(each.adapter, SoftPrompt)]
    if len({each.key for each in stack}) < len(stack):
        raise UsageError("An adapter can be worn only once.")
    if len(soft) > 1 or len(stack) - len(soft) > MAX_LORAS:
        raise UsageError(f"At most one soft prompt and {MAX_LORAS} LoRAs can be worn.")
    if any(each.scale != 1 for each in soft):
        raise UsageError("A soft prompt has no scale but 1.")
    if not all(math.isfinite(each.scale) and abs(each.scale) <= _MAX_SCALE for each in stack):
        raise UsageError(f"A scale must lie within -{_MAX_SCALE:g} and {_MAX_SCALE:g}.")
