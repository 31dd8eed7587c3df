"""What a process knows of its own changes is what the database would tell it, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeperso.errors import NotFound
from edgeperso.types import Kind, Record
from edgeperso.vault import KeyFile, Vault
from edgeperso.vault.changes import Changes
from edgeperso.vault.erasure import erase, plan


def test_the_changes_between_two_generations_are_those_of_all_that_lie_between() -> None:
    changes = Changes()
    for generation, ids in ((4, [1, 2]), (5, []), (6, [2, 9])):
        changes.note(generation, ids)
    assert changes.between(3, 6) == {1, 2, 9}
    assert changes.between(4, 6) == {2, 9}
    assert changes.between(4, 5) == changes.between(6, 6) == set()


@pytest.mark.parametrize(("before", "until"), [(2, 6), (5, 7), (6, 5), (4, 6)])
def test_where_one_generation_is_not_known_nothing_is(before: int, until: int) -> None:
    changes = Changes()
    changes.note(4, [1])
    changes.note(6, [2])
    assert changes.between(before, until) is None


def test_two_changes_of_one_generation_are_both_told() -> None:
    changes = Changes()
    changes.note(1, [1])
    changes.note(1, [2])
    assert changes.between(0, 1) == {1, 2}


def test_only_the_last_are_kept_and_no_large_ones() -> None:
    changes = Changes()
    for generation in range(1, 101):
        changes.note(generation, [generation])
    assert changes.between(36, 100) == set(range(37, 101))
    assert changes.between(35, 100) is None
    changes.note(101, range(1025))
    assert changes.between(100, 101) is None


def added(vault: Vault, count: int) -> list[int]:
    first = vault.memories.count()
    return list(
        vault.memories.add(Record(f"text {number}", Kind.NOTE, "n.md") for number in range(first, first + count)).ids
    )


def test_a_vault_knows_what_it_edited_and_forgot(vault: Vault) -> None:
    one, two, three = added(vault, 3)
    before = vault.generation
    added(vault, 2)
    vault.memories.edit(two, "another text")
    erase(vault, plan(vault, ids=[three]))
    vault.memories.supersede(one, by=two, at_ms=1)
    assert vault.database.changes.between(before, vault.generation) == {two, three}


def edited_and_lost(vault: Vault, id_: int) -> None:
    vault.memories.edit(id_, "another text")
    vault.memories.one(-1)


def test_what_is_taken_back_was_no_change(vault: Vault) -> None:
    one, two = added(vault, 2)
    before = vault.generation
    with pytest.raises(NotFound), vault.transaction():
        edited_and_lost(vault, one)
    # The next transaction makes the generation that the one before would have made.
    vault.memories.edit(two, "another text")
    assert vault.generation == before + 1
    assert vault.database.changes.between(before, vault.generation) == {two}


def test_what_another_connection_did_is_not_known(vault: Vault, home: Path, key: KeyFile) -> None:
    one, two = added(vault, 2)
    before = vault.generation
    with Vault.open(home, key) as second:
        second.memories.edit(one, "another text")
    assert vault.database.changes.between(before, vault.generation) is None
    vault.memories.edit(two, "yet another text")
    assert vault.database.changes.between(before, vault.generation) is None
    assert vault.database.changes.between(before + 1, vault.generation) == {two}
