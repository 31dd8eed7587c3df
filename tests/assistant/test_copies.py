"""Adapters that left and come back: a copy is a descendant of the vault's own, and goes with what it learnt from."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgeperso.assistant import Assistant, open_assistant
from edgeperso.assistant.learning import described
from edgeperso.engine import Engine, Lora, LoraPair
from edgeperso.engine.adapters.file import adapter_from_bytes, adapter_to_bytes
from edgeperso.engine.gguf import check_model_file
from edgeperso.errors import AdapterRefused
from edgeperso.types import Embedder, Granularity
from edgeperso.vault import KeyFile
from edgeperso.vault.adapters import AdapterState, StoredAdapter

L = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("learners.py"))))
tiny_model = runpy.run_path(str(Path(__file__).parents[1] / "engine" / "gguf_files.py"))["tiny_model"]
Keep = Callable[[int], StoredAdapter]


@pytest.fixture
def me(home: Path, tmp_path: Path, fake_embedder: Embedder) -> Iterator[Assistant]:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_model())
    with (
        Engine.open(path, n_threads=1) as engine,
        open_assistant(home, key=KeyFile(tmp_path / "me.key"), models_dir=tmp_path) as me,
    ):
        me._engine, me._own_engine, me._embedder = engine, False, fake_embedder
        for text in L.notes(4):
            me.remember(text)
        yield me


@pytest.fixture
def keep(me: Assistant) -> Keep:
    """Stores the adapter of a seed, which learnt from the memory of that number; the weights need more than float16."""

    def run(seed: int) -> StoredAdapter:
        random = np.random.default_rng(seed)
        n_in, n_out = check_model_file(me.engine.info.path).tensors["blk.0.attn_q.weight"].shape
        a, b = random.standard_normal((2, n_in)), random.standard_normal((n_out, 2))
        pair = LoraPair(a.astype(np.float32), b.astype(np.float32))
        lora = Lora(me.engine.info.base_sha256, "llama", 4.0, {"blk.0.attn_q": pair})
        new = described(
            lora, me.engine.info, name="own", granularity=Granularity.USER, state=AdapterState.READY, report={}
        )
        return me.vault.adapters.add(new, adapter_to_bytes(lora), memories=[seed])

    return run


def copied(me: Assistant, own: StoredAdapter, form: str, path: Path) -> Path:
    if form == "half":
        path.write_bytes(adapter_to_bytes(adapter_from_bytes(me.vault.adapters.payload(own.id)), half=True))
        return path
    if form.startswith("peft"):
        safetensors = pytest.importorskip("safetensors.numpy")
        me.adapters.export(own.id, path, peft=True)
        if form == "peft again":  # as another program saves it: in float16, and without what it doesn't know
            file = path / "adapter_model.safetensors"
            tensors = safetensors.load_file(file)
            safetensors.save_file({name: tensor.astype(np.float16) for name, tensor in tensors.items()}, file)
        return path
    me.adapters.export(own.id, path)
    return path


@pytest.mark.parametrize("form", ["whole", "half", "peft", "peft again"])
def test_a_copy_is_tainted_with_the_vaults_own(me: Assistant, keep: Keep, tmp_path: Path, form: str) -> None:
    keep(2)
    own = keep(1)
    path = copied(me, own, form, tmp_path / "copy")
    told: list[str] = []
    copy = me.adapters.import_(path, Granularity.PERSONA, progress=lambda stage, *_: told.append(stage))
    assert set(told) == {"judging"}
    assert copy.parents == (own.id,)
    assert me.adapters.import_(path, Granularity.GLOBAL).parents == (own.id, copy.id)
    me.forget(me.plan_forget(ids=(1,)))
    assert [one.state is AdapterState.TAINTED for one in me.adapters.list()] == [False, True, True, True]
    with pytest.raises(AdapterRefused):
        me.adapters.import_(path, Granularity.PERSONA)
    with pytest.raises(AdapterRefused):
        me.adapters.personas([path])
    assert len(me.adapters.list()) == 4


def test_what_is_no_copy_has_no_parents(me: Assistant, keep: Keep, tmp_path: Path) -> None:
    path = copied(me, keep(1), "whole", tmp_path / "copy")
    me.vault.adapters.delete(1)
    keep(2)
    assert me.adapters.import_(path, Granularity.PERSONA).parents == ()


def test_a_persona_descends_from_the_copies_in_it(me: Assistant, keep: Keep, tmp_path: Path) -> None:
    paths = [copied(me, keep(seed), "whole", tmp_path / f"{seed}") for seed in (1, 2)]
    [persona] = me.adapters.personas(paths, most=1).made
    assert persona.parents == (1, 2)
    me.forget(me.plan_forget(ids=(2,)))
    assert me.adapters.show(persona.id).state is AdapterState.TAINTED


def test_nobody_is_a_persona_alone(me: Assistant, keep: Keep, tmp_path: Path) -> None:
    alone = copied(me, keep(1), "whole", tmp_path / "a")
    again = copied(me, me.adapters.show(1), "half", tmp_path / "b")
    other = copied(me, keep(2), "whole", tmp_path / "c")
    found = me.adapters.personas([alone, again])
    assert (found.made, found.left_out) == ((), 2)
    found = me.adapters.personas([alone, again, other], most=1)
    assert ([one.evidence for one in found.made], found.left_out) == ([2], 1)
