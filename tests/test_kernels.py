"""An extension that these sources didn't build counts as none."""

from __future__ import annotations

import runpy
import sys
from types import ModuleType

import pytest

from edgeperso import kernels

THIS = kernels._INTERFACE
CALLED = kernels._NAMES


def extension(interface: int | None, names: tuple[str, ...]) -> ModuleType:
    made = ModuleType("edgeperso._native")
    if interface is not None:
        made.INTERFACE = interface  # type: ignore[attr-defined]
    for name in names:
        setattr(made, name, object())
    return made


@pytest.mark.parametrize(
    ("found", "available", "stale"),
    [
        (extension(THIS, CALLED), True, False),
        (extension(THIS + 1, CALLED), False, True),
        (extension(None, CALLED), False, True),
        (extension(THIS, CALLED[1:]), False, True),
        (None, False, False),
    ],
    ids=["this one", "another version", "before versions", "a name is missing", "none"],
)
def test_only_an_extension_that_fits_is_used(
    monkeypatch: pytest.MonkeyPatch, found: ModuleType | None, available: bool, stale: bool
) -> None:
    monkeypatch.setitem(sys.modules, "edgeperso._native", found)
    seen = runpy.run_path(kernels.__file__)
    assert (seen["AVAILABLE"], seen["STALE"]) == (available, stale)
