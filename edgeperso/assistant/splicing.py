"""Notes that the model has read ahead are taken over from their states: the wait doesn't grow with what is known.

Whether that is done is decided in one place, `splicing_pays`, unless the person says. Whatever goes wrong with a state,
its note is evaluated: an answer only takes longer, and `Assistant.why` shows it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from edgeperso.assistant.prefixes import WITHOUT, digest_of, model_sha256
from edgeperso.assistant.readers import Reader
from edgeperso.engine import Engine, ModelInfo, Part, Splicer
from edgeperso.errors import ModelError, ModelUnsupported
from edgeperso.events import Event, emit
from edgeperso.prompting import Prompt, Wide
from edgeperso.vault import Vault
from edgeperso.vault.memory_states import NewState, Saved

__all__ = ["WIDE_TOKENS", "Spliceable", "can_use_states", "spliceable", "splicing_pays"]

WIDE_TOKENS: Final = 1000
"""Notes in a prompt that takes most of them over from states."""
_LEAST_SHARE: Final = 0.6
"""Of the notes that aren't read anew in any case, that many tokens must have states."""
_PAYS: Final[tuple[tuple[int, int, int], ...]] = ()
"""(Fewest parameters, most parameters, fewest tokens of notes) for which it was measured to pay; none so far."""


def splicing_pays(model: ModelInfo, notes_tokens: int) -> bool:
    """Whether a model answers as well in less time, by measurement, when notes of so many tokens are taken over from
    states: then that is done unless the person says otherwise."""
    return any(low <= model.n_params < high and notes_tokens >= least for low, high, least in _PAYS)


def can_use_states(reader: Reader, engine: Engine) -> bool:
    """Whether states of memories are of any use to it: a reader that quotes reads one note, and some models' states
    can't be moved."""
    with suppress(ModelError):  # no memory for another context
        return not reader.quotes and engine.splicer is not None
    return False


def spliceable(vault: Vault, engine: Engine, beginning: Sequence[int]) -> Spliceable | None:
    """The states that serve ``engine`` as it is now after ``beginning``; None where there can't be any, or the vault
    can't be asked."""
    with suppress(*WITHOUT):
        return Spliceable(vault, engine, beginning)
    return None


class Spliceable:
    """The states of one vault's memories for one engine with what it wears, after one beginning.

    Raises:
        ModelUnsupported: the model's states can't be put together.
        VaultError, ModelError, OSError: what they are bound to can't be told.
    """

    def __init__(self, vault: Vault, engine: Engine, beginning: Sequence[int]) -> None:
        if engine.splicer is None:
            raise ModelUnsupported("The states of this model can't be put together.")
        self._vault = vault
        self._engine = engine
        self.splicer: Splicer = engine.splicer
        self.beginning = list(beginning)
        self._sha256 = model_sha256(vault, engine.info.path)
        self._binding = engine.state_binding(self._sha256, self.splicer)
        self._prefix = digest_of(beginning)
        self._worn = [each.key for each in engine.worn if each.scale != 0]
        self.tokens = vault.memory_states.kept(self._binding, self._prefix)

    @property
    def current(self) -> bool:
        """Whether the engine still is as it was."""
        return self._engine.state_binding(self._sha256, self.splicer) == self._binding

    def has(self, memory_id: int, tokens: Sequence[int]) -> bool:
        """Whether there is a state of a memory's note, whole or not."""
        return self.tokens.get(memory_id) == digest_of(tokens)

    def wide(self, note_tokens: int) -> Wide:
        """What a prompt with these states may be."""
        return Wide(note_tokens, _LEAST_SHARE, self.has)

    def parts(self, prompt: Prompt) -> list[Part]:
        """``prompt`` as the splicer takes it. The beginning is restored, if it isn't held and the vault has it."""
        self.warm()
        parts, at = [], 0
        for span in prompt.spans:
            if span.start > at:
                parts.append(Part(prompt.tokens[at : span.start]))
            parts.append(self._part(span.memory_id, prompt.tokens[span.start : span.end]))
            at = span.end
        return [*parts, Part(prompt.tokens[at:])]

    def warm(self) -> bool:
        """Let the splicer begin with the beginning, from the vault where it is in there. Returns whether it does."""
        if self.splicer.begin_with(self.beginning):
            return True
        state = self._load(None, self.beginning)
        return state is not None and self.splicer.begin_with(self.beginning, state)

    def keep_beginning(self, profile: Mapping[str, str]) -> None:
        """Store the state of the beginning, if the splicer holds it and the vault doesn't."""
        with suppress(*WITHOUT):
            if not self._vault.memory_states.has_beginning(self._binding, self._prefix):
                state = self.splicer.beginning_state(self.beginning)
                if state is not None:
                    self.save(None, self.beginning, state, math.inf, profile, 0)

    def has_room(self, worth: float, size_bytes: int) -> bool:
        """Whether a state of that worth and size would be kept."""
        return self._vault.memory_states.has_room(self._binding, self._prefix, worth, size_bytes)

    def save(
        self,
        memory_id: int | None,
        tokens: Sequence[int],
        state: bytes,
        worth: float,
        profile: Mapping[str, str],
        as_of: int,
    ) -> Saved:
        """See `MemoryStates.save`."""
        if not self.current:
            return Saved.CHANGED
        new = NewState(memory_id, digest_of(tokens), state, worth, profile, self._worn, as_of)
        saved = self._vault.memory_states.save(self._binding, self._prefix, new)
        if saved is Saved.KEPT and memory_id is not None:
            self.tokens[memory_id] = new.tokens
        emit(Event.MEMORY_READ_AHEAD, tokens=len(tokens), bytes=len(state), saved=saved is Saved.KEPT)
        return saved

    def _part(self, memory_id: int, tokens: list[int]) -> Part:
        return Part(tokens, digest_of(tokens), lambda: self._load(memory_id, tokens))

    def _load(self, memory_id: int | None, tokens: Sequence[int]) -> bytes | None:
        with suppress(*WITHOUT):
            return self._vault.memory_states.load(self._binding, self._prefix, memory_id, digest_of(tokens))
        return None
