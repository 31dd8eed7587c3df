"""``edgeperso doctor``: is everything in place? Nothing is changed, and nothing is unlocked unless asked."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import stat
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

import edgeperso
from edgeperso.cli.frame import Run, verb
from edgeperso.errors import EdgepersoError
from edgeperso.secrecy import Granted, granted

__all__ = ["app"]

app = typer.Typer()

_LIBRARIES: Final = ("llama-cpp-python", "onnxruntime", "sqlcipher3", "cryptography", "numpy")
_LOW_DISK_BYTES: Final = 1 << 30


class State(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at, and what was found."""

    name: str
    state: State
    detail: str


@verb(app, "doctor")
def doctor(
    run: Run,
    deep: Annotated[bool, typer.Option("--deep", help="Unlock the vault and read all of it; hash the models.")] = False,
) -> None:
    """Look at program, models and vault, and say what is amiss; exits with 1 if something is broken."""
    told = granted()
    checks = [*_program(), _private_memory(told), *_models(run, deep=deep), *_home(run.home)]
    if deep:
        checks.append(_contents(run))
    run.out.result({"checks": [asdict(check) for check in checks], "private_memory": asdict(told)})
    run.out.rows((check.state.value, check.name, check.detail) for check in checks)
    if any(check.state is State.FAILED for check in checks):
        raise typer.Exit(EdgepersoError.exit_code)


def _program() -> Iterator[Check]:
    system = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
    yield Check("edgeperso", State.OK, f"{edgeperso.__version__}, {system}")
    for library in _LIBRARIES:
        try:
            yield Check(library, State.OK, importlib.metadata.version(library))
        except importlib.metadata.PackageNotFoundError:
            yield Check(library, State.FAILED, "not installed")
    yield _kernels()


def _kernels() -> Check:
    from edgeperso import kernels

    if kernels.AVAILABLE:
        from edgeperso import _native

        search, encoder = ", ".join(_native.implementations()), ", ".join(_native.encoders())
        return Check("native kernels", State.OK, f"search: {search}; default embedder: {encoder}")
    amiss = "of another version; rebuild with `make setup`" if kernels.STALE else "not built"
    return Check("native kernels", State.WARNING, f"{amiss}; numpy is used")


def _private_memory(told: Granted) -> Check:
    """In a newcomer's words: what of the key and of the texts could get onto the disk unencrypted."""
    dumps = "kept out of crash dumps" if told.excluded_from_dumps else "in the dump if a program with it crashes"
    if told.locked:
        return Check("private memory", State.OK, f"keys never go to swap; keys and index are {dumps}")
    out = f"keys may be written to swap: {told.why}. Encrypted swap, or none, is as good; keys and index are {dumps}"
    return Check("private memory", State.WARNING, out)


def _models(run: Run, *, deep: bool) -> Iterator[Check]:
    catalogue = run.catalogue
    for entry in catalogue.entries():
        try:
            if deep:
                catalogue.verify(entry.name)
            else:
                catalogue.locate(entry.name)
        except EdgepersoError as error:
            yield Check(entry.name, State.FAILED, str(error))
        else:
            yield Check(entry.name, State.OK, str(catalogue.folder(entry.name)))


def _home(home: Path) -> Iterator[Check]:
    from edgeperso.vault.header import Condition, Header

    try:
        header = Header.load(home)
    except EdgepersoError as error:
        yield Check("vault", State.FAILED, str(error))
        return
    kinds = ", ".join(wrap.type.value for wrap in header.wraps())
    yield Check("vault", State.OK, f"{home}, opens with: {kinds}")
    if header.condition is not Condition.WHOLE:
        yield Check("key header", State.WARNING, "one of its two copies is damaged; the next change of a key mends it")
    if header.rotating:
        yield Check("key rotation", State.WARNING, "was interrupted; `edgeperso key rotate` finishes it")
    if sys.platform != "win32":
        open_to_others = [path.name for path in (home, *home.iterdir()) if stat.S_IMODE(path.stat().st_mode) & 0o077]
        state = State.WARNING if open_to_others else State.OK
        yield Check(
            "permissions", state, f"others may open: {', '.join(open_to_others)}" if open_to_others else "yours"
        )
    free = shutil.disk_usage(home).free
    yield Check("disk", State.OK if free >= _LOW_DISK_BYTES else State.WARNING, f"{free / 1e9:.1f} GB free")


def _contents(run: Run) -> Check:
    try:
        with run.vault() as vault:
            vault.check()
            return Check("contents", State.OK, f"{vault.memories.count():,} memories, every page is whole")
    except EdgepersoError as error:
        return Check("contents", State.FAILED, str(error))
