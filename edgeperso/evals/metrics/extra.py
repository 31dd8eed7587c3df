"""The door of the ``[eval]`` extra: its libraries are imported inside functions, within `eval_extra`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgeperso.errors import ExtraMissing

__all__ = ["eval_extra"]


@contextmanager
def eval_extra() -> Iterator[None]:
    """Import statements in this block raise an error of ours where a library isn't there.

    Raises:
        ExtraMissing: the ``[eval]`` extra isn't installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ExtraMissing(f"This metric needs {error.name}, which isn't installed.") from None
