"""What a model's context holds, and how much of it the next call can go on from."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from edgeperso.engine.generation import Advance
from edgeperso.engine.native import NativeModel

__all__ = ["PrefixCache"]


class PrefixCache:
    """The tokens of the last call, kept for one that begins alike. Called under the engine's lock."""

    def __init__(self, model: NativeModel) -> None:
        self._model = model
        self._beginning: list[int] = []
        self._holder: int | None = None

    def clear(self) -> None:
        """Hold nothing, and expect nothing."""
        self._beginning = []
        self._holder = None
        self._model.clear()

    def disown(self) -> None:
        """What is held is no generation's any more: the next one compares its tokens."""
        self._holder = None

    def begin_with(self, tokens: Sequence[int], state: bytes | None) -> bool:
        """See `Engine.begin_with`."""
        self._beginning = list(tokens)
        if self._shared(tokens) == len(tokens):
            return True
        if state is None:
            return False
        self._holder = None
        return self._model.restore_prefix(tokens, state)

    def state(self, tokens: Sequence[int]) -> bytes | None:
        """See `Engine.prefix_state`."""
        whole = 0 < len(tokens) == self._shared(tokens)
        return self._model.prefix_state(len(tokens)) if whole else None

    def advance(self, tokens: list[int], ticket: int | None, cancel: threading.Event | None) -> Advance:
        """See `Engine.advance`."""
        model = self._model
        if ticket is not None and self._holder == ticket and len(model.held) == len(tokens) - 1:
            kept = len(model.held)
        else:
            # The last token is always evaluated anew: the context keeps states, not logits.
            kept = self._keep(tokens, len(tokens) - 1)
        self._holder = ticket
        cut = max(kept, self._expected(tokens))
        whole = model.append(tokens[kept:cut], cancel) and model.append(tokens[cut:], cancel)
        if whole and kept < len(tokens) - 1:
            model.logits()
        return Advance(kept, len(model.held))

    def hold(self, tokens: list[int]) -> None:
        """Make the context hold exactly ``tokens``, where no logits after them are wanted."""
        kept = self._keep(tokens, len(tokens))
        self._holder = None
        cut = max(kept, self._expected(tokens))
        self._model.append(tokens[kept:cut])
        self._model.append(tokens[cut:])

    def _expected(self, tokens: list[int]) -> int:
        """How long the expected beginning is, if ``tokens`` begin so; else 0."""
        end = len(self._beginning)
        return end if tokens[:end] == self._beginning else 0

    def _keep(self, tokens: list[int], most: int) -> int:
        """Drop all but what the context shares with ``tokens``, ``most`` of it at most. The expected beginning stays
        whole or goes: so its state never depends on what was held before. Returns how many tokens stayed."""
        kept = min(self._shared(tokens), most)
        return self._model.keep(0 if kept < min(self._expected(tokens), most) else kept)

    def _shared(self, tokens: Sequence[int]) -> int:
        """How many tokens the context begins with that ``tokens`` begin with too."""
        count = 0
        for ours, theirs in zip(self._model.held, tokens, strict=False):
            if ours != theirs:
                break
            count += 1
        return count
