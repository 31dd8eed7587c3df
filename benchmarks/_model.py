"""The default embedder, for benchmarks that need real vectors or what making one takes."""

from __future__ import annotations

from pathlib import Path

from edgeperso.catalogue import Catalogue
from edgeperso.embedding import load_embedder
from edgeperso.settings import default_models_dir
from edgeperso.types import Embedder

__all__ = ["MODEL", "default_embedder"]

MODEL = "minilm-int8"


def default_embedder() -> Embedder:
    """Out of the checkout's own models where they were fetched, or else of the person's."""
    own = Path(__file__).parents[1] / "models"
    return load_embedder(Catalogue(own if own.is_dir() else default_models_dir()), MODEL)
