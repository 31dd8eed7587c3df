"""Network namespaces: a hub and people, each with a network of its own, and all that passes there written down."""

from __future__ import annotations

import base64
import ipaddress
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Final

import numpy as np

from edgeperso_federated.deploy.processes import Process
from edgeperso_federated.update import Update

NET: Final = "10.77.0"
OUT: Final = "10.78.0"
_SLL2: Final = 276
_IPV4: Final = 0x0800
_IPV6: Final = 0x86DD


def why_not() -> str | None:
    """Why no namespaces can be made here, else None."""
    if shutil.which("ip") is None or shutil.which("tcpdump") is None:
        return "needs ip and tcpdump"
    name = f"fl{os.getpid()}x"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if tried.returncode:
        return "making network namespaces is not permitted here"
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return None


@dataclass
class Spaces:
    """``hub`` (10.77.0.1) and one for each person (10.77.0.2, …)."""

    names: list[str]
    captures: list[Path]

    def inside(self, person: int | None, command: list[str]) -> list[str]:
        return ["ip", "netns", "exec", self.names[0 if person is None else person + 1], *command]

    @property
    def addresses(self) -> set[str]:
        return {"127.0.0.1", *(f"{NET}.{number + 1}" for number in range(len(self.names)))}


@contextmanager
def spaces(folder: Path, people: int) -> Iterator[Spaces]:
    """Every packet for elsewhere finds a way out, so that it is seen, and ends there."""
    prefix = f"fl{os.getpid()}"
    names = [f"{prefix}h", *(f"{prefix}p{number}" for number in range(people))]
    made = Spaces(names, [folder / f"{name}.pcap" for name in names])
    with ExitStack() as stack:
        for name in names:
            _ip("netns", "add", name)
            stack.callback(subprocess.run, ["ip", "netns", "del", name], check=False)
            _in(name, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
            _in(name, "ip", "link", "set", "lo", "up")
        hub = names[0]
        _in(hub, "ip", "link", "add", "name", "hub", "type", "bridge", "mcast_snooping", "0")
        _in(hub, "ip", "addr", "add", f"{NET}.1/24", "dev", "hub")
        _in(hub, "ip", "link", "set", "hub", "up")
        _way_out(hub)
        for number, name in enumerate(names[1:]):
            end = f"person{number}"
            _ip("link", "add", "name", end, "netns", hub, "type", "veth", "peer", "name", "eth", "netns", name)
            _in(hub, "ip", "link", "set", end, "master", "hub", "up")
            _in(name, "ip", "addr", "add", f"{NET}.{number + 2}/24", "dev", "eth")
            _in(name, "ip", "link", "set", "eth", "up")
            _in(name, "ip", "route", "add", "default", "via", f"{NET}.1")
        for name, path in zip(names, made.captures, strict=True):
            command = ["tcpdump", "-i", "any", "-U", "-Z", "root", "-y", "LINUX_SLL2", "-w", str(path)]
            stack.enter_context(
                Process(["ip", "netns", "exec", name, *command], os.environ, folder / f"{name}.tcpdump.log")
            )
        yield made


def _way_out(hub: str) -> None:
    """A wire to a neighbour that isn't there."""
    _in(hub, "ip", "link", "add", "name", "out", "type", "veth", "peer", "name", "nowhere")
    for name in ("out", "nowhere"):
        _in(hub, "ip", "link", "set", name, "up")
    _in(hub, "ip", "neigh", "add", f"{OUT}.2", "lladdr", "02:00:00:00:00:01", "dev", "out", "nud", "permanent")
    _in(hub, "ip", "addr", "add", f"{OUT}.1/24", "dev", "out")
    _in(hub, "ip", "route", "add", "default", "via", f"{OUT}.2")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _in(name: str, *words: str) -> None:
    _ip("netns", "exec", name, *words)


# ---- what was seen -------------------------------------------------------------------------------------------------


def packets(path: Path) -> Iterator[tuple[int, bytes]]:
    """Protocol and payload of each packet in a capture that may still be written."""
    data = path.read_bytes()
    magic, *_, link = struct.unpack_from("<IHHiIII", data)
    assert (magic, link) == (0xA1B2C3D4, _SLL2)
    at = 24
    while at + 16 <= len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        packet = data[at + 16 : at + 16 + size]
        if len(packet) == size:
            yield int.from_bytes(packet[:2], "big"), packet[20:]
        at += 16 + size


def spoken_to(path: Path) -> set[str]:
    """All addresses in a capture, from or to."""
    found = set()
    for protocol, data in packets(path):
        if protocol == _IPV4:
            found |= {str(ipaddress.IPv4Address(data[start : start + 4])) for start in (12, 16)}
        elif protocol == _IPV6:
            found |= {str(ipaddress.IPv6Address(data[start : start + 16])) for start in (8, 24)}
    return found


def forms(text: str) -> list[bytes]:
    """How a text may look on a wire."""
    plain = text.encode()
    found = [plain, plain[::-1], text.upper().encode(), plain.hex().encode()]
    found += [text.encode(code) for code in ("utf-16-le", "utf-16-be", "utf-32-le")]
    # At three offsets, without the characters that depend on what stands beside it.
    found += [base64.b64encode(b"x" * start + plain)[4 if start else 0 : -4] for start in range(3)]
    return found


def holds(data: bytes, text: str) -> bool:
    return any(form in data for form in forms(text))


def holds_in_values(update: Update, text: str) -> bool:
    """Whether the text is in an update's tensors: as their bytes, or as characters that the values stand for."""
    values = np.concatenate([tensor.ravel() for tensor in update.tensors.values()])
    views = [values.astype("<f4").tobytes(), values.astype(">f4").tobytes()]
    for power in range(-8, 25):
        scaled = np.rint(values.astype(np.float64) * 2.0**power)
        views.append((scaled % 256).astype(np.uint8).tobytes())
    return any(holds(view, text) for view in views)


# ---- what leaves a broker ------------------------------------------------------------------------------------------


@dataclass
class Tap:
    """Sits between a node and its broker, and writes down what the broker lets out."""

    broker: Path
    said: list[bytes] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return self.broker.parent.parent / "tap" / "socket"

    @contextmanager
    def listening(self) -> Iterator[None]:
        self.path.parent.mkdir(mode=0o700, parents=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.path))
            listener.listen()
            thread = Thread(target=self._serve, args=(listener,), daemon=True)
            thread.start()
            try:
                yield
            finally:
                with suppress(OSError):
                    listener.shutdown(socket.SHUT_RDWR)
                thread.join(10)

    def _serve(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                node, _ = listener.accept()
                self._pass(node)

    def _pass(self, node: socket.socket) -> None:
        with node, socket.socket(socket.AF_UNIX) as broker:
            broker.connect(str(self.broker))
            thread = Thread(target=_copy, args=(node, broker, []), daemon=True)
            thread.start()
            pieces: list[bytes] = []
            _copy(broker, node, pieces)
            self.said.append(b"".join(pieces))


def _copy(source: socket.socket, target: socket.socket, pieces: list[bytes]) -> None:
    with suppress(OSError):
        while piece := source.recv(1 << 16):
            pieces.append(piece)
            target.sendall(piece)
