"""The command in a process of its own, with a home of its own and nothing inherited."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

Shell = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def shell(tmp_path: Path, models_dir: Path) -> Shell:
    """``shell("recall", "tea")`` in a new home; ``home=`` names another one; further names are environment
    variables."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path),
        "EDGEPERSO_MODELS": str(models_dir.resolve()),
        "EDGEPERSO_KEY_FILE": str(tmp_path / "me.key"),
    }

    def run(*words: object, home: str = "vault", stdin: str = "", **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "edgeperso", *map(str, words)],
            cwd=tmp_path,
            env={**environment, "EDGEPERSO_HOME": str(tmp_path / home), **extra},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def result() -> Callable[[subprocess.CompletedProcess[str]], Any]:
    """The one object on stdout of a command that did what it was asked."""

    def read(done: subprocess.CompletedProcess[str]) -> Any:
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)

    return read


@pytest.fixture
def error() -> Callable[[subprocess.CompletedProcess[str]], tuple[int, str]]:
    """Exit status and error code of a command that failed with a sentence and advice, and without a traceback."""

    def read(done: subprocess.CompletedProcess[str]) -> tuple[int, str]:
        assert "Traceback" not in done.stderr
        assert done.stdout == ""
        found = json.loads(done.stderr.splitlines()[-1])["error"]
        assert found["message"]
        assert found["hint"]
        return done.returncode, found["code"]

    return read
