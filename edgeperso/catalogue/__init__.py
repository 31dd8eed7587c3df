"""Model files: which ones are known, where they lie, whether they are whole, and how they get here."""

from __future__ import annotations

from edgeperso.catalogue.entries import HubSource, ModelEntry, ModelFile, ModelRole, WheelSource
from edgeperso.catalogue.files import file_sha256
from edgeperso.catalogue.pull import pull
from edgeperso.catalogue.store import Catalogue

__all__ = [
    "Catalogue",
    "HubSource",
    "ModelEntry",
    "ModelFile",
    "ModelRole",
    "WheelSource",
    "file_sha256",
    "pull",
]
