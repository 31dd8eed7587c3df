"""Adapters on the running model: how fast they are changed, and whether they compute what they should.

Cosines are between logits less their mean (a constant added to all logits changes nothing), the least over the places
of a text. The adapters are of rank 8 with random weights, large enough to change the answers: ``effect_cosine`` is
between the bare model and the one that wears one of them, so that a cosine near 1 elsewhere means something.

- ``swap_ms``: what changing from one LoRA to another between two answers adds to the next token, beyond reading the
  prompt again (which is necessary: other weights computed what was kept). In it are `Engine.wear` (``wear_ms``), and
  what llama.cpp does when it evaluates with another stack for the first time, such as planning its graph anew. It is
  the median of the differences between reading a short prompt after a change and reading it again without one.
- ``load_ms``: the first `Engine.wear` of a LoRA: checked, written as GGUF in memory, and loaded.
- ``bridge_cosine``: llama.cpp with an adapter against the trainer's own decoder in torch with the same, both on the
  model in float32. ``bridge_same_tokens``: of the tokens that llama.cpp then writes greedily (64, unless the model
  ends before: ``bridge_written_tokens``), how many are the trainer's too, until they part.
- ``stack_cosine``: three LoRAs worn together, each with its scale, against one that is their merged sum, in float32;
  ``stack_cosine_q4_1`` on the model file as it is shipped, where activations are rounded to 8 bits on their way into
  each matrix, so that the smallest difference grows. ``rounding_cosine_q4_1`` says by how much: the merged sum there
  against the same sum with its ranks in another order.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks._model import models_dir
from benchmarks._report import arguments, report
from edgeperso.adaptation.plan import ATTENTION, EVERY_MATRIX
from edgeperso.adaptation.stacking import merged
from edgeperso.catalogue import Catalogue
from edgeperso.engine import Engine, Lora, LoraPair, Worn
from edgeperso.engine.gguf import check_model_file
from edgeperso.engine.machine import physical_cores
from edgeperso.engine.requantize import quantize_file
from edgeperso.engine.texts import SAMPLE_TEXT
from edgeperso.types import Float32

RANK = 8
SCALES = (1.0, 0.6, -0.4)
WRITTEN_TOKENS = 64
TEXT_TOKENS = 128


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--model", default="smollm2-135m", help="a name of the catalogue, or a GGUF file")
    parser.add_argument("--models-dir", type=Path, default=models_dir())
    parser.add_argument("--swaps", type=int, default=40)
    parser.add_argument("--threads", type=int, default=physical_cores())
    options = parser.parse_args()
    path = Catalogue(options.models_dir).locate(options.model)
    with Engine.open(path, n_ctx=1024, n_threads=options.threads) as engine:
        figures = swapping(engine, options.swaps, options.seed)
        figures["stack_cosine_q4_1"], figures["rounding_cosine_q4_1"] = stacking(engine, options.seed)
        models = {path.name: engine.info.sha256}
    with tempfile.TemporaryDirectory() as folder:
        floats = Path(folder) / "floats.gguf"
        quantize_file(path, floats, "F32")
        with Engine.open(floats, n_ctx=1024, n_threads=options.threads) as engine:
            figures["stack_cosine"], _ = stacking(engine, options.seed)
            figures |= bridge(engine, options.seed)
    report("adapters", figures, n=options.swaps, seed=options.seed, models=models, as_json=options.json)


def random_lora(engine: Engine, seed: int, targets: Sequence[str], size: float) -> Lora:
    """Weights as after a training that went far: ``a`` keeps a vector's length, ``size`` is the share of it that the
    addition has."""
    random = np.random.default_rng(seed)
    pairs: dict[str, LoraPair] = {}
    for name, place in check_model_file(engine.info.path).tensors.items():
        matrix = name.removesuffix(".weight")
        if matrix.startswith("blk.") and matrix.split(".")[2] in targets and name != matrix:
            n_in, n_out = place.shape
            a = random.standard_normal((RANK, n_in)).astype(np.float32) / np.float32(np.sqrt(n_in))
            b = random.standard_normal((n_out, RANK)).astype(np.float32) * np.float32(size / np.sqrt(RANK))
            pairs[matrix] = LoraPair(a, b)
    return Lora(engine.info.base_sha256, engine.info.architecture, float(RANK), pairs)


# ---- speed ---------------------------------------------------------------------------------------------------------


def swapping(engine: Engine, swaps: int, seed: int) -> dict[str, float]:
    prompt = text_tokens(engine)[:16]
    both = [Worn(str(number), random_lora(engine, seed + number, ATTENTION, 0.1)) for number in range(2)]
    loads = [timed_ms(partial(engine.wear, [each])) for each in both]
    wears: list[float] = []
    added: list[float] = []
    for number in range(swaps):
        for _ in engine.generate(prompt, max_tokens=4):
            pass
        wears.append(timed_ms(partial(engine.wear, [both[number % 2]])))
        first = timed_ms(lambda: engine.next_log_probs(prompt))
        engine.clear()
        again = timed_ms(lambda: engine.next_log_probs(prompt))
        added.append(wears[-1] + first - again)
    return {"swap_ms": median(added), "wear_ms": median(wears), "load_ms": median(loads)}


def timed_ms(action: Callable[[], object]) -> float:
    start = perf_counter()
    action()
    return (perf_counter() - start) * 1000


# ---- agreement -----------------------------------------------------------------------------------------------------


def stacking(engine: Engine, seed: int) -> tuple[float, float]:
    """Three worn against their sum, and the sum against itself in another order."""
    parts = [(random_lora(engine, seed + at, EVERY_MATRIX, 0.1), scale) for at, scale in enumerate(SCALES)]
    stacked = adapted(engine, [Worn(f"part {at}", lora, scale) for at, (lora, scale) in enumerate(parts)])
    summed = adapted(engine, [Worn("sum", merged(parts))])
    turned = adapted(engine, [Worn("turned", merged(parts[::-1]))])
    return least_cosine(stacked, summed), least_cosine(turned, summed)


def adapted(engine: Engine, stack: Sequence[Worn]) -> Float32:
    """The log-probabilities after each token of the text but the last, with ``stack`` worn."""
    tokens = text_tokens(engine)
    engine.wear(stack)
    rows = engine.log_probs(tokens[:1], tokens[1:])
    engine.wear([])
    return rows


def bridge(engine: Engine, seed: int) -> dict[str, float]:
    from edgeperso.adaptation.training import logits

    tokens = text_tokens(engine)
    lora = random_lora(engine, seed, EVERY_MATRIX, 0.1)
    bare = adapted(engine, [])
    engine.wear([Worn("bridge", lora)])
    generation = engine.generate(tokens, max_tokens=WRITTEN_TOKENS)
    for _ in generation:
        pass
    whole = [*tokens, *generation.tokens]
    ours = engine.log_probs(whole[:1], whole[1:])
    engine.wear([])
    theirs = logits(engine.info.path, lora, whole)[: len(ours)]
    written = theirs.argmax(axis=1)[len(tokens) - 1 :]
    same = np.cumprod(written == generation.tokens).sum()
    return {
        "bridge_cosine": least_cosine(ours, theirs),
        "bridge_same_tokens": float(same),
        "bridge_written_tokens": float(len(generation.tokens)),
        "effect_cosine": least_cosine(ours[: len(bare)], bare),
    }


def least_cosine(one: Float32, other: Float32) -> float:
    a, b = (rows.astype(np.float64) - rows.mean(axis=1, keepdims=True, dtype=np.float64) for rows in (one, other))
    return float(((a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))).min())


def text_tokens(engine: Engine) -> list[int]:
    return (engine.bos + engine.tokenize(SAMPLE_TEXT))[:TEXT_TOKENS]


if __name__ == "__main__":
    main()
