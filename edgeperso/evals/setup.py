"""What an evaluation runs on: a model, an embedder, a place for raw outputs, a seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from edgeperso.catalogue import Catalogue
from edgeperso.embedding import embed_missing
from edgeperso.engine import Engine
from edgeperso.evals.lodging import temporary_vault
from edgeperso.evals.methods import ConditionedAssistant, Method
from edgeperso.evals.raw import RawOutputs
from edgeperso.knowledge import derive_facts
from edgeperso.types import Embedder, Float32, Progress, Record
from edgeperso.vault import Vault

__all__ = ["Setup"]


class _KnownTexts:
    """An embedder that embeds no text twice: evaluations put the same texts into many vaults."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[str, Float32] = {}

    @property
    def id(self) -> str:
        return self._embedder.id

    @property
    def dim(self) -> int:
        return self._embedder.dim

    def embed(self, texts: list[str], progress: Progress | None = None) -> Float32:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known |= dict(zip(new, self._embedder.embed(new, progress), strict=True))
        return np.stack([self._known[text] for text in texts]) if texts else np.empty((0, self.dim), np.float32)


@dataclass(frozen=True)
class Setup:
    """``folder`` takes raw outputs and results; None keeps nothing. ``most`` bounds the memories that a model reads."""

    engine: Engine
    catalogue: Catalogue
    plain_embedder: Embedder
    folder: Path | None = None
    seed: int = 0
    most: int | None = None
    progress: Progress = field(default=lambda _stage, _done, _total: None)

    @cached_property
    def embedder(self) -> Embedder:
        return _KnownTexts(self.plain_embedder)

    @cached_property
    def models(self) -> dict[str, str]:
        """Names and hashes, for the result."""
        info = self.engine.info
        return {"engine": f"{info.name} {info.quantization} sha256:{info.sha256}", "embedder": self.plain_embedder.id}

    def raw(self, name: str) -> RawOutputs:
        return RawOutputs(self.folder, name)

    @contextmanager
    def vault(self, records: Sequence[Record]) -> Iterator[Vault]:
        """A temporary vault that holds ``records``, with facts and vectors: the same to whatever method comes first."""
        with temporary_vault(records) as vault:
            vault.memories.name_languages()
            derive_facts(vault)
            embed_missing(vault, self.embedder)
            yield vault

    def assistant(self, vault: Vault, method: Method, *, now_ms: int) -> ConditionedAssistant:
        """The assistant of ``vault`` under ``method``; closing the vault is enough."""
        return ConditionedAssistant(
            vault,
            self.catalogue,
            engine=self.engine,
            embedder=self.embedder,
            method=method,
            most=self.most,
            seed=self.seed,
            clock=lambda: now_ms,
        )
