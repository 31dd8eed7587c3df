"""The page on bad input names codes and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

from edgeperso import errors

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/bad-input.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if "::" in line]


def test_every_test_it_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE)
    assert len(named) == len(ROWS) > 30
    missing = [name for file, name in named if f"def {name}(" not in (ROOT / file).read_text(encoding="utf-8")]
    assert missing == []


def test_every_code_it_names_exits_as_it_says() -> None:
    exits = {kind.code: kind.exit_code for kind in vars(errors).values() if isinstance(kind, type)}
    for _, codes, exit_code, *_ in ROWS:
        for code in re.findall(r"`(\w+)`", codes):
            if "skip" not in codes:
                assert exits[code] == int(exit_code), code
