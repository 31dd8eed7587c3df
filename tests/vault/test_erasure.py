from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sqlcipher3 import dbapi2

from edgeperso.errors import UsageError
from edgeperso.types import MemoryFilter, Role
from edgeperso.vault import Vault, erasure
from edgeperso.vault.database import Database
from edgeperso.vault.vault import DATABASE_NAME

CANARY = "xylophone-canary-7319"


@pytest.fixture
def filled(vault: Vault, note) -> Vault:
    texts = [f"{CANARY} note number {i} " + "filler words " * 30 for i in range(400)]
    ids = vault.memories.add([note(text, f"diary/{i % 4}.md") for i, text in enumerate(texts)]).ids
    vault.memories.add([note("keep me", "keep.md")])
    rows = np.zeros((len(ids), 16), dtype=np.float32)
    rows[:, 3] = 1
    vault.vectors.put("e", ids, rows)
    vault.segments.put("lexical", "", 0, np.array(ids[:100]), CANARY.encode() * 500)
    vault.facts.add(ids[0], "me", "instrument", CANARY, 0)
    talk = vault.conversations.start()
    vault.conversations.add_turn(talk, Role.PERSON, "What do I play?")
    vault.conversations.add_turn(talk, Role.ASSISTANT, f"The {CANARY}.", {"sources": [ids[0], 401]})
    vault.conversations.add_turn(talk, Role.ASSISTANT, "Nothing else.", {"sources": [401]})
    vault.imports.mark("diary/0.md", "d")
    vault.imports.mark("keep.md", "k")
    return vault


def test_a_plan_touches_nothing_and_counts_right(filled: Vault) -> None:
    before, counts = filled.generation, filled.database.counts()
    plan = erasure.plan(filled, where=MemoryFilter(sources=("diary/",)))
    assert (plan.memories, plan.vectors, plan.facts, plan.segments, plan.answers) == (400, 400, 1, 1, 1)
    assert filled.generation == before
    assert filled.database.counts() == counts
    assert erasure.plan(filled).memories == 0
    assert erasure.plan(filled, ids=[1, 2, 999], where=MemoryFilter(sources=("keep.md",))).ids == (1, 2, 401)


def test_what_is_forgotten_leaves_no_byte(filled: Vault, home: Path, decrypted_pages) -> None:
    key = filled.master.derive("database")
    filled.database.checkpoint()
    assert CANARY.encode() in decrypted_pages(home, key)
    receipt = erasure.erase(filled, erasure.plan(filled, where=MemoryFilter(sources=("diary/",))))
    assert (receipt.memories, receipt.vectors, receipt.facts, receipt.segments, receipt.answers) == (400, 400, 1, 1, 1)
    assert receipt.log_emptied
    assert receipt.generation == filled.generation
    assert receipt.vault_id == filled.id
    pages = decrypted_pages(home, key)
    assert b"keep me" in pages
    assert CANARY.encode() not in pages
    assert np.eye(1, 16, 3, dtype=np.float16).tobytes() not in pages
    assert (home / f"{DATABASE_NAME}-wal").stat().st_size == 0
    assert [memory.text for memory in filled.memories.scan()] == ["keep me"]
    filled.check()


def test_the_dump_helper_agrees_with_sqlcipher(filled: Vault, home: Path, decrypted_pages) -> None:
    filled.database.checkpoint()
    pages = decrypted_pages(home, filled.master.derive("database"))
    assert pages.count(b"keep me") == 1
    assert b"CREATE TABLE memories" in pages


def test_answers_that_drew_from_it_are_emptied_and_no_others(filled: Vault) -> None:
    erasure.erase(filled, erasure.plan(filled, ids=[1]))
    asked, emptied, other = filled.conversations.turns(1)
    assert asked.text == "What do I play?"
    assert (emptied.text, emptied.trace) == ("", {"forgotten": True, "sources": [401]})
    assert other.text == "Nothing else."
    assert erasure.plan(filled, ids=[401]).answers == 1  # the emptied one has nothing more to lose


def test_the_source_can_be_imported_again(filled: Vault, note) -> None:
    (text,) = [memory.text for memory in filled.memories.get([1])]
    erasure.erase(filled, erasure.plan(filled, where=MemoryFilter(sources=("diary/",))))
    assert not filled.imports.seen("diary/0.md", "d")
    assert filled.imports.seen("keep.md", "k")
    assert filled.memories.add([note(text, "diary/0.md")]).added == 1


def test_an_old_plan_erases_what_is_left_of_it(filled: Vault) -> None:
    plan = erasure.plan(filled, ids=[1, 2])
    erasure.erase(filled, erasure.plan(filled, ids=[1]))
    assert erasure.erase(filled, plan).memories == 1
    assert erasure.erase(filled, plan).memories == 0


def test_forgetting_can_not_hide_in_a_transaction(filled: Vault) -> None:
    with filled.transaction(), pytest.raises(UsageError):
        erasure.erase(filled, erasure.plan(filled, ids=[1]))
    assert filled.memories.count() == 401


@pytest.mark.parametrize("gone", [[0], [1], [2], [0, 1], [1, 2], [0, 2], [0, 1, 2]])
def test_chains_of_memories_and_facts_close_over_the_gap(vault: Vault, note, gone: list[int]) -> None:
    ids = vault.memories.add([note("Paris"), note("Lyon"), note("Rome")]).ids
    facts = [vault.facts.add(id_, "me", "home", f"{id_}", 10 * n) for n, id_ in enumerate(ids)]
    for n in (0, 1):
        vault.memories.supersede(ids[n], by=ids[n + 1], at_ms=10 * (n + 1))
        vault.facts.close(facts[n].id, by=facts[n + 1].id, at_ms=10 * (n + 1))
    erasure.erase(vault, erasure.plan(vault, ids=[ids[n] for n in gone]))
    left = [n for n in range(3) if n not in gone]
    for n, follower in zip(left, [*left[1:], None], strict=False):
        memory, (fact,) = vault.memories.one(ids[n]), vault.facts.of_memories([ids[n]])
        if follower is None:
            assert (memory.superseded_by, memory.closed_ms, fact.closed_by, fact.valid_to_ms) == (None,) * 4
        else:
            assert (memory.superseded_by, memory.closed_ms) == (ids[follower], 10 * follower)
            assert (fact.closed_by, fact.valid_to_ms) == (facts[follower].id, 10 * follower)
    vault.check()


def test_a_reader_in_the_way_is_told_in_the_receipt(filled: Vault, home: Path) -> None:
    key = filled.master.derive("database")
    reader = dbapi2.connect(str(home / DATABASE_NAME), isolation_level=None)
    for pragma in (f"key = \"x'{key.hex()}'\"", "cipher_hmac_algorithm = HMAC_SHA256", "cipher_page_size = 8192"):
        reader.execute(f"PRAGMA {pragma}")
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM memories").fetchone()
    filled.database.execute("PRAGMA busy_timeout = 50")
    try:
        assert not erasure.erase(filled, erasure.plan(filled, ids=[1])).log_emptied
    finally:
        reader.close()
    assert filled.database.checkpoint()
    assert isinstance(filled.database, Database)
