"""Frames on the broker's socket, and the words with which it refuses.

One request and one answer a connection. Both are a frame; all little endian:

    "EPB1", u32 bytes of the header, u64 bytes of the body
    header: JSON object in its one canonical form (ASCII, keys ascending, no spaces), at most `MOST_HEADER_BYTES`
    body:   raw bytes

Requests: ``hello``; ``task`` with a round's global tensors; ``result`` with a message of secure aggregation.
Answers: ``hello``; ``result``, with an update or a message of secure aggregation; ``refused`` with a `Refusal`.

A reader gives a frame one deadline, however the bytes trickle in, and never holds more than has come.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from edgeperso_federated.errors import BrokerRefused

__all__ = [
    "MOST_BODY_BYTES",
    "MOST_HEADER_BYTES",
    "VERSION",
    "Header",
    "Refusal",
    "Refused",
    "Stream",
    "header_bytes",
    "parse_header",
    "peer_uid",
]

Header = Mapping[str, Any]

VERSION: Final = 1
MOST_HEADER_BYTES: Final = 16 * 1024
MOST_BODY_BYTES: Final = 512 * 1024 * 1024
"""As the largest update. The broker's own limit is what the task's tensors take, which is mostly far less."""

_MAGIC: Final = b"EPB1"
_HEAD: Final = struct.Struct("<4sIQ")
_PIECE: Final = 1 << 18
_CREDENTIALS: Final = struct.Struct("3i")


class Refusal(StrEnum):
    """Why the broker doesn't. These words are stable, and all that a refusal says."""

    GARBAGE = "garbage"
    """Not a frame, not canonical, an unknown command, a field too many or too few or of another type."""
    SIZE = "size"
    """A header or body longer than may be."""
    BUSY = "busy"
    """Another request is being worked on."""
    BOUNDS = "bounds"
    """A number or word of the task is outside what any task may ask for."""
    CONSENT = "consent"
    """The person didn't agree to this federation, or not on these terms. The default."""
    BASE = "base"
    """The round is for another base model than the one here."""
    SCHEMA = "schema"
    """The broker reckons another schema for this task than the one it names."""
    TENSORS = "tensors"
    """The global tensors are not the schema's."""
    REPLAY = "replay"
    """This round, or a later one of the run, was begun before."""
    LITTLE = "little"
    """Too few texts may train."""
    BUDGET = "budget"
    """The round would cost more privacy than is left, or the ledger can't be read."""
    TRAINING = "training"
    """The training failed or was stopped."""
    OUTPUT = "output"
    """What came of the training doesn't pass the schema; it was thrown away."""
    SECAGG = "secagg"
    """Secure aggregation broke off, or a message of it came out of turn. The round is over for this device."""
    FAILED = "failed"
    """Anything else. What it was isn't told."""


class Refused(BrokerRefused):
    """``why`` is the word for it."""

    def __init__(self, why: Refusal) -> None:
        super().__init__(f"The broker refused: {why.value}.")
        self.why = why

    def __reduce__(self) -> tuple[type[Refused], tuple[Refusal]]:
        return type(self), (self.why,)


# ---- headers -------------------------------------------------------------------------------------------------------


def header_bytes(header: Header) -> bytes:
    """The canonical form.

    Raises:
        ValueError: a number isn't finite.
    """
    return json.dumps(header, ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()


def parse_header(data: bytes) -> dict[str, Any]:
    """The header in these bytes.

    Raises:
        Refused: ``garbage``: it is no object, or not written canonically; so no name is there twice, and there is one
            way to say a thing.
    """
    try:
        header = json.loads(data)
        canonical = isinstance(header, dict) and header_bytes(header) == data
    except (ValueError, RecursionError):
        canonical = False
    if not canonical:
        raise Refused(Refusal.GARBAGE)
    return dict(header)


# ---- frames --------------------------------------------------------------------------------------------------------


class Stream:
    """A connected socket, read and written in frames.

    Args:
        connection: belongs to the caller, who closes it.
        patience_s: for one whole frame, either way.
    """

    def __init__(self, connection: socket.socket, patience_s: float) -> None:
        self._connection = connection
        self._patience_s = patience_s

    def send(self, header: Header, body: bytes = b"") -> None:
        """Raises:
        OSError: the other side is gone, or too slow.
        """
        text = header_bytes(header)
        self._connection.settimeout(self._patience_s)
        self._connection.sendall(_HEAD.pack(_MAGIC, len(text), len(body)) + text)
        self._connection.sendall(body)

    def receive_header(self) -> tuple[dict[str, Any], int]:
        """The next frame's header, and how many bytes of body follow: they are not read yet.

        Raises:
            Refused: ``garbage`` or ``size``.
            OSError: it broke off, or was too slow.
        """
        give_up = time.monotonic() + self._patience_s
        magic, header, body = _HEAD.unpack(self._take(_HEAD.size, give_up))
        if magic != _MAGIC:
            raise Refused(Refusal.GARBAGE)
        if header > MOST_HEADER_BYTES or body > MOST_BODY_BYTES:
            raise Refused(Refusal.SIZE)
        return parse_header(self._take(header, give_up)), body

    def receive_body(self, size: int, most: int) -> bytes:
        """The body, of ``size`` bytes.

        Raises:
            Refused: ``size``: more than ``most``; nothing was read.
            OSError: it broke off, or was too slow.
        """
        if size > most:
            raise Refused(Refusal.SIZE)
        return self._take(size, time.monotonic() + self._patience_s)

    def _take(self, count: int, give_up: float) -> bytes:
        data = bytearray()
        while len(data) < count:
            left = give_up - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._connection.settimeout(left)
            piece = self._connection.recv(min(_PIECE, count - len(data)))
            if not piece:
                raise ConnectionError
            data += piece
        return bytes(data)


def peer_uid(connection: socket.socket) -> int:
    """The user who holds the other end, as the kernel noted it when the connection was made. Linux alone tells it."""
    _, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(uid)
