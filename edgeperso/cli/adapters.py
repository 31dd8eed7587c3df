"""``edgeperso adapter …``: what was learnt, what is worn, and how to take it off again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeperso.cli.frame import Run, family, verb
from edgeperso.cli.learnt import (
    adapter_dict,
    adapter_lines,
    adapter_name,
    form_of,
    learnt_from,
    show_gate,
    state_of,
    training_lines,
    worn_dict,
)
from edgeperso.cli.options import ModelOption
from edgeperso.cli.typed import YES, confirm
from edgeperso.times import day_of
from edgeperso.types import Granularity

if TYPE_CHECKING:
    from edgeperso.vault.adapters import StoredAdapter, WornRow

__all__ = ["AdapterArgument", "app"]

app = family("Adapters: small additions to the model, trained on you; which there are, which are worn.")

AdapterArgument = Annotated[
    str, typer.Argument(metavar="ID", help="A number or name that `edgeperso adapter list` shows.")
]
_WHOM = typer.Argument(metavar="global|persona|user", help="Whom it speaks for.")


@verb(app, "list")
def list_adapters(run: Run) -> None:
    """Show the adapters of this vault, and which of them the model wears."""
    with run.assistant() as me:
        stored, worn = me.adapters.list(), _by_adapter(me.adapters.worn())
    run.out.result({"adapters": [adapter_dict(one) | {"worn": worn_dict(worn.get(one.id))} for one in stored]})
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
            **adapter_dict(one),
            "worn": worn_dict(worn.get(one.id)),
            "report": one.report,
            "sources": {name: sorted(ids) for name, ids in counts.items()},
        }
    )
    learnt = ", ".join(f"{len(ids):,} {name}" for name, ids in counts.items() if ids)
    run.out.rows(
        [
            *adapter_lines(one, worn.get(one.id)),
            ("learnt from", learnt or "nothing that is still in this vault"),
            *training_lines(one.report),
        ]
    )
    gate: Any = one.report.get("gate")
    if gate:
        run.out.heading("What the gate measured")
        show_gate(run, gate)


@verb(app, "use")
def use_adapter(
    run: Run,
    which: AdapterArgument,
    scale: Annotated[
        float | None,
        typer.Option(
            "--scale", min=0.0, max=4.0, show_default=False, help="How strongly; without it, as it was judged."
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
    run.out.result({"worn": worn_dict(row)})
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
    card: Annotated[
        bool, typer.Option("--card", help="Also a vector of what you write about, by which new people find a persona.")
    ] = False,
) -> None:
    """Write an adapter into a new file, unencrypted, for llama.cpp (GGUF) or PEFT."""
    run.out.note(
        "An exported adapter is not encrypted. It was trained on what you wrote, and who has it can find out parts of "
        "that: give it only to people whom you would give the texts.",
        "yellow",
    )
    if card:
        run.out.note("The card beside it tells, compared with other texts, what you write about.", "yellow")
    with run.assistant() as me:
        one = me.vault.adapters.named(which)
        me.adapters.export(one.id, path, peft=peft, card=card)
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
    """Check an adapter of somebody else, measure it on general texts, keep it; it is not worn until `adapter use`."""
    with run.assistant(model) as me, run.progress as progress:
        one = me.adapters.import_(path, granularity, name, progress=progress)
    run.out.result(adapter_dict(one))
    gate: Any = one.report["gate"]
    show_gate(run, gate)
    anyway = "" if gate["passed"] else " --anyway"
    run.out.answer(f"{adapter_name(one)} is kept. `edgeperso adapter use {one.id}{anyway}` wears it.")


@verb(app, "compare")
def compare_adapters(
    run: Run,
    first: Annotated[str, typer.Argument(metavar="A", help="An adapter's number or name.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one's.")],
) -> None:
    """Measure two adapters on texts of yours that neither learnt from, and on general ones; lower is better."""
    with run.assistant() as me, run.progress as progress:
        run.out.note("Measuring: the same texts with neither, with the one, with the other. A minute or more.")
        ids = (me.vault.adapters.named(one).id for one in (first, second))
        compared = me.adapters.compare(*ids, progress=progress)
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


def _by_adapter(rows: Iterable[WornRow]) -> dict[int, WornRow]:
    return {row.adapter_id: row for row in rows}


def _table(stored: Iterable[StoredAdapter], worn: Mapping[int, WornRow]) -> Iterator[tuple[str, ...]]:
    for number, one in enumerate(stored):
        if not number:
            yield ("id", "name", "form", "for", "learnt from", "state", "made")
        yield (
            str(one.id),
            one.name,
            form_of(one),
            one.granularity.value,
            learnt_from(one),
            state_of(one, worn.get(one.id)),
            day_of(one.created_ms),
        )
