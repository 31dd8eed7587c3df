"""The catalogue: model names to files on this machine."""

from __future__ import annotations

from pathlib import Path

from edgeperso.catalogue.entries import BUILT_IN, ModelEntry
from edgeperso.catalogue.files import file_sha256
from edgeperso.errors import ModelCorrupt, ModelNotFound

__all__ = ["Catalogue"]


class Catalogue:
    """The known models and the folder that holds their files, as ``models_dir/<entry name>/<file name>``.

    Nothing is read or made until asked for, so a catalogue over a missing folder is fine.
    """

    def __init__(self, models_dir: Path, entries: tuple[ModelEntry, ...] = BUILT_IN) -> None:
        self.models_dir = models_dir
        self._entries = {entry.name: entry for entry in entries}

    def entries(self) -> tuple[ModelEntry, ...]:
        return tuple(self._entries.values())

    def entry(self, name: str) -> ModelEntry:
        """The entry called ``name``.

        Raises:
            ModelNotFound: the catalogue has no such name.
        """
        try:
            return self._entries[name]
        except KeyError:
            raise ModelNotFound(f"The catalogue has no model {name!r}.", hint=self._names_hint()) from None

    def folder(self, name: str) -> Path:
        """Where the files of the entry ``name`` lie, or will lie."""
        return self.models_dir / self.entry(name).name

    def present(self, name: str) -> bool:
        """Whether every file of the entry is here with its right size. Cheap: no file is read."""
        folder = self.folder(name)
        return all(_size_of(folder / file.name) == file.size_bytes for file in self.entry(name).files)

    def locate(self, name_or_path: str | Path) -> Path:
        """The model file of an entry (others, such as ``tokenizer.json``, lie beside it), or a path as it is.

        Only presence and sizes are checked here; `verify` reads the files.

        Raises:
            ModelNotFound: not an entry and not an existing path, or an entry that was not pulled yet.
            ModelCorrupt: a file of the entry has the wrong size.
        """
        entry = self._entries.get(str(name_or_path))
        if entry is None:
            path = Path(name_or_path).expanduser()
            if not path.exists():
                raise ModelNotFound(f"There is no model {str(name_or_path)!r} here.", hint=self._names_hint())
            return path
        folder = self.models_dir / entry.name
        for file in entry.files:
            size = _size_of(folder / file.name)
            if size is None:
                raise ModelNotFound(
                    f"The model {entry.name} is not on this machine: {folder / file.name} is missing.",
                    hint=f"Fetch it with `edgeperso model pull {entry.name}`.",
                )
            if size != file.size_bytes:
                raise _corrupt(entry, folder / file.name, f"has {size} bytes instead of {file.size_bytes}")
        return folder / entry.files[0].name

    def verify(self, name: str) -> None:
        """Read every file of the entry and compare its sha256.

        Raises:
            ModelNotFound: no such entry, or a file of it is missing.
            ModelCorrupt: a file is not the pinned one.
        """
        entry = self.entry(name)
        self.locate(name)
        for file in entry.files:
            path = self.models_dir / entry.name / file.name
            if file_sha256(path) != file.sha256:
                raise _corrupt(entry, path, "does not have the right sha256")

    def _names_hint(self) -> str:
        return f"Known names: {', '.join(self._entries)}. Or give the path of a GGUF file."


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def _corrupt(entry: ModelEntry, path: Path, what: str) -> ModelCorrupt:
    return ModelCorrupt(
        f"{path} {what}.",
        hint=f"Fetch it again with `edgeperso model pull {entry.name}`.",
    )
