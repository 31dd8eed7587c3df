"""Fixtures for all tests: small, fast, no network. Real models are used where they lie on this machine."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeperso.types import Float32, Kind, Progress, Record

ROOT = Path(__file__).parent.parent


def pytest_configure() -> None:
    """Of several workers each keeps to a core of its own: threads of two that share one wait for each other."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    if worker and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker) % len(cores)]})
        os.environ["OMP_NUM_THREADS"] = "1"


class FakeEmbedder:
    """Bag of hashed words: texts that share words are near, and nothing has to be loaded."""

    def __init__(self, name: str = "fake", dim: int = 64) -> None:
        self._name = name
        self._dim = dim

    @property
    def id(self) -> str:
        return f"{self._name}-{self._dim}"

    @property
    def dim(self) -> int:
        return self._dim

    def embed(self, texts: list[str], progress: Progress | None = None) -> Float32:
        out = np.zeros((len(texts), self._dim), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                seed = int.from_bytes(hashlib.blake2b(word.strip(".,;:!?").encode(), digest_size=8).digest(), "big")
                out[row] += np.random.default_rng(seed).standard_normal(self._dim).astype(np.float32)
            out[row] /= np.linalg.norm(out[row]) + 1e-9
        return out


@pytest.fixture
def fake_embedder() -> FakeEmbedder:
    return FakeEmbedder()


def _vault_without_keys(home: Path, key_file: Path, spaces: Mapping[str, NDArray[np.float16]]) -> list[int]:
    from edgeperso.vault import KeyFile, Vault, backup, migrations

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", dict(list(migrations.MIGRATIONS.items())[:3]))
        with Vault.create(home, KeyFile(key_file))[0] as vault:
            count = len(next(iter(spaces.values())))
            ids = vault.memories.add([Record(f"memory {row}", Kind.NOTE, "a.md") for row in range(count)]).ids
            for space, (embedder, vectors) in enumerate(spaces.items(), 1):
                vault.database.execute("INSERT INTO spaces VALUES (?, ?, ?)", (space, embedder, vectors.shape[1]))
                rows = [(space, id_, row.tobytes()) for id_, row in zip(ids, vectors, strict=True)]
                with vault.transaction():  # in any order
                    vault.database.executemany("INSERT INTO vectors VALUES (?, ?, ?)", rows[::-1])
            backup.write(vault, home.with_suffix(".backup"))
    return list(ids)


@pytest.fixture
def vault_without_keys() -> Callable[[Path, Path, Mapping[str, NDArray[np.float16]]], list[int]]:
    """``vault_without_keys(home, key file, {embedder: vectors})``: a vault as it was before vectors had keys, with a
    memory for each row, and its backup beside it (``.backup``); gives the memories' ids."""
    return _vault_without_keys


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The folder with the default models, laid out as the catalogue does; skips where they are missing."""
    folder = Path(os.environ.get("EDGEPERSO_MODELS", ROOT / "models"))
    if not (folder / "smollm2-135m").is_dir():
        pytest.skip("the default models are not on this machine: run `make models`")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The evaluation data beside the checkout, if it is there."""
    folder = Path(os.environ.get("EDGEPERSO_SHARED", ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip("no evaluation data on this machine (EDGEPERSO_SHARED)")
    return folder
