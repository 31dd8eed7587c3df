"""``edgeperso fl ledger``, and what `fl` says of folders that hold nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeperso.vault import Vault
from edgeperso.vault.credentials import KeyFile
from edgeperso_federated.broker.device import ledger_of
from edgeperso_federated.privacy.plans import Local

from .conftest import Cli


@pytest.fixture
def home(cli: Cli, tmp_path: Path) -> Path:
    home, key = tmp_path / "home", tmp_path / "a.key"
    assert cli("init", "--home", home, "--key-file", key).code == 0
    with Vault.open(home, KeyFile(key)) as vault:
        ledger_of(vault).charge("a run", 1, Local(1.0, 4.0, 1e-6), at_ms=1)
    return home


def test_the_ledger_tells_what_was_spent_and_what_is_allowed(cli: Cli, home: Path, tmp_path: Path) -> None:
    shown = cli("fl", "ledger", "--home", home, "--key-file", tmp_path / "a.key", "--json")
    assert shown.code == 0
    assert shown.json["rounds"] == len(shown.json["entries"]) == 1
    assert 0 < shown.json["local"] == shown.json["epsilon"] < shown.json["allowed"]
    assert shown.json["central"] == shown.json["unprotected"] == 0
    told = cli("fl", "ledger", "--home", home, "--key-file", tmp_path / "a.key")
    assert f"{shown.json['epsilon']:.3f}" in told.out


@pytest.mark.parametrize("words", [("status",), ("export", "x.gguf")])
def test_a_folder_without_a_run_is_said_so(cli: Cli, tmp_path: Path, words: tuple[str, ...]) -> None:
    shown = cli("fl", words[0], tmp_path, *words[1:], "--json")
    assert shown.code != 0
    assert shown.error["code"] == "source_not_found"
