"""The command: see `scripts.starter`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

from edgeperso.catalogue import Catalogue
from edgeperso.engine import Engine
from edgeperso.engine.adapters.file import adapter_from_bytes
from edgeperso.engine.adapters.values import Lora
from edgeperso.settings import default_models_dir
from scripts.starter.measure import DEVELOPMENT, Life, figures, measure
from scripts.starter.recipe import MAX_BYTES, PLAN, SEED, packed, train_starter
from scripts.starter.unseen import unseen


def main() -> int:
    options = _parser().parse_args()
    return int(options.run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.starter", description=__doc__)
    commands = parser.add_subparsers(required=True)
    generate = commands.add_parser("generate", help="write conversations as JSONL, to be read by people")
    generate.add_argument("--conversations", type=int, default=100)
    generate.add_argument("--seed", type=int, default=SEED)
    generate.set_defaults(run=_generate)
    training = commands.add_parser("train", help="train the adapter")
    training.add_argument("--out", type=Path, required=True, help="the adapter's file")
    training.add_argument("--conversations", type=int, default=8_000)
    training.add_argument("--minutes", type=float, default=25.0)
    training.add_argument("--rate", type=float, default=PLAN.rate)
    training.add_argument("--threads", type=int, help="of torch; all cores without it")
    training.set_defaults(run=_train)
    measuring = commands.add_parser("measure", help="ask about the development lives, or about another life")
    measuring.add_argument("--adapter", type=Path, help="its file; without one the model answers as it is")
    measuring.add_argument("--data", type=Path, nargs="*", help="files of another life")
    measuring.add_argument("--questions", type=Path, help="the questions about it")
    measuring.set_defaults(run=_measure)
    return parser


def _generate(options: argparse.Namespace) -> int:
    for conversation in unseen(options.conversations, options.seed):
        sys.stdout.write(json.dumps(asdict(conversation), default=str, ensure_ascii=False) + "\n")
    return 0


def _train(options: argparse.Namespace) -> int:
    with _open() as engine:
        trained = train_starter(
            engine,
            count=options.conversations,
            minutes=options.minutes,
            plan=replace(PLAN, rate=options.rate, threads=options.threads),
            progress=lambda stage, done, total: print(f"\r{stage} {done}/{total}", end="", file=sys.stderr),  # noqa: T201
        )
    assert isinstance(trained.adapter, Lora)
    data = packed(trained.adapter)
    if len(data) > MAX_BYTES:
        sys.exit(f"The adapter has {len(data)} bytes; {MAX_BYTES} is the most.")
    options.out.write_bytes(data)
    last = trained.losses[-50:]
    numbers = {
        "steps": trained.steps,
        "tokens": trained.tokens,
        "tokens_per_s": round(trained.tokens_per_s, 1),
        "first_loss": round(trained.losses[0], 3),
        "last_loss": round(sum(last) / len(last), 3),
        "bytes": len(data),
        "stopped": trained.stopped,
    }
    sys.stdout.write(json.dumps(numbers) + "\n")
    return 0


def _measure(options: argparse.Namespace) -> int:
    adapter = None if options.adapter is None else adapter_from_bytes(options.adapter.read_bytes())
    lives = (Life("given", tuple(options.data), options.questions),) if options.data else DEVELOPMENT
    with _open() as engine:
        for life in lives:
            answers = measure(life, engine, _catalogue(), adapter)
            for answer in answers:
                mark = "right" if answer.right else "superseded" if answer.superseded else "wrong"
                sys.stdout.write(f"{mark:11}{answer.question.question}  {answer.answer}\n")
            sys.stdout.write(json.dumps({"life": life.name, **figures(answers)}) + "\n")
    return 0


def _catalogue() -> Catalogue:
    return Catalogue(default_models_dir())


def _open() -> Engine:
    return Engine.open(_catalogue().locate("smollm2-135m"))


if __name__ == "__main__":
    sys.exit(main())
