"""The socket of the broker: who may connect, how many at once, for how long; and one answer to each request.

The socket is 0600 in a folder of 0700, and the kernel says whose process connects: only this person's may. That keeps
other users out. It doesn't keep apart two processes of the same user: see ``docs/explanation/broker.md``.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import BoundedSemaphore, Event, Lock, Thread
from typing import Any, Final

from edgeperso.errors import UsageError
from edgeperso_federated.broker.desk import MOST_MESSAGE_BYTES, Desk, Reply
from edgeperso_federated.broker.protocol import VERSION, Header, Refusal, Refused, Stream, peer_uid
from edgeperso_federated.broker.task import Task

__all__ = ["Broker"]

_MOST_CONNECTIONS: Final = 8
_BACKLOG: Final = 64
"""Connections that wait to be taken, or turned away."""
_PATIENCE_S: Final = 30.0
_PULSE_S: Final = 0.2
_LONGEST_PATH: Final = 100
"""The kernel's limit is 107 bytes."""


class Broker:
    """A listening broker.

    Args:
        desk: decides.
        path: of the socket to make, in a folder of its own. The folder is made where it is missing.
        patience_s: for a request to come in, and for its answer to be taken.

    Raises:
        UsageError: the folder isn't this person's alone, another broker listens there, or the path is too long.
    """

    def __init__(self, desk: Desk, path: Path, *, patience_s: float = _PATIENCE_S) -> None:
        self._desk = desk
        self._path = path
        self._patience_s = patience_s
        self._working = Lock()
        self._places = BoundedSemaphore(_MOST_CONNECTIONS)
        self._listener = _listen(path)

    def serve(self, stop: Event) -> None:
        """Answer until ``stop`` is set; then wait for what is being answered, and take the socket away."""
        threads: list[Thread] = []
        try:
            self._listener.settimeout(_PULSE_S)
            while not stop.is_set():
                try:
                    connection, _ = self._listener.accept()
                except TimeoutError:
                    continue
                threads = [one for one in threads if one.is_alive()]
                # Who can't be served at once is turned away, unanswered: nobody can make this process grow.
                if not self._places.acquire(blocking=False):
                    connection.close()
                    continue
                threads.append(Thread(target=self._serve_one, args=(connection,), daemon=True))
                threads[-1].start()
        finally:
            self._listener.close()
            self._path.unlink(missing_ok=True)
            for one in threads:
                one.join(self._patience_s)

    def _serve_one(self, connection: socket.socket) -> None:
        try:
            with connection, suppress(OSError):
                if peer_uid(connection) == os.getuid():
                    self._answer(Stream(connection, self._patience_s))
        finally:
            self._places.release()

    def _answer(self, stream: Stream) -> None:
        answer: Header
        try:
            header, size = stream.receive_header()
            answer, body = self._done(stream, header, size)
        except Refused as refused:
            answer, body = {"kind": "refused", "why": refused.why.value}, b""
        except OSError:
            raise
        except Exception:  # noqa: BLE001 - what failed may quote the person's text: it goes no further
            answer, body = {"kind": "refused", "why": Refusal.FAILED.value}, b""
        stream.send(answer, body)

    def _done(self, stream: Stream, header: dict[str, Any], size: int) -> tuple[Header, bytes]:
        match header:
            case {"kind": "hello", "version": int(version), **rest} if not rest:
                stream.receive_body(size, 0)
                if version != VERSION:
                    raise Refused(Refusal.GARBAGE)
                return {"kind": "hello", "version": VERSION}, b""
            case {"kind": "task", "task": dict(task), **rest} if not rest:
                reply = self._task(stream, Task.from_header(task), size)
            case {"kind": "result", "run": str(run), "attempt": int(attempt), "step": str(step), **rest} if not rest:
                with self._alone():
                    message = stream.receive_body(size, MOST_MESSAGE_BYTES)
                    reply = self._desk.go_on(run, attempt, step, message)
            case _:
                raise Refused(Refusal.GARBAGE)
        return {"kind": "result", "step": reply.step}, reply.body

    def _task(self, stream: Stream, task: Task, size: int) -> Reply:
        with self._alone():
            judged = self._desk.judge(task)
            # No more is read than the task's tensors take, and only once it is sure to be done.
            return self._desk.begin(judged, stream.receive_body(size, judged.inbound.max_bytes))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._working.acquire(blocking=False):
            raise Refused(Refusal.BUSY)
        try:
            yield
        finally:
            self._working.release()


def _listen(path: Path) -> socket.socket:
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise UsageError(f"The path of a socket is at most {_LONGEST_PATH} bytes.")
    if not hasattr(socket, "SO_PEERCRED"):
        raise UsageError("The broker needs Linux, whose kernel says who connects to a socket.")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = path.parent.lstat()
    if not stat.S_ISDIR(folder.st_mode) or folder.st_uid != os.getuid() or folder.st_mode & 0o077:
        raise UsageError("The socket's folder is not this person's alone.", hint="Give a new one, or `chmod 700` it.")
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(path))
        path.chmod(0o600)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise UsageError("No socket can be made there.") from None
    return listener


def _clear(path: Path) -> None:
    """Remove what a killed broker left."""
    try:
        left = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        if left and trial.connect_ex(os.fspath(path)) != 0:
            path.unlink()
            return
    raise UsageError("Another broker listens there, or a file is in the socket's place.")
