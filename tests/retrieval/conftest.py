from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeperso.vault import Passphrase, Vault
from edgeperso.vault.keys import Argon2Cost


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    cheap = Argon2Cost(64, 1, 1, below_standard=True)
    made, _ = Vault.create(tmp_path / "vault", Passphrase("a passphrase for tests"), cost=cheap)
    with made:
        yield made
