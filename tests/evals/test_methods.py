"""Methods: how they are named, and what each finds in a real vault."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeperso.assistant import Assistant
from edgeperso.assistant.readers import Reader
from edgeperso.errors import EmptyQuestion, UsageError
from edgeperso.evals.methods import ADDITIONS, CHOICES, LEARNT, Method
from edgeperso.evals.setup import Setup
from edgeperso.types import Granularity, Hit, Kind, MemoryFilter, Record
from edgeperso.vault import Vault

NOW_MS = 1_760_000_000_000
DAY_MS = 86_400_000
QUESTION = "Which tea do I drink?"
TEXTS = (
    "I drink green tea in the morning",
    "The train was late again",
    "My sister plays the cello",
    "I avoid loud places",
    "Black tea keeps me awake",
    "Bread, milk and candles",
    "Fixed the bicycle chain",
    "Rain all day long",
)
"""Their ids are 1 and up; they happened in another order than they were stored."""
DAYS = (3, 1, 8, 5, 2, 7, 4, 6)
LATEST_FIRST = [3, 6, 8, 4, 7, 1, 5, 2]

Find = Callable[..., list[Hit]]


@pytest.fixture
def vault(setup: Setup) -> Iterator[Vault]:
    records = [
        Record(text, Kind.NOTE, "notes.md", locator=str(day), occurred_ms=NOW_MS + day * DAY_MS)
        for text, day in zip(TEXTS, DAYS, strict=True)
    ]
    with setup.vault(records) as vault:
        yield vault


@pytest.fixture
def find(setup: Setup, vault: Vault) -> Find:
    """``find("bm25")`` → the hits of the question under that method."""

    def found(
        name: str,
        question: str = QUESTION,
        *,
        advice: bool = False,
        where: MemoryFilter = MemoryFilter(),  # noqa: B008
        **changes: object,
    ) -> list[Hit]:
        me = replace(setup, **changes).assistant(vault, Method.parse(name), now_ms=NOW_MS + 30 * DAY_MS)
        return me.find_for_advice(question, where) if advice else me.find(question, where)[0]

    return found


def ids(hits: list[Hit]) -> list[int]:
    return [hit.memory.id for hit in hits]


# ---- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("bm25", "bm25"),
        (" Hybrid + Profile ", "hybrid+profile"),
        ("profile+hybrid", "hybrid+profile"),
        ("reminder+persona+profile+full", "full+profile+persona+reminder"),
        ("none", "none"),
        ("none+reminder", "reminder"),
        ("reminder", "reminder"),
        ("profile+profile", "profile"),
        ("persona+profile", "profile+persona"),
    ],
)
def test_a_name_has_one_canonical_form(written: str, name: str) -> None:
    assert Method.parse(written).name == name
    assert Method.parse(name) == Method.parse(written)


@given(st.sampled_from(CHOICES), st.lists(st.sampled_from(ADDITIONS), unique=True), st.randoms())
def test_the_order_of_parts_makes_no_difference(choice: str, additions: list[str], random) -> None:
    parts = [choice, *additions]
    random.shuffle(parts)
    method = Method.parse("+".join(parts))
    assert method == Method(choice, frozenset(additions))
    assert Method.parse(method.name) == method


def test_all_methods_have_names_of_their_own() -> None:
    added = [frozenset[str](), *(frozenset([addition]) for addition in ADDITIONS), frozenset(ADDITIONS)]
    assert len({Method(choice, additions).name for choice in CHOICES for additions in added}) == 7 * 5


def test_adapters_are_named_in_the_order_in_which_they_are_worn_where_something_trains() -> None:
    method = Method.parse("User-LoRA+hybrid+persona-lora+reminder+global-lora", trains=True)
    assert method.name == "hybrid+reminder+global-lora+persona-lora+user-lora"
    assert method.learnt == (Granularity.GLOBAL, Granularity.PERSONA, Granularity.USER)
    assert method.unlearnt == Method.parse("hybrid+reminder")
    assert Method.parse("user-lora", trains=True).name == "user-lora"
    assert Method.parse("user-lora", trains=True).unlearnt == Method.parse("none")
    assert Method.parse("hybrid+persona", trains=True).learnt == ()


@pytest.mark.parametrize("addition", LEARNT)
def test_an_evaluation_that_cannot_train_refuses_adapters(addition: str) -> None:
    with pytest.raises(UsageError) as caught:
        Method.parse(f"hybrid+{addition}")
    assert addition not in caught.value.message


@pytest.mark.parametrize(
    "written", ["", "+", "bm25+", "secretword", "bm25+dense", "none+none", "bm25,dense", "profile bm25"]
)
def test_what_is_no_method(written: str) -> None:
    with pytest.raises(UsageError) as caught:
        Method.parse(written)
    assert all(part in caught.value.message for part in (*CHOICES, *ADDITIONS))
    assert "--method" in caught.value.hint
    assert "secretword" not in str(caught.value)


# ---- choices -------------------------------------------------------------------------------------------------------


def test_none_finds_nothing(find: Find) -> None:
    assert find("none") == find("none", advice=True) == find("profile") == []


def test_words_alone_find_what_shares_a_word_best_first(find: Find) -> None:
    hits = find("bm25")
    assert ids(hits) == [1, 5]
    assert hits[0].score > hits[1].score > 0
    assert find("bm25", "harpsichord") == []


def test_words_alone_find_a_single_memory(setup: Setup) -> None:
    records = [Record("I drink tea", Kind.NOTE, "notes.md", occurred_ms=NOW_MS)]
    with setup.vault(records) as vault:
        me = setup.assistant(vault, Method.parse("bm25"), now_ms=NOW_MS)
        assert ids(me.find("Do I drink tea?", MemoryFilter())[0]) == [1], "a score is relative to the vault's mean"


def test_vectors_alone_rank_by_meaning_only(find: Find) -> None:
    hits = find("dense")
    assert ids(hits)[:2] == [1, 5]
    assert all(value == 0 for hit in hits for name, value in hit.parts.items() if name != "dense")
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_the_hybrid_is_the_assistants_own(find: Find, setup: Setup, vault: Vault) -> None:
    me = Assistant(vault, setup.catalogue, engine=setup.engine, clock=lambda: NOW_MS + 30 * DAY_MS)
    me._embedder = setup.embedder
    assert find("hybrid") == me.find(QUESTION, MemoryFilter())[0] != []
    assert find("hybrid", advice=True) == me.find_for_advice(QUESTION, MemoryFilter())


def test_recent_and_full_give_all_the_latest_first(find: Find) -> None:
    for name in ("recent", "full"):
        hits = find(name)
        assert ids(hits) == LATEST_FIRST
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        assert find(name, advice=True) == hits


@pytest.mark.parametrize("name", CHOICES)
def test_only_the_product_leaves_out_what_lies_behind(
    name: str, setup: Setup, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Reader(quotes=False, most=5, memory_tokens=500, answer_tokens=9, behind=5.0)
    monkeypatch.setattr("edgeperso.assistant.assistant.reader_for", lambda _model: own)
    me = setup.assistant(vault, Method.parse(name), now_ms=NOW_MS)
    assert me.reader.behind == (5.0 if name == "hybrid" else math.inf)


def test_random_gives_all_in_an_order_of_the_seed_and_the_question(find: Find) -> None:
    drawn = ids(find("random"))
    assert sorted(drawn) == list(range(1, 9))
    assert ids(find("random")) == ids(find("random", advice=True)) == drawn, "the same again"
    assert ids(find("random", seed=1)) != drawn
    assert ids(find("random", "Which coffee do I drink?")) != drawn
    firsts = {find("random", f"Question {number}?")[0].memory.id for number in range(40)}
    assert len(firsts) > 4, "any of them may come first"


@pytest.mark.parametrize("name", [choice for choice in CHOICES if choice != "none"])
def test_a_filter_and_a_limit_hold_for_every_choice(find: Find, name: str) -> None:
    late = MemoryFilter(after_ms=NOW_MS + 3 * DAY_MS)
    assert {1} <= set(ids(find(name, where=late))) <= {1, 3, 4, 6, 7, 8}
    for advice in (False, True):
        every = find(name, advice=advice)
        assert every
        assert find(name, advice=advice, most=1) == (every if name == "full" else every[:1])
        assert find(name, advice=advice, most=100) == every


def test_advice_rests_on_stated_tastes_by_the_product_alone(find: Find) -> None:
    assert ids(find("hybrid", advice=True)) == [4]
    assert 4 not in ids(find("bm25", advice=True))
    assert ids(find("hybrid", advice=True, most=1)) == [4]


# ---- additions -----------------------------------------------------------------------------------------------------


def test_a_reminder_ends_the_question_and_changes_nothing_of_what_is_found(find: Find) -> None:
    asked = Method.parse("hybrid+reminder").asked(QUESTION)
    assert asked.startswith(f"{QUESTION}\n")
    assert "said about themselves" in asked
    assert Method.parse("hybrid").asked(QUESTION) == QUESTION
    assert Method.parse("hybrid+profile+persona").asked(QUESTION) == QUESTION
    for choice in CHOICES:
        for advice in (False, True):
            plain = find(choice, advice=advice)
            assert find(f"{choice}+reminder", asked, advice=advice) == plain


def test_a_question_that_is_only_a_reminder_finds_nothing_by_words(find: Find) -> None:
    assert find("hybrid+reminder", Method.parse("reminder").asked("")) == []
    with pytest.raises(EmptyQuestion):
        find("bm25+reminder", Method.parse("reminder").asked(""))


def test_profile_and_persona_choose_no_memories(find: Find) -> None:
    assert find("hybrid+profile+persona") == find("hybrid")
