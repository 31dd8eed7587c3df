"""The report: one HTML page that needs nothing but itself."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from edgeperso.errors import SourceNotFound
from edgeperso.evals.report.results import Result, load_all
from edgeperso.evals.report.view import CardView, Measured, SectionView
from edgeperso.files import write_whole

__all__ = ["render", "write_report"]

_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(results: list[Result]) -> str:
    """The page for ``results`` as they were read, in their order; the same for the same results."""
    return _TEMPLATES.get_template("page.html.jinja").render(
        measured=Measured.of(results),
        cards=[CardView.of(result) for result in results],
        sections=[SectionView.of(result) for result in results],
    )


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Draw the results of ``folder`` on one page.

    Args:
        folder: holds ``results/*.json``.
        out: the page; ``report.html`` in ``folder`` by default. An older one is replaced.

    Returns:
        Where the page lies.

    Raises:
        SourceNotFound: there are no results.
        DataInvalid: a result file is malformed; the message names file and field.
        OSError: the page can't be written, or a result not read.
    """
    results = load_all(folder)
    if not results:
        raise SourceNotFound(
            f"There are no results in {folder.name}.",
            hint="Run an evaluation into it first: its results/ holds a JSON file for each.",
        )
    path = folder / "report.html" if out is None else out
    write_whole(path, render(results).encode())
    return path
