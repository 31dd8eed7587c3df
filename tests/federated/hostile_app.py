"""A hostile Flower app: it speaks raw bytes to the broker's socket, and keeps every byte that it was sent."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import struct
from typing import Any

from edgeperso_federated.broker.device import identity_of
from edgeperso_federated.broker.protocol import Refusal, header_bytes

from .broker_world import CANARY, TEXTS, World

WORDS = {word.value for word in Refusal}


class Hostile:
    """It speaks raw bytes, and keeps every byte that it was sent."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.received = bytearray()

    def raw(self, data: bytes, *, end: bool = True) -> bytes:
        with self.world.connect() as connection:
            # The broker may have refused, and gone, before it read all of it.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(data)
            if end:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
            return self.all_of(connection)

    def all_of(self, connection: socket.socket) -> bytes:
        data = bytearray()
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(1 << 16):
                data += piece
        self.received += data
        return bytes(data)

    def frame(self, header: bytes, body: bytes = b"", *, length: int | None = None) -> bytes:
        return struct.pack("<4sIQ", b"EPB1", len(header), len(body) if length is None else length) + header + body

    def ask(self, header: Any, body: bytes = b"") -> str:
        """The word of the refusal, ``""`` for no answer, or the answer's kind."""
        return self.word(self.raw(self.frame(header_bytes(header), body)))

    def word(self, answer: bytes) -> str:
        if not answer:
            return ""
        magic, size, body = struct.unpack("<4sIQ", answer[:16])
        header = json.loads(answer[16 : 16 + size])
        assert magic == b"EPB1"
        assert len(answer) == 16 + size + body
        if header["kind"] != "refused":
            return str(header["kind"])
        assert header.keys() == {"kind", "why"}
        assert body == 0
        assert header["why"] in WORDS
        return str(header["why"])


def assert_clean(world: World, data: bytes) -> None:
    key = (world.folder / "me.key").read_bytes().split()
    secrets = [CANARY.encode(), b"heron", key[2]]
    secrets += [text.encode()[:20] for text in TEXTS]
    secrets += [identity_of(world.vault).to_bytes(), bytes.fromhex(key[2].decode()), str(world.folder).encode()]
    for secret in secrets:
        for form in (secret, secret.hex().encode(), base64.b64encode(secret)[: len(secret)], secret[::-1]):
            assert form not in data
