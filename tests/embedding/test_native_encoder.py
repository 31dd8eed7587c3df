"""The native encoder on the default model's file, and which files are left to onnxruntime."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeperso.embedding import load_embedder
from edgeperso.embedding.native_encoder import NativeEncoder, native_encoder
from edgeperso.embedding.session import OnnxSession

pytestmark = pytest.mark.model

pytest.importorskip("edgeperso._native", reason="the extension is not built (Python's headers?)", exc_type=ImportError)

VOCABULARY = 30522
TEXTS = [
    "Where did I put the keys to the cellar?", "We moved to Lyon in March, because of Ana's new work.", "Tea?",
    "The plumber comes on Tuesday at nine, and he wants to be paid in cash. " * 12, "2,400 km; 14 °C – naïve 東京",
]  # fmt: skip


class Folder:
    def locate(self, name: str) -> Path:
        return Path(name)


@pytest.fixture(scope="module")
def path(models_dir: Path) -> Path:
    (path,) = (models_dir / "minilm-int8").glob("*.onnx")
    return path


@pytest.fixture(scope="module")
def model(path: Path) -> bytes:
    return path.read_bytes()


@pytest.fixture(scope="module")
def token_ids(path: Path) -> list[list[int]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path.parent / "tokenizer.json"))
    tokenizer.no_padding()
    return [tokenizer.encode(text).ids for text in TEXTS]


def native(model: bytes, implementation: str = "scalar", threads: int = 1) -> NativeEncoder:
    found = native_encoder(model, vocabulary=VOCABULARY, threads=threads, implementation=implementation)
    assert found is not None
    return found


def test_vectors_are_those_of_onnxruntime(model: bytes, token_ids: list[list[int]]) -> None:
    from edgeperso import _native

    expected = OnnxSession(model, "model.onnx", token_ids[0], 1).run(token_ids)
    for implementation in _native.encoders():
        rows = slice(2, 3) if implementation == "scalar" else slice(None)  # that one is slow
        vectors = native(model, implementation, threads=2).run(token_ids[rows])
        assert ((vectors * expected[rows]).sum(axis=1) > 0.99999).all()


def test_texts_in_any_company_have_the_same_bytes(path: Path) -> None:
    embedder = load_embedder(Folder(), str(path.parent))
    if not isinstance(embedder._encoder, NativeEncoder):
        pytest.skip("this processor is left to onnxruntime")
    together = embedder.embed([*TEXTS, *(f"filler {number}" for number in range(60))])
    for row, text in enumerate(TEXTS):
        np.testing.assert_array_equal(embedder.embed([text])[0], together[row])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"\x03Erf', b'"\x03Abs'),  # another operation
        (b"\x0a\x06val_89\x0a\x06val_91", b"\x0a\x06val_89\x0a\x06val_89"),  # another input
        (b"perm@\x00@\x02@\x01@\x03", b"perm@\x00@\x02@\x03@\x01"),  # another attribute
        (np.float32(0.4204482).tobytes(), np.float32(0.5).tobytes()),  # another constant
        (b"last_hidden_state", b"layer_norm_______"),  # another output
    ],
)
def test_a_graph_that_is_another_is_left_to_onnxruntime(model: bytes, old: bytes, new: bytes) -> None:
    assert len(old) == len(new)
    assert old in model
    changed = model.replace(old, new, 1)
    assert native_encoder(changed, vocabulary=VOCABULARY, implementation="scalar") is None


def test_weights_of_another_shape_are_left_to_onnxruntime(model: bytes) -> None:
    scale = b"\x08\x01\x08\x80\x03\x10\x01B\x0cval_49_scale"  # a scale for each column: float32[1, 384]
    assert scale in model
    turned = scale.replace(b"\x08\x01\x08\x80\x03", b"\x08\x80\x03\x08\x01")
    assert native_encoder(model.replace(scale, turned), vocabulary=VOCABULARY, implementation="scalar") is None


def test_damage_and_a_larger_vocabulary_are_left_to_onnxruntime(model: bytes) -> None:
    for content in (b"", b"not a model", model[: len(model) // 2], model[:-1]):
        assert native_encoder(content, vocabulary=VOCABULARY, implementation="scalar") is None
    assert native_encoder(model, vocabulary=VOCABULARY + 1, implementation="scalar") is None


def test_without_the_extension_onnxruntime_serves(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_it = load_embedder(Folder(), str(path.parent))
    monkeypatch.setattr("edgeperso.kernels.AVAILABLE", False)
    without = load_embedder(Folder(), str(path.parent))
    assert isinstance(without._encoder, OnnxSession)
    assert without.id == with_it.id
    assert without.embed(TEXTS[:1])[0] @ with_it.embed(TEXTS[:1])[0] > 0.99999


def test_onnxruntime_is_not_even_imported_where_it_does_not_serve(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from edgeperso import _native, embedding;"
        f"model = Path({str(path)!r}); embedding.OnnxEmbedder(model, model.parent / 'tokenizer.json', name='m');"
        "print('onnxruntime' in sys.modules, _native.encoders()[0] != 'scalar')"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert told[0] != told[1]
