"""Facts follow the memories: what closes what, in which order, and what happens when memories go or change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeperso.knowledge import DeriveReport, current_facts, derive_facts
from edgeperso.knowledge import derive as derive_module
from edgeperso.times import date_ms
from edgeperso.types import Fact, Kind, Memory, Record, Trust
from edgeperso.vault import Passphrase, Vault
from edgeperso.vault.erasure import erase, plan
from edgeperso.vault.keys import Argon2Cost

SIMPLE = Argon2Cost(memory_kib=8192, iterations=1, lanes=1, below_standard=True)


def note(
    text: str, day: str = "2024-01-01", *, trust: Trust = Trust.SELF, kind: Kind = Kind.NOTE, scope: str = "personal"
) -> Record:
    return Record(
        text=text, kind=kind, source="notes", occurred_ms=date_ms(date.fromisoformat(day)), trust=trust, scope=scope
    )


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    made, _ = Vault.create(tmp_path / "home", Passphrase("a passphrase"), cost=SIMPLE)
    with made:
        yield made


def add(vault: Vault, *records: Record) -> list[int]:
    ids = list(vault.memories.add(records).ids)
    derive_facts(vault)
    return ids


def all_facts(vault: Vault) -> list[Fact]:
    return vault.facts.of_memories(vault.memories.ids().tolist())


def outcome(vault: Vault) -> set[tuple[object, ...]]:
    """What is known, without ids: text, closed by which text, since when; and the same of its facts."""
    memories = {memory.id: memory for memory in vault.memories.scan()}
    facts = {fact.id: fact for fact in all_facts(vault)}

    def text(memory: Memory | None) -> str | None:
        return None if memory is None else memory.text

    return {
        (m.text, text(memories.get(m.superseded_by or 0)), m.closed_ms) for m in memories.values()
    } | {
        (
            memories[f.memory_id].text, f.subject, f.attribute, f.value, f.valid_from_ms, f.valid_to_ms,
            facts[f.closed_by].value if f.closed_by else None,
        )
        for f in facts.values()
    }  # fmt: skip


def test_a_newer_value_closes_the_older_and_its_memory(vault: Vault) -> None:
    old, new = add(vault, note("My bank is Alpha.", "2024-01-01"), note("My bank is Beta now.", "2024-06-01"))
    older, newer = all_facts(vault)
    assert (older.closed_by, older.valid_to_ms) == (newer.id, newer.valid_from_ms)
    assert newer.valid_to_ms is None
    assert vault.memories.one(old).superseded_by == new
    assert vault.memories.one(old).closed_ms == newer.valid_from_ms
    assert current_facts(vault)["bank"].value == "Beta"


def test_the_report_counts(vault: Vault) -> None:
    vault.memories.add([note("My bank is Alpha."), note("My bank is Beta now.", "2024-06-01")])
    assert derive_facts(vault) == DeriveReport(facts_added=2, facts_closed=1, memories_superseded=1)
    assert derive_facts(vault) == DeriveReport()


def test_the_same_value_said_again_closes_nothing(vault: Vault) -> None:
    add(vault, note("My boss is Ann Lee."), note("My boss is Ann.", "2024-03-01"))
    assert [fact.valid_to_ms for fact in all_facts(vault)] == [None, None]


def test_an_older_statement_that_arrives_later_is_stored_closed(vault: Vault) -> None:
    add(vault, note("My bank is Beta now.", "2024-06-01"))
    (late,) = add(vault, note("My bank is Alpha.", "2023-01-01"))
    (fact,) = vault.facts.of_memories([late])
    assert fact.valid_to_ms == date_ms(date(2024, 6, 1))
    assert vault.memories.one(late).superseded_by is not None
    assert current_facts(vault)["bank"].value == "Beta"


def test_a_long_memory_is_not_written_off_for_one_detail(vault: Vault) -> None:
    story = "We walked along the dyke with the children, and the wind took two hats and one kite. " * 3
    old, _ = add(vault, note(f"{story} My bank is Alpha."), note("My bank is Beta now.", "2024-06-01"))
    assert vault.facts.of_memories([old])[0].closed_by is not None
    assert vault.memories.one(old).superseded_by is None


def test_a_memory_is_open_while_anything_it_states_holds(vault: Vault) -> None:
    old, _, _ = add(
        vault,
        note("My bank is Alpha. My boss is Ann."),
        note("My bank is Beta now.", "2024-06-01"),
        note("I walked.", "2024-07-01"),
    )
    assert vault.memories.one(old).superseded_by is None
    (last,) = add(vault, note("My boss is Carl now.", "2024-08-01"))
    assert vault.memories.one(old).superseded_by == last


def test_an_aside_never_closes_a_memory(vault: Vault) -> None:
    old, _ = add(vault, note("Ann, my boss, brought cake."), note("My boss is Carl now.", "2024-06-01"))
    assert vault.facts.of_memories([old])[0].closed_by is not None
    assert vault.memories.one(old).superseded_by is None


@pytest.mark.parametrize(
    ("begun", "ended"),
    [
        ("Joined the Steel Works gym.", "Quit the Steel Works gym."),
        ("I wear lenses.", "Changed from lenses to glasses."),
        ("Signed up for the spring pottery course.", "I gave up pottery."),
        ("Subscribed to The Courier.", "Cancelled the Courier."),
        ("Bought a Brompton.", "My old Brompton was stolen."),
        ("My dog Rex ate a shoe.", "Rex died."),
        ("My bank is Alpha.", "Closed my account with Alpha."),
    ],
)
def test_giving_up_ends_what_began(vault: Vault, begun: str, ended: str) -> None:
    old, new = add(vault, note(begun), note(ended, "2024-06-01"))
    (fact,) = vault.facts.of_memories([old])
    assert fact.valid_to_ms == date_ms(date(2024, 6, 1))
    assert vault.memories.one(old).superseded_by == new


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Joined the Steel Works gym.", "Joined the Old Mill gym class."),
        ("Bought a Brompton.", "Bought a Gazelle."),
        ("I play chess.", "I play tennis."),
        ("My sister is ill.", "My sister is well."),
        ("My friend is Tom.", "My friend is Ann."),
        ("I live in Ghent.", "I live in Belgium."),
        ("Tom moved to Leeds.", "Ann moved to Hull."),
        ("I moved to Leeds.", "Tom moved to Hull."),
        ("Booked Lisbon.", "Booked Porto."),
        ("My favourite film is Alien.", "My favourite novel is Emma."),
        ("The code of the shed is 1234.", "The code of the garage is 4321."),
        ("I drink coffee.", "Cancelled Streamy."),
        ("I play the red guitar.", "Sold the blue guitar."),
        ("My boss is Ann.", "Ann, my boss, and Carl, my boss, both came."),
    ],
)
def test_what_can_be_true_at_once_closes_nothing(vault: Vault, one: str, other: str) -> None:
    add(vault, note(one), note(other, "2024-06-01"))
    assert [fact.id for fact in all_facts(vault) if fact.closed_by is not None] == []
    assert vault.memories.get([m.id for m in vault.memories.scan() if m.superseded_by]) == []


def test_two_that_may_be_meant_are_both_kept(vault: Vault) -> None:
    add(vault, note("I play the red guitar."), note("I play the old guitar."), note("Sold the guitar.", "2024-06-01"))
    assert [fact for fact in all_facts(vault) if fact.closed_by] == []


@pytest.mark.parametrize("kind", [Kind.MAIL, Kind.CHAT, Kind.NOTE])
def test_text_of_others_states_nothing(vault: Vault, kind: Kind) -> None:
    add(
        vault,
        note("My landlord is Ann Lee."),
        note(
            "My landlord is Victor Prins now. The landlord: Victor Prins.", "2024-06-01", trust=Trust.OTHER, kind=kind
        ),
    )
    assert {name: fact.value for name, fact in current_facts(vault).items()} == {"landlord": "Ann Lee"}


def test_documents_and_what_has_no_date_state_nothing(vault: Vault) -> None:
    undated = Record(text="My bank is Alpha.", kind=Kind.NOTE, source="notes")
    add(vault, undated, note("My bank is Beta.", kind=Kind.DOCUMENT))
    assert all_facts(vault) == []


def test_scopes_do_not_close_each_other(vault: Vault) -> None:
    add(vault, note("My boss is Ann."), note("My boss is Darth now.", "2024-06-01", scope="role-play"))
    assert [fact.closed_by for fact in all_facts(vault)] == [None, None]


def test_forgetting_the_newer_memory_reopens_what_it_closed(vault: Vault) -> None:
    old, middle, new = add(
        vault,
        note("My bank is Alpha."),
        note("My bank is Beta now.", "2024-06-01"),
        note("My bank is Gamma now.", "2024-09-01"),
    )
    erase(vault, plan(vault, ids=[middle]))
    derive_facts(vault)
    assert vault.memories.one(old).superseded_by == new
    erase(vault, plan(vault, ids=[new]))
    derive_facts(vault)
    assert vault.memories.one(old).superseded_by is None
    assert current_facts(vault)["bank"].value == "Alpha"
    assert derive_facts(vault) == DeriveReport()


def test_forgetting_the_change_between_two_equal_values(vault: Vault) -> None:
    old, middle, _ = add(
        vault,
        note("My bank is Alpha."),
        note("My bank is Beta now.", "2024-06-01"),
        note("Bank: Alpha.", "2024-09-01"),
    )
    erase(vault, plan(vault, ids=[middle]))
    derive_facts(vault)
    assert [fact.closed_by for fact in all_facts(vault)] == [None, None]
    assert vault.memories.one(old).superseded_by is None


def test_editing_the_newer_memory_reopens_and_closes_anew(vault: Vault) -> None:
    old, new = add(vault, note("My bank is Alpha."), note("My bank is Beta now.", "2024-06-01"))
    vault.memories.edit(new, "I walked.")
    derive_facts(vault)
    assert vault.memories.one(old).superseded_by is None
    vault.memories.edit(new, "My bank is Gamma now.")
    derive_facts(vault)
    assert vault.memories.one(old).superseded_by == new
    assert current_facts(vault)["bank"].value == "Gamma"


def test_editing_a_closed_memory_reads_it_anew(vault: Vault) -> None:
    old, _ = add(vault, note("My bank is Alpha."), note("My bank is Beta now.", "2024-06-01"))
    vault.memories.edit(old, "My boss is Ann.")
    derive_facts(vault)
    assert vault.memories.one(old).superseded_by is None
    assert current_facts(vault)["boss"].value == "Ann"


def test_an_interrupted_call_is_made_good(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.memories.add([note("My bank is Alpha."), note("My bank is Beta now.", "2024-06-01")])
    monkeypatch.setattr(derive_module, "_BATCH", 1)

    def stop(stage: str, done: int, total: int | None) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        derive_facts(vault, stop)
    assert derive_facts(vault).facts_closed == 1
    assert len(all_facts(vault)) == 2


def test_new_rules_read_everything_again(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    add(vault, note("My bank is Alpha."), note("My bank is Beta now.", "2024-06-01"))
    before = outcome(vault)
    monkeypatch.setattr(derive_module, "RULES_VERSION", derive_module.RULES_VERSION + 1)
    assert derive_facts(vault) == DeriveReport(facts_added=2, facts_closed=1, memories_superseded=1)
    assert outcome(vault) == before


def test_progress_is_told(vault: Vault) -> None:
    told: list[tuple[str, int, int | None]] = []
    vault.memories.add([note(f"Walk {number}.") for number in range(3)])
    derive_facts(vault, lambda *step: told.append(step))
    assert told == [("facts", 3, 3)]


def test_a_vault_without_statements(vault: Vault) -> None:
    assert derive_facts(vault) == DeriveReport()
    assert current_facts(vault) == {}


_TEXTS = (
    "My bank is Alpha.", "My bank is Beta now.", "My bank is Alpha now, my boss is Ann.",
    "Closed my account with Alpha.", "My boss is Ann Lee.",
    "My boss is Carl now.", "I live in Ghent.", "I moved to Leeds.", "Joined the Mill gym.",
    "Quit the Mill gym.", "Quit the gym.", "Tom moved to Hull.", "I walked.",
)  # fmt: skip
_NOTES = st.lists(
    st.tuples(st.sampled_from(_TEXTS), st.integers(1, 12)), min_size=1, max_size=10, unique=True
)  # fmt: skip


def _dated(notes: Sequence[tuple[str, int]]) -> list[Record]:
    return [note(text, f"2024-{month:02}-01") for text, month in notes]


@pytest.fixture(scope="module")
def playground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    made, _ = Vault.create(tmp_path_factory.mktemp("play") / "home", Passphrase("a passphrase"), cost=SIMPLE)
    with made:
        yield made


def _emptied(vault: Vault) -> Vault:
    ids = vault.memories.ids().tolist()
    if ids:
        erase(vault, plan(vault, ids=ids))
    derive_facts(vault)
    return vault


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(notes=_NOTES, data=st.data())
def test_the_order_of_import_does_not_matter(
    playground: Vault, notes: list[tuple[str, int]], data: st.DataObject
) -> None:
    add(_emptied(playground), *_dated(notes))
    at_once = outcome(playground)
    _emptied(playground)
    for record in data.draw(st.permutations(_dated(notes))):
        add(playground, record)
    assert outcome(playground) == at_once
    assert derive_facts(playground) == DeriveReport()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(notes=_NOTES, data=st.data())
def test_forgetting_is_as_if_it_had_never_been_there(
    playground: Vault, notes: list[tuple[str, int]], data: st.DataObject
) -> None:
    going = data.draw(st.integers(0, len(notes) - 1))
    add(_emptied(playground), *_dated(notes[:going] + notes[going + 1 :]))
    without = outcome(playground)
    ids = add(_emptied(playground), *_dated(notes))
    erase(playground, plan(playground, ids=[ids[going]]))
    derive_facts(playground)
    assert outcome(playground) == without


@pytest.mark.parametrize("reverse", [False, True])
def test_of_two_that_close_on_the_same_day_the_same_one_is_named(vault: Vault, reverse: bool) -> None:
    (old,) = add(vault, note("My bank is Alpha, my boss is Ann."))
    newer = [note("My bank is Beta now.", "2024-06-01"), note("My boss is Carl now.", "2024-06-01")]
    for record in reversed(newer) if reverse else newer:
        add(vault, record)
    by = vault.memories.one(old).superseded_by
    assert by is not None
    assert vault.memories.one(by).text == "My boss is Carl now."
