"""The tools of the privacy tests: strace, and the search in what it saw."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def tracing() -> SimpleNamespace:
    """What is in ``tracing.py``; skips where no program can be traced."""
    tools = SimpleNamespace(**runpy.run_path(str(HERE / "tracing.py")))
    reason = tools.why_not()
    if reason is not None:
        pytest.skip(reason)
    return tools


@pytest.fixture(scope="session")
def search() -> SimpleNamespace:
    """What is in ``search.py``."""
    return SimpleNamespace(**runpy.run_path(str(HERE / "search.py")))
