"""What every prompt of a vault begins with is evaluated once, and restored by the processes that come later.

The model's state of it lies in the vault from the first answer on. Whatever goes wrong with it, the answer is the same:
the beginning is then evaluated anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np

from edgeperso.engine import Engine
from edgeperso.engine.origin import identity
from edgeperso.errors import ModelError, VaultError
from edgeperso.events import Event, emit
from edgeperso.vault import Vault

__all__ = ["LEAST_TOKENS", "WITHOUT", "Prefixes", "digest_of", "model_sha256"]

LEAST_TOKENS: Final = 32
"""Shorter beginnings are evaluated in about the time that the vault takes to hand out their states."""
_MODEL: Final = "states_model"
WITHOUT: Final = (VaultError, ModelError, OSError)
"""The vault is busy or can't be written, the model's file went away, or its owner closed it: then it goes without."""


class Prefixes:
    """The states of the beginnings of one vault's prompts."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def warm(self, engine: Engine, tokens: Sequence[int]) -> bool:
        """Let ``engine`` begin with ``tokens``, from the vault where they are in there. Returns whether it holds them;
        if not, they are evaluated with the next prompt."""
        if len(tokens) < LEAST_TOKENS or engine.begin_with(tokens):
            return len(tokens) >= LEAST_TOKENS
        state = None
        with suppress(*WITHOUT):
            binding = engine.state_binding(model_sha256(self._vault, engine.info.path))
            state = self._vault.states.load(binding, digest_of(tokens))
        if state is None:
            return False
        restored = engine.begin_with(tokens, state)
        emit(Event.PREFIX_RESTORED, tokens=len(tokens), bytes=len(state), restored=restored)
        return restored

    def keep(self, engine: Engine, tokens: Sequence[int], profile: Mapping[str, str]) -> bool:
        """Store the state of ``tokens``, made of the attributes ``profile``, if ``engine`` still holds it and the vault
        doesn't. Returns whether it did."""
        if len(tokens) < LEAST_TOKENS:
            return False
        with suppress(*WITHOUT):
            sha256 = model_sha256(self._vault, engine.info.path)
            binding, prefix = engine.state_binding(sha256), digest_of(tokens)
            if self._vault.states.has(binding, prefix):
                return False
            with engine.lock:  # what it wears is what computed the state
                state, worn = engine.prefix_state(tokens), [each.key for each in engine.worn if each.scale != 0]
                changed = engine.state_binding(sha256) != binding
            if state is not None and not changed:
                saved = self._vault.states.save(binding, prefix, state, profile=profile, adapters=worn)
                emit(Event.PREFIX_SAVED, tokens=len(tokens), bytes=len(state), saved=saved)
                return saved
        return False


def model_sha256(vault: Vault, path: Path) -> str:
    """The model file's. Reading a large file takes as long as evaluating hundreds of tokens, so the vault remembers
    the one of the file that it was last used with, by its size and mtime."""
    stat = path.stat()
    known = json.loads(vault.meta.get(_MODEL) or "{}")
    if (known.get("size_bytes"), known.get("mtime_ns")) != (stat.st_size, stat.st_mtime_ns):
        known = identity(path)
        vault.meta.set(_MODEL, json.dumps(known))
    return str(known["sha256"])


def digest_of(tokens: Sequence[int]) -> str:
    """64 hex digits that change with ``tokens``."""
    return hashlib.sha256(np.asarray(tokens, dtype="<i4").tobytes()).hexdigest()
