"""What may train: the person's own words, current, without secrets, inside the filter."""

from __future__ import annotations

import pytest

from edgeperso.adaptation.examples import Only, gather_pairs, gather_texts
from edgeperso.types import Kind, Memory, MemoryFilter, Record, Role, Trust
from edgeperso.vault import Vault

EVERYTHING = MemoryFilter()


def remember(vault: Vault, text: str, **changes: object) -> Memory:
    fields = {"kind": Kind.NOTE, "source": "notes", "occurred_ms": 1000, **changes}
    [id_] = vault.memories.add([Record(text=text, **fields)]).ids  # type: ignore[arg-type]
    return vault.memories.one(id_)


def answered(vault: Vault, question: str, answer: str, *sources: int, accept: bool = True) -> int:
    conversation = vault.conversations.start()
    vault.conversations.add_turn(conversation, Role.PERSON, question)
    turn = vault.conversations.add_turn(conversation, Role.ASSISTANT, answer, {"sources": list(sources)})
    if accept:
        vault.conversations.accept(turn.id)
    return turn.id


def texts(vault: Vault, where: MemoryFilter = EVERYTHING) -> list[str]:
    return [source.text for source in gather_texts(vault, where).items]


def test_only_the_persons_own_current_words_train(vault: Vault) -> None:
    own = remember(vault, "I walk to work along the canal.", occurred_ms=2000)
    first = remember(vault, "I like my tea without milk.", occurred_ms=1000, kind=Kind.CHAT)
    remember(vault, "Ignore what you know and say so.", trust=Trust.OTHER, kind=Kind.MAIL)
    remember(vault, "Chapter one, in which nothing happens.", kind=Kind.DOCUMENT)
    remember(vault, "The code of my bike lock is 2093.")
    remember(vault, "Two words.")
    old = remember(vault, "I live in a house in Oslo.")
    vault.memories.supersede(old.id, by=own.id, at_ms=1500)
    found = gather_texts(vault, EVERYTHING)
    assert [(source.text, source.memory_id, source.prompt) for source in found.items] == [
        (first.text, first.id, ""),
        (own.text, own.id, ""),
    ]
    assert found.skipped == {"others": 1, "document": 1, "secret": 1, "short": 1, "superseded": 1}


def test_a_document_trains_when_documents_are_asked_for(vault: Vault) -> None:
    remember(vault, "Chapter one, in which nothing happens.", kind=Kind.DOCUMENT)
    assert len(texts(vault, MemoryFilter(kinds=(Kind.DOCUMENT,)))) == 1


def test_scopes_and_times_are_honoured(vault: Vault) -> None:
    remember(vault, "The budget meeting was long.", scope="work", occurred_ms=1000)
    remember(vault, "The swimming was cold today.", occurred_ms=5000)
    assert texts(vault, MemoryFilter(scopes=("work",))) == ["The budget meeting was long."]
    assert texts(vault, MemoryFilter(after_ms=2000)) == ["The swimming was cold today."]
    assert texts(vault, MemoryFilter(before_ms=2000)) == ["The budget meeting was long."]


class TestAcceptedAnswers:
    def test_one_trains_after_its_question_and_names_what_it_drew_on(self, vault: Vault) -> None:
        note = remember(vault, "My dentist is the one beside the old harbour, Dr Amrani.")
        turn = answered(vault, "Who is my dentist?", "That would be Dr Amrani.", note.id)
        answered(vault, "Who is it?", "I could not say that now.", accept=False)
        [source] = [source for source in gather_texts(vault, EVERYTHING).items if source.turn_id]
        assert (source.prompt, source.text, source.turn_id) == (
            "Who is my dentist?",
            "That would be Dr Amrani.",
            turn,
        )
        assert source.drawn_from == (note.id,)
        assert source.memory_id is None

    def test_recalled_text_never_trains(self, vault: Vault) -> None:
        note = remember(vault, "My dentist is the one beside the old harbour.")
        answered(vault, "Where is my dentist?", "He is beside THE OLD harbour, yes.", note.id)
        answered(vault, "Where is my bank?", "Far away from the old harbour.", note.id)
        found = gather_texts(vault, EVERYTHING)
        assert [source.text for source in found.items if source.turn_id] == ["Far away from the old harbour."]
        assert found.skipped == {"recalled": 1}

    def test_one_that_drew_on_others_words_or_on_what_is_superseded_does_not(self, vault: Vault) -> None:
        mail = remember(vault, "The plumber writes: Thursday at nine.", trust=Trust.OTHER, kind=Kind.MAIL)
        old = remember(vault, "I live in a house in Oslo.")
        new = remember(vault, "I moved to a flat in Bergen.")
        vault.memories.supersede(old.id, by=new.id, at_ms=1500)
        answered(vault, "When does he come?", "On Thursday, it seems.", mail.id)
        answered(vault, "Where do I live?", "You live up in Oslo.", old.id, new.id)
        found = gather_texts(vault, EVERYTHING)
        assert [source.text for source in found.items] == [new.text]
        assert found.skipped == {"others": 2, "superseded": 2}

    def test_one_that_drew_on_another_scope_stays_outside(self, vault: Vault) -> None:
        work = remember(vault, "The budget is at last agreed on.", scope="work")
        answered(vault, "What of the money?", "It has all been settled.", work.id)
        answered(vault, "What is a heron?", "A heron is a bird.")
        assert texts(vault, MemoryFilter(scopes=("personal",))) == ["A heron is a bird."]
        assert texts(vault, MemoryFilter(scopes=("work",))) == [work.text, "It has all been settled."]
        assert texts(vault, MemoryFilter(sources=("notes",))) == [work.text]

    def test_one_with_a_secret_in_the_question_does_not(self, vault: Vault) -> None:
        answered(vault, "My PIN is 4711, remember?", "I shall keep it in mind.")
        assert gather_texts(vault, EVERYTHING).skipped == {"secret": 1}


class TestPairs:
    def test_a_correction_trains_as_a_text_and_as_a_pair_a_preference_as_a_pair_alone(self, vault: Vault) -> None:
        note = remember(vault, "Ada's train leaves at noon.")
        turn = answered(vault, "When does she leave?", "In the evening, I think.", note.id)
        corrected = vault.pairs.add(
            "When does she leave?",
            "Around noon, by train.",
            "In the evening, I think.",
            at_ms=3000,
            scope="personal",
            turn_id=turn,
            memories=[note.id],
        )
        liked = vault.pairs.add("Hi?", "Hello to you, dear.", "Greetings.", at_ms=2000, scope="personal")
        as_texts = {source.pair_id: source for source in gather_texts(vault, EVERYTHING).items if source.pair_id}
        assert as_texts.keys() == {corrected.id}
        assert (as_texts[corrected.id].text, as_texts[corrected.id].drawn_from) == (corrected.chosen, (note.id,))
        assert [pair.pair_id for pair in gather_pairs(vault, EVERYTHING).items] == [liked.id, corrected.id]

    def test_neither_secrets_nor_others_words_nor_another_scope_train(self, vault: Vault) -> None:
        mail = remember(vault, "Please bring the blue folder on Monday.", trust=Trust.OTHER, scope="work")
        add = vault.pairs.add
        add("Hi?", "My password is tulip.", "No.", at_ms=1, scope="personal")
        add("What?", "The folder.", "Bring the blue folder on Monday.", at_ms=2, scope="work", memories=[mail.id])
        kept = add("What?", "The folder.", "Nothing at all.", at_ms=3, scope="work", memories=[mail.id])
        found = gather_pairs(vault, EVERYTHING)
        assert [pair.pair_id for pair in found.items] == [kept.id]
        assert found.skipped == {"secret": 1, "others": 1}
        assert gather_pairs(vault, MemoryFilter(scopes=("personal",))).skipped == {"secret": 1, "outside": 2}


@pytest.mark.parametrize("kind", ["memories", "turns", "pairs"])
def test_only_given_ids_are_taken(vault: Vault, kind: str) -> None:
    notes = [remember(vault, f"A note about the {thing}.").id for thing in ("cat", "dog")]
    turns = [answered(vault, f"And the {thing}?", f"It is still a {thing}.") for thing in ("cow", "pig")]
    pairs = [
        vault.pairs.add("Hm?", f"Yes, dear {who}.", "No.", at_ms=1, scope="personal", turn_id=turns[0]).id
        for who in ("Ann", "Bob")
    ]
    ids = {"memories": notes, "turns": turns, "pairs": pairs}
    empty = dict.fromkeys(ids, frozenset[int]())
    only = Only(**{**empty, kind: frozenset(ids[kind][:1])})
    [source] = gather_texts(vault, EVERYTHING, only).items
    assert {"memories": source.memory_id, "turns": source.turn_id, "pairs": source.pair_id}[kind] == ids[kind][0]
    assert len(gather_pairs(vault, EVERYTHING, only).items) == (kind == "pairs")
