"""How fast answers are written, against plain llama-cpp-python, and what `model optimize` gains.

Both sides load the same file, read the same prompt with nothing cached, and write as many tokens, greedily, with the
same number of threads. They run in pairs, one after the other; a ratio is the median of the pairs' ratios, plain time
over ours.

- ``assistant_vs_plain``: a whole `Assistant.ask` over a vault of notes: finding them, building the prompt, reading it,
  writing the answer and storing the turn, against `llama_cpp.Llama.create_completion` with the very tokens of that
  prompt. 1 is as fast.
- ``engine_vs_plain``: the same with `Engine.generate` alone, on the same tokens.
- ``generate_tok_s``, ``plain_generate_tok_s``: tokens written a second over the whole call, ours through the assistant.
- ``prefill_gain``: how much faster the file that `optimize` chooses for this machine reads a prompt of 512 tokens than
  the file it was made from; ``decode_gain`` how much faster it writes. Measured anew, not taken from the choosing.
- ``prefill_tok_s``, ``decode_tok_s``: of the original file; ``optimized_…`` of the chosen one.
- ``second_turn_evaluated_share``: of a second turn's prompt, the share that was evaluated: the rest was in the cache.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from statistics import median
from time import perf_counter
from typing import Any

import llama_cpp

from benchmarks._model import models_dir
from benchmarks._report import arguments, report
from edgeperso.assistant import Assistant, Reply
from edgeperso.catalogue import Catalogue
from edgeperso.engine import Engine, optimize
from edgeperso.engine.machine import physical_cores
from edgeperso.engine.speed import measure_speeds
from edgeperso.engine.texts import SAMPLE_TEXT
from edgeperso.types import Kind, Record
from edgeperso.vault import Passphrase, Vault

PROMPT = f"{SAMPLE_TEXT}\n\n{SAMPLE_TEXT}\n\nQuestion: What does Marit do on Thursdays?\nAnswer: Marit"
N_CTX = 2048

QUESTION = "Tell me all that you know about my week, my teacher, and what I do on Thursdays."
"""A question whose answer isn't begun for the model, so that it writes freely."""

Run = Callable[[list[int]], int]
"""Reads the prompt and writes an answer; returns the number of tokens written."""


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--model", default="smollm2-135m", help="a name of the catalogue, or a GGUF file")
    parser.add_argument("--models-dir", type=Path, default=models_dir())
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=max(1, physical_cores() - 1))
    options = parser.parse_args()
    path = Catalogue(options.models_dir).locate(options.model)
    figures = against_plain(path, options.models_dir, options.pairs, options.max_tokens, options.threads)
    figures |= second_turn(path, options.threads)
    figures |= optimized(path)
    with Engine.open(path, n_ctx=64) as engine:
        models = {path.name: engine.info.sha256}
    report("generation", figures, n=options.pairs, seed=options.seed, models=models, as_json=options.json)


@contextmanager
def asking(engine: Engine, models_dir: Path, max_tokens: int) -> Iterator[tuple[Run, list[int]]]:
    """``Assistant.ask`` as a `Run` (it makes its prompt itself), and that prompt's tokens."""
    with tempfile.TemporaryDirectory() as folder:
        vault, _ = Vault.create(Path(folder) / "home", Passphrase(token_hex(16)))
        with Assistant(vault, Catalogue(models_dir), engine=engine) as me:
            for sentence in SAMPLE_TEXT.replace("\n", " ").split(". "):
                me.vault.memories.add([Record(text=sentence, kind=Kind.NOTE, source="sample.md")])

            def ask() -> Reply:
                engine.clear()
                reply = me.ask(QUESTION, max_tokens=max_tokens)
                for _ in reply:
                    pass
                return reply

            yield (lambda _: len(ask().answer_tokens)), ask().prompt.tokens


def writing(engine: Engine, max_tokens: int) -> Run:
    """``Engine.generate`` alone."""

    def run(tokens: list[int]) -> int:
        engine.clear()
        generation = engine.generate(tokens, max_tokens=max_tokens)
        for _ in generation:
            pass
        return generation.stats.generated_tokens

    return run


@contextmanager
def plain(path: Path, max_tokens: int, threads: int) -> Iterator[Run]:
    llama: Any = llama_cpp.Llama(str(path), n_ctx=N_CTX, n_threads=threads, n_threads_batch=threads, verbose=False)

    def run(tokens: list[int]) -> int:
        llama.reset()
        answer = llama.create_completion(tokens, max_tokens=max_tokens, temperature=0.0)
        return int(answer["usage"]["completion_tokens"])

    yield run
    llama.close()


def against_plain(path: Path, models_dir: Path, pairs: int, max_tokens: int, threads: int) -> dict[str, float]:
    with (
        Engine.open(path, n_ctx=N_CTX, n_threads=threads) as engine,
        asking(engine, models_dir, max_tokens) as (run_assistant, tokens),
        plain(path, max_tokens, threads) as run_plain,
    ):
        runs = {"assistant": run_assistant, "engine": writing(engine, max_tokens), "plain": run_plain}
        for run in runs.values():
            run(tokens)
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(pairs):
            for name, run in runs.items():
                times[name].append(seconds_a_token(run, tokens))
    return {
        **{
            f"{name}_vs_plain": median(theirs / ours for ours, theirs in zip(times[name], times["plain"], strict=True))
            for name in ("assistant", "engine")
        },
        "generate_tok_s": 1 / median(times["assistant"]),
        "plain_generate_tok_s": 1 / median(times["plain"]),
        "prompt_tokens": len(tokens),
    }


def seconds_a_token(run: Run, tokens: list[int]) -> float:
    start = perf_counter()
    written = run(tokens)
    return (perf_counter() - start) / written


def second_turn(path: Path, threads: int) -> dict[str, float]:
    with Engine.open(path, n_ctx=N_CTX, n_threads=threads) as engine:
        first = engine.generate(engine.bos + engine.tokenize(PROMPT), max_tokens=16)
        for _ in first:
            pass
        more = engine.tokenize("\n\nQuestion: And in spring?\nAnswer:")
        second = engine.generate(engine.bos + engine.tokenize(PROMPT) + first.tokens + more, max_tokens=1)
        for _ in second:
            pass
        return {"second_turn_evaluated_share": second.stats.evaluated_tokens / second.stats.prompt_tokens}


def optimized(path: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        chosen = optimize(path, folder).path
        with Engine.open(path, n_ctx=1024) as original, Engine.open(chosen, n_ctx=1024) as best:
            before, after = measure_speeds([original, best])
    return {
        "prefill_gain": after.prefill_tok_s / before.prefill_tok_s,
        "decode_gain": after.decode_tok_s / before.decode_tok_s,
        "prefill_tok_s": before.prefill_tok_s,
        "decode_tok_s": before.decode_tok_s,
        "optimized_prefill_tok_s": after.prefill_tok_s,
        "optimized_decode_tok_s": after.decode_tok_s,
    }


if __name__ == "__main__":
    main()
