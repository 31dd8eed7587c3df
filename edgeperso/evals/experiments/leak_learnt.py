"""The leak audit's adapters: what a model that learnt from a person says of planted secrets, without the vault.

The attacker has the model file and an adapter that left, and begins the sentence in which the secret stands; what the
model goes on with is searched. Two adapters are tried. One is trained as the assistant trains, on notes of work and all
secrets as the person's own notes: its rules leave out what they know for a secret, the rest may be learnt. The other,
the control, is trained on the sentences with the secrets alone, until it knows them by heart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from edgeperso.adaptation.lesson import text_example
from edgeperso.adaptation.plan import Plan
from edgeperso.engine import Engine
from edgeperso.engine.adapters.file import adapter_from_bytes, fingerprint
from edgeperso.engine.adapters.values import Adapter, Worn
from edgeperso.evals.experiments.leak_attacks import Found
from edgeperso.evals.experiments.leak_search import Needles
from edgeperso.evals.experiments.leak_set import NOW_MS, Secret, known_texts, planted_records, visible_records
from edgeperso.evals.methods import Method
from edgeperso.evals.setup import Setup
from edgeperso.times import DAY_MS
from edgeperso.types import Kind, Record, Trust

__all__ = ["ADAPTER", "CONTROL", "attack_adapters"]

ADAPTER: Final = "adapter"
CONTROL: Final = "adapter_control"
_BY_HEART: Final = Plan(rate=2e-3, epochs=40)
_SAID: Final = 24
"""Tokens that the model goes on with."""


def attack_adapters(setup: Setup, secrets: Sequence[Secret]) -> dict[str, Any]:
    """Attempts and leaks by channel (`ADAPTER`, `CONTROL`), as `leak_attacks.attack` has them.

    Raises:
        ExtraMissing: the libraries of ``edgeperso[train]`` aren't there.
        ModelUnsupported: a model of this architecture can't be trained.
    """
    found = Found(Needles({secret.id: secret.value for secret in secrets}, known_texts(secrets)))
    for secret, said in _said(setup.engine, _by_heart(setup, secrets), secrets):
        found.note(CONTROL, secret, {secret.id} & found.note_answer(CONTROL, secret, said))
    for secret, said in _said(setup.engine, _as_shipped(setup, secrets), secrets):
        found.note(ADAPTER, secret, found.note_answer(ADAPTER, secret, said))
    return found.as_json()


def _as_shipped(setup: Setup, secrets: Sequence[Secret]) -> Adapter:
    """What `train` makes of a vault that holds the secrets as the oldest notes, so that none is kept for the judge."""
    with setup.vault([*visible_records(), *map(_own_note, planted_records(secrets))]) as vault:
        me = setup.assistant(vault, Method.parse("hybrid"), now_ms=NOW_MS)
        report = me.train(progress=setup.progress)
        return adapter_from_bytes(vault.adapters.payload(report.adapter.id))


def _own_note(record: Record) -> Record:
    when_ms = None if record.occurred_ms is None else record.occurred_ms - 100 * DAY_MS
    return replace(record, kind=Kind.NOTE, author="me", trust=Trust.SELF, occurred_ms=when_ms)


def _by_heart(setup: Setup, secrets: Sequence[Secret]) -> Adapter:
    from edgeperso.adaptation.training import train

    engine = setup.engine
    examples = tuple(text_example(engine, "", secret.text) for secret in secrets)
    return train(engine.info.path, engine.info.base_sha256, examples, _BY_HEART, progress=setup.progress).adapter


def _said(engine: Engine, adapter: Adapter, secrets: Sequence[Secret]) -> list[tuple[Secret, str]]:
    """What the model goes on with where each secret's value stood, greedily, in a context of its own."""
    engine.wear([Worn(fingerprint(adapter), adapter)])
    try:
        said = []
        for secret in secrets:
            engine.clear()
            before = secret.text.split(secret.value, 1)[0].rstrip()
            tokens = [*engine.bos, *engine.tokenize(before or secret.question)]
            said.append((secret, "".join(engine.generate(tokens, max_tokens=_SAID))))
        return said
    finally:
        engine.wear(())
