"""Where things lie: the home of a vault, the folder of model files. Environment first, then the platform's custom."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

__all__ = ["default_home", "default_models_dir"]


def default_home() -> Path:
    """The vault's folder: ``EDGEPERSO_HOME``, or the platform's place for a person's data."""
    return _folder("EDGEPERSO_HOME", "vault")


def default_models_dir() -> Path:
    """The folder of model files, shared by all vaults: ``EDGEPERSO_MODELS``, or the platform's place."""
    return _folder("EDGEPERSO_MODELS", "models")


def _folder(variable: str, leaf: str) -> Path:
    value = os.environ.get(variable)
    if value:
        return Path(value).expanduser()
    return platformdirs.user_data_path("edgeperso") / leaf
