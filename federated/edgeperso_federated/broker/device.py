"""The vault and the model, as far as a round needs them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edgeperso.adaptation.examples import gather_texts
from edgeperso.adaptation.lesson import texts_lesson
from edgeperso.adaptation.plan import Example
from edgeperso.engine import Engine
from edgeperso.engine.gguf import check_model_file
from edgeperso.engine.origin import base_sha256
from edgeperso.types import MemoryFilter
from edgeperso.vault import Vault
from edgeperso_federated.broker.consent import Consent, Grant, load_consent
from edgeperso_federated.privacy.ledger import Ledger
from edgeperso_federated.secagg import Identity, RoundMemory

__all__ = ["Device", "VaultStore", "identity_of", "ledger_of"]

_LEDGER: Final = "federation.ledger"
_ROUNDS: Final = "federation.rounds."
_IDENTITY: Final = "federation.identity"
_N_CTX: Final = 64
"""The engine is there for its vocabulary."""


class VaultStore:
    """Bytes under a name in the vault: written for good when `save` returns. The store of ledger and round memory."""

    def __init__(self, vault: Vault, name: str) -> None:
        self._vault = vault
        self._name = name

    def load(self) -> bytes | None:
        stored = self._vault.meta.get(self._name)
        return None if stored is None else base64.b64decode(stored)

    def save(self, data: bytes) -> None:
        self._vault.meta.set(self._name, base64.b64encode(data).decode())


def ledger_of(vault: Vault) -> Ledger:
    """The device's ledger, under the budget that the person set."""
    return Ledger(VaultStore(vault, _LEDGER), load_consent(vault).budget)


def identity_of(vault: Vault) -> Identity:
    """The device's lasting identity in secure aggregation, made when first asked for."""
    store = VaultStore(vault, _IDENTITY)
    with vault.transaction():
        secret = store.load()
        if secret is None:
            store.save(secret := Identity.new().to_bytes())
    return Identity(secret)


class Device:
    """One person's vault, and the model that they would train.

    Args:
        vault: open; it stays the caller's.
        model: the GGUF file.

    Raises:
        ModelNotFound, ModelCorrupt, ModelUnsupported: the file is no model.
    """

    def __init__(self, vault: Vault, model: Path) -> None:
        self._vault = vault
        self.model = model
        self.header = check_model_file(model)
        self.base_sha256 = base_sha256(model)

    @property
    def consent(self) -> Consent:
        """As it is now."""
        return load_consent(self._vault)

    @property
    def ledger(self) -> Ledger:
        return ledger_of(self._vault)

    @property
    def identity(self) -> Identity:
        return identity_of(self._vault)

    def rounds(self, federation: str) -> RoundMemory:
        """The rounds that were begun for this federation: another one's can't use up its names.

        Raises:
            SecaggFailed: it can't be read.
        """
        return RoundMemory(VaultStore(self._vault, _ROUNDS + federation))

    def examples(self, grant: Grant, *, max_tokens: int) -> Sequence[Example]:
        """What trains under these terms: the person's own texts of the granted scopes, but for the newest, which judge.

        Raises:
            TooLittle: there are too few.
        """
        gathered = gather_texts(self._vault, MemoryFilter(scopes=grant.scopes))
        with Engine.open(self.model, n_ctx=_N_CTX, n_threads=1) as engine:
            lesson = texts_lesson(engine, gathered, max_tokens=max_tokens)
        return [one for one in lesson.train if isinstance(one, Example)]
