"""Requantize a model to the layout that is fastest on this CPU and answers the same.

Which layouts are fast depends on the kernels that llama.cpp has for this CPU, so candidates are made and measured.
The winner is written beside the original as ``NAME.optimized-LAYOUT.gguf`` with its figures in a ``.json``; the
original is never touched, and a failure leaves nothing behind.
"""

from __future__ import annotations

import errno
import glob
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from edgeperso.engine.engine import Engine
from edgeperso.engine.likeness import Likeness, Reference
from edgeperso.engine.machine import cpu_name
from edgeperso.engine.origin import RECORD_VERSION, identity, is_recorded, read_record
from edgeperso.engine.requantize import quantize_file
from edgeperso.engine.speed import Speed, measure_speeds
from edgeperso.errors import DiskFull, ModelError, ReadOnly
from edgeperso.types import Progress

__all__ = ["Candidate", "OptimizeReport", "best_file", "optimize"]

LAYOUTS = {"Q8_0": 1.07, "BF16": 2.0, "Q4_0": 0.6}
"""Candidates, with bytes per weight for the room they need: fast kernels exist for these on common CPUs."""
_WORTH_IT = 0.9
_ALIKE = 1.05
_N_CTX = 1024


@dataclass(frozen=True, slots=True)
class Candidate:
    """A layout that was tried. ``speed``, and the ``original_speed`` measured in turns with it, are None where its
    answers differed: it was not measured then."""

    layout: str
    size_bytes: int
    likeness: Likeness
    speed: Speed | None
    original_speed: Speed | None

    @property
    def cost(self) -> float:
        """Its time for a turn as a share of the original's; infinite where its answers differed."""
        if self.speed is None or self.original_speed is None:
            return float("inf")
        return self.speed.turn_s() / self.original_speed.turn_s()


@dataclass(frozen=True, slots=True)
class OptimizeReport:
    """``path`` is the file to use: the new one, or the original where nothing was faster (``layout`` is then its own).
    ``original`` and ``speed`` were measured in turns with each other."""

    path: Path
    layout: str
    changed: bool
    original: Speed
    speed: Speed
    candidates: tuple[Candidate, ...]

    @property
    def prefill_gain(self) -> float:
        return self.speed.prefill_tok_s / self.original.prefill_tok_s

    @property
    def decode_gain(self) -> float:
        return self.speed.decode_tok_s / self.original.decode_tok_s


def optimize(path: str | Path, out: str | Path | None = None, *, progress: Progress | None = None) -> OptimizeReport:
    """Find and write the fastest layout with unchanged answers (`Likeness.unchanged`) for this machine.

    Fastest is the shortest turn of 512 tokens read and 64 written. It must save a tenth of the original's; of those
    within a twentieth of the fastest, the smallest file wins.

    Args:
        path: the GGUF file to start from.
        out: the folder for the new file; the original's own where not given. `best_file` looks only there.
        progress: called as ``progress("optimize", steps done, steps)``.

    Raises:
        ModelNotFound, ModelCorrupt, ModelUnsupported: as `Engine.open`.
        DiskFull: no room for a candidate.
        ReadOnly: the folder can't be written.
    """
    path = Path(path)
    folder = Path(out) if out is not None else path.parent
    tried: dict[Path, Candidate] = {}
    with Engine.open(path, n_ctx=_N_CTX) as original, _workspace(folder) as workspace:
        layouts = [layout for layout in LAYOUTS if layout != original.info.quantization]
        _report(progress, 0, len(layouts))
        reference = Reference(original)
        for done, layout in enumerate(layouts, start=1):
            file = workspace / f"{layout}.gguf"
            _make(original, file, layout)
            tried[file] = _try(original, reference, file, layout)
            _report(progress, done, len(layouts))
        candidates = tuple(tried.values())
        file, best = _fastest(tried)
        if best.speed is None or best.original_speed is None or best.cost > _WORTH_IT:
            (speed,) = measure_speeds([original])
            return OptimizeReport(path, original.info.quantization, False, speed, speed, candidates)
        target = folder / f"{path.stem}.optimized-{best.layout}.gguf"
        _publish(path, file, target, best)
        return OptimizeReport(target, best.layout, True, best.original_speed, best.speed, candidates)


def best_file(path: str | Path) -> Path:
    """The optimized file beside ``path`` if there is one for this CPU made from this very file, or else ``path``.

    Cheap: contents are hashed only where size or mtime are not those that were recorded. A record that is damaged, or
    that speaks of other files, counts for nothing.
    """
    path = Path(path)
    fastest = path, 1.0
    for record_path in path.parent.glob(f"{glob.escape(path.stem)}.optimized-*.json"):
        try:
            record = read_record(record_path)
            target = record_path.with_suffix(".gguf")
            if (
                record["cpu"] == cpu_name()
                and is_recorded(path, record["source"])
                and is_recorded(target, record["file"])
                and float(record["cost"]) < fastest[1]
            ):
                fastest = target, float(record["cost"])
        except (OSError, ValueError, KeyError, TypeError, ModelError):
            continue
    return fastest[0]


def _make(original: Engine, file: Path, layout: str) -> None:
    needed = int(original.info.n_params * LAYOUTS[layout])
    free = shutil.disk_usage(file.parent).free
    if free < needed:
        raise DiskFull(f"A candidate needs {needed} bytes and {file.parent.parent} has {free}.")
    quantize_file(original.info.path, file, layout)


def _try(original: Engine, reference: Reference, file: Path, layout: str) -> Candidate:
    with Engine.open(file, n_ctx=_N_CTX) as engine:
        likeness = reference.compare(engine)
        speed = base = None
        if likeness.unchanged:
            base, speed = measure_speeds([original, engine])
        return Candidate(layout, file.stat().st_size, likeness, speed, base)


def _fastest(tried: dict[Path, Candidate]) -> tuple[Path, Candidate]:
    limit = min(candidate.cost for candidate in tried.values()) * _ALIKE
    close = [entry for entry in tried.items() if entry[1].cost <= limit]
    return min(close, key=lambda entry: entry[1].size_bytes)


def _publish(source: Path, file: Path, target: Path, candidate: Candidate) -> None:
    """Give the winner its name, record first: without its file a record counts for nothing."""
    record = {
        "version": RECORD_VERSION,
        "source": identity(source),
        "file": identity(file),
        "layout": candidate.layout,
        "cost": candidate.cost,
        "cpu": cpu_name(),
        "figures": asdict(candidate),
    }
    partial = file.with_suffix(".json")
    partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    partial.replace(target.with_suffix(".json"))
    file.replace(target)


@contextmanager
def _workspace(folder: Path) -> Iterator[Path]:
    """A folder for candidates on the target's own disk, gone afterwards whatever happens."""
    try:
        with tempfile.TemporaryDirectory(prefix=".optimize-", dir=folder) as workspace:
            yield Path(workspace)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFull(f"The disk of {folder} is full.") from None
        raise ReadOnly(f"{folder} can't be written.", hint="Choose another folder for the optimized file.") from None


def _report(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress("optimize", done, total)
