"""One loaded model and one embedder for all tests of the façade, and a new vault for each."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgeperso.assistant import Assistant, open_assistant
from edgeperso.catalogue import Catalogue
from edgeperso.embedding import load_embedder
from edgeperso.engine import Engine, SoftPrompt, adapter_to_bytes
from edgeperso.types import AdapterForm, Embedder, Granularity, Objective
from edgeperso.vault import KeyFile, Vault
from edgeperso.vault.adapters import AdapterState, NewAdapter

NOW_MS = 1_760_000_000_000

Opener = Callable[..., Assistant]


@pytest.fixture(scope="session")
def loaded_engine(models_dir: Path) -> Iterator[Engine]:
    path = models_dir / "smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf"
    # One thread: two that have to meet hundreds of times a token crawl when other tests want the cores.
    with Engine.open(path, n_ctx=2048, n_threads=1) as engine:
        yield engine


@pytest.fixture(scope="session")
def loaded_embedder(models_dir: Path) -> Embedder:
    return load_embedder(Catalogue(models_dir))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a new, empty vault; its key file is ``me.key`` beside it."""
    home = tmp_path / "home"
    vault, _ = Vault.create(home, KeyFile(tmp_path / "me.key"))
    vault.close()
    return home


@pytest.fixture
def plain(home: Path, tmp_path: Path, fake_embedder: Embedder) -> Iterator[Assistant]:
    """An assistant that needs no model file, on a clock that stands still."""
    with open_assistant(home, key=KeyFile(tmp_path / "me.key"), models_dir=tmp_path, clock=lambda: NOW_MS) as me:
        me._embedder = fake_embedder
        yield me


@pytest.fixture
def opener(
    home: Path, tmp_path: Path, loaded_engine: Engine, loaded_embedder: Embedder, models_dir: Path
) -> Iterator[Opener]:
    """``opener()`` opens the home on the models that are loaded already; closing leaves those open."""
    opened: list[Assistant] = []

    def open_(at: Path = home) -> Assistant:
        loaded_engine.clear()
        me = open_assistant(at, key=KeyFile(tmp_path / "me.key"), models_dir=models_dir, clock=lambda: NOW_MS)
        me._engine, me._embedder = loaded_engine, loaded_embedder
        opened.append(me)
        return me

    yield open_
    for me in opened:
        me._engine = None
        me.close()


@pytest.fixture
def me(opener: Opener) -> Assistant:
    """An assistant on the real small model and embedder, with an empty vault."""
    return opener()


Wear = Callable[[Assistant, Sequence[int]], int]


@pytest.fixture
def wear() -> Wear:
    """``wear(me, ids)`` makes a soft prompt that learnt from these memories, and wears it; returns its id."""

    def worn(me: Assistant, memories: Sequence[int]) -> int:
        values = np.random.default_rng(1).standard_normal((3, 64)).astype(np.float32)
        soft = SoftPrompt(me.engine.info.base_sha256, "llama", values)
        new = NewAdapter(
            name="mine",
            form=AdapterForm.SOFT,
            objective=Objective.TEXT,
            granularity=Granularity.USER,
            base_sha256=soft.base_sha256,
            base_name="tiny",
            rank=3,
            alpha=0.0,
            state=AdapterState.READY,
        )
        stored = me.vault.adapters.add(new, adapter_to_bytes(soft), memories=memories)
        me.vault.adapters.wear(Granularity.USER, stored.id)
        return stored.id

    return worn


@pytest.fixture(scope="session")
def gguf_files() -> SimpleNamespace:
    """The makers in ``gguf_files.py`` of the engine's tests."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "engine" / "gguf_files.py")))


@pytest.fixture
def start(
    home: Path, tmp_path: Path, fake_embedder: Embedder, gguf_files: SimpleNamespace
) -> Iterator[Callable[..., Assistant]]:
    """Opens the home with a tiny model loaded anew, as the next process would; options go to `Engine.open`."""
    path = tmp_path / "tiny.gguf"
    path.write_bytes(gguf_files.tiny_model())
    opened: list[tuple[Assistant, Engine]] = []

    def stop() -> None:
        for me, engine in opened:
            me.close()
            engine.close()
        opened.clear()

    def open_(model: Path = path, **options: int) -> Assistant:
        stop()
        engine = Engine.open(model, **{"n_ctx": 1024, "n_threads": 1, **options})
        vault = Vault.open(home, KeyFile(tmp_path / "me.key"))
        me = Assistant(vault, Catalogue(tmp_path), engine=engine, clock=lambda: NOW_MS)
        me._embedder = fake_embedder
        opened.append((me, engine))
        return me

    yield open_
    stop()
