"""How long a person waits for the first word, with what the model has read kept, and without.

Beginnings. A vault whose profile makes a stable prefix of about a thousand tokens, no notes, and a short question, put
through `Assistant.ask`; each start is a process of its own, with vault, embedder and model open before the clock runs.

- ``warm_vs_cold``: a second question in the process, over the first one. ``restart_vs_cold``: the first question of the
  next process, which restores the state from the vault, over the first of a process without one.
- ``cold_ms``, ``warm_ms``, ``restart_ms``: medians. ``save_ms``: what storing the state adds after the first answer.
- ``same_answers``: of the restarts, the share that said what the cold start said.

Memories. For each question about the sample life the best thousand tokens of notes are put before the model, in the
order of time, in four ways; the beginning is read already in all of them. A way's time is from there to the first
token; of the figures ``…_vs_full`` are medians over the questions, ``…_right`` shares of right answers.

- full: every note evaluated, in the engine's own context.
- spliced: each note's state, computed once by itself after the beginning, comes from the vault and is moved into its
  place (`Splicer`); the best notes, up to `FRESH_TOKENS`, are evaluated in full at the end, just before the question.
- naive: all notes spliced.
- few: no states; those best notes alone. What splicing must beat to be worth its states.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from secrets import token_hex
from statistics import median
from time import perf_counter
from typing import Final

from benchmarks._report import arguments, report
from edgeperso.assistant import Assistant
from edgeperso.assistant.splicing import WIDE_TOKENS
from edgeperso.catalogue import Catalogue
from edgeperso.engine import Engine, Generation, Part, Splicer, renderer
from edgeperso.engine.machine import physical_cores
from edgeperso.errors import ModelUnsupported
from edgeperso.evals.life import LifeAnswer, LifeQuestion, read_questions
from edgeperso.prompting import FRESH_TOKENS, Budget, Layout, choose_form, profile_card
from edgeperso.prompting.wide import around
from edgeperso.settings import default_models_dir
from edgeperso.times import date_ms
from edgeperso.types import MemoryFilter
from edgeperso.vault import Passphrase, Vault
from edgeperso.vault.states import States

N_CTX = 2048
PREFIX_TOKENS = 1000
_ANSWER_TOKENS = 24
_BINDING = "0" * 64
_LIFE = Path(__file__).parent.parent / "examples" / "life"
_TODAY = date(2025, 12, 31)
"""The sample life's last day."""
_QUESTION = "Name a dish that I would like tonight."
_OTHER = "What should I take along on Sunday?"
_FACTS = (
    "a luthier in a shared workshop, building a second cello from maple cut in the Ardennes",
    "eats no meat and no peanuts; likes barley soup, sour bread and the dark honey from the market",
    "one sister, married in June, whose twins are afraid of the neighbour's geese",
    "swims on Mondays before eight, and cycles along the canal when the wind is in the west",
    "reads slowly, mostly letters and travel books, and never the last chapter on the same day",
    "wants short answers, one suggestion at a time, and no jokes before the first coffee",
    "learning Portuguese for a spring in Porto, three lessons a week, the third with a tutor",
    "rents two rooms above a bakery; the landlord is kind about the practising until nine",
)
"""What profiles are made of: attributes of an invented person, in turn."""


@dataclass(frozen=True)
class Place:
    """A vault and what opens it; ``model`` is a file."""

    home: Path
    passphrase: str
    model: Path
    models_dir: Path
    threads: int


@dataclass(frozen=True)
class Start:
    """One process: the times to the first piece of its two answers, what its first answer said, and how long that took
    to end after its last piece."""

    first_ms: float
    second_ms: float
    after_ms: float
    said: str
    state_bytes: int
    prefix_tokens: int


@dataclass(frozen=True)
class Noted:
    """One question of the sample life, as tokens: what comes before the notes, the notes best first with their place in
    time, and what follows them."""

    asked: LifeQuestion
    before: list[int]
    notes: list[list[int]]
    by_time: list[int]
    after: list[int]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--model", default="smollm2-135m", help="a name of the catalogue, or a GGUF file")
    parser.add_argument("--models-dir", type=Path, default=_models_dir())
    parser.add_argument("--pairs", type=int, default=3, help="cold starts, each with a restart after it")
    parser.add_argument("--threads", type=int, default=physical_cores())
    parser.add_argument("--questions", type=int, default=30, help="questions about the sample life")
    parser.add_argument("--skip", type=int, default=0, help="questions to leave out before them")
    options = parser.parse_args()
    path = Catalogue(options.models_dir).locate(options.model)
    figures: dict[str, float] = {}
    if options.pairs:
        figures |= beginnings(path, options.models_dir, options.pairs, options.threads)
    if options.questions:
        chosen = slice(options.skip, options.skip + options.questions)
        figures |= memories(path, options.models_dir, chosen, options.threads)
    with Engine.open(path, n_ctx=64) as engine:
        models = {path.name: engine.info.sha256}
    report("ttft", figures, n=options.pairs, seed=options.seed, models=models, as_json=options.json)


# ---- beginnings --------------------------------------------------------------------------------------------------


def beginnings(path: Path, models_dir: Path, pairs: int, threads: int) -> dict[str, float]:
    """The figures of prefix states."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder) / "home", token_hex(16), path, models_dir, threads)
        Vault.create(place.home, Passphrase(place.passphrase))[0].close()
        _fill_profile(place)
        cold, again = [], []
        for _ in range(pairs):
            cold.append(_in_a_process(place, fresh=True))
            again.append(_in_a_process(place, fresh=False))
    return {
        "warm_vs_cold": median(start.second_ms / start.first_ms for start in cold),
        "restart_vs_cold": median(second.first_ms / first.first_ms for first, second in zip(cold, again, strict=True)),
        "cold_ms": median(start.first_ms for start in cold),
        "warm_ms": median(start.second_ms for start in cold),
        "restart_ms": median(start.first_ms for start in again),
        "save_ms": median(one.after_ms - two.after_ms for one, two in zip(cold, again, strict=True)),
        "same_answers": sum(one.said == two.said for one, two in zip(cold, again, strict=True)) / pairs,
        "state_mb": cold[0].state_bytes / 1e6,
        "prefix_tokens": cold[0].prefix_tokens,
    }


def _in_a_process(place: Place, *, fresh: bool) -> Start:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(start, place, fresh=fresh).result()


@contextmanager
def _opened(place: Place) -> Iterator[Assistant]:
    with (
        Engine.open(place.model, n_ctx=N_CTX, n_threads=place.threads) as engine,
        Assistant(
            Vault.open(place.home, Passphrase(place.passphrase)), Catalogue(place.models_dir), engine=engine
        ) as me,
    ):
        yield me


def _fill_profile(place: Place) -> None:
    """Attributes until the stable prefix is as long as it should be."""
    with _opened(place) as me:
        number = 0
        while len(me.engine.tokenize(profile_card(me.vault.profile.all()))) < PREFIX_TOKENS:
            me.vault.profile.set(f"note {number + 1}", _FACTS[number % len(_FACTS)])
            number += 1


def start(place: Place, *, fresh: bool) -> Start:
    """Two questions to a model that has just been loaded; ``fresh`` forgets the states first."""
    with _opened(place) as me:
        me.recall(_OTHER)
        if fresh:
            me.vault.database.execute("DELETE FROM states")
        times, ends, said = [], [], []
        for question in (_QUESTION, _OTHER):
            began = perf_counter()
            reply = me.ask(question, max_tokens=8)
            pieces = iter(reply)
            text = next(pieces)
            last = perf_counter()
            times.append(last - began)
            for piece in pieces:
                text += piece
                last = perf_counter()
            ends.append(perf_counter() - last)
            said.append(text)
        kept = me.vault.database.row("SELECT sum(size_bytes) FROM states")
        return Start(
            first_ms=1000 * times[0],
            second_ms=1000 * times[1],
            after_ms=1000 * ends[0],
            said=said[0],
            state_bytes=int(kept[0] or 0) if kept else 0,
            prefix_tokens=reply.trace.budget["stable"],
        )


# ---- memories ----------------------------------------------------------------------------------------------------


def memories(path: Path, models_dir: Path, chosen: slice, threads: int) -> dict[str, float]:
    """The figures of memory states."""
    with tempfile.TemporaryDirectory() as folder:
        vault, _ = Vault.create(Path(folder) / "home", Passphrase(token_hex(16)))
        with (
            Engine.open(path, n_ctx=N_CTX, n_threads=threads) as engine,
            Assistant(vault, Catalogue(models_dir), engine=engine, clock=lambda: date_ms(_TODAY)) as me,
        ):
            for part in ("notes", "mail.mbox", "chatgpt"):
                me.add(_LIFE / part)
            questions = [_noted(me, asked) for asked in read_questions(_LIFE / "questions.jsonl")[chosen]]
            states = States(vault.database, budget_bytes=1 << 30)
            return ways(engine, states, questions)


def ways(engine: Engine, states: States, questions: Sequence[Noted]) -> dict[str, float]:
    """The figures of these questions, each answered in every way."""
    splicer = engine.splicer
    if splicer is None:
        raise ModelUnsupported("The states of this model can't be moved.", hint="Measure another one.")
    times: dict[str, list[float]] = {}
    right: dict[str, int] = {}
    for noted in questions:
        _read_ahead(splicer, states, noted)
        for way, begin in _WAYS.items():
            engine.clear()
            generation = begin(engine, splicer, states, noted)
            said = "".join(generation)
            times.setdefault(way, []).append(generation.stats.first_token_ms)
            right[way] = right.get(way, 0) + LifeAnswer(noted.asked, said, 0, 0).right
    return _compared(times, right)


def _compared(times: dict[str, list[float]], right: dict[str, int]) -> dict[str, float]:
    count = len(times["full"])
    figures: dict[str, float] = {"full_ms": median(times["full"]), "full_right": right["full"] / count}
    for way in ("spliced", "naive", "few"):
        figures[f"{way}_vs_full"] = median(one / full for one, full in zip(times[way], times["full"], strict=True))
        figures[f"{way}_right"] = right[way] / count
        figures[f"{way}_right_vs_full"] = right[way] / max(1, right["full"])
    return figures


def _noted(me: Assistant, asked: LifeQuestion) -> Noted:
    form = choose_form(renderer(me.engine.info), begin=False)
    layout = Layout(me.engine, form, Budget(N_CTX, _ANSWER_TOKENS, WIDE_TOKENS), bos=me.engine.bos)
    hits, _ = me.find(asked.question, MemoryFilter())
    notes: list[list[int]] = []
    for hit in hits:
        tokens = layout.note(hit.memory)
        if sum(map(len, notes)) + len(tokens) > WIDE_TOKENS:
            break
        notes.append(tokens)
    return Noted(
        asked=asked,
        before=layout.beginning,
        notes=notes,
        by_time=sorted(range(len(notes)), key=lambda at: hits[at].memory.when_ms),
        after=around(me.engine, form, asked.question, first=True)[1],
    )


def _name(noted: Noted, at: int) -> str:
    return hashlib.sha256(repr((noted.before, noted.notes[at])).encode()).hexdigest()


def _read_ahead(splicer: Splicer, states: States, noted: Noted) -> None:
    """In idle time: the states of these notes, each once."""
    for at, tokens in enumerate(noted.notes):
        if not states.has(_BINDING, _name(noted, at)):
            state = splicer.note_state(noted.before, tokens)
            if state is not None:  # a very long one is evaluated
                states.save(_BINDING, _name(noted, at), state, profile={})


def _fresh(noted: Noted) -> list[int]:
    """The best notes, at least one, that together have up to `FRESH_TOKENS`."""
    fresh = [0]
    for at in range(1, len(noted.notes)):
        if sum(len(noted.notes[one]) for one in (*fresh, at)) > FRESH_TOKENS:
            break
        fresh.append(at)
    return fresh


def _evaluated(engine: Engine, noted: Noted, chosen: Collection[int]) -> Generation:
    """The beginning is held; these notes and the question are evaluated."""
    engine.begin_with(noted.before)
    engine.next_log_probs(noted.before)
    tokens = [token for at in noted.by_time if at in chosen for token in noted.notes[at]]
    return engine.generate([*noted.before, *tokens, *noted.after], max_tokens=_ANSWER_TOKENS)


def _put_together(splicer: Splicer, states: States, noted: Noted, fresh: Collection[int]) -> Generation:
    """The beginning is held; the notes but the ``fresh`` ones are taken over from their states."""

    def kept(at: int) -> Part:
        name = _name(noted, at)
        return Part(noted.notes[at], name, lambda: states.load(_BINDING, name))

    splicer.hold(noted.before)
    tail = [token for at in noted.by_time if at in fresh for token in noted.notes[at]]
    parts = [kept(at) for at in noted.by_time if at not in fresh]
    return splicer.generate([Part(noted.before), *parts, Part([*tail, *noted.after])], max_tokens=_ANSWER_TOKENS)


_WAYS: Final[dict[str, Callable[[Engine, Splicer, States, Noted], Generation]]] = {
    "full": lambda engine, _splicer, _states, noted: _evaluated(engine, noted, noted.by_time),
    "spliced": lambda _engine, splicer, states, noted: _put_together(splicer, states, noted, _fresh(noted)),
    "naive": lambda _engine, splicer, states, noted: _put_together(splicer, states, noted, ()),
    "few": lambda engine, _splicer, _states, noted: _evaluated(engine, noted, _fresh(noted)),
}


def _models_dir() -> Path:
    """The checkout's own models where they were fetched, or else the person's."""
    own = Path(__file__).parent.parent / "models"
    return own if own.is_dir() else default_models_dir()


if __name__ == "__main__":
    main()
