"""How long a large vault takes from unlocking to answers, and what a change costs it.

The vault is made once, in a process of its own, and kept under ``--folder``: memories of some 20 words, drawn by their
frequency in the text that ships with the repository, three in a hundred invented names; twenty to a thread; vectors
around two thousand centres. A build that was stopped goes on where it was. Then, in another process:

- ``first_search_s``: from opening the vault to the first answered search. The embedder isn't in it, and the key is a
  key file: a passphrase adds Argon2id's 0.2 s.
- ``full_s``: to the moment when nothing of the index is left to load.
- ``rss_mb``: resident memory of the process then, all of it.
- ``hybrid_p50_ms``, ``hybrid_p95_ms``: searches through the retriever, without embedding the question.
- ``hybrid_embedded_p50_ms``, ``hybrid_embedded_p95_ms``: the same with the default embedder's time for the question
  before each search (what it gives isn't used: the vault's vectors are made up). Left out where the model isn't there.
- ``add_p50_ms``: one memory and its vector stored, in a transaction each, and the index in step.
- ``delete_p50_ms``: one of the old ones forgotten, and the index in step; what was dropped with it is stored again on a
  thread, after that.
- ``commit_p50_ms``: what a transaction of one row takes on this disk.

The file cache is warm: all of the vault's file is read right before. A system may drop what lies idle, with memory
free.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from pathlib import Path
from time import perf_counter
from typing import TypeVar

import numpy as np

from benchmarks._corpus import sentences
from edgeperso.embedding import active_space
from edgeperso.errors import EdgepersoError
from edgeperso.retrieval import Retriever
from edgeperso.types import Embedder, Float32, Kind, Progress, Query, Record
from edgeperso.vault import KeyFile, Vault
from edgeperso.vault.erasure import erase, plan

DIM = 384
THREAD = 20
CENTRES = 2000
NAMES, INVENTED = 50_000, 0.03
BATCH = 4000
WORDS = "benchmark words"
NOW_MS = 1_780_000_000_000
MINUTE_MS = 60_000
Asked = tuple[str, Float32]
Made = TypeVar("Made")
AUTHORS = ("", "", "Ann", "Ben Miller", "Chidi", "Dora")


class GivenVectors:
    """An embedder whose vectors were made beforehand: embedding isn't what is measured."""

    id = f"benchmark-{DIM}"
    dim = DIM

    def __init__(self) -> None:
        self.by_text: dict[str, Float32] = {}
        self.also: Embedder | None = None

    def embed(self, texts: list[str], progress: Progress | None = None) -> Float32:  # noqa: ARG002 - the protocol's
        if self.also is not None:
            self.also.embed(texts)
        # A clause of a question, such as "since the move", is looked up apart; any vector will do for it.
        return np.stack([self.by_text.get(text, next(iter(self.by_text.values()))) for text in texts])


class Corpus:
    """Memories by number out of ``words`` (a text), the same for the same seed in any order of asking."""

    def __init__(self, seed: int, words: str) -> None:
        self._seed = seed
        chance = np.random.default_rng(seed)
        self._words = np.array(words.split())
        letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
        self._names = np.array(["".join(chance.choice(letters, 7)) for _ in range(NAMES)])
        shares = 1.0 / np.arange(10, NAMES + 10)
        self._odds = np.cumsum(shares / shares.sum())
        self._centres = chance.standard_normal((CENTRES, DIM)).astype(np.float32)

    def texts(self, start: int, count: int) -> list[str]:
        chance = np.random.default_rng((self._seed, 1, start))
        sizes = chance.integers(8, 32, count)
        words = self._words[chance.integers(0, len(self._words), int(sizes.sum()))].astype(object)
        invented = chance.random(len(words)) < INVENTED
        drawn = np.searchsorted(self._odds, chance.random(int(invented.sum())))
        words[invented] = self._names[np.minimum(drawn, NAMES - 1)]
        ends = np.cumsum(sizes).tolist()
        return [" ".join(words[end - size : end]) for size, end in zip(sizes.tolist(), ends, strict=True)]

    def records(self, start: int, count: int) -> list[Record]:
        return [
            Record(
                text=text,
                kind=Kind.CHAT,
                source=f"chats/{number // (50 * THREAD)}.json",
                locator=str(number),
                author=AUTHORS[number % len(AUTHORS)],
                thread=f"chat {number // THREAD}",
                position=number % THREAD,
                occurred_ms=NOW_MS - (2_000_000 - number) * 5 * MINUTE_MS,
            )
            for number, text in enumerate(self.texts(start, count), start)
        ]

    def vectors(self, start: int, count: int) -> Float32:
        chance = np.random.default_rng((self._seed, 2, start))
        made = self._centres[chance.integers(0, CENTRES, count)]
        made += chance.standard_normal((count, DIM), dtype=np.float32)
        made /= np.linalg.norm(made, axis=1, keepdims=True)
        return made

    def questions(self, count: int, n: int) -> Iterator[Asked]:
        """Four words of a memory, and a vector near its own."""
        chance = np.random.default_rng((self._seed, 3))
        for _ in range(count):
            start = int(chance.integers(0, max(n // BATCH, 1))) * BATCH
            row = int(chance.integers(0, min(BATCH, n - start)))
            words = self.texts(start, min(BATCH, n - start))[row].split()
            vector = self.vectors(start, min(BATCH, n - start))[row]
            vector = vector + 0.02 * chance.standard_normal(DIM, dtype=np.float32)
            yield " ".join(chance.choice(words, 4)), vector / np.linalg.norm(vector)


def main() -> None:
    # Not at the top: what reporting takes isn't the memory of who searches.
    from benchmarks._report import arguments, report

    parser = arguments(__doc__)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="keep the vault here; a temporary one otherwise")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--changes", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = (options.folder or Path(folder)) / f"vault-{options.n}-{options.seed}"
        apart(build, home, options.n, options.seed)
        asked = apart(made_up, home, options.n, options.seed, options.questions + 1, options.changes)
        figures = apart(measured, home, *asked)
    report("unlock", figures, n=options.n, seed=options.seed, as_json=options.json)


def apart(work: Callable[..., Made], *values: object) -> Made:
    """What ``work`` gives, in a process of its own: what one takes isn't counted for the other."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(work, *values).result()


def made_up(home: Path, n: int, seed: int, searches: int, changes: int) -> tuple[list[Asked], list[Record], Float32]:
    """Questions, and memories to add with their vectors."""
    with opened(home) as vault:
        corpus = Corpus(seed, vault.meta.get(WORDS) or "")
    questions = list(corpus.questions(searches, n))
    return questions, corpus.records(10 * n, changes), corpus.vectors(10 * n, changes)


def measured(home: Path, questions: list[Asked], records: list[Record], vectors: Float32) -> dict[str, float]:
    embedder = GivenVectors()
    embedder.by_text.update(questions)
    warm(home)
    before = perf_counter()
    with opened(home) as vault:
        retriever = Retriever(vault, embedder)
        retriever.search(Query(questions[0][0], NOW_MS))
        figures = {"first_search_s": perf_counter() - before}
        retriever.load()
        figures |= {"full_s": perf_counter() - before, "rss_mb": resident_mb()}
        asked = [text for text, _ in questions[1:]]
        figures |= searched(retriever, asked, "hybrid")
        figures |= change(vault, retriever, records, vectors)
        return figures | embedded(retriever, embedder, asked)


def warm(home: Path) -> None:
    """Have the system hold all files of the vault in memory."""
    for path in filter(Path.is_file, home.iterdir()):
        with path.open("rb") as file:
            while file.read(1 << 24):
                pass


def searched(retriever: Retriever, texts: list[str], name: str) -> dict[str, float]:
    times = [timed_search(retriever, text) for text in texts]
    return {f"{name}_p50_ms": quantile(times, 0.5), f"{name}_p95_ms": quantile(times, 0.95)}


def embedded(retriever: Retriever, given: GivenVectors, texts: list[str]) -> dict[str, float]:
    # Not at the top: the model isn't the memory of who searches.
    from benchmarks._model import default_embedder

    try:
        given.also = default_embedder()
    except EdgepersoError as error:
        sys.stderr.write(f"unlock: hybrid_embedded is left out: {error}\n")
        return {}
    for text in texts[:3]:
        timed_search(retriever, text)
    return searched(retriever, texts, "hybrid_embedded")


def opened(home: Path) -> Vault:
    return Vault.open(home, KeyFile(home.with_suffix(".key")))


def build(home: Path, n: int, seed: int) -> None:
    """Fill the vault and its index, from where an earlier run stopped."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with opened(home) if home.exists() else Vault.create(home, KeyFile(home.with_suffix(".key")))[0] as vault:
        if vault.meta.get(WORDS) is None:  # kept, because the repository's text changes
            vault.meta.set(WORDS, " ".join(sentences()))
        corpus = Corpus(seed, vault.meta.get(WORDS) or "")
        stored = vault.memories.count()
        for start in range(stored - stored % BATCH, n, BATCH):  # what is known is passed over
            vault.memories.add(corpus.records(start, min(BATCH, n - start)), batch_size=BATCH)
        if active_space(vault) is None:
            vault.meta.set("embedder", GivenVectors.id)
        ids = vault.vectors.missing(GivenVectors.id, n)
        for chosen in (ids[first : first + BATCH] for first in range(0, len(ids), BATCH)):
            numbers = np.array([int(memory.locator) for memory in vault.memories.get(chosen)])
            for start in np.unique(numbers // BATCH * BATCH).tolist():
                here = numbers // BATCH * BATCH == start
                made = corpus.vectors(start, min(BATCH, n - start))[numbers[here] - start]
                vault.vectors.put(GivenVectors.id, np.array(chosen)[here], made)
        Retriever(vault, GivenVectors()).load()


def change(vault: Vault, retriever: Retriever, records: list[Record], vectors: Float32) -> dict[str, float]:
    added, deleted = [], []
    for record, vector in zip(records, vectors, strict=True):
        before = perf_counter()
        ids = vault.memories.add([record]).ids
        vault.vectors.put(GivenVectors.id, ids, vector[np.newaxis])
        retriever.refresh()
        added.append(perf_counter() - before)
        erase(vault, plan(vault, ids=ids))
        retriever.load()
    for id_ in np.random.default_rng(4).choice(vault.memories.ids(), len(records), replace=False).tolist():
        memory, vector = vault.memories.one(id_), vault.vectors.of(GivenVectors.id, [id_])[1]
        before = perf_counter()
        erase(vault, plan(vault, ids=[id_]))
        retriever.refresh()
        deleted.append(perf_counter() - before)
        retriever.load()
        again = Record(**{field.name: getattr(memory, field.name) for field in fields(Record)})
        vault.vectors.put(GivenVectors.id, vault.memories.add([again]).ids, vector.astype(np.float32))
        retriever.load()
    commits = []
    for number in range(len(records)):
        before = perf_counter()
        vault.meta.set("benchmark", str(number))
        commits.append(perf_counter() - before)
    return {
        "commit_p50_ms": quantile(commits, 0.5),
        "add_p50_ms": quantile(added, 0.5),
        "delete_p50_ms": quantile(deleted, 0.5),
    }


def timed_search(retriever: Retriever, text: str) -> float:
    before = perf_counter()
    retriever.search(Query(text, NOW_MS))
    return perf_counter() - before


def quantile(seconds: list[float], share: float) -> float:
    return float(np.quantile(seconds, share)) * 1000


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


if __name__ == "__main__":
    main()
