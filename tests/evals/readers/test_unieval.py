"""Dialogue judgments in UniEval's form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeperso.evals.readers import read_unieval


def test_judgments(unieval: Any) -> None:
    first, second = read_unieval(unieval.files[0])
    assert (first.id, second.id) == ("0", "1")
    assert [turn.split(" (")[0] for turn in first.history] == ["do you bake ?", "i do ."]
    assert first.response.startswith("so do i .")
    assert first.response == first.response.strip()
    assert first.knowledge == ""
    assert second.knowledge.startswith("bread is old .")
    assert first.system == "Nucleus Decoding (p = 0.3)"
    assert first.scores == {"naturalness": 2.6666666667, "overall": 4.0}


@pytest.mark.shared
def test_topical_chat(shared_data: Path) -> None:
    judgments = list(read_unieval(shared_data / "topical_chat_judgments/topical_chat.json"))
    assert len(judgments) == 192
    assert len({judgment.system for judgment in judgments}) == 6
    assert all(len(judgment.scores) == 6 for judgment in judgments)
    assert sum(not judgment.knowledge for judgment in judgments) == 24
    ranges = {"naturalness": (1, 3), "understandability": (0, 1), "groundedness": (0, 1), "overall": (1, 5)}
    for name, (low, high) in ranges.items():
        assert all(low <= judgment.scores[name] <= high for judgment in judgments)
