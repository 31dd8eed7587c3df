"""What every benchmark prints: one JSON object, or a small table of the same figures."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["arguments", "commit", "machine", "report"]


def arguments(description: str | None, *, seed: int = 0) -> argparse.ArgumentParser:
    """The options that all benchmarks share: ``--json`` and ``--seed``."""
    parser = argparse.ArgumentParser(
        description=(description or "").split("\n\n")[0], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--seed", type=int, default=seed)
    return parser


def report(
    name: str,
    figures: Mapping[str, float | int],
    *,
    n: int,
    seed: int,
    models: Mapping[str, str] | None = None,
    as_json: bool,
) -> None:
    """Print the result of a benchmark on standard output.

    Args:
        name: the benchmark.
        figures: flat; units in the names.
        n: how many rows, questions or prompts were measured.
        seed: of everything that was drawn by chance.
        models: name to sha256 or file, of the models that took part.
        as_json: one JSON object; else a table.
    """
    whole = {
        "name": name,
        "figures": {key: round(float(value), 6) for key, value in figures.items()},
        "n": n,
        "seed": seed,
        "commit": commit(),
        "machine": machine(),
        "models": dict(models or {}),
    }
    if as_json:
        sys.stdout.write(json.dumps(whole) + "\n")
        return
    width = max(map(len, figures), default=0)
    lines = [f"{name}: n {n}, seed {seed}, {whole['commit']}, {whole['machine']}"]
    lines += [f"  {key:<{width}}  {value:,.4g}" for key, value in figures.items()]
    sys.stdout.write("\n".join(lines) + "\n")


def commit() -> str:
    """The checkout's commit, with ``+`` when files differ from it; ``unknown`` outside of one."""
    root = Path(__file__).parent.parent
    try:
        run = [subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout.strip()
               for words in (("rev-parse", "--short=12", "HEAD"), ("status", "--porcelain", "-uno"))]  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return run[0] + ("+" if run[1] else "")


def machine() -> str:
    """Processor, cores, system and Python in one line."""
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
