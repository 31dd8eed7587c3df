"""Raw outputs, kept as they come: a run that was stopped goes on where it was, and any figure can be recomputed.

A unit of work is named by all that determines its outcome (data, model and its hash, method, settings, seed). Its
outcome is written once it is whole, one JSON object a line, so that a kill loses at most the unit at hand. Units don't
share a model's state: each begins with an empty context, since a model's sums depend on how its input was cut. That is
why a resumed run gives the numbers of an unbroken one, to the last digit.

What is written is the evaluation's own data and the model's answers to it, in plain text, in the folder that the caller
named; without a folder nothing is written.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from edgeperso.errors import DiskFull, ReadOnly

__all__ = ["RawOutputs", "digest"]

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def digest(value: object) -> str:
    """The first 32 hex digits of the sha256 of ``value`` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


class RawOutputs:
    """The outcomes of one evaluation: ``folder/raw/NAME.jsonl``, or memory alone where ``folder`` is None."""

    def __init__(self, folder: Path | None, name: str) -> None:
        self._path = None if folder is None else folder / "raw" / f"{name}.jsonl"
        self._known: dict[str, Any] = {}
        if self._path is not None:
            self._known = _read(self._path)

    def unit(self, of: Mapping[str, object], label: Mapping[str, object], work: Callable[[], Any]) -> Any:
        """The outcome of the unit named by ``of``: the one on file, or what ``work`` gives now.

        Args:
            of: all that determines the outcome, as JSON values.
            label: what a reader of the file wants to see beside it: ids, method.
            work: returns JSON values.

        Raises:
            DiskFull, ReadOnly: the outcome can't be written; those before it are safe.
        """
        key = digest(of)
        if key not in self._known:
            # A round through JSON, so that a fresh outcome and one from the file are equal.
            line = json.dumps({"key": key, **label, "out": work()}, ensure_ascii=False)
            line = line.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate has no UTF-8 form
            self._known[key] = json.loads(line)["out"]
            if self._path is not None:
                _append(self._path, line)
        return self._known[key]


def _read(path: Path) -> dict[str, Any]:
    """Outcomes by key. A line cut off by a kill is passed over: that unit is done again."""
    known: dict[str, Any] = {}
    if path.is_file():
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    record = json.loads(line)
                    known[record["key"]] = record["out"]
                except (ValueError, KeyError, TypeError):
                    continue
    return known


def _append(path: Path, line: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            gap = b"" if file.read(1) in (b"", b"\n") else b"\n"  # after a cut line
            file.write(gap + line.encode("utf-8") + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull("The disk is full: the last outcome could not be kept.", hint="Free room; go on.") from None
        raise ReadOnly(f"{path.name} can't be written.", hint="Give a folder that can be with --out.") from None
