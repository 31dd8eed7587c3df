"""The encrypted home of a person's history: keys, header, database, repositories, backup, erasure."""

from __future__ import annotations

from edgeperso.vault.credentials import Credential, KeyFile, OsKeyring, Passphrase, RecoveryKey
from edgeperso.vault.vault import Vault

__all__ = ["Credential", "KeyFile", "OsKeyring", "Passphrase", "RecoveryKey", "Vault"]
