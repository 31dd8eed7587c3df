"""What every benchmark prints: one JSON object, or a small table of the same figures."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping

from edgeperso.evals.measurement import measurement

__all__ = ["arguments", "report"]


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
    whole = measurement(name, figures, n=n, seed=seed, models=models or {})
    if as_json:
        sys.stdout.write(json.dumps(whole) + "\n")
        return
    width = max(map(len, figures), default=0)
    lines = [f"{name}: n {n}, seed {seed}, {whole['commit']}, {whole['machine']}"]
    lines += [f"  {key:<{width}}  {value:,.4g}" for key, value in figures.items()]
    sys.stdout.write("\n".join(lines) + "\n")
