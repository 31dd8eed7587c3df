"""What a process says beside its answers: every record of every logger, and whatever reaches stdout and stderr."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field

from edgeperso.errors import EdgepersoError

__all__ = ["Heard", "listening", "provoked"]

_CHUNK = 1 << 16


@dataclass(slots=True)
class Heard:
    """What was logged, as lines, and, once listening is over, what was printed."""

    logged: list[str] = field(default_factory=list)
    printed: str = ""


class _Listener(logging.Handler):
    """Keeps every record as a host program's most talkative handler would write it, with its traceback."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.NOTSET)
        self._lines = lines
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(f"{self.format(record)} {record.args!r}")


@contextmanager
def listening() -> Iterator[Heard]:
    """Hear all logging at DEBUG and both streams, those of native code as well, of the whole process; nothing of it
    goes elsewhere meanwhile."""
    heard = Heard()
    root, ours = logging.getLogger(), logging.getLogger("edgeperso")
    listener, levels = _Listener(heard.logged), (root.level, ours.level)
    root.addHandler(listener)
    root.setLevel(logging.DEBUG)
    ours.setLevel(logging.DEBUG)
    streams = io.StringIO()
    native: list[bytes] = []
    try:
        with ExitStack() as stack:
            stack.enter_context(_descriptors(native))
            stack.enter_context(redirect_stdout(streams))
            stack.enter_context(redirect_stderr(streams))
            yield heard
    finally:
        root.removeHandler(listener)
        root.setLevel(levels[0])
        ours.setLevel(levels[1])
        heard.printed = streams.getvalue() + b"".join(native).decode("utf-8", "replace")


@contextmanager
def _descriptors(into: list[bytes]) -> Iterator[None]:
    """Everything that is written to file descriptors 1 and 2, through a pipe: never through a file."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    saved = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}

    def read() -> None:
        while chunk := os.read(reading, _CHUNK):
            into.append(chunk)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        for descriptor in saved:
            os.dup2(writing, descriptor)
        yield
    finally:
        for descriptor, kept in saved.items():
            os.dup2(kept, descriptor)
            os.close(kept)
        os.close(writing)  # the last writer: the reader comes to the end
        reader.join()
        os.close(reading)


def provoked(action: Callable[[], object]) -> str | None:
    """All that an exception of ``action`` says, with those behind it, as a crash report would have it; None without."""
    try:
        action()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked at
        shown = error.as_dict() if isinstance(error, EdgepersoError) else {}
        return f"{''.join(traceback.format_exception(error))} {error!r} {error.args!r} {shown}"
    return None
