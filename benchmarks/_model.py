"""Where benchmarks find models, and the default embedder for those that need real vectors or what making one takes."""

from __future__ import annotations

from pathlib import Path

from edgeperso.catalogue import Catalogue
from edgeperso.embedding import load_embedder
from edgeperso.settings import default_models_dir
from edgeperso.types import Embedder

__all__ = ["MODEL", "default_embedder", "models_dir"]

MODEL = "minilm-int8"


def models_dir() -> Path:
    """The checkout's own models where they were fetched, or else the person's."""
    own = Path(__file__).parents[1] / "models"
    return own if own.is_dir() else default_models_dir()


def default_embedder() -> Embedder:
    return load_embedder(Catalogue(models_dir()), MODEL)
