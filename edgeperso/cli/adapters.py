"""``edgeperso adapter …``: what was learnt, what is worn, and how to take it off again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from edgeperso.cli.frame import Run, family, verb
from edgeperso.cli.options import ModelOption
from edgeperso.cli.typed import YES, confirm
from edgeperso.times import day_of
from edgeperso.types import AdapterForm, Granularity, Objective

if TYPE_CHECKING:
    from edgeperso.adaptation.gate import GateReport
    from edgeperso.vault.adapter_rows import StoredAdapter, WornRow

__all__ = ["AdapterArgument", "adapter_dict", "adapter_name", "app", "finite", "show_gate"]

app = family("Adapters: small additions to the model, trained on you; which there are, which are worn.")

AdapterArgument = Annotated[
    str, typer.Argument(metavar="ID", help="A number or name that `edgeperso adapter list` shows.")
]
_REASONS: Final = {
    "personal_not_better": "On your newest texts it is not better by more than chance.",
    "general_worse": "On general texts it may be worse than the bound allows.",
}
_WHOM = typer.Argument(metavar="global|persona|user", help="Whom it speaks for.")


@verb(app, "list")
def list_adapters(run: Run) -> None:
    """Show the adapters of this vault, and which of them the model wears."""
    with run.assistant() as me:
        stored, worn = me.adapters.list(), _by_adapter(me.adapters.worn())
    run.out.result({"adapters": [adapter_dict(one, worn.get(one.id)) for one in stored]})
    run.out.rows(_table(stored, worn))
    if not stored:
        run.out.note("There is none yet. `edgeperso train` makes one.")


@verb(app, "show")
def show_adapter(run: Run, which: AdapterArgument) -> None:
    """Show what an adapter was trained on and what the gate measured."""
    with run.assistant() as me:
        one = me.vault.adapters.named(which)
        worn, sources = _by_adapter(me.adapters.worn()), me.vault.adapters.sources(one.id)
    counts = {"memories": sources.memories, "turns": sources.turns, "pairs": sources.pairs}
    run.out.result(
        {
            **adapter_dict(one, worn.get(one.id)),
            "report": finite(one.report),
            "sources": {name: sorted(ids) for name, ids in counts.items()},
        }
    )
    run.out.rows(_about(one, worn.get(one.id)))
    learnt = ", ".join(f"{len(ids):,} {name}" for name, ids in counts.items() if ids)
    run.out.rows([("learnt from", learnt or "nothing in this vault")])
    run.out.heading("Report")
    run.out.rows(_flat(one.report))


@verb(app, "use")
def use_adapter(
    run: Run,
    which: AdapterArgument,
    scale: Annotated[
        float | None,
        typer.Option(
            "--scale", min=0.0, max=4.0, show_default=False, help="How strongly; without it, by what it learnt from."
        ),
    ] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Even where the gate refused it.")] = False,
) -> None:
    """Let the model wear this adapter, in place of the one of the same kind."""
    with run.assistant() as me:
        one = me.vault.adapters.named(which)
        row = me.adapters.use(one.id, scale=scale, anyway=anyway)
    run.out.result({"worn": worn_dict(row)})
    run.out.answer(f"{adapter_name(one)} is worn from now on, at {row.scale:.2f}.")


@verb(app, "off")
def take_off(run: Run, granularity: Annotated[Granularity, _WHOM]) -> None:
    """Take off what is worn; it is kept."""
    with run.assistant() as me:
        me.adapters.off(granularity)
    run.out.result({"off": granularity.value})
    run.out.answer(f"No {granularity.value} adapter is worn any more.")


@verb(app, "rollback")
def roll_back(run: Run, granularity: Annotated[Granularity, _WHOM] = Granularity.USER) -> None:
    """Wear again what was worn before."""
    with run.assistant() as me:
        row = me.adapters.rollback(granularity)
        one = None if row is None else me.adapters.show(row.adapter_id)
    run.out.result({"worn": None if row is None else worn_dict(row)})
    if one is None:
        run.out.answer(f"No {granularity.value} adapter is worn any more: there was none before.")
    else:
        run.out.answer(f"{adapter_name(one)} is worn again.")


@verb(app, "export")
def export_adapter(
    run: Run,
    which: AdapterArgument,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A file that doesn't exist yet; a folder with --peft.")],
    peft: Annotated[bool, typer.Option("--peft", help="In PEFT's form instead of GGUF's.")] = False,
) -> None:
    """Write an adapter into a new file, unencrypted, for llama.cpp (GGUF) or PEFT."""
    run.out.note(
        "An exported adapter is not encrypted. It was trained on what you wrote, and who has it can find out parts of "
        "that: give it only to people whom you would give the texts.",
        "yellow",
    )
    with run.assistant() as me:
        one = me.vault.adapters.named(which)
        me.adapters.export(one.id, path, peft=peft)
    run.out.result({"id": one.id, "path": str(path)})
    run.out.answer(f"{path}")


@verb(app, "import")
def import_adapter(
    run: Run,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A GGUF file, or a folder that PEFT wrote.")],
    granularity: Annotated[
        Granularity, typer.Option("--as", metavar="persona|global|user", help="Whom it speaks for.")
    ] = Granularity.PERSONA,
    name: Annotated[str | None, typer.Option("--name", show_default=False, help="What to call it.")] = None,
    model: ModelOption = None,
) -> None:
    """Check an adapter of somebody else and keep it; it is not worn until `adapter use`."""
    with run.assistant(model) as me:
        one = me.adapters.import_(path, granularity, name)
    run.out.result(adapter_dict(one, None))
    run.out.answer(f"{adapter_name(one)} is kept. `edgeperso adapter use {one.id}` wears it.")


@verb(app, "compare")
def compare_adapters(
    run: Run,
    first: Annotated[str, typer.Argument(metavar="A", help="An adapter's number or name.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one's.")],
) -> None:
    """Measure two adapters on texts of yours that neither learnt from, and on general ones; lower is better."""
    with run.assistant() as me:
        compared = me.adapters.compare(*(me.vault.adapters.named(one).id for one in (first, second)))
    run.out.result(compared.as_dict())
    run.out.rows(
        [("adapter", "your texts", "general texts")]
        + [(str(one.adapter_id or "none"), f"{one.personal:.3f}", f"{one.general:.3f}") for one in compared.rows]
    )
    run.out.answer(
        f"On {compared.texts} texts of yours that neither learnt from, {first} is better than {second} by "
        f"{compared.low:.3f} to {compared.high:.3f} (95 %; below 0: worse)."
    )


@verb(app, "delete")
def delete_adapter(
    run: Run,
    which: AdapterArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Delete an adapter for good, also its weights."""
    with run.assistant() as me:
        one = me.vault.adapters.named(which)
        run.out.note(f"{adapter_name(one)} would go", "yellow")
        if not confirm(run.out, "Delete this for good?", yes=yes, hint=YES):
            run.out.note("Nothing was changed.")
            return
        me.vault.adapters.delete(one.id)
    run.out.result({"deleted": one.id})
    run.out.answer(f"{adapter_name(one)} is deleted.")


def adapter_name(one: StoredAdapter) -> str:
    """``Adapter 3 (reviews)``"""
    return f"Adapter {one.id} ({one.name})"


def adapter_dict(one: StoredAdapter, worn: WornRow | None) -> dict[str, Any]:
    """An adapter for ``--json``, without its weights, its report and what it was trained on."""
    return {
        "id": one.id,
        "name": one.name,
        "form": one.form.value,
        "objective": one.objective.value,
        "granularity": one.granularity.value,
        "state": one.state.value,
        "worn": None if worn is None else worn_dict(worn),
        "base": {"name": one.base_name, "sha256": one.base_sha256},
        "rank": one.rank,
        "alpha": one.alpha,
        "evidence": one.evidence,
        "parents": list(one.parents),
        "created_ms": one.created_ms,
        "bytes": one.size_bytes,
        "erased": not one.has_payload,
    }


def worn_dict(row: WornRow) -> dict[str, Any]:
    return {
        "granularity": row.granularity.value,
        "adapter_id": row.adapter_id,
        "scale": row.scale,
        "since_ms": row.since_ms,
        "overruled": row.overruled,
    }


def show_gate(run: Run, gate: GateReport) -> None:
    """What the gate measured and what it says, for people."""
    run.out.rows(
        [
            ("", "before", "after", "with 95 % certainty"),
            (
                f"your newest {gate.held_out}",
                f"{gate.personal_before:.3f}",
                f"{gate.personal_after:.3f}",
                f"better by {gate.gain_low:.3f} to {gate.gain_high:.3f}; must be above 0",
            ),
            (
                "general texts",
                f"{gate.general_before:.3f}",
                f"{gate.general_after:.3f}",
                f"worse by at most {gate.general_high:.3f}; {gate.general_bound:.2f} is allowed",
            ),
        ]
    )
    if gate.accuracy_before is not None and gate.accuracy_after is not None:
        run.out.answer(f"Pairs in the right order: {gate.accuracy_before:.0%} before, {gate.accuracy_after:.0%} after.")
    for reason in gate.reasons:
        run.out.note(_REASONS.get(reason, reason), "yellow")


def finite(report: Mapping[str, Any]) -> dict[str, Any]:
    """``report`` with None for what is no number: JSON has none."""
    return {
        key: finite(value) if isinstance(value, Mapping)
        else None if isinstance(value, float) and not math.isfinite(value)
        else value
        for key, value in report.items()
    }  # fmt: skip


def _by_adapter(rows: Iterable[WornRow]) -> dict[int, WornRow]:
    return {row.adapter_id: row for row in rows}


def _table(stored: Iterable[StoredAdapter], worn: Mapping[int, WornRow]) -> Iterator[tuple[str, ...]]:
    for number, one in enumerate(stored):
        if not number:
            yield ("id", "name", "form", "for", "learnt from", "state", "made")
        yield (
            str(one.id),
            one.name,
            _form(one),
            one.granularity.value,
            f"{one.evidence:,}",
            _state(one, worn.get(one.id)),
            day_of(one.created_ms),
        )


def _about(one: StoredAdapter, worn: WornRow | None) -> Iterator[tuple[str, str]]:
    yield ("name", one.name)
    yield ("form", _form(one))
    yield ("for", one.granularity.value)
    yield ("state", _state(one, worn))
    yield ("base", f"{one.base_name} ({one.base_sha256[:12]}…)")
    yield ("made", day_of(one.created_ms))
    yield ("size", f"{one.size_bytes / 1e6:.2f} MB")
    if one.parents:
        yield ("made of", ", ".join(map(str, one.parents)))


def _form(one: StoredAdapter) -> str:
    shape = f"LoRA, rank {one.rank}" if one.form is AdapterForm.LORA else f"soft prompt, {one.rank} tokens"
    return f"{shape}, of pairs" if one.objective is Objective.DPO else shape


def _state(one: StoredAdapter, worn: WornRow | None) -> str:
    if worn is not None:
        return f"worn at {worn.scale:.2f}" + (", against the gate" if worn.overruled else "")
    return one.state.value if one.has_payload else f"{one.state.value}, erased"


def _flat(report: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """A nested report as lines of name and value."""
    for key, value in report.items():
        name = f"{prefix}{key.replace('_', ' ')}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name} ")
        elif isinstance(value, float):
            yield (name, f"{value:.4g}")
        elif isinstance(value, list | tuple):
            yield (name, ", ".join(map(str, value)) or "–")
        else:
            yield (name, str(value))
