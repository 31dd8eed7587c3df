"""A large corpus with the words of real text and the vectors of real text, made by chance from a seed.

Text: the sentences of what ships with the repository (invented lives, documentation). A memory is one or two of them
after an author and a day, as the index holds it: two words in five are drawn anew by their frequency, and three in a
hundred from a tail of 200,000 invented names, so that the vocabulary grows with the corpus as it does in life. Vectors:
some sentences embedded, tiled with Gaussian noise (a cosine of 0.9 with their source) and made unit length again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeperso.index import Analyzer
from edgeperso.index.segment import MAX_MEMORIES, Segment, term_hash
from edgeperso.types import Embedder, Float32, Int64

__all__ = ["Words", "embedded", "sentences", "tiled"]

ROOT = Path(__file__).parents[1]
FOLDERS = ("examples", "tests/data", "docs")
LONGEST = 24
TWO = 0.5
AUTHORS, YEARS = 40, 8
REDRAWN, INVENTED = 0.4, 0.03
NAMES = 200_000
NOISE = 0.48
SYLLABLES = "ba be bi bo da de di do ka ke ki ko la le li lo ma me mi mo na ne ni no ra re ri ro sa se si so ta te"
MONTHS = "january february march april may june july august september october november december"


def sentences() -> list[str]:
    """The sentences of four words and more, each once."""
    found: dict[str, None] = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".md", ".txt", ".jsonl", ".json", ".mbox"):
                parts = re.split(r"[.!?|\n]\s+|\n|\\n", path.read_text("utf-8", "replace"))
                found.update(dict.fromkeys(part.strip() for part in parts if len(part.split()) >= 4))
    return list(found)


@dataclass(frozen=True, slots=True)
class Words:
    """Memories as terms.

    Attributes:
        vocabulary: every term.
        segments: the memories' postings.
        terms: the terms of each memory, int32[tokens] by segment, in the order of the memories.
        lengths: int32[n] by segment, terms in each memory.
    """

    vocabulary: list[str]
    segments: list[Segment]
    terms: list[NDArray[np.int32]]
    lengths: list[NDArray[np.int32]]

    @classmethod
    def drawn(cls, n: int, seed: int) -> Words:
        rng = np.random.default_rng(seed)
        vocabulary, table, shares = _analyzed(sentences(), rng)
        heads = _heads(vocabulary, rng)
        hashes = np.array([term_hash(term) for term in vocabulary], dtype=np.uint64)
        order = np.argsort(hashes)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        name_shares = 1.0 / np.arange(10, NAMES + 10)
        made = cls(vocabulary, [], [], [])
        for start in range(0, n, MAX_MEMORIES):
            count = min(MAX_MEMORIES, n - start)
            first, second = table[rng.integers(0, len(table), (2, count))]
            second[rng.random(count) >= TWO] = -1
            words = np.hstack([first, second])
            anew = (rng.random(words.shape) < REDRAWN) & (words >= 0)
            words[anew] = rng.choice(len(shares), int(anew.sum()), p=shares)
            name = (rng.random(words.shape) < INVENTED) & (words >= 0)
            names = rng.choice(NAMES, int(name.sum()), p=name_shares / name_shares.sum())
            words[name] = len(shares) + names
            words = np.hstack([heads[rng.integers(0, len(heads), count)], words])
            made.terms.append(words[words >= 0].astype(np.int32))
            made.lengths.append((words >= 0).sum(axis=1).astype(np.int32))
            made.segments.append(_segment(start, words, rank, hashes[order], made.lengths[-1]))
        return made

    def questions(self, count: int, seed: int) -> list[dict[str, float]]:
        """Four terms each, out of one memory, so that frequent ones are asked for frequently."""
        rng = np.random.default_rng(seed)
        found: list[dict[str, float]] = []
        while len(found) < count:
            number = int(rng.integers(len(self.segments)))
            ends = np.cumsum(self.lengths[number])
            row = int(rng.integers(len(ends)))
            own = np.unique(self.terms[number][ends[row] - self.lengths[number][row] : ends[row]])
            if len(own) >= 4:
                chosen = rng.choice(own, 4, replace=False)
                found.append({self.vocabulary[term]: 1.0 for term in chosen})
        return found

    def memories(self) -> Iterator[NDArray[np.int32]]:
        """The terms of each memory."""
        for terms, lengths in zip(self.terms, self.lengths, strict=True):
            yield from np.split(terms, np.cumsum(lengths)[:-1])


def _analyzed(texts: list[str], rng: np.random.Generator) -> tuple[list[str], NDArray[np.int64], NDArray[np.float64]]:
    """The vocabulary, names last; the sentences as int64[sentences, LONGEST] of terms, -1 for none; and each term's
    share of the text, without the names."""
    analyzer = Analyzer()
    found = [terms for text in texts if len(terms := analyzer.terms(text)[:LONGEST]) >= 3]
    counts = Counter(term for terms in found for term in terms)
    numbers = {term: number for number, term in enumerate(counts)}
    table = np.full((len(found), LONGEST), -1, dtype=np.int64)
    for row, terms in enumerate(found):
        table[row, : len(terms)] = [numbers[term] for term in terms]
    shares = np.array(list(counts.values()), dtype=np.float64)
    syllables = SYLLABLES.split()
    spelled = rng.choice(len(syllables) ** 5, NAMES, replace=False)
    digits = np.unravel_index(spelled, (len(syllables),) * 5)
    names = ["".join(syllables[i] for i in letters) for letters in np.transpose(digits)]
    return [*numbers, *names], table, shares / shares.sum()


def _heads(vocabulary: list[str], rng: np.random.Generator) -> NDArray[np.int64]:
    """int64[heads, 4]: author, day, month, year as terms, which are added to ``vocabulary``. The author who writes most
    writes a quarter."""
    analyzer = Analyzer()
    numbers = {term: number for number, term in enumerate(vocabulary)}
    columns = []
    for texts in (
        [f"author{i}" for i in range(AUTHORS)],
        [str(day) for day in range(1, 32)],
        MONTHS.split(),
        [str(2019 + year) for year in range(YEARS)],
    ):
        terms = [analyzer.terms(text)[0] for text in texts]
        for term in terms:
            if term not in numbers:
                numbers[term] = len(numbers)
                vocabulary.append(term)
        columns.append(np.array([numbers[term] for term in terms]))
    shares = 1.0 / np.arange(1, AUTHORS + 1)
    authors = rng.choice(columns[0], 100_000, p=shares / shares.sum())
    return np.stack([authors, *(rng.choice(column, len(authors)) for column in columns[1:])], axis=1)


def _segment(
    first: int, words: NDArray[np.int64], rank: Int64, hashes: NDArray[np.uint64], lengths: NDArray[np.int32]
) -> Segment:
    rows, _ = np.nonzero(words >= 0)
    keys, counts = np.unique(rank[words[words >= 0]] * MAX_MEMORIES + rows, return_counts=True)
    owners = keys // MAX_MEMORIES
    begins = np.flatnonzero(np.diff(owners, prepend=-1))
    return Segment(
        ids=np.arange(first, first + len(words), dtype=np.int64),
        hashes=hashes[owners[begins]],
        starts=np.append(begins, len(owners)).astype(np.int32),
        rows=(keys % MAX_MEMORIES).astype(np.uint16),
        counts=counts.astype(np.uint16),
        lengths=lengths,
    )


def embedded(embedder: Embedder, count: int, seed: int) -> Float32:
    """float32[count, dim] of as many sentences, drawn by chance.

    Raises:
        ValueError: there are fewer.
    """
    texts = sentences()
    if len(texts) < count:
        raise ValueError(f"there are {len(texts)} sentences only")
    chosen = np.random.default_rng(seed).choice(len(texts), count, replace=False)
    return embedder.embed([texts[i] for i in chosen.tolist()])


def tiled(sources: Float32, n: int, seed: int) -> Iterator[Float32]:
    """``n`` unit vectors in blocks of up to 4,096: ``sources`` again and again, each time with other noise."""
    rng = np.random.default_rng(seed)
    dim = sources.shape[1]
    for start in range(0, n, MAX_MEMORIES):
        rows = np.arange(start, min(start + MAX_MEMORIES, n)) % len(sources)
        noise = rng.standard_normal((len(rows), dim), dtype=np.float32)
        block = sources[rows] + np.float32(NOISE / np.sqrt(dim)) * noise
        yield block / np.linalg.norm(block, axis=1, keepdims=True)
