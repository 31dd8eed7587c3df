"""A lesson: texts of the vault as tokens of the model, those to learn and those to be judged by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from edgeperso.adaptation.examples import Gathered, Item, PairSource, Source
from edgeperso.adaptation.plan import Example, Pair
from edgeperso.adaptation.split import LEAST_HELD_OUT, hold_out, without_repetitions
from edgeperso.engine import Engine, renderer
from edgeperso.errors import TooLittle
from edgeperso.prompting import choose_form
from edgeperso.prompting.pieces import tokenize_pieces

__all__ = ["LEAST_TRAINED", "Lesson", "pair_example", "pairs_lesson", "text_example", "texts_lesson"]

LEAST_TRAINED: Final = 4
"""Texts, or pairs, to learn from; fewer teach nothing that the held-out ones could show."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """Examples to learn and, newer than those, to be judged by; both texts or both pairs.

    ``memory_ids``, ``turn_ids`` and ``pair_ids`` are of what trains, ``held_out_ids`` the same three of what judges;
    ``skipped`` counts what was left out (`Gathered`), and ``repeated``.
    """

    train: tuple[Example, ...] | tuple[Pair, ...]
    held_out: tuple[Example, ...] | tuple[Pair, ...]
    memory_ids: frozenset[int] = frozenset()
    turn_ids: frozenset[int] = frozenset()
    pair_ids: frozenset[int] = frozenset()
    held_out_ids: tuple[frozenset[int], frozenset[int], frozenset[int]] = (frozenset(), frozenset(), frozenset())
    skipped: dict[str, int] = field(default_factory=dict)


def text_example(engine: Engine, prompt: str, text: str) -> Example:
    """``text`` as the model's answer to ``prompt``, in the form in which it is asked (without notes), with the answer's
    end; for an empty ``prompt`` the text alone. Only ``text`` is learnt from.

    Raises:
        TooLittle: ``text`` has no tokens, or only one and nothing before it.
    """
    if not prompt:
        return _example(list(engine.bos), engine.tokenize(text))
    context, end = _asked(engine, prompt)
    return _example(context, [*engine.tokenize(text), *end])


def pair_example(engine: Engine, prompt: str, chosen: str, rejected: str) -> Pair:
    """A preference in the same form as `text_example`."""
    context, end = _asked(engine, prompt)
    return Pair(tuple(context), (*engine.tokenize(chosen), *end), (*engine.tokenize(rejected), *end))


def texts_lesson(engine: Engine, gathered: Gathered[Source], *, max_tokens: int) -> Lesson:
    """Long texts become several examples of at most ``max_tokens`` tokens, all on one side of the split.

    Raises:
        TooLittle: fewer than `LEAST_TRAINED` + `LEAST_HELD_OUT` texts.
    """
    train, held_out, skipped = _parted(gathered, "texts")

    def tokens(sources: Iterable[Source]) -> tuple[Example, ...]:
        return tuple(example for source in sources for example in _pieces(engine, source, max_tokens))

    return _lesson(tokens(train), tokens(held_out), train, held_out, skipped)


def pairs_lesson(engine: Engine, gathered: Gathered[PairSource]) -> Lesson:
    """Raises:
    TooLittle: fewer than `LEAST_TRAINED` + `LEAST_HELD_OUT` pairs.
    """
    train, held_out, skipped = _parted(gathered, "preference pairs", "`edgeperso prefer` and `correct` make them.")

    def tokens(sources: Iterable[PairSource]) -> tuple[Pair, ...]:
        return tuple(pair_example(engine, source.prompt, source.chosen, source.rejected) for source in sources)

    return _lesson(tokens(train), tokens(held_out), train, held_out, skipped)


def _parted(
    gathered: Gathered[Item], what: str, hint: str | None = None
) -> tuple[list[Item], list[Item], dict[str, int]]:
    items = without_repetitions(gathered.items)
    least = LEAST_TRAINED + LEAST_HELD_OUT
    if len(items) < least:
        raise TooLittle(f"{len(items)} {what} may train, and it takes {least}.", hint=hint)
    skipped = Counter(gathered.skipped)
    if repeated := len(gathered.items) - len(items):
        skipped["repeated"] = repeated
    train, held_out = hold_out(items)
    return train, held_out, dict(skipped)


def _lesson(
    train_tokens: tuple[Example, ...] | tuple[Pair, ...],
    held_out_tokens: tuple[Example, ...] | tuple[Pair, ...],
    train: Sequence[Source] | Sequence[PairSource],
    held_out: Sequence[Source] | Sequence[PairSource],
    skipped: dict[str, int],
) -> Lesson:
    memories, turns, pairs = _ids(train)
    return Lesson(train_tokens, held_out_tokens, memories, turns, pairs, _ids(held_out), skipped)


def _ids(
    sources: Sequence[Source] | Sequence[PairSource],
) -> tuple[frozenset[int], frozenset[int], frozenset[int]]:
    memories, turns, pairs = set[int](), set[int](), set[int]()
    for source in sources:
        memories.update(source.drawn_from)
        if source.pair_id is not None:
            pairs.add(source.pair_id)
        if isinstance(source, Source):
            memories.update(() if source.memory_id is None else (source.memory_id,))
            turns.update(() if source.turn_id is None else (source.turn_id,))
    return frozenset(memories), frozenset(turns), frozenset(pairs)


def _pieces(engine: Engine, source: Source, max_tokens: int) -> Iterator[Example]:
    whole = text_example(engine, source.prompt, source.text)
    if source.prompt or len(whole.tokens) <= max_tokens:
        yield whole
        return
    bos = list(engine.bos)
    tokens = list(whole.tokens[len(bos) :])
    step = max_tokens - len(bos)
    for start in range(0, len(tokens), step):
        part = tokens[start : start + step]
        if len(part) > 1:
            yield _example(bos, part)


def _example(context: list[int], tokens: list[int]) -> Example:
    learn_from = max(1, len(context))
    if len(context) + len(tokens) <= learn_from:
        raise TooLittle("A text without words can't be learnt.")
    return Example((*context, *tokens), learn_from)


def _asked(engine: Engine, prompt: str) -> tuple[list[int], list[int]]:
    """The tokens up to the answer, and those that end it."""
    form = choose_form(renderer(engine.info), begin=False)
    question = " ".join(prompt.split())
    context = [
        *engine.bos,
        *tokenize_pieces(engine, [*form.opening(""), *form.turn([], question, "", first=True)]),
    ]
    end = engine.tokenize(form.stop[0]) if form.stop else [engine.info.eos] if engine.info.eos is not None else []
    return context, end
