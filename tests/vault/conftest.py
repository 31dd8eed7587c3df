"""Vaults to test with: opened by a key file, so that no test waits for Argon2."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgeperso.secrecy import Secret, plain
from edgeperso.types import AdapterForm, Granularity, Kind, Objective, Record
from edgeperso.vault import KeyFile, Vault
from edgeperso.vault.adapters import AdapterState, NewAdapter
from edgeperso.vault.vault import DATABASE_NAME


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def key(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "me.key")


@pytest.fixture
def vault(home: Path, key: KeyFile) -> Iterator[Vault]:
    vault, _ = Vault.create(home, key)
    with vault:
        yield vault


@pytest.fixture
def note() -> Callable[..., Record]:
    def make(text: str, source: str = "notes/a.md", **rest: object) -> Record:
        return Record(text=text, kind=Kind.NOTE, source=source, **rest)  # type: ignore[arg-type]

    return make


@pytest.fixture
def lora() -> Callable[..., NewAdapter]:
    """What is known of an adapter that is about to be stored."""

    def make(**rest: object) -> NewAdapter:
        usual = {
            "name": "mine",
            "form": AdapterForm.LORA,
            "objective": Objective.TEXT,
            "granularity": Granularity.USER,
            "base_sha256": "ab" * 32,
            "base_name": "tiny",
            "rank": 8,
            "alpha": 16.0,
            "state": AdapterState.READY,
        }
        return NewAdapter(**{**usual, **rest})  # type: ignore[arg-type]

    return make


def _decrypted_pages(home: Path, key: Secret) -> bytes:
    """Every page of the database file as it lies in clear behind the encryption, freed ones too."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    page_bytes, reserve = 8192, 48
    raw = (home / DATABASE_NAME).read_bytes()
    out = []
    for start in range(0, len(raw), page_bytes):
        page = raw[start : start + page_bytes]
        body = page[16:-reserve] if start == 0 else page[:-reserve]
        iv = page[-reserve : -reserve + 16]
        decryptor = Cipher(algorithms.AES(plain(key)), modes.CBC(iv)).decryptor()
        out.append(decryptor.update(body))
    return b"".join(out)


@pytest.fixture
def decrypted_pages() -> Callable[[Path, Secret], bytes]:
    """``decrypted_pages(home, key)``, see `_decrypted_pages`."""
    return _decrypted_pages
