from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from edgeperso.adaptation.examples import Gathered, PairSource, Source
from edgeperso.adaptation.lesson import pair_example, pairs_lesson, text_example, texts_lesson
from edgeperso.errors import TooLittle

TEMPLATE = "{% for m in messages %}[{{ m.role }}|{{ m.content }}]{% endfor %}[assistant|"
WORDS = [
    "apple",
    "bridge",
    "cloud",
    "door",
    "eagle",
    "forest",
    "garden",
    "harbour",
    "island",
    "jacket",
    "kettle",
    "lamp",
]


def sources(count: int, **changes: Any) -> tuple[Source, ...]:
    return tuple(
        Source(f"{WORDS[n % 12]} {n} {WORDS[n * 7 % 12]} and {n * n}", "", n, memory_id=n + 1, **changes)
        for n in range(count)
    )


def test_a_text_by_itself_is_learnt_from_its_first_token_on(toy: Any, toys: SimpleNamespace) -> None:
    example = text_example(toy, "", "Tea.")
    assert (toys.spoken(example.tokens), example.learn_from) == ("<Tea.", 1)


def test_without_a_bos_the_first_token_is_context(toy: Any, toys: SimpleNamespace) -> None:
    toy.bos = ()
    example = text_example(toy, "", "Tea.")
    assert (toys.spoken(example.tokens), example.learn_from) == ("Tea.", 1)
    with pytest.raises(TooLittle):
        text_example(toy, "", "T")


def test_an_answer_is_learnt_with_its_end_after_the_prompt_as_it_is_asked(toys: SimpleNamespace, tmp_path: Any) -> None:
    plain = toys.Toy(tmp_path / "plain.gguf")
    example = text_example(plain, "Why  so?", "Because.")
    assert toys.spoken(example.tokens[example.learn_from :]) == "Because.\n"
    assert toys.spoken(example.tokens[: example.learn_from]).endswith("Question: Why so?\nThe answer, from the notes:")
    chat = toys.Toy(tmp_path / "chat.gguf", template=TEMPLATE)
    example = text_example(chat, "Why so?", "Because.")
    assert toys.spoken(example.tokens[example.learn_from :]) == "Because.>"
    assert toys.spoken(example.tokens[: example.learn_from]).endswith("Question: Why so?][assistant|")
    assert toys.spoken(example.tokens).startswith("<[system|You answer questions")
    pair = pair_example(chat, "Why so?", "Because.", "Dunno.")
    assert tuple(map(toys.spoken, (pair.prompt, pair.chosen, pair.rejected))) == (
        toys.spoken(example.tokens[: example.learn_from]),
        "Because.>",
        "Dunno.>",
    )


def test_a_lesson_names_what_trains_and_apart_from_it_what_judges(toy: Any) -> None:
    drawn = Source("It is over there, I think.", "Where?", 0, turn_id=9, drawn_from=(77, 78))
    gathered = Gathered((drawn, *sources(20)), {"secret": 2})
    lesson = texts_lesson(toy, gathered, max_tokens=100)
    assert (len(lesson.train), len(lesson.held_out)) == (17, 4)
    assert lesson.memory_ids == {77, 78, *range(1, 17)}
    assert lesson.turn_ids == {9}
    assert lesson.held_out_ids == ({17, 18, 19, 20}, set(), set())
    assert lesson.skipped == {"secret": 2}


def test_a_long_text_becomes_several_examples_on_one_side(toy: Any, toys: SimpleNamespace) -> None:
    long = Source("x" * 250, "", 1000, memory_id=500)
    lesson = texts_lesson(toy, Gathered((*sources(15), long), {}), max_tokens=101)
    pieces = [toys.spoken(example.tokens) for example in lesson.held_out]
    assert pieces[3:] == ["<" + "x" * 100, "<" + "x" * 100, "<" + "x" * 50]
    assert all(example.learn_from == 1 for example in lesson.held_out)
    assert 500 not in lesson.memory_ids


def test_repetitions_are_counted_and_too_few_texts_refused(toy: Any) -> None:
    twice = [*sources(10), *(Source(one.text, "", 100 + one.when_ms, memory_id=900) for one in sources(3))]
    assert texts_lesson(toy, Gathered(tuple(twice), {}), max_tokens=100).skipped == {"repeated": 3}
    with pytest.raises(TooLittle, match="7 texts"):
        texts_lesson(toy, Gathered(sources(7), {}), max_tokens=100)


def test_a_lesson_of_pairs(toy: Any) -> None:
    pairs = tuple(
        PairSource(f"{WORDS[n]} or {WORDS[-n]}?", f"{WORDS[n]} of course", "No.", n, n + 1, (n + 50,)) for n in range(9)
    )
    lesson = pairs_lesson(toy, Gathered(pairs, {}))
    assert (len(lesson.train), len(lesson.held_out)) == (5, 4)
    assert (lesson.pair_ids, lesson.memory_ids) == ({1, 2, 3, 4, 5}, {50, 51, 52, 53, 54})
    with pytest.raises(TooLittle, match=r"7 preference pairs.*edgeperso prefer"):
        pairs_lesson(toy, Gathered(pairs[:7], {}))
