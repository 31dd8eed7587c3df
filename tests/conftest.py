"""Fixtures for all tests: small, fast, no network. Real models are used where they lie on this machine."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from edgeperso.types import Float32, Progress

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
