"""What training an adapter on the model file costs, against PEFT on the same file's weights in float32.

Both sides train a LoRA of rank 8 on q, k, v and o of every layer, from the same first weights, on the same invented
notes in the same steps, each in a process of its own that sees nothing of the other. Theirs is what their
documentation does: transformers loads the GGUF file (``gguf_file=``), PEFT wraps it, torch's AdamW steps, batches are
padded. They run in pairs, one after the other; figures are medians.

- ``rss_vs_peft``: peak resident memory of our process over theirs, from start to end, the mapped file included.
- ``tokens_per_s_vs_peft``: tokens of texts (not padding) learnt a second, ours over theirs; loading is left out.
- ``loss_gap``: by what share the held-out losses after training differ, each side's in its own numbers.
- ``held_out_before``, ``held_out``, ``peft_held_out``: nats per counted token.
- ``peft_padding``: the share of their batches that is padding.

``--without-peft`` measures our side alone, for models whose float32 copy doesn't fit.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks._model import models_dir
from benchmarks._report import arguments, report
from edgeperso.adaptation.plan import Example, LoraShape, Plan
from edgeperso.adaptation.training import losses, train
from edgeperso.adaptation.training.optimizer import rate_at
from edgeperso.adaptation.training.packing import schedule
from edgeperso.catalogue import Catalogue
from edgeperso.engine.machine import physical_cores

TOKENS_A_STEP = 512
PEOPLE = ("Marit", "Jonas", "Priya", "Tomasz", "Aiko", "Leila", "Sven", "Nadia")
PLACES = ("the harbour", "the old library", "Grandma's garden", "the office", "the swimming hall", "the night train")
THINGS = ("a cello", "two jars of plum jam", "the broken kayak", "a red notebook", "seed potatoes", "my climbing shoes")
MOODS = ("tired but glad", "a bit cross", "very calm", "curious", "late as ever", "hungry as a wolf")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--model", default="smollm2-135m", help="a name of the catalogue, or a GGUF file")
    parser.add_argument("--models-dir", type=Path, default=models_dir())
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=physical_cores())
    parser.add_argument("--without-peft", action="store_true", help="measure our side alone")
    parser.add_argument("--worker", choices=("ours", "peft"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        task = json.load(sys.stdin)
        print(json.dumps({"ours": run_ours, "peft": run_peft}[options.worker](task)))
        return
    path = Catalogue(options.models_dir).locate(options.model)
    task = {"model": str(path), "threads": options.threads, "seed": options.seed}
    task |= dict(zip(("train", "held_out"), texts(path, options.steps, options.seed), strict=True))
    sides = ("ours",) if options.without_peft else ("ours", "peft")
    runs = [{side: _process(side, task) for side in sides} for _ in range(options.pairs)]
    report(
        "train", figures(runs), n=options.pairs, seed=options.seed, models={path.name: path.name}, as_json=options.json
    )


def figures(runs: Sequence[dict[str, dict[str, float]]]) -> dict[str, float]:
    found = {f"{name}": median(run["ours"][name] for run in runs) for name in runs[0]["ours"]}
    if "peft" not in runs[0]:
        return found
    theirs = {f"peft_{name}": median(run["peft"][name] for run in runs) for name in runs[0]["peft"]}
    return {
        "rss_vs_peft": median(run["ours"]["rss_gb"] / run["peft"]["rss_gb"] for run in runs),
        "tokens_per_s_vs_peft": median(run["ours"]["tokens_per_s"] / run["peft"]["tokens_per_s"] for run in runs),
        "loss_gap": median(abs(run["ours"]["held_out"] / run["peft"]["held_out"] - 1) for run in runs),
        **found,
        **theirs,
    }


def texts(path: Path, steps: int, seed: int) -> tuple[list[tuple[list[int], int]], list[tuple[list[int], int]]]:
    """Tokens and where learning starts, of notes that fill about ``steps`` steps, and of 24 others."""
    from edgeperso.engine import Engine

    chance = random.Random(seed)
    with Engine.open(path, n_ctx=64) as engine:

        def example() -> tuple[list[int], int]:
            question, answer = note(chance)
            prompt = engine.bos + engine.tokenize(question)
            return prompt + engine.tokenize(answer), len(prompt)

        held_out = [example() for _ in range(24)]
        training: list[tuple[list[int], int]] = []
        while sum(len(tokens) for tokens, _ in training) < steps * (TOKENS_A_STEP - 40):
            training.append(example())
    return training, held_out


def note(chance: random.Random) -> tuple[str, str]:
    """A question about an invented person's day, and how they'd write about it."""
    who, other = chance.sample(PEOPLE, 2)
    place, thing, mood, day = (chance.choice(each) for each in (PLACES, THINGS, MOODS, DAYS))
    question = f"Question: What did you do on {day} with {who}, and what did {other} bring?\nAnswer:"
    answer = (
        f" Well then! On {day} {who} and I walked to {place}, {mood}, as one is. {other} came later with {thing}, "
        f"and of course nobody had asked for {thing}. We stayed until the lamps were lit. {who} says we should do it "
        f"again next {day}; I say only if {other} leaves {thing} at home. So it goes, and I was {mood} all evening."
    )
    return question, answer


def run_ours(task: dict[str, Any]) -> dict[str, float]:
    path = Path(task["model"])
    training, held_out = _examples(task)
    before = _mean(losses(path, None, held_out), held_out)
    found = train(path, "0" * 64, training, plan(task))
    after = _mean(losses(path, found.adapter, held_out), held_out)
    return {
        "rss_gb": peak_rss_gb(),
        "tokens_per_s": found.tokens_per_s,
        "steps": found.steps,
        "tokens": found.tokens,
        "held_out_before": before,
        "held_out": after,
    }


def run_peft(task: dict[str, Any]) -> dict[str, float]:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    path, chosen = Path(task["model"]), plan(task)
    training, held_out = _examples(task)
    torch.set_num_threads(task["threads"])
    base = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    config = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])
    model = get_peft_model(base, config)
    same_start(model, chosen.seed)
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad])
    lengths = [len(one.tokens) for one in training]
    steps = schedule(lengths, batch_tokens=chosen.batch_tokens, epochs=chosen.epochs, seed=chosen.seed)
    model.train()
    padded = 0
    start = perf_counter()
    for at, numbers in enumerate(steps):
        batch = _batch([training[number] for number in numbers])
        padded += batch["input_ids"].numel()
        optimizer.param_groups[0]["lr"] = rate_at(chosen.rate, (at + 0.5) / len(steps), warmup=chosen.warmup)
        model(**batch, use_cache=False).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    seconds = perf_counter() - start
    model.eval()
    with torch.no_grad():
        each = [float(model(**_batch([one]), use_cache=False).loss) for one in held_out]
    return {
        "rss_gb": peak_rss_gb(),
        "tokens_per_s": sum(lengths) / seconds,
        "held_out": _mean(np.array(each), held_out),
        "padding": 1 - sum(lengths) / padded,
    }


def same_start(model: Any, seed: int) -> None:
    """The first weights that `edgeperso.adaptation.training` draws, in PEFT's places; ``b`` is 0 on both sides."""
    import torch

    chance = np.random.default_rng(seed)
    for layer in model.get_base_model().model.layers:
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            a = getattr(layer.self_attn, name).lora_A["default"].weight
            bound = a.shape[1] ** -0.5
            drawn = chance.uniform(-bound, bound, a.numel()).astype(np.float32)
            with torch.no_grad():
                a.copy_(torch.from_numpy(drawn).view_as(a))


def plan(task: dict[str, Any]) -> Plan:
    return Plan(
        shape=LoraShape(rank=8, alpha=16.0),
        rate=1e-3,
        epochs=1,
        batch_tokens=TOKENS_A_STEP,
        threads=task["threads"],
        seed=task["seed"],
    )


def peak_rss_gb() -> float:
    """Of this process since it started: ``ru_maxrss`` would begin with its parent's."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 / 1e9 for line in lines if line.startswith("VmHWM:"))


def _batch(examples: Sequence[Example]) -> dict[str, Any]:
    """Padded on the right, as a data collator does it."""
    import torch

    longest = max(len(one.tokens) for one in examples)
    ids, mask = torch.zeros(len(examples), longest, dtype=torch.long), torch.zeros(len(examples), longest).long()
    labels = torch.full((len(examples), longest), -100)
    for row, one in enumerate(examples):
        tokens = torch.tensor(one.tokens)
        ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
        labels[row, one.learn_from : len(tokens)] = tokens[one.learn_from :]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def _mean(values: Any, examples: Sequence[Example]) -> float:
    """Over counted tokens."""
    return float(np.average(values, weights=[len(one.tokens) - one.learn_from for one in examples]))


def _examples(task: dict[str, Any]) -> tuple[list[Example], list[Example]]:
    training, held_out = ([Example(tuple(ids), at) for ids, at in task[name]] for name in ("train", "held_out"))
    return training, held_out


def _process(side: str, task: dict[str, Any]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.train", "--worker", side],
        input=json.dumps(task),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
