"""What an evaluation runs on: a vault that is real and then gone, texts embedded once, models named by their hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeperso.engine import Engine
from edgeperso.evals.lodging import temporary_vault
from edgeperso.evals.methods import Method
from edgeperso.evals.setup import Setup
from edgeperso.types import Embedder, Float32, Kind, MemoryFilter, Progress, Record

NOW_MS = 1_760_000_000_000
DAY_MS = 86_400_000
SECRET = "marzipan"


def record(text: str, day: int = 0) -> Record:
    return Record(text=text, kind=Kind.NOTE, source="s", locator=text, occurred_ms=NOW_MS + day * DAY_MS)


class Counting:
    """Notes every text that it is given."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.given: list[str] = []
        self.id, self.dim = embedder.id, embedder.dim

    def embed(self, texts: list[str], progress: Progress | None = None) -> Float32:
        self.given += texts
        return self._embedder.embed(texts, progress)


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files go."""
    folder = tmp_path / "private"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == [], "nothing is left behind"


@pytest.fixture
def counting(fake_embedder: Embedder) -> Counting:
    return Counting(fake_embedder)


@pytest.fixture
def counted(setup: Setup, counting: Counting) -> Setup:
    return replace(setup, plain_embedder=counting)


def test_a_temporary_vault_holds_the_records_unreadably_and_is_gone_afterwards(private: Path) -> None:
    with temporary_vault([record(f"I like {SECRET}"), record("tea")]) as vault:
        assert [memory.text for memory in vault.memories.scan()] == [f"I like {SECRET}", "tea"]
        assert vault.home.is_relative_to(private)
        assert vault.vectors.spaces() == []
        content = b"".join(path.read_bytes() for path in private.rglob("*") if path.is_file())
    assert content
    assert SECRET.encode() not in content
    assert not content.startswith(b"SQLite format")


def test_it_is_gone_after_a_failure_too(private: Path) -> None:
    with pytest.raises(KeyboardInterrupt), temporary_vault([record("tea")]):
        raise KeyboardInterrupt


def test_two_at_once_know_nothing_of_each_other(private: Path) -> None:
    with temporary_vault([record("tea")]) as one, temporary_vault() as other:
        assert (one.memories.count(), other.memories.count()) == (1, 0)
        assert one.id != other.id


def test_a_setup_s_vault_is_ready_to_be_searched(setup: Setup, private: Path) -> None:
    with setup.vault([record("I drink green tea in the morning")]) as vault:
        (memory,) = vault.memories.scan()
        assert memory.language == "en"
        assert vault.vectors.spaces() == [(setup.embedder.id, 64, 1)]
        (hit,) = setup.assistant(vault, Method.parse("dense"), now_ms=NOW_MS).find("green tea?", MemoryFilter())[0]
        assert hit.memory == memory


def test_a_setup_s_vault_is_the_same_for_every_method_whichever_comes_first(setup: Setup) -> None:
    records = [
        record("I live in Ghent in a flat where I live alone and I live well"),
        record("I moved to Lyon last week.", 1),
        record("Rain all day", 2),
    ]

    def found(*names: str) -> list[tuple[int, float]]:
        with setup.vault(records) as vault:
            for name in names:
                hits, _ = setup.assistant(vault, Method.parse(name), now_ms=NOW_MS + 5 * DAY_MS).find(
                    "Where do I live alone in a flat, and where have I moved?", MemoryFilter()
                )
            assert vault.memories.one(1).superseded_by == 2
            return [(hit.memory.id, hit.score) for hit in hits]

    assert found("hybrid", "bm25") == found("bm25")
    assert found("bm25", "hybrid") == found("hybrid") != []


def test_no_text_is_embedded_twice(counted: Setup, counting: Counting) -> None:
    for _ in range(2):
        with counted.vault([record("tea"), record("coffee")]) as vault:
            for name in ("dense", "hybrid"):
                counted.assistant(vault, Method.parse(name), now_ms=NOW_MS).find("tea or coffee?", MemoryFilter())
    assert sorted(counting.given) == sorted(set(counting.given))
    assert len(counting.given) == 3


def test_vectors_are_those_of_the_embedder_in_the_order_asked_for(counted: Setup, counting: Counting) -> None:
    texts = ["tea", "coffee", "tea", "cocoa", "coffee"]
    found = counted.embedder.embed(texts)
    assert counting.given == ["tea", "coffee", "cocoa"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, counting._embedder.embed(texts))
    np.testing.assert_array_equal(counted.embedder.embed(["cocoa"]), found[3:4])
    assert counted.embedder.embed([]).shape == (0, counting.dim)
    assert (counted.embedder.id, counted.embedder.dim) == (counting.id, counting.dim)


def test_models_are_named_with_the_hash_of_their_file(setup: Setup, tiny_engine: Engine, tiny_path: Path) -> None:
    sha256 = hashlib.sha256(tiny_path.read_bytes()).hexdigest()
    assert setup.models == {"engine": f"tiny {tiny_engine.info.quantization} sha256:{sha256}", "embedder": "fake-64"}


def test_another_embedder_is_another_model(setup: Setup, fake_embedder: Embedder) -> None:
    other = type(fake_embedder)("other", 32)
    assert replace(setup, plain_embedder=other).models["embedder"] == "other-32"
    assert replace(setup, plain_embedder=other).models["engine"] == setup.models["engine"]


def test_raw_outputs_lie_in_the_folder_and_nowhere_without_one(setup: Setup, tmp_path: Path) -> None:
    replace(setup, folder=tmp_path / "out").raw("trial").unit({}, {}, lambda: 1)
    assert (tmp_path / "out/raw/trial.jsonl").is_file()
    before = sorted(tmp_path.rglob("*"))
    assert setup.raw("trial").unit({}, {}, lambda: 1) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_an_assistant_shares_the_engine_and_tells_the_given_time(setup: Setup) -> None:
    with setup.vault([]) as vault:
        me = setup.assistant(vault, Method.parse("none"), now_ms=NOW_MS)
        assert me.engine is setup.engine
        assert me.embedder is setup.embedder
        assert me.remember("I take the tram.").occurred_ms == NOW_MS
        me.close()
    assert setup.engine.tokenize("still open")
