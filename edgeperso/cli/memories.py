"""The verbs that put memories in, find them, correct them and let them go."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeperso.cli.describe import hit_dict, memory_dict, memory_place, one_line
from edgeperso.cli.frame import Run, family, verb
from edgeperso.cli.training import show_training, stoppable, training_dict, with_time_left
from edgeperso.cli.typed import WordsArgument, confirm, text_from
from edgeperso.errors import NotFound, UsageError
from edgeperso.types import Kind, MemoryFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeperso.assistant import Assistant
    from edgeperso.assistant.learning import TrainingReport
    from edgeperso.vault.erasure import ErasurePlan

__all__ = ["app", "profile", "show_plan", "show_tainted"]

app = typer.Typer()
profile = family("What is true of the person in general: name, pronouns, language…")

_SHOWN_SKIPS = 20
_RELEARN = "`edgeperso adapter relearn ID` trains one anew on what is left."
_SCOPE = Annotated[str, typer.Option("--scope", metavar="NAME", help="The scope of the new memories.")]


@verb(app, "import")
def import_(
    run: Run,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A folder, or a file that can be imported.")],
    scope: _SCOPE = "personal",
) -> None:
    """Import Markdown and text files or folders, JSONL, mbox, or ChatGPT's export zip; safe to repeat."""
    with run.assistant() as me, run.progress as progress:
        report = me.add(path, scope=scope, progress=progress)
    run.out.result(asdict(report))
    run.out.answer(
        f"{report.added:,} new memories from {report.files_imported:,} of {report.files_seen:,} files "
        f"({report.duplicates:,} known already, {report.files_unchanged:,} files unchanged)."
    )
    for skip in report.skipped[:_SHOWN_SKIPS]:
        number = f" {skip.detail}" if skip.detail else ""
        run.out.note(f"skipped {skip.source}: {skip.reason.value}{number}. {skip.reason.hint}", "yellow")
    if report.skipped_total > _SHOWN_SKIPS:
        counts = ", ".join(f"{reason} {count}" for reason, count in report.reasons.items())
        run.out.note(f"{report.skipped_total:,} skipped in all: {counts}.", "yellow")


@verb(app, "remember")
def remember(
    run: Run,
    words: WordsArgument = None,
    kind: Annotated[Kind, typer.Option("--kind", help="What sort of text it is.")] = Kind.NOTE,
    scope: _SCOPE = "personal",
) -> None:
    """Store something, as true from now on; what it replaces is closed, not deleted."""
    text = text_from(words, "Remember: ")
    with run.assistant() as me:
        memory = me.remember(text, kind=kind, scope=scope)
    run.out.result(memory_dict(memory))
    run.out.answer(f"Remembered as {memory.id}.")


@verb(app, "recall", filters=True)
def recall(
    run: Run,
    words: WordsArgument = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many at most.")] = 10,
) -> None:
    """Show the memories that bear on a text, best first. No model answers."""
    text = text_from(words, "Recall: ")
    with run.assistant() as me:
        hits = me.recall(text, limit=limit, where=run.where or MemoryFilter())
    run.out.result({"hits": [hit_dict(hit) for hit in hits]})
    for hit in hits:
        run.out.heading(f"{memory_place(hit.memory)}  ({hit.score:.2f})")
        run.out.answer(hit.memory.text)
    if not hits:
        run.out.note("Nothing found.")


@verb(app, "edit")
def edit(
    run: Run,
    memory_id: Annotated[int, typer.Argument(metavar="ID", min=1, help="The memory's number, as `recall` shows it.")],
    words: WordsArgument = None,
) -> None:
    """Replace a memory's text; what was derived from the old text goes."""
    text = text_from(words, "New text: ")
    with run.assistant() as me:
        memory = me.edit(memory_id, text)
    run.out.result(memory_dict(memory))
    run.out.answer(f"Changed {memory.id}.")


@verb(app, "forget", filters=True)
def forget(
    run: Run,
    ids: Annotated[
        list[int] | None, typer.Argument(metavar="ID...", min=1, show_default=False, help="Numbers of memories.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    relearn: Annotated[
        bool, typer.Option("--relearn", help="Train the adapters that were worn and learnt from it anew, without it.")
    ] = False,
) -> None:
    """Delete memories for good, with all that was made from them: answers that quoted them, adapters that learnt."""
    if not ids and run.where is None:
        raise UsageError("Say what to forget.", hint="Give numbers of memories, or --source, --kind, --scope, --after.")
    with run.assistant() as me:
        plan = me.plan_forget(ids=tuple(ids or ()), where=run.where)
        if not plan.memories:
            raise NotFound("No memory fits.", hint="Nothing was changed.")
        show_plan(run, plan)
        if dry_run:
            run.out.result({"plan": asdict(plan)})
            return
        if not confirm(run.out, "Delete this for good?", yes=yes):
            run.out.note("Nothing was changed.")
            return
        receipt = me.forget(plan)
        run.out.answer(f"Forgotten: {receipt.memories:,} memories. Backups written before still hold them.")
        show_tainted(run, me, receipt.adapter_ids, hint=not relearn)
        reports: list[TrainingReport] = []
        try:
            if relearn and receipt.adapter_ids:
                with run.progress as progress, stoppable() as stop:
                    reports = me.relearn(receipt, progress=with_time_left(progress), stop=stop)
        finally:  # whatever becomes of the training: what was forgotten is
            learnt = [training_dict(report) for report in reports]
            run.out.result({"plan": asdict(plan), "receipt": asdict(receipt), "relearnt": learnt})
    for report in reports:
        show_training(run, report)
    if relearn and receipt.adapter_ids and not reports:
        run.out.note("None was trained anew: none of them was worn, or too little is left. " + _RELEARN)


def show_plan(run: Run, plan: ErasurePlan) -> None:
    """What would go, on stderr: it is a question, not the answer."""
    counts = {"memories": plan.memories, **{name: value for name, value in asdict(plan).items() if type(value) is int}}
    run.out.note(", ".join(f"{count:,} {name}" for name, count in counts.items()) + " would go", "yellow")


def show_tainted(run: Run, me: Assistant, adapter_ids: Sequence[int], *, hint: bool) -> None:
    """Which adapters had learnt from what is forgotten."""
    if adapter_ids:
        names = ", ".join(f"adapter {id_} ({me.vault.adapters.get(id_).name})" for id_ in adapter_ids)
        run.out.note(f"Taken off and erased, as they had learnt from it: {names}.", "yellow")
        if hint:
            run.out.note(_RELEARN)


@verb(app, "export")
def export(
    run: Run,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A file that doesn't exist yet.")],
) -> None:
    """Write everything as readable JSONL, unencrypted, into a new file that only you may read."""
    run.out.note("What is exported is not encrypted: whoever gets the file can read it.", "yellow")
    with run.assistant() as me:
        report = me.export(path)
    run.out.result({"path": str(path), **asdict(report)})
    run.out.answer(
        f"{report.memories:,} memories, {report.attributes:,} attributes and {report.turns:,} turns in {path}."
    )


@verb(app, "reindex")
def reindex(run: Run) -> None:
    """Embed all memories with the embedder that was chosen; the old vectors serve until the new ones are whole."""
    from edgeperso.cli.embedder import switch_embedder

    with run.assistant() as me, run.progress as progress:
        name, made = switch_embedder(me, progress)
    run.out.result({"embedder": name, "embedded": made})
    run.out.answer(f"{made:,} memories embedded by {name}.")


_ATTRIBUTE = Annotated[str, typer.Argument(metavar="NAME", help="An attribute such as name or language.")]


@verb(profile, "show")
def profile_show(run: Run) -> None:
    """Show the attributes."""
    with run.vault() as vault:
        attributes = vault.profile.all()
    run.out.result(attributes)
    run.out.rows(attributes.items())


@verb(profile, "set")
def profile_set(run: Run, name: _ATTRIBUTE, words: WordsArgument = None) -> None:
    """Set an attribute; the model is told of it in each answer."""
    value = text_from(words, f"{one_line(name)}: ")
    if not value:
        raise UsageError("The value is empty.", hint="To delete the attribute use `edgeperso profile unset`.")
    with run.vault() as vault:
        vault.profile.set(name, value)
    run.out.result({name: value})
    run.out.answer(f"{name} is set.")


@verb(profile, "unset")
def profile_unset(run: Run, name: _ATTRIBUTE) -> None:
    """Delete an attribute."""
    with run.vault() as vault:
        vault.profile.delete(name)
    run.out.result({"deleted": name})
    run.out.answer(f"{name} is deleted.")
