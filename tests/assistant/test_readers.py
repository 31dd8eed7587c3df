"""What models of each size read."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from edgeperso.assistant.readers import reader_for
from edgeperso.engine import ModelInfo


@pytest.mark.parametrize(
    ("n_params", "quotes", "skips", "told"),
    [
        (135_000_000, True, False, True),
        (494_000_000, False, True, False),
        (1_540_000_000, False, True, True),
        (7_000_000_000, False, False, True),
    ],
)
def test_what_a_model_reads_hangs_on_its_size(n_params: int, quotes: bool, skips: bool, told: bool) -> None:
    reader = reader_for(ModelInfo("model", Path("model.gguf"), "qwen2", n_params, 2048, 2048, 100, "Q4_1", None, 0, 1))
    assert reader.quotes == quotes
    assert (reader.behind < math.inf) == skips
    assert reader.latest == told
