"""A vault for the length of an evaluation: real, encrypted, and gone afterwards."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeperso.types import Record
from edgeperso.vault import Passphrase, Vault
from edgeperso.vault.keys import Argon2Cost

__all__ = ["temporary_vault"]

_CHEAP = Argon2Cost(memory_kib=8, iterations=1, lanes=1, below_standard=True)
"""The passphrase is random and nobody's: it needs no stretching."""


@contextmanager
def temporary_vault(records: Iterable[Record] = ()) -> Iterator[Vault]:
    """A vault that holds ``records``, not embedded yet."""
    with tempfile.TemporaryDirectory(prefix="edgeperso-eval-") as folder:
        vault, _ = Vault.create(Path(folder) / "vault", Passphrase(secrets.token_urlsafe(24)), cost=_CHEAP)
        with vault:
            vault.memories.add(records)
            yield vault
