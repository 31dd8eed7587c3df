"""Cards: what a method says of a person comes from their own texts or from others', never the one for the other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeperso.assistant import Assistant, Weigher
from edgeperso.evals.methods import Method
from edgeperso.evals.people import Cards, groups, mean_vector
from edgeperso.evals.setup import Setup

PEOPLE = [
    ("ann", ["I bake rye bread", "I bake wheat bread", "Sourdough bread is what I bake"]),
    ("ben", ["I bake bread rolls", "I bake oat bread"]),
    ("cleo", ["My motorbike leaks oil", "I race my motorbike", "The motorbike club meets"]),
    ("dan", ["I race motorbike number nine", "My motorbike club"]),
    ("eve", []),
]
NAMES = [name for name, _ in PEOPLE]
PROFILE, PERSONA, BOTH, NONE = (Method.parse(name) for name in ("profile", "persona", "profile+persona", "none"))


@pytest.fixture
def me(setup: Setup) -> Iterator[Assistant]:
    with setup.vault([]) as vault:
        yield setup.assistant(vault, NONE, now_ms=0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the model was asked to sum up; it always says the same."""
    seen: list[str] = []

    def written(_weigher: Weigher, words: str, *, max_tokens: int, hits: object = ()) -> str:
        seen.append(words)
        return "  bakes\n much "

    monkeypatch.setattr(Weigher, "written", written)
    return seen


def card(cards: Cards, me: Assistant, person: str, method: Method) -> dict[str, str]:
    cards.give(me, person, method)
    return me.vault.profile.all()


def cards(setup: Setup, people: list[tuple[str, list[str]]] = PEOPLE, *methods: Method) -> Cards:
    return Cards(setup, people, methods or (BOTH,))


def test_a_persona_is_what_the_nearest_others_wrote(setup: Setup, me: Assistant) -> None:
    said = {name: card(cards(setup), me, name, PERSONA)["people like them wrote"].split(" | ") for name in NAMES[:4]}
    assert said["ann"][0] in PEOPLE[1][1]
    assert said["ben"][0] in PEOPLE[0][1]
    assert said["cleo"][0] in PEOPLE[3][1]
    assert {len(texts) for texts in said.values()} == {3}, "one of each other person who wrote something"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.sampled_from(["tea", "rye", "oat", "bike", "oil", "sea"]), max_size=4), max_size=9))
def test_a_persona_never_holds_the_persons_own_text(setup: Setup, written: list[list[str]]) -> None:
    people = [
        (str(number), [f"{word} {number}.{place}" for place, word in enumerate(words)])
        for number, words in enumerate(written)
    ]
    others = [number for number, texts in people if texts]
    made = cards(setup, people)
    for number, texts in people:
        said = [text for text in made.key(number, PERSONA).split(" | ") if text]
        assert not set(said) & set(texts)
        authors = [text.split()[1].split(".")[0] for text in said]
        assert len(authors) == len(set(authors)) <= 5
        if texts and len(others) > 1:
            assert len(said) == min(5, len(others) - 1)


def test_a_person_without_texts_and_one_alone_have_no_persona(setup: Setup, me: Assistant) -> None:
    assert card(cards(setup), me, "eve", PERSONA) == {}
    assert card(cards(setup, PEOPLE[:1]), me, "ann", PERSONA) == {}
    assert card(cards(setup, [PEOPLE[0], PEOPLE[4]]), me, "ann", PERSONA) == {}
    assert card(cards(setup, []), me, "ann", PERSONA) == {}


def test_long_texts_are_cut_and_white_space_is_folded(setup: Setup, me: Assistant) -> None:
    people = [("ann", ["tea"]), ("ben", [f"tea\n\n{'very ' * 100}good"])]
    said = card(cards(setup, people), me, "ann", PERSONA)["people like them wrote"]
    assert said.startswith("tea very")
    assert len(said) == 160


def test_a_profile_sums_up_the_persons_own_latest_texts(setup: Setup, me: Assistant, asked: list[str]) -> None:
    people = [("ann", [f"I baked\nloaf {number} {'x' * 200}" for number in range(9)]), *PEOPLE[1:]]
    assert card(cards(setup, people), me, "ann", PROFILE) == {"summary": "bakes much"}
    (words,) = asked
    lines = [line for line in words.splitlines() if line.startswith("- ")]
    assert [line[:16] for line in lines] == [f"- I baked loaf {number}" for number in range(3, 9)]
    assert max(map(len, lines)) == 162
    assert not any(text in words for _, texts in PEOPLE[1:] for text in texts)


def test_a_model_writes_the_summary_under_a_task_of_its_own(setup: Setup, me: Assistant) -> None:
    first = card(cards(setup), me, "ann", PROFILE)
    setup.engine.clear()
    assert card(cards(setup), me, "ann", PROFILE) == first
    assert set(first) == {"summary"}
    assert "\n" not in first["summary"]


def test_what_a_method_put_on_the_card_is_gone_with_the_next(setup: Setup, me: Assistant, asked: list[str]) -> None:
    made = cards(setup)
    me.vault.profile.set("left by", "somebody")
    assert set(card(made, me, "ann", BOTH)) == {"summary", "people like them wrote"}
    assert set(card(made, me, "ann", PERSONA)) == {"people like them wrote"}
    assert set(card(made, me, "ann", PROFILE)) == {"summary"}
    assert card(made, me, "ann", NONE) == {}
    assert card(made, me, "ann", Method.parse("hybrid+reminder")) == {}
    assert len(asked) == 2


def test_one_persons_card_is_gone_with_the_next_person(setup: Setup, me: Assistant, asked: list[str]) -> None:
    made = cards(setup)
    card(made, me, "ann", BOTH)
    assert card(made, me, "eve", BOTH) == {}
    assert card(made, me, "stranger", BOTH) == {}


def test_others_texts_name_a_unit_where_they_count_and_only_there(setup: Setup) -> None:
    made = cards(setup)
    assert made.key("ann", PERSONA) == made.key("ann", BOTH) != ""
    assert made.key("ann", PROFILE) == made.key("ann", NONE) == made.key("stranger", PERSONA) == ""
    changed = [PEOPLE[0], ("ben", ["I bake bread no more"]), *PEOPLE[2:]]
    assert cards(setup, changed).key("ann", PERSONA) != made.key("ann", PERSONA)


def test_nobody_is_compared_where_no_method_asks_for_it(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(setup.embedder), "embed", lambda *_: 1 / 0)
    assert cards(setup, PEOPLE, NONE, PROFILE).key("ann", PERSONA) == ""


# ---- groups --------------------------------------------------------------------------------------------------------


def test_people_who_are_alike_are_one_group(setup: Setup) -> None:
    texts = [["rye bread", "oat bread"], ["my motorbike"], ["bread bread"], ["a motorbike race", "my motorbike"]]
    means = np.stack([mean_vector(setup.embedder.embed(of)) for of in texts])
    assert sorted(groups(means, 2)) == [[0, 2], [1, 3]]
    assert groups(means, 1) == [[0, 1, 2, 3]]


@given(
    st.integers(0, 30).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, 8), st.integers(0, 2**16), st.booleans()))
)
def test_everybody_is_in_one_group(drawn: tuple[int, int, int, bool]) -> None:
    n, most, seed, alike = drawn
    vectors = np.random.default_rng(seed).standard_normal((n, 4)).astype(np.float32)
    if alike and n:
        vectors[:] = vectors[0]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    parts = groups(vectors, most)
    assert sorted(place for part in parts for place in part) == list(range(n))
    assert len(parts) <= most
    assert all(parts)
    assert groups(vectors, most) == parts
