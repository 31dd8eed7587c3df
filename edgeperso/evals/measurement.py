"""The one object that every evaluation and benchmark prints with ``--json``."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from edgeperso.engine.machine import cpu_name

__all__ = ["measurement"]

_ROOT = Path(__file__).resolve().parent.parent.parent


def measurement(
    name: str, figures: Mapping[str, float], *, n: int, seed: int, models: Mapping[str, str]
) -> dict[str, object]:
    """What every measurement prints with ``--json``: ``figures``, and what they were measured on."""
    system = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    return {
        "name": name,
        "figures": {key: round(float(value), 6) for key, value in figures.items()},
        "n": n,
        "seed": seed,
        "commit": _commit(),
        "machine": f"{cpu_name()}, {system}",
        "models": dict(models),
    }


def _commit() -> str:
    """The checkout's commit, with ``+`` when files differ from it; ``unknown`` outside of one."""
    git = shutil.which("git")
    if git is None or not (_ROOT / ".git").exists():
        return "unknown"
    commit, changes = (
        subprocess.run(  # noqa: S603 - the path comes from PATH, the words are ours
            [git, "-C", str(_ROOT), *words], capture_output=True, text=True, check=False
        ).stdout.strip()
        for words in (("rev-parse", "--short=12", "HEAD"), ("status", "--porcelain", "-uno"))
    )
    return commit + ("+" if changes else "")
