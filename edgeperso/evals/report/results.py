"""What an evaluation leaves behind: a typed result, as one JSON file, ``DIR/results/NAME.json``.

Everything in such a file is data: it is checked when read, and whoever shows it escapes it.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter, ValidationError

from edgeperso.errors import DataInvalid
from edgeperso.evals.report.fields import Count, Label, Number, Part, Text, invalid
from edgeperso.evals.report.plots import Plot
from edgeperso.evals.report.tables import Table
from edgeperso.files import write_whole

__all__ = ["Headline", "Result", "load_all", "save"]

_FOLDER: Final = "results"


@dataclass(frozen=True, slots=True)
class Headline(Part):
    """The one cell that stands for a result: a column's name in its first table, a row's label.

    Without a row it is the best one where rows are ranked, else the first.
    """

    column: Label
    row: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(Part):
    """What one evaluation measured, and on what.

    ``name`` is the file's: lower-case letters, digits, ``_`` and ``-``. ``models`` maps a role to a name and a hash.
    ``headline`` is, where it isn't given, the first column that has a better side. ``notes`` are its honest limits.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    title: Label
    question: Text
    figures: dict[Label, Number]
    n: Count
    seed: int
    commit: Text
    machine: Text
    models: dict[Label, Text]
    date: datetime.date
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    headline: Headline | None = None
    notes: tuple[Text, ...] = ()

    def __post_init__(self) -> None:
        if self.headline is None:
            return
        if not self.tables or self.headline.column not in {column.name for column in self.tables[0].columns}:
            raise ValueError("has a headline that is no column of its first table")
        if self.headline.row and self.headline.row not in {row.label for row in self.tables[0].rows}:
            raise ValueError("has a headline that is no row of its first table")

    @classmethod
    def of(
        cls,
        measured: Mapping[str, object],
        *,
        title: str,
        question: str,
        date: datetime.date,
        tables: tuple[Table, ...] = (),
        plots: tuple[Plot, ...] = (),
        headline: Headline | None = None,
        notes: tuple[str, ...] = (),
    ) -> Result:
        """What `edgeperso.evals.measurement.measurement` gave, with what a page about it needs.

        Raises:
            DataInvalid: a field is wrong.
        """
        base: dict[str, Any] = dict(measured)
        result = cls(
            **base,
            title=title,
            question=question,
            date=date,
            tables=tables,
            plots=plots,
            headline=headline,
            notes=notes,
        )
        return cls.from_json(result.to_json(), file="this result")

    def to_json(self) -> str:
        """The file's text: UTF-8, a line a field, NaN as null; the same for the same result."""
        return _RESULT.dump_json(self, indent=1, warnings=False).decode() + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, *, file: str) -> Result:
        """Read what `to_json` wrote.

        Args:
            text: a file's content.
            file: its name, for messages.

        Raises:
            DataInvalid: it isn't a result; the message names file and field.
        """
        try:
            return _RESULT.validate_json(text)
        except ValidationError as error:
            raise invalid(error, file) from None


_RESULT: Final[TypeAdapter[Result]] = TypeAdapter(Result)


def save(folder: Path, result: Result) -> Path:
    """Write ``folder/results/NAME.json``, whole or not at all, over an older one.

    Raises:
        DataInvalid: the result wouldn't be read back; nothing is written.
        OSError: it can't be written; an older file is still as it was.
    """
    text = result.to_json()
    name = f"{Result.from_json(text, file='this result').name}.json"
    path = folder / _FOLDER / name
    write_whole(path, text.encode())
    return path


def load_all(folder: Path) -> list[Result]:
    """The results in ``folder/results``, by name; none where there is no such folder.

    Raises:
        DataInvalid: a file isn't a result, or isn't named after it; the message names file and field.
        OSError: a file can't be read.
    """
    results = []
    for path in sorted((folder / _FOLDER).glob("*.json")):
        result = Result.from_json(path.read_bytes(), file=path.name)
        if result.name != path.stem:
            raise DataInvalid(f"{path.name}: name is not the file's.", hint="Give the file the name that it holds.")
        results.append(result)
    return results
