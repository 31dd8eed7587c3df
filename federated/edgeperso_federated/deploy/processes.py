"""Processes that end with what they started.

Flower starts its helpers in sessions of their own, so that a signal to the group doesn't reach them, and one that dies
leaves them behind. Here they are looked up by their parents, before anything is stopped and while it runs.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Final, Self

from edgeperso_federated.errors import FederationError

__all__ = ["Kept", "Process", "free_port", "wait_for_port"]

_GRACE_S: Final = 8.0
_PULSE_S: Final = 0.1


class Process:
    """A running command; a context manager that stops it.

    Args:
        command: its words.
        env: its environment.
        log: gets what it says; None: the terminal does.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str], log: Path | None = None) -> None:
        out = log.open("ab") if log is not None else None
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own words
                list(command), env=dict(env), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        finally:
            if out is not None:
                out.close()
        self._seen: dict[tuple[int, str], None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """What it ended with; None: it is running."""
        return self._process.poll()

    def wait(self, timeout_s: float) -> int | None:
        """What it ended with by itself; None: it is still running."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        return self.code

    def look(self) -> None:
        """Note what it has started by now: once it ended by itself, nothing tells any more."""
        if self.code is None:
            self._seen |= dict.fromkeys(_family(self.pid))

    def kill(self) -> None:
        """At once, with all that it started, as a power cut would."""
        self.look()
        for one in self._seen:
            _signal(one, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> int:
        """Ask it to end, and make it."""
        self.look()
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)
        give_up = time.monotonic() + 1.0
        while any(map(_alive, self._seen)) and time.monotonic() < give_up:
            time.sleep(_PULSE_S)
        for one in self._seen:
            _signal(one, signal.SIGKILL)
        return self._process.wait()


class Kept:
    """A command that is started again when it ends; a context manager that ends it for good.

    Args:
        command, env, log: see `Process`.
        pause_s: before it is started again.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str], log: Path, *, pause_s: float = 5.0) -> None:
        self._start = partial(Process, command, env, log)
        self._pause_s = pause_s
        self._stop = Event()
        self._thread = Thread(target=self._keep)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._stop.is_set():
            with self._start() as process:
                while process.code is None and not self._stop.wait(_PULSE_S):
                    process.look()
            self._stop.wait(self._pause_s)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for_port(process: Process, host: str, port: int, *, timeout_s: float = 60.0) -> None:
    """Until somebody listens.

    Raises:
        FederationError: the process ended, or the time did.
    """
    give_up = time.monotonic() + timeout_s
    while time.monotonic() < give_up and process.code is None:
        with socket.socket() as trial:
            trial.settimeout(1.0)
            if trial.connect_ex((host, port)) == 0:
                return
        time.sleep(_PULSE_S)
    raise FederationError("The server didn't start.", hint="Its log says why.")


def _family(pid: int) -> list[tuple[int, str]]:
    """The process and its descendants, each with the time when it began, which tells it from a later one's."""
    parents: dict[int, list[int]] = {}
    born: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            parents.setdefault(int(stat[1]), []).append(int(entry.name))
            born[int(entry.name)] = stat[19]
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return [(one, born[one]) for one in found if one in born]


def _stat(pid: int) -> list[str]:
    """The fields of ``/proc/PID/stat`` after the name, which may hold anything; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _alive(one: tuple[int, str]) -> bool:
    stat = _stat(one[0])
    return bool(stat) and stat[19] == one[1] and stat[0] != "Z"


def _signal(one: tuple[int, str], number: int) -> None:
    if _alive(one):
        with suppress(ProcessLookupError):
            os.kill(one[0], number)
