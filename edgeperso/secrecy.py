"""Memory for what is private, and a process that keeps its memory to itself.

`SecretBytes` holds a key, `secret_array` what is made from a person's texts. Both lie in pages of their own that the
system leaves out of core dumps, and are overwritten with zeros before they go back to it. Keys are locked in memory
too, so that they are not written to swap, and are zeros in a forked process. What the system refuses of that is no
error: `granted` tells what it gave.

The pages come from ``native/secret.cpp``, or from `MappedPages` where the extension isn't built: the same, but that
nothing is locked and no guard pages stand beside keys.

Not promised: what other code copies out of a buffer (a ``str``, OpenSSL's and SQLCipher's own structures) is not
reached, and a process that is killed wipes nothing; the system gives nobody its pages before they are zeros.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hmac import compare_digest
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Final, Literal, NoReturn, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edgeperso import kernels
from edgeperso.errors import UsageError

__all__ = [
    "Granted",
    "MappedPages",
    "Secret",
    "SecretBytes",
    "granted",
    "plain",
    "private",
    "seclude",
    "secret_array",
]

_Number = TypeVar("_Number", bound=np.generic)

_MADV_WIPEONFORK: Final = 18  # Linux 4.14; not among mmap's constants
_PR_SET_DUMPABLE: Final = 4


class _Pages(Protocol):
    """Pages of one's own, wiped when neither this object nor an array of it is left. What was asked for and isn't
    granted is False."""

    def array(self) -> NDArray[np.uint8]: ...
    @property
    def undumped(self) -> bool: ...
    @property
    def locked(self) -> bool: ...
    @property
    def unforked(self) -> bool: ...


class _Mapping(mmap.mmap):
    def __del__(self) -> None:
        with suppress(ValueError, TypeError, BufferError):  # the interpreter is ending
            self[:] = bytes(len(self))


class MappedPages:
    """What `edgeperso._native.SecretPages` gives, by what Python has: nothing is locked."""

    locked = False

    def __init__(self, size: int, key: bool) -> None:
        self._size = size
        if sys.platform == "win32":
            self._mapping = _Mapping(-1, max(size, 1))
        else:
            self._mapping = _Mapping(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.undumped = self._advised(getattr(mmap, "MADV_DONTDUMP", None))
        self.unforked = key and self._advised(_MADV_WIPEONFORK if sys.platform == "linux" else None)

    def array(self) -> NDArray[np.uint8]:
        return np.frombuffer(self._mapping, np.uint8, self._size)

    def _advised(self, what: int | None) -> bool:
        if what is None:
            return False
        try:
            self._mapping.madvise(what)
        except OSError:
            return False
        return True


_make: Callable[[int, bool], _Pages] = MappedPages
if kernels.AVAILABLE:
    from edgeperso._native import SecretPages

    _make = SecretPages


class SecretBytes:
    """``size`` bytes of key material, zeros at first. A context manager; wiped on `close`, and when it is forgotten.

    Whoever needs the bytes takes `view` and copies nothing. Never shown, pickled, copied or hashed; compared in
    constant time. ``refused`` counts those of this process that couldn't be locked in memory.
    """

    __slots__ = ("_data", "_size", "_whole")
    refused: ClassVar = 0

    def __init__(self, size: int) -> None:
        pages = _make(size + 1, True)
        if not pages.locked:
            SecretBytes.refused += 1
        self._size = size
        self._whole = pages.array().data
        self._data = self._whole[:size]
        self._whole[size] = 1  # a mark that is gone where the system wiped the pages: in a forked process

    @classmethod
    def of(cls, data: bytes | bytearray | memoryview) -> Self:
        """A copy of ``data``. The original stays where it is: wipe it, or let go of it soon."""
        made = cls(len(data))
        made.view()[:] = data
        return made

    def view(self) -> memoryview:
        """The bytes themselves, to be read and written until `close`, which lets nobody use the view any more. Keep
        this object as long as the view: what is forgotten is wiped.

        Raises:
            UsageError: it was closed, or this process was forked from the one that it belongs to.
        """
        try:
            marked = self._whole[self._size] == 1
        except ValueError:
            raise UsageError("The vault is locked: its key was wiped.", hint="Open the vault again.") from None
        if not marked:
            raise UsageError("A key doesn't come along into a forked process.", hint="Open the vault there.")
        return self._data

    def hex(self) -> str:
        """The bytes as text, for SQLCipher, which takes its key so. A copy that nobody can wipe: let go of it at
        once."""
        return self.view().hex()

    def close(self) -> None:
        """Wipe. Closing twice is harmless."""
        with suppress(BufferError):  # somebody is reading it: they read zeros from now on
            self._data.release()
        with suppress(ValueError, BufferError):
            self._whole[:] = bytes(self._size + 1)
            self._whole.release()

    def __len__(self) -> int:
        return self._size

    def __eq__(self, other: object) -> bool:
        if isinstance(other, SecretBytes):
            return compare_digest(self.view(), other.view())
        if isinstance(other, bytes | bytearray | memoryview):
            return compare_digest(self.view(), other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        with suppress(AttributeError):  # it never came to be
            self.close()

    def __repr__(self) -> str:
        return f"SecretBytes({self._size} hidden)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("secret bytes can't be pickled or copied")


Secret = bytes | SecretBytes
"""Key material: random test keys and what a library gave come as bytes."""


def plain(secret: Secret) -> bytes | memoryview:
    """What a library is given to read; see `SecretBytes.view`."""
    return secret.view() if isinstance(secret, SecretBytes) else secret


def secret_array(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Zeros in pages that stay out of core dumps and are wiped when the last array over them is gone.

    At the beginning of a page, so aligned to 64 bytes; in large pages from 4 MiB on, where there are some. A small one
    takes 4 KB.

    Raises:
        MemoryError, OSError: there isn't so much memory.
    """
    kept = np.dtype(dtype)
    count = math.prod(shape) if isinstance(shape, tuple) else shape
    if count == 0:
        return np.zeros(shape, kept)
    return _make(count * kept.itemsize, False).array().view(kept).reshape(shape)


def private(array: NDArray[_Number]) -> NDArray[_Number]:
    """A copy of ``array`` in a `secret_array`; what was in ordinary memory is not wiped."""
    out = secret_array(array.shape, array.dtype)
    out[...] = array
    return out


@dataclass(frozen=True, slots=True)
class Granted:
    """What this machine and session grant.

    Attributes:
        backend: where pages come from.
        excluded_from_dumps: keys and index stay out of core dumps.
        locked: keys are not written to swap.
        wiped_on_fork: a forked process doesn't have them.
        limit_bytes: how much a process may lock; None without a limit, or where the system has no such thing.
        refused: keys of this process that couldn't be locked.
        why: what to do about keys that can't be locked; empty if they can.
    """

    backend: Literal["native", "python"]
    excluded_from_dumps: bool
    locked: bool
    wiped_on_fork: bool
    limit_bytes: int | None
    refused: int
    why: str


def granted() -> Granted:
    """Try, with a page of a key's kind."""
    pages, limit = _make(1, True), _lock_limit()
    backend: Literal["native", "python"] = "python" if isinstance(pages, MappedPages) else "native"
    why = ""
    if backend == "python":
        why = "there is no native extension of this version (install Python's headers, then edgeperso again)"
    elif not pages.locked:
        why = f"a program may lock {(limit or 0) // 1024:,} KB of memory here (allow more: `ulimit -l 1024`)"
    return Granted(backend, pages.undumped, pages.locked, pages.unforked, limit, SecretBytes.refused, why)


def seclude() -> None:
    """From now on no other process of this user may read this one's memory (``ptrace``, ``/proc/PID/mem``; Linux), and
    a crash writes no image of it. The administrator can still do both. For a process that is ours alone: a library
    mustn't.

    Whoever traces the process already goes on: nothing would be kept from them.
    """
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux" and not _traced():
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _traced() -> bool:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in status.splitlines())


def _lock_limit() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    return None if limit == resource.RLIM_INFINITY else limit
