"""The broker's socket: whose it is, and what a proxy takes from it."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgeperso.errors import UsageError
from edgeperso_federated.broker.desk import Desk
from edgeperso_federated.broker.protocol import Refused, header_bytes
from edgeperso_federated.broker.proxy import Proxy
from edgeperso_federated.broker.server import Broker
from edgeperso_federated.errors import BrokerRefused

from .broker_world import World


@pytest.fixture
def listening(world: World) -> Iterator[World]:
    with world.listening():
        yield world


def test_socket_and_folder_are_the_persons_alone(world: World) -> None:
    with world.listening():
        assert stat.S_IMODE(world.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(world.path.parent.stat().st_mode) == 0o700


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_is_not_answered_even_with_the_folder_open(listening: World) -> None:
    world = listening
    opened = [world.path, *world.path.parents]
    modes = [(one, one.stat().st_mode) for one in opened]
    reader, writer = os.pipe()
    hello = header_bytes({"kind": "hello", "version": 1})
    try:
        for one in opened:
            one.chmod(0o777)
        child = os.fork()
        if not child:
            os.setuid(65534)
            answer = b"connected:"
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.connect(str(world.path))
                with contextlib.suppress(OSError):
                    connection.sendall(struct.pack("<4sIQ", b"EPB1", len(hello), 0) + hello)
                    answer += connection.recv(100)
            os.write(writer, answer)
            os._exit(0)
        os.waitpid(child, 0)
    finally:
        for one, mode in modes:
            one.chmod(stat.S_IMODE(mode))
    assert os.read(reader, 1000) == b"connected:"


@pytest.mark.parametrize("wrong", ["open", "file", "link", "long", "listening"])
def test_no_broker_listens_where_others_could_be(world: World, tmp_path: Path, wrong: str) -> None:
    folder = tmp_path / "s"
    folder.mkdir(mode=0o700)
    path, words = folder / "broker", "alone"
    desk = Desk(world.device, world.stop)
    made: Callable[[], object] = lambda: None  # noqa: E731
    if wrong == "open":
        folder.chmod(0o750)
    elif wrong == "file":
        path.write_text("mine")
        words = "in the socket's place"
    elif wrong == "link":
        (tmp_path / "l").symlink_to(folder)
        path = tmp_path / "l" / "broker"
    elif wrong == "long":
        path, words = folder / ("x" * 100), "at most"
    else:
        kept = Broker(desk, path)
        made, words = kept._listener.close, "Another broker"
    with pytest.raises(UsageError, match=words):
        Broker(desk, path)
    made()


def test_the_socket_of_a_killed_broker_is_taken_over(world: World, tmp_path: Path) -> None:
    path = tmp_path / "s" / "broker"
    Broker(world.desk, path)._listener.close()
    assert path.exists()
    Broker(world.desk, path)._listener.close()


def test_a_proxy_without_a_broker_says_so(world: World, tmp_path: Path) -> None:
    with pytest.raises(BrokerRefused, match="No broker answers"):
        Proxy(tmp_path / "nowhere").hello()


@pytest.mark.parametrize(
    "answer",
    [
        {"kind": "hello", "version": 2},
        {"kind": "result", "step": 3},
        {"kind": "refused", "why": "whatever"},
        {"kind": "refused", "why": "busy", "more": 1},
    ],
)
def test_a_proxy_takes_no_other_answers(tmp_path: Path, answer: dict[str, Any]) -> None:
    path = tmp_path / "false"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(1)

        def reply() -> None:
            connection, _ = listener.accept()
            with connection:
                text = header_bytes(answer)
                connection.sendall(struct.pack("<4sIQ", b"EPB1", len(text), 0) + text)
                connection.recv(1000)

        thread = threading.Thread(target=reply)
        thread.start()
        with pytest.raises(BrokerRefused, match="isn't a broker") as caught:
            Proxy(path, patience_s=5).hello()
        thread.join(5)
        assert not isinstance(caught.value, Refused)
