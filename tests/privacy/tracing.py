"""A program run under strace: every byte that it and its children wrote, whatever to, and whom they connected to."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

_WRITES = ("write", "pwrite64", "writev", "pwritev", "pwritev2", "sendto", "sendmsg", "sendmmsg")
_NAMING = ("open", "openat", "creat", "mkdir", "mkdirat", "rename", "renameat", "renameat2", "link", "linkat")
_NAMING += ("symlink", "symlinkat", "memfd_create")
_UNSEEN = ("sendfile", "copy_file_range", "splice", "vmsplice", "io_uring_setup", "process_vm_writev")
_TRACED = (*_WRITES, *_NAMING, *_UNSEEN, "connect", "mmap")
_LONGEST = 64 << 20

_CALL = re.compile(rb"(\w+)\(")
_TARGET = re.compile(rb"\w+\(\d+<((?:\\x[0-9a-f]{2})*)>")
_MAPPED = re.compile(rb"mmap\([^<]*PROT_WRITE[^<]*MAP_SHARED[^<]*<((?:\\x[0-9a-f]{2})*)>")
_PATH = re.compile(rb"\d<((?:\\x[0-9a-f]{2})*)>")
_FAMILY = re.compile(rb"sa_family=(\w+)")


class Run(NamedTuple):
    """What a traced program did.

    ``written``: bytes by where they went, as the kernel names it (a path, ``pipe:[123]``). ``names``: those of files
    made, joined. ``unseen``: calls that move bytes without showing them, with the paths they name (the
    destination first, where it is a copy). ``mapped``: files mapped to be written.
    ``families``: of the sockets connected.
    """

    code: int
    stdout: bytes
    stderr: bytes
    stdout_pipe: str
    written: dict[str, bytes]
    names: bytes
    unseen: tuple[tuple[str, ...], ...]
    mapped: frozenset[str]
    families: frozenset[str]
    cut: int


def why_not() -> str | None:
    """Why nothing can be traced here; None if it can."""
    if shutil.which("strace") is None:
        return "strace is not installed: run scripts/system-packages.sh"
    tried = subprocess.run(_command(Path(os.devnull), ["true"], split=False), capture_output=True, check=False)
    return None if tried.returncode == 0 else "this machine forbids strace (ptrace)"


def run(command: Sequence[str | Path], folder: Path, env: Mapping[str, str], cwd: Path, timeout_s: float) -> Run:
    """Run ``command``, trace it into ``folder``, read the trace. ``timeout_s`` is there so that nothing hangs forever.

    The command is ended, and so is strace with it, when the time is up.
    """
    folder.mkdir()
    traced = _command(folder / "trace", command, split=True)
    with subprocess.Popen(
        traced, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        pipe = f"pipe:[{os.fstat(process.stdout.fileno()).st_ino}]"
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.terminate()
            raise
    try:
        return _read(folder, process.returncode, out, err, pipe)
    finally:
        shutil.rmtree(folder)  # it is large


def _command(output: Path, command: Sequence[str | Path], *, split: bool) -> list[str]:
    calls = ",".join(f"?{name}" for name in _TRACED)  # not every architecture has all of them
    options = ["-f", *(["-ff"] if split else []), "--seccomp-bpf", "-qq", "-y", "-xx", "-v", "-s", str(_LONGEST)]
    return ["strace", *options, "-e", f"trace={calls}", "-e", "signal=none", "-o", str(output), *map(str, command)]


def _read(folder: Path, code: int, out: bytes, err: bytes, pipe: str) -> Run:
    written: defaultdict[str, list[bytes]] = defaultdict(list)
    names, unseen, mapped, families, cut = [], [], set(), set(), 0
    for trace in sorted(folder.iterdir()):
        for line in trace.read_bytes().splitlines():
            call = _CALL.match(line)
            name = call[1].decode() if call else ""
            if name in _WRITES:
                target = _TARGET.match(line)
                written[_plain(target[1]).decode() if target else "?"] += _strings(line)
                cut += line.count(b'"...')
            elif name in _NAMING:
                if name not in ("open", "openat") or b"O_CREAT" in line:
                    names += _strings(line)
            elif name == "connect":
                families |= {family.decode() for family in _FAMILY.findall(line)}
            elif name == "mmap":
                mapped |= {_plain(path).decode() for path in _MAPPED.findall(line)}
            elif name:
                unseen.append((name, *(_plain(path).decode() for path in _PATH.findall(line))))
    joined = {target: b"".join(parts) for target, parts in written.items()}
    return Run(
        code, out, err, pipe, joined, b"\n".join(names), tuple(unseen), frozenset(mapped), frozenset(families), cut
    )


def _strings(line: bytes) -> list[bytes]:
    """What stands in quotes; every byte of it is escaped, quotes too."""
    return [_plain(text) for text in line.split(b'"')[1::2]]


def _plain(escaped: bytes) -> bytes:
    return bytes.fromhex(escaped.replace(b"\\x", b"").decode())
