"""What the fields of a result file may hold, and how an error in one is told: the field, never what stood there."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field, ValidationError

from edgeperso.errors import DataInvalid

__all__ = ["Better", "Count", "Label", "Maybe", "Number", "Part", "Share", "Text", "check_interval", "invalid"]

_LARGEST: Final = 1e15
_PLAIN: Final = re.compile(r"[A-Za-z0-9_@.-]{1,40}")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def _printable(text: str) -> str:
    if _UNPRINTABLE.search(text):
        raise ValueError("holds a control character")
    return text


def _number(value: float) -> float:
    if not abs(value) <= _LARGEST:
        raise ValueError("must be a finite number of at most 1e15")
    return value


def _number_or_none(value: float | None) -> float | None:
    return None if value is None or value != value else _number(value)


def _share_or_none(value: float | None) -> float | None:
    value = _number_or_none(value)
    if value is not None and not 0 <= value <= 1:
        raise ValueError("must be from 0 to 1")
    return value


Text = Annotated[str, AfterValidator(_printable)]
Label = Annotated[Text, Field(min_length=1)]
Number = Annotated[float, AfterValidator(_number)]
Maybe = Annotated[float | None, AfterValidator(_number_or_none)]
"""A number, or None where there is none; NaN is read as None."""
Share = Annotated[float | None, AfterValidator(_share_or_none)]
"""The same, from 0 to 1."""
Count = Annotated[int, Field(ge=0, le=10**15)]
Better = Literal["higher", "lower", ""]
"""Which way is better; ``""`` where neither is."""


class Part:
    """Unknown fields are errors and nothing is converted: a misspelt field would be lost silently."""

    __slots__ = ()
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(strict=True, extra="forbid")


def check_interval(low: float | None, high: float | None) -> None:
    """Both ends or neither, in order.

    Raises:
        ValueError: it is otherwise.
    """
    if (low is None) != (high is None):
        raise ValueError("needs both `low` and `high`, or neither")
    if low is not None and high is not None and low > high:
        raise ValueError("`low` must not be above `high`")


_SAID: Final = {
    "missing": "is missing",
    "unexpected_keyword_argument": "is not a known field",
    "json_invalid": "not JSON",
    "string_type": "must be a text",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must be lower-case letters, digits, `_` and `-`",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "dict_type": "must be an object",
    "dataclass_type": "must be an object",
    "literal_error": "is none of the words that it may be",
    "union_tag_invalid": "`kind` must be intervals, lines, scatter or histogram",
    "union_tag_not_found": "`kind` is missing",
    "too_short": "must not be empty",
    "greater_than_equal": "is too small",
    "less_than_equal": "is too large",
    "date_parsing": "must be a date like 2026-11-24",
    "date_type": "must be a date like 2026-11-24",
}


def invalid(error: ValidationError, file: str) -> DataInvalid:
    """The error of ours for the first fault that pydantic found in ``file``."""
    first = error.errors(include_url=False, include_input=False)[0]
    # A ValueError is one of this package's own, so its words are known; pydantic's can quote the input.
    said = str(first["ctx"]["error"]) if first["type"] == "value_error" else _SAID.get(first["type"], "is not valid")
    where = " ".join(part for part in (_field(first["loc"]), said) if part)
    return DataInvalid(f"{file}: {where}.", hint="Run that evaluation again.")


def _field(place: tuple[int | str, ...]) -> str:
    """``tables[0].rows[2].cells.mae.value``; a key of the file is shown only where it is plainly a name."""
    path = ""
    for part in place:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if _PLAIN.fullmatch(part) else "[…]"
    return path.removeprefix(".")
