"""``edgeperso model …``: the model files on this machine and which of them is used."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edgeperso.cli.frame import Run, family, verb
from edgeperso.cli.options import ModelOption
from edgeperso.cli.training import stoppable
from edgeperso.errors import Cancelled

__all__ = ["app"]

_ENDED = {
    "done": "Every memory is read.",
    "full": "There is no room for more; --room makes some.",
    "time": "The time is over; run it again to go on.",
    "cancelled": "Stopped; run it again to go on.",
    "changed": "The profile, a memory or an adapter changed meanwhile; run it again to go on.",
    "useless": "This model has no use for it: it reads a single note, or its states can't be put together.",
}

app = family("Model files: what is known, what is here, what is used.")

_NAME = Annotated[str, typer.Argument(metavar="NAME", help="A name that `edgeperso model list` shows.")]


@verb(app, "list", place=False, unlocks=False)
def list_models(run: Run) -> None:
    """Show the models that edgeperso knows by name, and which are on this machine."""
    catalogue = run.catalogue
    models = [
        {
            "name": entry.name,
            "role": entry.role.value,
            "present": catalogue.present(entry.name),
            "bytes": entry.size_bytes,
            "licence": entry.licence,
            "about": entry.about,
        }
        for entry in catalogue.entries()
    ]
    run.out.result({"models_dir": str(catalogue.models_dir), "models": models})
    run.out.rows(
        (
            str(model["name"]),
            str(model["role"]),
            "here" if model["present"] else "not here",
            f"{entry.size_bytes / 1e6:.0f} MB",
            entry.licence,
            entry.about,
        )
        for model, entry in zip(models, catalogue.entries(), strict=True)
    )


@verb(app, "pull", place=False, unlocks=False)
def pull_model(
    run: Run,
    name: _NAME,
    local: Annotated[
        Path | None,
        typer.Option("--from", show_default=False, metavar="PATH", help="Copy from this file or folder first."),
    ] = None,
) -> None:
    """Fetch a model, resuming what was begun; only files with the pinned sha256 are kept."""
    from edgeperso.catalogue import pull

    with run.progress as progress:
        path = pull(run.catalogue, name, progress, local=local)
    run.out.result({"name": name, "path": str(path)})
    run.out.answer(str(path))


@verb(app, "verify", place=False, unlocks=False)
def verify_model(run: Run, name: _NAME) -> None:
    """Read a model's files and compare their sha256."""
    run.catalogue.verify(name)
    run.out.result({"name": name, "whole": True})
    run.out.answer(f"{name} is whole.")


_MODEL = Annotated[
    str, typer.Argument(metavar="NAME", help="A name that `edgeperso model list` shows, or the path of a GGUF file.")
]


@verb(app, "use")
def use_model(run: Run, name: _MODEL) -> None:
    """Let this model answer from now on, in this vault."""
    path = run.catalogue.locate(name)
    kept = name if path.parent.parent == run.catalogue.models_dir else str(path.resolve())
    with run.vault() as vault:
        vault.meta.set("model", kept)
    run.out.result({"model": kept})
    run.out.answer(f"{kept} answers from now on.")


@verb(app, "ready")
def ready_model(
    run: Run,
    model: ModelOption = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0.0, show_default=False, help="At most; what is read is kept.")
    ] = None,
    room: Annotated[
        int | None,
        typer.Option(
            "--room", min=0, show_default=False, metavar="MB", help="Keep so much of it in the vault, from now on."
        ),
    ] = None,
) -> None:
    """Let the model read memories ahead, the most useful first; `ask --memory-states` finds them read. Ctrl-C stops."""
    with run.assistant(model) as me, run.progress as progress, stoppable() as stop:
        if room is not None:
            me.vault.memory_states.set_budget(room * 1_000_000)
        report = me.read_ahead(None if minutes is None else minutes * 60, stop, progress=progress)
    run.out.result(asdict(report))
    used, budget = report.size_bytes / 1e6, report.budget_bytes / 1e6
    run.out.answer(f"{report.read} read, {report.states} ready; {used:.0f} of {budget:.0f} MB. {_ENDED[report.ended]}")
    if report.ended == "cancelled":
        raise Cancelled("The reading was stopped.", hint="What was read is kept.")


@verb(app, "embedder")
def use_embedder(
    run: Run,
    name: Annotated[str, typer.Argument(metavar="NAME", help="An embedder's name, or the path of a folder with one.")],
) -> None:
    """Choose what makes vectors; `edgeperso reindex` then switches to it."""
    from edgeperso.cli.embedder import choose_embedder

    with run.assistant() as me:
        embedder_id = choose_embedder(me, name)
    run.out.result({"embedder": name, "id": embedder_id})
    run.out.answer(f"{name} is chosen. Run `edgeperso reindex` to switch to it.")


@verb(app, "optimize", place=False, unlocks=False)
def optimize_model(run: Run, name: _MODEL) -> None:
    """Write the model in the layout that is fastest on this CPU with unchanged answers; it is used from then on."""
    from edgeperso.engine.optimize import optimize

    with run.progress as progress:
        report = optimize(run.catalogue.locate(name), progress=progress)
    run.out.result({**asdict(report), "path": str(report.path), "prefill_gain": report.prefill_gain})
    run.out.rows(
        [("layout", "same answers", "prefill tokens/s", "decode tokens/s", "MB")]
        + [
            (
                one.layout,
                "yes" if one.likeness.unchanged else "no",
                "-" if one.speed is None else f"{one.speed.prefill_tok_s:.0f}",
                "-" if one.speed is None else f"{one.speed.decode_tok_s:.0f}",
                f"{one.size_bytes / 1e6:.0f}",
            )
            for one in report.candidates
        ]
    )
    gains = f"prefill {report.prefill_gain:.2f} times, decode {report.decode_gain:.2f} times as fast"
    run.out.answer(f"{report.layout}: {gains}. {report.path}" if report.changed else "The file as it is is fastest.")


@verb(app, "bench", place=False, unlocks=False)
def bench_model(run: Run, name: _MODEL) -> None:
    """Measure a model on this machine: loading, reading, writing, memory."""
    from edgeperso.engine.optimize import best_file
    from edgeperso.engine.speed import bench

    path = best_file(run.catalogue.locate(name))
    with run.progress as progress:
        report = bench(path, progress=progress)
    run.out.result({**asdict(report), "path": str(path)})
    run.out.rows(
        [
            ("file", str(path)),
            ("prefill", f"{report.speed.prefill_tok_s:.0f} tokens/s"),
            ("decode", f"{report.speed.decode_tok_s:.0f} tokens/s"),
            ("load", f"{report.load_ms:.0f} ms"),
            ("memory", f"{report.rss_bytes / 1e6:.0f} MB"),
        ]
    )
