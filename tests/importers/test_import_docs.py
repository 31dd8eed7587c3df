"""The how-to names every reason with the sentence that the program gives."""

from __future__ import annotations

from pathlib import Path

from edgeperso.importers import Reason


def test_every_reason_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "import.md").read_text()
    assert [reason for reason in Reason if f"| `{reason.value}` | {reason.hint} |" not in page] == []
