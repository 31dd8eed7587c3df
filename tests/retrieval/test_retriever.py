"""What a person finds: the whole retriever over a real vault, with the bag-of-words embedder."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from edgeperso.embedding import embed_missing
from edgeperso.errors import EmptyQuestion, UsageError
from edgeperso.retrieval import Retriever
from edgeperso.times import DAY_MS, datetime_ms
from edgeperso.types import Hit, Kind, MemoryFilter, Query, Record
from edgeperso.vault import Passphrase, Vault

NOW = datetime_ms(datetime(2024, 6, 12, tzinfo=UTC))
FILLER = ("The train was late again", "Rain all day long", "Bought bread, milk, candles", "Slept badly",
          "Fixed the bicycle chain", "Read a chapter about whales", "Called the plumber twice")  # fmt: skip


class Life:
    """A vault with some filler, and a retriever that is kept."""

    def __init__(self, vault: Vault, embedder) -> None:
        self.vault, self.embedder = vault, embedder
        self.retriever = Retriever(vault, embedder)
        for text in FILLER:
            self.add(text)

    def add(self, text: str, **fields: object) -> int:
        record = Record(**{"text": text, "kind": Kind.NOTE, "source": "notes.md", "occurred_ms": NOW, **fields})
        (id_,) = self.vault.memories.add([record]).ids
        embed_missing(self.vault, self.embedder)
        return id_

    def search(self, text: str, **fields: object) -> list[Hit]:
        return self.retriever.search(Query(text=text, now_ms=NOW, **fields))

    def ids(self, text: str, **fields: object) -> list[int]:
        return [hit.memory.id for hit in self.search(text, **fields)]


@pytest.fixture
def life(vault, fake_embedder) -> Life:
    return Life(vault, fake_embedder)


def test_parts_add_up_and_the_best_comes_first(life: Life) -> None:
    wanted = life.add("I keep bees on the roof")
    hits = life.search("Where do I keep my bees?")
    assert hits[0].memory.id == wanted
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    for hit in hits:
        assert hit.score == pytest.approx(sum(hit.parts.values()), abs=1e-4)


def test_what_has_nothing_to_do_with_it_is_left_out(life: Life) -> None:
    wanted = life.add("My sister plays the harpsichord")
    assert life.ids("harpsichord") == [wanted]
    assert life.ids("zzyzx") == []


def test_an_empty_vault_has_no_answer(vault, fake_embedder) -> None:
    assert Retriever(vault, fake_embedder).search(Query("tea?", NOW)) == []


def test_a_single_memory_is_found_without_anything_to_compare_it_with(vault, fake_embedder) -> None:
    vault.memories.add([Record("I drink tea", Kind.NOTE, "n.md")])
    assert len(Retriever(vault, fake_embedder).search(Query("Do I drink tea?", NOW))) == 1


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_question_is_refused(life: Life, text: str) -> None:
    with pytest.raises(EmptyQuestion):
        life.search(text)


def test_a_limit_below_one_is_refused(life: Life) -> None:
    with pytest.raises(UsageError):
        life.search("tea", limit=0)


def test_the_answer_after_the_asked_turn_is_found(life: Life) -> None:
    fields = {"thread": "talk", "kind": Kind.CHAT}
    life.add("Which instrument did your sister choose?", position=0, **fields)
    answer = life.add("The cello!", position=1, **fields)
    loose = life.add("The cello!!")
    found = life.ids("Which instrument did my sister choose?")
    assert answer in found
    assert loose not in found


def test_a_named_author_s_words_come_before_another_s(life: Life) -> None:
    ben = life.add("I love sailing boats", author="Ben Miller", kind=Kind.CHAT)
    ann = life.add("I love sailing boats a lot", author="Ann", kind=Kind.CHAT)
    assert life.ids("What does Ben love about sailing boats?")[0] == ben
    assert life.ids("What does Ann love about sailing boats?")[0] == ann
    assert "author" not in life.search("What do Ann and Ben love about sailing?")[0].parts


def test_a_time_in_the_question_lifts_what_happened_then(life: Life) -> None:
    march = life.add("Dinner with the choir at the harbour", occurred_ms=NOW - 95 * DAY_MS)
    life.add("Dinner with the choir at the castle", occurred_ms=NOW - 20 * DAY_MS)
    hits = life.search("What dinner did I have with the choir last March?")
    assert hits[0].memory.id == march
    assert hits[0].parts["time"] > hits[1].parts["time"] == 0


def test_before_an_event_means_before_the_memory_that_tells_of_it(life: Life) -> None:
    early = life.add("Coffee at the station kiosk", occurred_ms=NOW - 400 * DAY_MS)
    moved = life.add("I moved to Lyon today", occurred_ms=NOW - 200 * DAY_MS)
    late = life.add("Coffee at the station bar", occurred_ms=NOW - 10 * DAY_MS)
    before = {hit.memory.id: hit.parts["time"] for hit in life.search("Coffee at the station before I moved to Lyon?")}
    assert before[early] > before[late] == before[moved] == 0
    after = {hit.memory.id: hit.parts["time"] for hit in life.search("Coffee at the station after I moved to Lyon?")}
    assert after[late] == after[moved] > after[early] == 0


def test_recency_breaks_ties_and_no_more(life: Life) -> None:
    old = life.add("Choir practice went well", occurred_ms=NOW - 700 * DAY_MS, source="a.md")
    new = life.add("Choir practice went fine", occurred_ms=NOW - DAY_MS, source="b.md")
    recency = {hit.memory.id: hit.parts["recency"] for hit in life.search("choir practice went")}
    assert 0 < recency[old] < recency[new] <= 0.1


def test_the_same_text_is_given_once_and_counted(life: Life) -> None:
    for number in range(5):
        life.add("Remember:  the plumber is called Ruiz" if number % 2 else "remember: the plumber is called Ruiz",
                 source=f"copy{number}.md")  # fmt: skip
    hits = [hit for hit in life.search("What is the plumber called?") if "Ruiz" in hit.memory.text]
    assert [hit.repeats for hit in hits] == [4]


def test_a_superseded_memory_stands_below_what_replaced_it(life: Life) -> None:
    old = life.add("I live in Ghent in a flat where I live alone")
    new = life.add("Now I live in Lyon")
    assert life.ids("Where do I live alone in a flat?")[0] == old
    life.vault.memories.supersede(old, by=new, at_ms=NOW)
    found = life.ids("Where do I live alone in a flat?")
    assert found.index(new) < found.index(old)
    assert life.ids("Where did I use to live, in which flat, in the past?")[0] == old


def test_a_chain_of_supersessions_keeps_its_order(life: Life) -> None:
    first = life.add("I live in Ghent, I live there, I live in Ghent")
    second = life.add("I live in Lyon, I live there")
    third = life.add("I live in Porto")
    life.vault.memories.supersede(first, by=second, at_ms=NOW)
    life.vault.memories.supersede(second, by=third, at_ms=NOW)
    hits = life.search("Where do I live?")
    found = [hit.memory.id for hit in hits if hit.memory.id in (first, second, third)]
    assert found == [third, second, first]
    for hit in hits:
        assert hit.score == pytest.approx(sum(hit.parts.values()), abs=1e-4)


def test_filters_keep_everything_else_out(life: Life) -> None:
    work = life.add("The budget meeting is on Monday", scope="work", source="work/plan.md")
    home = life.add("The budget for the kitchen", scope="personal", source="home/plan.md")
    assert life.ids("budget", where=MemoryFilter(scopes=("work",))) == [work]
    assert life.ids("budget", where=MemoryFilter(sources=("home",))) == [home]
    life.vault.memories.supersede(home, by=work, at_ms=NOW)
    assert life.ids("budget", where=MemoryFilter(include_closed=False)) == [work]


def test_changes_show_at_once_even_from_another_process(life: Life) -> None:
    id_ = life.add("The parrot speaks Portuguese")
    assert life.ids("parrot") == [id_]
    with Vault.open(life.vault.home, Passphrase("a passphrase for tests")) as other:
        other.memories.edit(id_, "The budgie is silent")
    assert life.ids("parrot") == []
    assert life.ids("budgie") == [id_]


def test_no_more_than_the_limit_after_duplicates(life: Life) -> None:
    for number in range(12):
        life.add(f"Chess evening at club{number}", source=f"{number}.md")
        life.add(f"Chess evening at CLUB{number}", source=f"{number}.md")
    found = life.ids("chess evening", limit=7)
    assert len(found) == len(set(found)) == 7


@pytest.mark.parametrize("text", ["\x00", "?" * 5000, "💥" * 300, "a' OR 1=1 --", "(((", "\ud800", "May " * 2000])
def test_odd_questions_break_nothing(life: Life, text: str) -> None:
    assert isinstance(life.search(text), list)
