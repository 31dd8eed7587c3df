"""What a simulation is asked to do, as a file in its folder: for those of its processes that are started by others."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from edgeperso.files import write_whole
from edgeperso_federated.errors import FederationError
from edgeperso_federated.simulation.settings import Settings

__all__ = ["Asked"]

_NAME: Final = "asked.json"


@dataclass(frozen=True, slots=True)
class Asked:
    """A simulation's ``settings``, and the GGUF file; paths are absolute."""

    settings: Settings
    model: Path

    @property
    def nodes(self) -> int:
        """Virtual ones: as many as answer in a round."""
        return self.settings.asked

    def save(self, folder: Path) -> None:
        """Raises:
        OSError: it can't be written.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(folder / _NAME, TypeAdapter(Asked).dump_json(self))

    @classmethod
    def load(cls, folder: Path) -> Asked:
        """Raises:
        FederationError: it isn't there, or nothing that was saved.
        """
        try:
            return TypeAdapter(cls).validate_python(json.loads((folder / _NAME).read_text()))
        except (OSError, ValueError, ValidationError):
            raise FederationError("The folder doesn't say what to simulate.") from None
