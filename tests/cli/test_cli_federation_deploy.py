"""`edgeperso fl identity|consent|withdraw|join|serve` up to where Flower begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeperso.vault import KeyFile, Vault
from edgeperso_federated.broker.consent import load_consent

from .conftest import Cli

ROSTER = ["aa" * 32, "bb" * 32, "cc" * 32]


@pytest.fixture
def own(tmp_path: Path) -> list[str]:
    vault, _ = Vault.create(tmp_path / "home", KeyFile(tmp_path / "me.key"))
    vault.close()
    return ["--home", str(tmp_path / "home"), "--key-file", str(tmp_path / "me.key")]


def test_an_identity_lasts_and_its_keys_are_the_persons_alone(cli: Cli, own: list[str], tmp_path: Path) -> None:
    first, second = (cli("fl", "identity", "--json", *own).json for _ in range(2))
    assert first == second
    assert len(bytes.fromhex(first["identity"])) == 32
    key = Path(first["node_key"])
    assert key.read_text().startswith("ecdsa-sha2-nistp384 ")
    assert key.with_suffix("").stat().st_mode & 0o777 == 0o600


def test_a_consent_is_kept_on_its_terms_and_taken_back(cli: Cli, own: list[str], tmp_path: Path) -> None:
    (tmp_path / "roster").write_text("\n".join(ROSTER))
    words = ["--scope", "diary", "--scope", "notes", "--minutes", "3", "--roster", str(tmp_path / "roster")]
    told = cli("fl", "consent", "birds", *words, "--epsilon", "2.5", "--json", *own).json
    assert told == {
        "epsilon": 2.5,
        "delta": 1e-6,
        "federations": {"birds": {"scopes": ["diary", "notes"], "needs": "masked"}},
    }
    cli("fl", "consent", "fish", "--scope", "diary", "--needs", "local", *own)
    with Vault.open(tmp_path / "home", KeyFile(tmp_path / "me.key")) as vault:
        kept = load_consent(vault)
    assert (kept.budget.epsilon, kept.grants["birds"].minutes, kept.grants["birds"].roster) == (2.5, 3, tuple(ROSTER))
    assert kept.grants["fish"].needs == "local"
    assert cli("fl", "withdraw", "birds", "--json", *own).json["federations"].keys() == {"fish"}
    assert cli("fl", "withdraw", "birds", "--json", *own).error["code"] == "usage"


@pytest.mark.parametrize(
    "words",
    [
        ["consent", "birds"],
        ["consent", "birds", "--scope", "diary", "--needs", "nothing"],
        ["consent", "Birds!", "--scope", "diary"],
        ["consent", "birds", "--scope", "diary", "--roster", "/nowhere"],
        ["join", "127.0.0.1:1", "--authority", "/nowhere"],
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_kept(
    words: list[str], cli: Cli, own: list[str], tmp_path: Path
) -> None:
    found = cli("fl", *words, "--json", *own)
    assert (found.code, found.error["code"]) == (2, "usage")
    with Vault.open(tmp_path / "home", KeyFile(tmp_path / "me.key")) as vault:
        assert not load_consent(vault).grants
