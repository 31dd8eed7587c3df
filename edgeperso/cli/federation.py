"""``edgeperso fl …``: federations, simulated ones and their results."""

from __future__ import annotations

import math
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from edgeperso.cli.experiments import OutOption, SeedOption, show
from edgeperso.cli.frame import Run, family, verb
from edgeperso.cli.options import ModelOption

if TYPE_CHECKING:
    from edgeperso_federated.simulation.settings import Settings

__all__ = ["app"]

Word = TypeVar("Word", bound=StrEnum)

app = family("Federations: adapters that many people improve, while their texts stay at home.")

DataOption = Annotated[
    Path, typer.Option("--data", show_default=False, metavar="DIR", help="A folder with LaMP's questions.")
]
FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a run.")]


@verb(app, "simulate", place=False, unlocks=False)
def simulate(
    run: Run,
    data: DataOption,
    clients: Annotated[int, typer.Option("--clients", min=1, help="People who may be asked.")] = 200,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Rounds of each run.")] = 20,
    cohort: Annotated[int, typer.Option("--cohort", min=1, help="Answers that a round is planned for.")] = 20,
    held_out: Annotated[int, typer.Option("--held-out", min=1, help="People who take part in nothing, at most.")] = 40,
    method: Annotated[str, typer.Option("--method", metavar="WORD", help="ffa, rolora, flora or fedavg.")] = "ffa",
    rank: Annotated[int, typer.Option("--rank", min=1, help="Of the shared LoRA.")] = 8,
    device_rank: Annotated[
        list[int] | None,
        typer.Option("--device-rank", min=1, show_default=False, help="Ranks of devices, dealt in turn."),
    ] = None,
    rate: Annotated[float, typer.Option("--rate", help="A client's learning rate.")] = 2e-3,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Of a client's training in a round.")] = 1,
    epsilon: Annotated[float, typer.Option("--epsilon", help="Of the second run, which is private.")] = 8.0,
    plain: Annotated[bool, typer.Option("--plain", help="No private run.")] = False,
    delta: Annotated[
        float | None, typer.Option("--delta", show_default=False, help="Of the private run; 0.1 / clients.")
    ] = None,
    clip: Annotated[float, typer.Option("--clip", help="The longest update in the private run.")] = 0.5,
    sampling: Annotated[
        str, typer.Option("--sampling", metavar="WORD", help="poisson or fixed, in the private run.")
    ] = "poisson",
    secure: Annotated[bool, typer.Option("--secure", help="Updates are summed in secret.")] = False,
    group: Annotated[int, typer.Option("--group", min=0, help="Clients of a secret sum at least; 0: one sum.")] = 0,
    robust: Annotated[
        str, typer.Option("--robust", metavar="WORD", help="none, norm, cosine, median, trimmed or krum.")
    ] = "none",
    dropout: Annotated[float, typer.Option("--dropout", help="Share of answers that are absent.")] = 0.0,
    dropout_model: Annotated[
        str, typer.Option("--dropout-model", metavar="WORD", help="chance, unreliable or bursts.")
    ] = "chance",
    hostile: Annotated[float, typer.Option("--hostile", help="Share of clients that are.")] = 0.0,
    attack: Annotated[
        str, typer.Option("--attack", metavar="WORD", help="nan, shapes, norm, garbage, silent or opposite.")
    ] = "nan",
    partition: Annotated[str, typer.Option("--partition", metavar="WORD", help="user or dirichlet.")] = "user",
    alpha: Annotated[float, typer.Option("--alpha", help="Of the Dirichlet partition.")] = 0.5,
    skew: Annotated[float, typer.Option("--skew", min=0, help="How unlike the clients' sizes are.")] = 0.0,
    canaries: Annotated[
        int,
        typer.Option("--canaries", min=0, help="Clients with a secret code: what do adapters give away?"),
    ] = 0,
    evaluate_every: Annotated[
        int, typer.Option("--evaluate-every", min=1, help="Rounds between two readings of what is held out.")
    ] = 5,
    engine: Annotated[
        str, typer.Option("--engine", metavar="WORD", help="inline, or flower: on Flower's engine; needs --out.")
    ] = "inline",
    model: ModelOption = None,
    seed: SeedOption = 0,
    out: OutOption = None,
) -> None:
    """A federation of virtual clients on this machine: is the shared adapter better for others than the base model, or
    than the one they train alone? Once without and once with differential privacy."""
    from edgeperso.assistant import DEFAULT_MODEL
    from edgeperso.errors import UsageError
    from edgeperso_federated.deploy.simulate import simulate_on_flower
    from edgeperso_federated.factors import Method
    from edgeperso_federated.orders import Robust
    from edgeperso_federated.privacy.plans import Sampling
    from edgeperso_federated.simulation.dropout import DropoutModel
    from edgeperso_federated.simulation.hostile import Attack
    from edgeperso_federated.simulation.settings import Partition, Settings

    settings = Settings(
        data=data,
        clients=clients,
        rounds=rounds,
        cohort=cohort,
        held_out=held_out,
        method=_word(Method, "--method", method),
        rank=rank,
        ranks=tuple(device_rank or ()),
        rate=rate,
        epochs=epochs,
        epsilon=None if plain else epsilon,
        delta=delta,
        clip=clip,
        sampling=_word(Sampling, "--sampling", sampling),
        secure=secure,
        group=group,
        robust=_word(Robust, "--robust", robust),
        dropout=dropout,
        dropout_model=_word(DropoutModel, "--dropout-model", dropout_model),
        hostile=hostile,
        attack=_word(Attack, "--attack", attack),
        partition=_word(Partition, "--partition", partition),
        dirichlet_alpha=alpha,
        skew=skew,
        canaries=canaries,
        evaluate_every=evaluate_every,
        seed=seed,
    )
    if engine not in ("inline", "flower"):
        raise UsageError("--engine is inline or flower.")
    path = run.catalogue.locate(model or DEFAULT_MODEL)
    if engine == "inline":
        _inline(run, settings, path, out)
    elif out is None:
        raise UsageError("--engine flower needs a folder that all of its processes see.", hint="Give one with --out.")
    else:
        run.out.note(f"Flower's engine is at work; `edgeperso fl status {out}` tells how far it is.")
        show(run, simulate_on_flower(settings, path, out), None)
        run.out.note(str(out / "federation.html"))


def _inline(run: Run, settings: Settings, model: Path, out: Path | None) -> None:
    from edgeperso_federated.simulation.experiment import simulate as simulated
    from edgeperso_federated.simulation.page import result_of, write_page

    with run.progress as progress:
        measured = simulated(settings, model, folder=out, progress=progress)
    result = result_of(settings, measured)
    show(run, result, None)
    if out is not None:
        run.out.note(str(write_page(out, result)))


@verb(app, "status", place=False, unlocks=False)
def status(run: Run, folder: FolderArgument) -> None:
    """How far the runs in a folder are."""
    from edgeperso.errors import SourceNotFound
    from edgeperso_federated.simulation.metrics import HELD_OUT, read_metrics

    found = {path.stem: read_metrics(path) for path in sorted(folder.glob("*.jsonl"))}
    if not found:
        raise SourceNotFound(
            f"There is no run in {folder.name}.", hint="Give the folder that a run keeps its state in."
        )
    told = {}
    for name, lines in found.items():
        last = next((line[HELD_OUT] for line in reversed(lines) if HELD_OUT in line), None)
        outcomes = [line["outcome"] for line in lines]
        told[name] = {
            "rounds": len(lines),
            **{outcome: outcomes.count(outcome) for outcome in ("published", "kept", "failed")},
            "left_out": sum(sum(line["dropped"].values()) for line in lines),
            HELD_OUT: last,
        }
    run.out.result({"runs": told})
    head = ("run", "rounds", "published", "kept", "failed", "left out", "held-out loss")
    rows = [(name, *("–" if one is None else f"{one:g}" for one in row.values())) for name, row in told.items()]
    run.out.rows([head, *rows])


@verb(app, "ledger")
def ledger(run: Run) -> None:
    """What this device's rounds have cost in privacy, and what is allowed."""
    from edgeperso_federated.broker.device import ledger_of

    with run.vault() as vault:
        book = ledger_of(vault)
        bill, entries = book.bill(), book.entries()
    spent = {"epsilon": bill.epsilon, "central": bill.central, "local": bill.local}
    known = {name: value if math.isfinite(value) else None for name, value in spent.items()}
    allowed = {"allowed": bill.budget.epsilon if math.isfinite(bill.budget.epsilon) else None}
    run.out.result(
        known | allowed | {"delta": bill.budget.delta, "rounds": bill.rounds, "unprotected": bill.unprotected}
        | {"entries": [asdict(entry) for entry in entries]}
    )  # fmt: skip
    run.out.rows(
        [
            ("", "ε"),
            *((name, f"{value:.3f}") for name, value in spent.items()),
            ("allowed", f"{bill.budget.epsilon:.3f}"),
        ]
    )
    run.out.note(f"{bill.rounds} rounds, {bill.unprotected} of them without noise; δ = {bill.budget.delta:g}.")


@verb(app, "export", place=False, unlocks=False)
def export(
    run: Run,
    folder: FolderArgument,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The GGUF file to be made.")],
    private: Annotated[bool, typer.Option("--private", help="Of the private run.")] = False,
) -> None:
    """The shared adapter of a run as a GGUF file that llama.cpp reads."""
    from edgeperso.adaptation.bridge.exchange import export_adapter
    from edgeperso.engine.adapters.file import adapter_from_bytes
    from edgeperso.errors import SourceNotFound

    names = ("private.gguf",) if private else ("plain.gguf", "adapter.gguf")
    source = next((folder / name for name in names if (folder / name).exists()), None)
    if source is None:
        raise SourceNotFound(f"{folder.name} holds no adapter of that kind.", hint="See `edgeperso fl status`.")
    export_adapter(adapter_from_bytes(source.read_bytes()), path)
    run.out.result({"adapter": str(path)})
    run.out.answer(str(path))


def _word(kind: type[Word], option: str, given: str) -> Word:
    from edgeperso.errors import UsageError

    try:
        return kind(given)
    except ValueError:
        raise UsageError(f"{option} is one of " + ", ".join(word.value for word in kind) + ".") from None
