"""Run the command in this process, as a shell would see it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from edgeperso.cli import main


@dataclass(frozen=True, slots=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on stdout."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        """The error object on stderr's last line."""
        found: dict[str, str] = json.loads(self.err.splitlines()[-1])["error"]
        return found


Cli = Callable[..., Result]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """``cli("recall", "tea", "--json")`` → exit code, stdout, stderr; the person's own settings don't count."""
    for variable in ("EDGEPERSO_HOME", "EDGEPERSO_KEY_FILE", "EDGEPERSO_DEBUG", "NO_COLOR"):
        monkeypatch.delenv(variable, raising=False)

    def run(*words: object) -> Result:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Result(code, *capsys.readouterr())

    return run
