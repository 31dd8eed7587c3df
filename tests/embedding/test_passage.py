from __future__ import annotations

from dataclasses import replace

import pytest

from edgeperso.embedding import passage_text
from edgeperso.types import Kind, Memory, Trust

PLAIN = Memory(
    id=1, text="We moved.", kind=Kind.NOTE, source="a.md", locator="", title="", author="", thread="", position=0,
    occurred_ms=None, recorded_ms=1_700_000_000_000, scope="personal", trust=Trust.SELF, language="en",
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "We moved."),
        ({"author": "Ann"}, "Ann: We moved."),
        ({"occurred_ms": 1_683_504_000_000}, "(8 May 2023): We moved."),
        ({"author": "Ann", "occurred_ms": 1_683_504_000_000}, "Ann (8 May 2023): We moved."),
        ({"title": "House"}, "House. We moved."),
        ({"title": "moved"}, "We moved."),
    ],
)
def test_a_passage_says_who_and_when_where_known(changes: dict[str, object], expected: str) -> None:
    assert passage_text(replace(PLAIN, **changes)) == expected
