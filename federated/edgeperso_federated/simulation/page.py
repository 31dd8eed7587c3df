"""What a simulation found, as the package's own kind of result: figures, one table, plots; and as one page."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgeperso.evals.measurement import measurement
from edgeperso.evals.metrics.intervals import Resampling, bootstrap, bootstrap_mean, compare_means
from edgeperso.evals.report import (
    Cell,
    Column,
    Headline,
    Histogram,
    Lines,
    LinesPoint,
    Plot,
    Reference,
    Result,
    Row,
    Scatter,
    ScatterPoint,
    Series,
    Table,
    save,
    write_report,
)
from edgeperso_federated.privacy.plans import small_cohort
from edgeperso_federated.simulation.audit import CHANCE_BITS, REFERENCES, Leak, membership_auc
from edgeperso_federated.simulation.experiment import PLAIN, Measured, Trial
from edgeperso_federated.simulation.settings import Settings

__all__ = ["result_of", "write_page"]

_BINS: Final = 12
_LABELS: Final = {"base": "base model", "local": "own adapter alone", PLAIN: "shared", "private": "shared, private"}


def result_of(settings: Settings, measured: Measured) -> Result:
    """The result. Figures without a prefix are of the run without privacy, but ``epsilon``, which is of the private one
    (left out without one), and ``private_…``; gains are positive where the shared adapter is better:

    * ``heldout_loss``: nats a token, the mean over people who took part in nothing, on their newest texts.
    * ``heldout_gain_vs_base``: how much lower that is than the base model's.
    * ``heldout_gain_vs_local``: the median, over the same people, of how much lower the shared adapter's loss is than
      that of the adapter that each trained by themselves.
    * ``bytes_per_client_round``: received from a client that is in a sum.
    * ``membership_auc``, ``canary_exposure``: of the attacks of `edgeperso_federated.simulation.audit`, where canaries
      were planted; ``control_…`` of the adapters that the canaries' holders train alone.
    """
    figures: dict[str, float] = {"base_loss": float(measured.base.mean()), "local_loss": float(measured.local.mean())}
    for trial in measured.trials:
        prefix = "" if trial.name == PLAIN else f"{trial.name}_"
        figures |= {
            f"{prefix}heldout_loss": float(trial.losses.mean()),
            f"{prefix}heldout_gain_vs_base": float((measured.base - trial.losses).mean()),
            f"{prefix}heldout_gain_vs_local": float(np.median(measured.local - trial.losses)),
            f"{prefix}bytes_per_client_round": trial.bytes_per_client_round,
            f"{prefix}rounds_published": trial.published,
            f"{prefix}seconds": trial.seconds,
        }
        if trial.privacy is not None:
            figures |= {"epsilon": trial.views.published, "epsilon_device": trial.views.device}
            figures |= {"delta": trial.views.delta, "noise_multiplier": trial.privacy.noise_multiplier}
    for prefix, leak in _leaks(measured):
        name = "" if prefix == PLAIN else f"{prefix}_"
        figures |= {f"{name}membership_auc": leak.auc, f"{name}canary_exposure": float(leak.exposures.mean())}
    return Result.of(
        measurement(
            "federation",
            {name: value for name, value in figures.items() if math.isfinite(value)},
            n=len(measured.base),
            seed=settings.seed,
            models={"engine": measured.model},
        ),
        title="A simulated federation",
        question="Is an adapter that many people trained together better for others than the model, or their own?",
        date=datetime.datetime.now(tz=datetime.UTC).date(),
        tables=(_table(settings, measured), _runs(measured), *_given_away(settings, measured)),
        plots=tuple(_plots(settings, measured)),
        headline=Headline("loss", _LABELS[PLAIN]),
        notes=tuple(_notes(settings, measured)),
    )


def write_page(folder: Path, result: Result) -> Path:
    """The result as ``folder/results/federation.json``, and one page that needs nothing else.

    Raises:
        OSError: they can't be written.
    """
    save(folder, result)
    return write_report(folder, folder / "federation.html")


def _table(settings: Settings, measured: Measured) -> Table:
    resampling = Resampling(seed=settings.seed)
    people = range(len(measured.base))

    def row(name: str, losses: NDArray[np.float64], epsilon: float | None) -> Row:
        mean = bootstrap_mean(losses, people, resampling)
        cells = {"loss": Cell(mean.value, _known(mean.low), _known(mean.high)), "epsilon": Cell(_known(epsilon))}
        for column, other in (("vs_base", measured.base), ("vs_local", measured.local)):
            if losses is not other and len(losses) > 1:
                gain = compare_means(other, losses, people, resampling)
                low, high = _known(gain.difference.low), _known(gain.difference.high)
                cells[column] = Cell(gain.difference.value, low, high, gain.p)
        return Row(_LABELS[name], cells, n=len(losses), baseline=name == "base")

    rows = [row("base", measured.base, None), row("local", measured.local, None)]
    costs = [trial.views.published if trial.privacy else None for trial in measured.trials]
    rows += [row(trial.name, trial.losses, cost) for trial, cost in zip(measured.trials, costs, strict=True)]
    columns = (
        Column("loss", "nats a token", "lower"),
        Column("vs_base", "gain over the base", "higher"),
        Column("vs_local", "gain over the own", "higher"),
        Column("epsilon", "ε, published", ""),
    )
    note = "Means over people who took part in nothing, on their newest texts. ε only where something was promised."
    return Table("People who took part in nothing", "adapter", columns, tuple(rows), note=note)


def _runs(measured: Measured) -> Table:
    columns = (
        Column("published", "rounds published"),
        Column("summed", "clients a round"),
        Column("dropped", "left out a round"),
        Column("bytes", "bytes a client and round"),
        Column("device", "ε of the device asked most often"),
    )

    def row(trial: Trial) -> Row:
        rounds = max(len(trial.records), 1)
        values = {
            "published": trial.published,
            "summed": sum(record.summed for record in trial.records) / rounds,
            "dropped": sum(sum(record.dropped.values()) for record in trial.records) / rounds,
            "bytes": trial.bytes_per_client_round,
            "device": _known(trial.views.device),
        }
        return Row(_LABELS[trial.name], {name: Cell(value) for name, value in values.items()}, n=len(trial.records))

    return Table("Runs", "run", columns, tuple(map(row, measured.trials)), ranked=False)


def _leaks(measured: Measured) -> Iterator[tuple[str, Leak]]:
    if measured.control is not None:
        yield "control", measured.control
    for trial in measured.trials:
        if trial.leak is not None:
            yield trial.name, trial.leak


def _given_away(settings: Settings, measured: Measured) -> Iterator[Table]:
    resampling = Resampling(seed=settings.seed)

    def row(name: str, leak: Leak) -> Row:
        gains, first = np.concatenate([leak.members, leak.others]), len(leak.members)

        def auc(places: NDArray[np.int64]) -> float:
            members, others = gains[places[places < first]], gains[places[places >= first]]
            return membership_auc(members, others) if len(members) and len(others) else 0.5

        found = bootstrap(auc, range(len(gains)), resampling)
        bits = bootstrap_mean(leak.exposures, range(len(leak.exposures)), resampling)
        cells = {
            "auc": Cell(found.value, _known(found.low), _known(found.high)),
            "exposure": Cell(bits.value, _known(bits.low), _known(bits.high)),
            "most": Cell(float(leak.exposures.max())),
        }
        label = "own adapter alone (control)" if name == "control" else _LABELS[name]
        return Row(label, cells, n=len(leak.exposures), baseline=name == "control")

    rows = tuple(row(name, leak) for name, leak in _leaks(measured))
    if rows:
        columns = (
            Column("auc", "membership, AUC", "lower"),
            Column("exposure", "exposure of a canary, bits", "lower"),
            Column("most", "of the worst canary", "lower"),
        )
        note = (
            f"Chance: AUC 0.5, {CHANCE_BITS:.2f} bits; at most {np.log2(1 + REFERENCES):.0f} bits. The control shows "
            "that the attacks find something where there is something. That they find nothing proves little: better "
            "attacks exist; what holds against all of them is ε."
        )
        yield Table("What the adapters give away", "adapter", columns, rows, note=note, ranked=False)


def _plots(settings: Settings, measured: Measured) -> Iterator[Plot]:
    base = float(measured.base.mean())
    curves = [(trial, {0: base, **trial.curve}) for trial in measured.trials]
    series = [
        Series(_LABELS[trial.name], tuple(LinesPoint(turn, loss) for turn, loss in sorted(curve.items())))
        for trial, curve in curves
    ]
    alone = float(measured.local.mean())
    flat = tuple(LinesPoint(turn, alone) for turn in (0, settings.rounds))
    series.append(Series(_LABELS["local"], flat, baseline=True))
    yield Lines(title="Loss against rounds", x="round", y="nats a token", series=tuple(series), better="lower")
    private = next((trial for trial in measured.trials if trial.privacy), None)
    if private is not None and private.costs:
        points = tuple(LinesPoint(private.costs[turn], loss) for turn, loss in sorted(private.curve.items()))
        yield Lines(
            title="Loss against ε",
            x="ε of what was published by then",
            y="nats a token",
            series=(Series(_LABELS[private.name], points),),
            better="lower",
            note=f"δ = {private.views.delta:g}.",
        )
    for trial in measured.trials:
        counts, edges = np.histogram(measured.base - trial.losses, _BINS)
        if np.all(np.diff(edges) > 0):
            yield Histogram(
                title=f"Gain over the base, {_LABELS[trial.name]}",
                x="nats a token",
                y="people",
                edges=tuple(edges.tolist()),
                counts=tuple(counts.tolist()),
                references=(Reference(0.0, "base"),),
            )
    yield Scatter(
        title="Each person: own adapter and shared",
        x="own adapter alone, nats a token",
        y="shared, nats a token",
        points=tuple(
            ScatterPoint(own, shared)
            for own, shared in zip(measured.local.tolist(), measured.trials[0].losses.tolist(), strict=True)
        ),
        diagonal=True,
    )
    received = tuple(
        Series(
            _LABELS[trial.name],
            tuple(LinesPoint(record.round, record.bytes / 1e6) for record in trial.records),
        )
        for trial in measured.trials
    )
    yield Lines(title="Bytes received", x="round", y="MB", series=received)


def _notes(settings: Settings, measured: Measured) -> Iterator[str]:
    sizes = measured.clients
    yield (
        f"{len(sizes)} clients with {min(sizes)} to {max(sizes)} texts each, about {settings.asked} asked a round, "
        f"{settings.rounds} rounds, a LoRA of rank {settings.rank} on {', '.join(settings.targets)}, "
        f"{measured.values:,} values an update, averaged by {settings.method}."
    )
    for trial in measured.trials:
        if trial.privacy is not None:
            yield (
                f"The private run clips to {trial.privacy.clip:g}, its noise multiplier is "
                f"{trial.privacy.noise_multiplier:.3f}, its sampling {trial.privacy.sampling}; δ = "
                f"{trial.views.delta:g}. Its check on general texts is of no person's data."
            )
            if warning := small_cohort(trial.privacy, measured.values):
                yield warning
    if settings.hostile:
        yield f"{settings.hostile:.0%} of clients are hostile: {settings.attack}. Robust rule: {settings.robust}."
    if settings.dropout:
        yield f"{settings.dropout:.0%} of answers are absent: {settings.dropout_model}."
    if settings.secure:
        yield "Updates are summed in secret."


def _known(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else number
