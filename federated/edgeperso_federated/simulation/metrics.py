"""A line of JSON for each round, as it ends: numbers of clients and bytes, never whose."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from edgeperso_federated.server_state import RoundRecord, tell

__all__ = ["HELD_OUT", "MetricsLog", "read_metrics"]

HELD_OUT: Final = "heldout_loss"
"""Nats a token of what is held out; on the lines of rounds after which it was read."""

Line = dict[str, Any]


class MetricsLog:
    """The lines of one run.

    Args:
        path: of the file; None: they are kept in memory alone.
        records: of rounds that are over. Lines of others are taken out: those rounds are run again. A line that a kill
            kept from being written is made up for from its record.
    """

    def __init__(self, path: Path | None, records: Sequence[RoundRecord]) -> None:
        self._path = path
        found = {line["round"]: line for line in read_metrics(path)} if path else {}
        self._lines = [found.get(record.round) or _line(record) for record in records]
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps(line) + "\n" for line in self._lines), encoding="utf-8")

    def add(self, record: RoundRecord, more: Mapping[str, float | None]) -> None:
        """One line: the record with a count of those asked in place of who they were, and ``more``."""
        line = _line(record) | dict(more)
        self._lines.append(line)
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def curve(self) -> dict[int, float]:
        """`HELD_OUT` by round."""
        return {line["round"]: line[HELD_OUT] for line in self._lines if HELD_OUT in line}


def read_metrics(path: Path) -> list[Line]:
    """The lines of a file, those left out that a kill cut off; none where there is no file."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict) and isinstance(said.get("round"), int):
            found.append(said)
    return found


def _line(record: RoundRecord) -> Line:
    return tell(record) | {"asked": len(record.asked)}
