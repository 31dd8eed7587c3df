"""Where a run stands, as one file that is written whole or not at all: kill the server anywhere and it goes on.

What is kept is what was decided: the global tensors, how many rounds are over and how many were begun, the clipping
bound, the key of the noise, and the log of cohorts. The place in the streams of chance is the round's number: each
round has streams of its own. A round that was going on is run again, with the same people.

Layout: ``EPFSTAT1``; the sha256 of what follows; the plan's digest; a little endian u32 length, JSON of that length;
the global tensors in the form of an update. The file is the owner's alone (0600): whoever has the key can take the
noise off what was published.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from edgeperso.files import write_whole
from edgeperso_federated.errors import FederationError
from edgeperso_federated.orders import RunPlan
from edgeperso_federated.privacy.noise import NoiseKey
from edgeperso_federated.update import Tensors, Update, update_from_bytes, update_to_bytes

__all__ = ["Outcome", "RoundRecord", "RunState", "StateFile", "tell"]

_MAGIC: Final = b"EPFSTAT1"
_HASH: Final = 32
_LENGTH: Final = struct.Struct("<I")


class Outcome(StrEnum):
    PUBLISHED = "published"
    KEPT = "kept"
    """The candidate didn't pass the check: the adapter of the round before stays."""
    FAILED = "failed"
    """Too few answers were left."""


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """What is known of a round that is over; numbers of clients and our own words alone.

    Args:
        round: counted from 1.
        asked: the clients, ascending.
        summed: how many are in the sum.
        dropped: how many were left out, by reason (`Fault`, ``absent``, ``filtered``, ``group``).
        outcome: see `Outcome`.
        bound: to which updates were clipped.
        bytes: received from all clients together.
        residual: what re-projection lost, for FLoRA; 0 else.
        loss: the check's loss of the candidate, nats a token; None: nothing was checked.
    """

    round: int
    asked: tuple[int, ...]
    summed: int
    dropped: dict[str, int]
    outcome: Outcome
    bound: float
    bytes: int
    residual: float = 0.0
    loss: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RunState:
    """Where a run stands.

    Args:
        tensors: the global ones, as last published.
        begun: rounds that were begun, those included that were run again: what privacy is reckoned with.
        bound: of the next round.
        key: of the noise.
        records: of rounds that are over.
    """

    tensors: Tensors
    begun: int
    bound: float
    key: NoiseKey
    records: tuple[RoundRecord, ...] = ()

    @property
    def round(self) -> int:
        """Rounds that are over."""
        return len(self.records)

    @property
    def taken(self) -> int:
        """In how many rounds the client was asked that was asked most often."""
        return max(Counter(client for record in self.records for client in record.asked).values(), default=0)

    def to_bytes(self, plan: RunPlan) -> bytes:
        rows = [tell(record) for record in self.records]
        said = {"begun": self.begun, "bound": self.bound, "key": self.key.to_bytes().hex(), "records": rows}
        head = json.dumps(said).encode()
        body = plan.digest() + _LENGTH.pack(len(head)) + head + update_to_bytes(Update(self.tensors, 1, {}))
        return _MAGIC + hashlib.sha256(body).digest() + body

    @classmethod
    def from_bytes(cls, data: bytes, plan: RunPlan) -> RunState:
        """The state in ``data``.

        Raises:
            FederationError: it is damaged, or of a run with another plan.
        """
        start = len(_MAGIC) + _HASH
        body = data[start:]
        if data[: len(_MAGIC)] != _MAGIC or hashlib.sha256(body).digest() != data[len(_MAGIC) : start]:
            raise FederationError("The state of the run is damaged.", hint="Take a backup of it, or another folder.")
        if body[:_HASH] != plan.digest():
            raise FederationError(
                "The folder holds a run with other settings.", hint="Give the same settings, or another folder."
            )
        (length,) = _LENGTH.unpack_from(body, _HASH)
        head_end = _HASH + _LENGTH.size + length
        said = json.loads(body[_HASH + _LENGTH.size : head_end])
        records = tuple(_record(row) for row in said["records"])
        tensors = update_from_bytes(body[head_end:]).tensors
        return cls(tensors, said["begun"], said["bound"], NoiseKey(bytes.fromhex(said["key"])), records)


def tell(record: RoundRecord) -> dict[str, Any]:
    """A record as JSON's values."""
    told = {name: getattr(record, name) for name in RoundRecord.__slots__}
    return told | {"asked": list(record.asked), "outcome": record.outcome.value}


def _record(row: dict[str, Any]) -> RoundRecord:
    return RoundRecord(**(row | {"asked": tuple(row["asked"]), "outcome": Outcome(row["outcome"])}))


class StateFile:
    """One file with a run's state."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self, plan: RunPlan) -> RunState | None:
        """Raises:
        FederationError: it is damaged, or of another run.
        OSError: it can't be read.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        return RunState.from_bytes(data, plan)

    def save(self, plan: RunPlan, state: RunState) -> None:
        """Write it for good; an older state stays until the new one is whole.

        Raises:
            OSError: it can't be written.
        """
        write_whole(self._path, state.to_bytes(plan))
