from __future__ import annotations

import os

import pytest

from edgeperso.errors import AdapterInvalid, AdapterRefused


def test_the_latest_state_is_kept(vault) -> None:
    assert vault.checkpoints.load("t") is None
    for payload in (os.urandom(3 << 20), b"shorter", os.urandom(2 << 20)):
        vault.checkpoints.save("t", payload)
        vault.checkpoints.save("another", b"one")
        assert vault.checkpoints.load("t") == payload
    assert vault.checkpoints.names() == ["another", "t"]
    assert vault.database.counts()["checkpoint_chunks"] == 3
    vault.checkpoints.drop("t")
    vault.checkpoints.drop("t")
    assert vault.checkpoints.load("t") is None
    assert vault.checkpoints.names() == ["another"]
    assert vault.database.counts()["checkpoint_chunks"] == 1


def test_one_that_can_not_be_saved_leaves_the_one_before(vault, note) -> None:
    ids = vault.memories.add([note("a"), note("b")]).ids
    seen = vault.generation
    vault.checkpoints.save("t", b"before", ids, as_of=seen)
    with pytest.raises(AdapterInvalid):
        vault.checkpoints.save("t", b"", ids)
    with pytest.raises(AdapterRefused):
        vault.checkpoints.save("t", b"after", [*ids, 99])
    assert vault.checkpoints.load("t") == b"before"


def test_a_text_that_changed_ends_the_training(vault, note) -> None:
    ids = vault.memories.add([note("a"), note("b")]).ids
    seen = vault.generation
    vault.checkpoints.save("t", b"before", ids, as_of=seen)
    vault.memories.edit(ids[0], "c")
    assert vault.checkpoints.names() == []
    with pytest.raises(AdapterRefused):
        vault.checkpoints.save("t", b"after", ids, as_of=seen)
    assert vault.checkpoints.names() == []
