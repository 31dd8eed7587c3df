"""How the time of a search grows with the memories that are searched.

Five sizes by default, from 10,000 to a million, one after another, each part in a process of its own:

- ``dense_p50_ms_…``, ``bm25_p50_ms_…``: the ten best by vectors and by words, as `benchmarks.search` measures them.
- ``hybrid_p50_ms_…``: a search through the retriever, without embedding the question, as `benchmarks.unlock` measures
  it. Up to 16,384 memories the retriever looks at whole vectors and scores every memory; beyond, at codes.

With ``--plot`` the figures are drawn, too. Both axes are logarithmic: what grows as the memories do is as steep as the
dashed lines.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import search, unlock
from benchmarks._model import MODEL
from benchmarks._plot import loglog
from benchmarks._report import arguments, report
from edgeperso.retrieval import Retriever

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
MEASURED = {"hybrid_p50_ms": "both, by the retriever", "dense_p50_ms": "by vectors", "bm25_p50_ms": "by words"}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--sizes", type=_sizes, default=SIZES, help="memories, with commas between")
    parser.add_argument("--folder", type=Path, help="keep the vaults here; a temporary folder otherwise")
    parser.add_argument("--plot", type=Path, help="draw the figures to this SVG file")
    options = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in MEASURED}
    every = unlock.apart(search.real_vectors, options.seed)
    with tempfile.TemporaryDirectory() as folder:
        for n in options.sizes:
            figures = unlock.apart(search.by_vectors, every, n, options.seed, set())
            figures |= unlock.apart(search.by_words, n, options.seed, set())
            home = (options.folder or Path(folder)) / f"vault-{n}-{options.seed}"
            figures |= hybrid(home, n, options.seed)
            for name, points in found.items():
                points.append((n, figures[name]))
    if options.plot is not None:
        series = [(MEASURED[name], points) for name, points in found.items()]
        options.plot.write_text(loglog("Time of a search", "memories", "ms (median)", series), "utf-8")
    flat = {f"{name}_{int(n)}": value for name, points in found.items() for n, value in points}
    report("scale", flat, n=max(options.sizes), seed=options.seed, models={MODEL: MODEL}, as_json=options.json)


def hybrid(home: Path, n: int, seed: int) -> dict[str, float]:
    unlock.apart(unlock.build, home, n, seed)
    asked, _, _ = unlock.apart(unlock.made_up, home, n, seed, search.QUESTIONS, 0)
    return unlock.apart(_searched, home, asked)


def _searched(home: Path, asked: Sequence[unlock.Asked]) -> dict[str, float]:
    embedder = unlock.GivenVectors()
    embedder.by_text.update(asked)
    texts = [text for text, _ in asked]
    with unlock.opened(home) as vault:
        retriever = Retriever(vault, embedder)
        retriever.load()
        unlock.searched(retriever, texts[:3], "warm")
        return unlock.searched(retriever, texts, "hybrid")


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(sorted({int(part) for part in text.split(",")}))


if __name__ == "__main__":
    main()
