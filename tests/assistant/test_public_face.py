"""The names that `import edgeperso` offers, and what opening with them does."""

from __future__ import annotations

from pathlib import Path

import pytest

import edgeperso as ep
from edgeperso.errors import EmptyQuestion, KeyFileInvalid, VaultNotFound, WrongKey


def test_every_public_name_is_there() -> None:
    assert all(getattr(ep, name) is not None for name in ep.__all__)
    assert len(set(ep.__all__)) == len(ep.__all__)
    assert issubclass(EmptyQuestion, ep.EdgepersoError)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = ep.no_such_name


def test_a_vault_is_made_opened_and_closed_with_public_names(tmp_path: Path, models_dir: Path) -> None:
    vault, recovery = ep.Vault.create(tmp_path / "me", ep.Passphrase("four words are enough"))
    vault.close()
    for key in (ep.Passphrase("four words are enough"), ep.RecoveryKey(recovery)):
        with ep.open(tmp_path / "me", key=key, models_dir=models_dir) as me:
            assert isinstance(me, ep.Assistant)
            memory = me.remember("I take the tram.", kind=ep.Kind.FACT)
            assert isinstance(memory, ep.Memory)
            assert memory.trust is ep.Trust.SELF
            hits = me.recall("tram", where=ep.MemoryFilter(kinds=(ep.Kind.FACT,)))
            assert all(isinstance(hit, ep.Hit) for hit in hits)
            assert hits[0].memory.text == memory.text


def test_the_home_comes_from_the_environment_and_a_tilde_is_followed(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = ep.KeyFile(tmp_path / "me.key")
    monkeypatch.setenv("EDGEPERSO_HOME", str(home))
    with ep.open(key=key) as me:
        assert me.vault.home == home
    monkeypatch.setenv("HOME", str(tmp_path))
    with ep.open("~/home", key=key) as me:
        assert me.vault.home == home


def test_what_does_not_open(home: Path, tmp_path: Path) -> None:
    with pytest.raises(VaultNotFound):
        ep.open(tmp_path / "nowhere", key=ep.Passphrase("x y z"))
    with pytest.raises(WrongKey):
        ep.open(home, key=ep.RecoveryKey(recovery_of_another(tmp_path)))
    (tmp_path / "bad.key").write_text("not a key")
    with pytest.raises(KeyFileInvalid):
        ep.open(home, key=ep.KeyFile(tmp_path / "bad.key"))


def recovery_of_another(tmp_path: Path) -> str:
    vault, recovery = ep.Vault.create(tmp_path / "other", ep.KeyFile(tmp_path / "other.key"))
    vault.close()
    return recovery
