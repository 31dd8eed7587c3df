"""Print the requirements in pyproject.toml, one a line: base, build and the extras named. Stdlib only: runs first.

python scripts/requirements.py [--only] [--without NAME] [EXTRA ...]
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def name_of(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    if match is None:
        raise ValueError(f"not a requirement: {requirement!r}")
    return match.group().lower().replace("_", "-")


def requirements(extras: list[str], without: list[str], *, only: bool = False) -> list[str]:
    """``only``: those of the extras alone."""
    data = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    base = [*data["project"]["dependencies"], *data["build-system"]["requires"], "cmake", "ninja"]
    found = [] if only else base
    for extra in extras:
        found += data["project"]["optional-dependencies"][extra]
    return [one for one in found if name_of(one) not in without]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("extras", nargs="*")
    parser.add_argument("--only", action="store_true", help="those of the extras alone")
    parser.add_argument("--without", action="append", default=[])
    options = parser.parse_args()
    sys.stdout.write("\n".join(requirements(options.extras, options.without, only=options.only)) + "\n")


if __name__ == "__main__":
    main()
