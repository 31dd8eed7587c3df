"""How long a person waits for the first word, with what the model has read kept, and without.

Beginnings. A vault whose profile makes a stable prefix of about a thousand tokens, no notes, and a short question, put
through `Assistant.ask`; each start is a process of its own, with vault, embedder and model open before the clock runs.

- ``warm_vs_cold``: a second question in the process, over the first one. ``restart_vs_cold``: the first question of the
  next process, which restores the state from the vault, over the first of a process without one.
- ``cold_ms``, ``warm_ms``, ``restart_ms``: the times themselves. ``save_ms``: what storing the state adds after the
  first answer. These are medians; ``…_p95`` and ``…_p95_ms`` are 95th percentiles, of three pairs nearly the worst.
- ``same_answers``: of the restarts, the share that said what the cold start said.

Memories. For each question about the sample life, and with ``--locomo FILE`` for some of LoCoMo's, the best thousand
tokens of memories are put before the model in these ways; the beginning is read already in all of them. A way's time is
from there to the first token; of the figures ``…_vs_full`` are medians over the questions, ``…_p95_ms`` their 95th
percentiles, ``…_right`` counts of right answers, ``…_right_vs_full`` their ratio.

- full: every memory evaluated, in the order of time, in the engine's own context.
- asked: what `Assistant.ask` does. A model of 0.4 to 3 billion parameters reads the five best notes, and of long ones
  excerpts; choosing these is in the time.
- spliced: each memory's state, computed once by itself after the beginning, comes from the vault and is moved into its
  place (`Splicer`), the best ones last; the very best, up to `FRESH_TOKENS`, are evaluated, just before the question.
- naive: all of them spliced.
- few: no states; the very best alone. What splicing must beat to be worth its states.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks._memory_questions import about_life, about_locomo
from benchmarks._memory_ways import N_CTX, WAYS, measured
from benchmarks._model import models_dir
from benchmarks._report import arguments, report
from edgeperso.assistant import Assistant
from edgeperso.catalogue import Catalogue
from edgeperso.engine import Engine
from edgeperso.engine.machine import physical_cores
from edgeperso.prompting import profile_card
from edgeperso.vault import Passphrase, Vault

PREFIX_TOKENS = 1000
# Requests, not questions: an answer that is begun with words of ours would come before the model has read anything.
_QUESTION = "Name a dish that I would like tonight."
_OTHER = "Suggest something to take along on Sunday."
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


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--model", default="smollm2-135m", help="a name of the catalogue, or a GGUF file")
    parser.add_argument("--models-dir", type=Path, default=models_dir())
    parser.add_argument("--pairs", type=int, default=3, help="cold starts, each with a restart after it")
    parser.add_argument("--threads", type=int, default=physical_cores())
    parser.add_argument("--questions", type=int, default=30, help="questions about the sample life")
    parser.add_argument("--skip", type=int, default=0, help="questions to leave out before them")
    parser.add_argument("--locomo", type=Path, metavar="FILE", help="LoCoMo's JSON file, for questions of its own")
    parser.add_argument("--locomo-questions", type=int, default=200, help="how many of them")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="of these; full must be one")
    options = parser.parse_args()
    path = Catalogue(options.models_dir).locate(options.model)
    figures: dict[str, float] = {}
    if options.pairs:
        figures |= beginnings(path, options.models_dir, options.pairs, options.threads)
    sources = [about_life(slice(options.skip, options.skip + options.questions))] if options.questions else []
    if options.locomo is not None:
        sources += about_locomo(options.locomo, options.locomo_questions, options.seed)
    if sources:
        figures |= measured(path, Catalogue(options.models_dir), sources, options.threads, options.ways).figures
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
    both = list(zip(cold, again, strict=True))
    return {
        **_spread("warm_vs_cold", [start.second_ms / start.first_ms for start in cold]),
        **_spread("restart_vs_cold", [second.first_ms / first.first_ms for first, second in both]),
        **_spread("cold", [start.first_ms for start in cold], "_ms"),
        **_spread("warm", [start.second_ms for start in cold], "_ms"),
        **_spread("restart", [start.first_ms for start in again], "_ms"),
        "save_ms": median(one.after_ms - two.after_ms for one, two in both),
        "same_answers": sum(one.said == two.said for one, two in both) / pairs,
        "state_mb": cold[0].state_bytes / 1e6,
        "prefix_tokens": cold[0].prefix_tokens,
    }


def _spread(name: str, values: list[float], unit: str = "") -> dict[str, float]:
    """Median and 95th percentile."""
    return {f"{name}{unit}": median(values), f"{name}_p95{unit}": float(np.percentile(values, 95))}


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


if __name__ == "__main__":
    main()
