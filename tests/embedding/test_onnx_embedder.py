"""The default embedder, on its real file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeperso.embedding import OnnxEmbedder, load_embedder

pytestmark = pytest.mark.model


class Folder:
    """A catalogue that takes paths alone."""

    def locate(self, name: str) -> Path:
        return Path(name)


@pytest.fixture(scope="module")
def embedder(models_dir: Path) -> OnnxEmbedder:
    return load_embedder(Folder(), str(models_dir / "minilm-int8"))


def test_vectors_have_unit_length_in_the_order_given(embedder: OnnxEmbedder) -> None:
    texts = ["A short one.", "A much longer one, about the weather in the mountains " * 8, "", "Tea?"]
    vectors = embedder.embed(texts)
    assert vectors.shape == (4, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    for row, text in enumerate(texts):
        assert vectors[row] @ embedder.embed([text])[0] > 0.9999


def test_meaning_is_nearer_than_words(embedder: OnnxEmbedder) -> None:
    question, answer, distractor = embedder.embed(
        ["Which pet do I have?", "We adopted a cat in spring.", "Which train do I have to take?"]
    )
    assert question @ answer > question @ distractor


def test_long_texts_are_cut_not_refused(embedder: OnnxEmbedder) -> None:
    text = "word " * 5000
    assert embedder.embed([text])[0] @ embedder.embed([text + "more"])[0] > 0.9999


def test_a_repeated_question_gives_the_same_vector_that_callers_may_change(embedder: OnnxEmbedder) -> None:
    first = embedder.embed(["Where do I live?"])
    expected = first.copy()
    first[:] = 0.0
    np.testing.assert_array_equal(embedder.embed(["Where do I live?"]), expected)


def test_the_cache_stays_small(embedder: OnnxEmbedder) -> None:
    for number in range(300):
        embedder.embed([str(number)])
    assert len(embedder._cache) == 256
    assert "299" in embedder._cache


def test_progress_ends_at_the_total(embedder: OnnxEmbedder) -> None:
    seen: list[tuple[str, int, int | None]] = []
    embedder.embed([f"text {number}" for number in range(70)], lambda *step: seen.append(step))
    assert seen == [("embedding", 32, 70), ("embedding", 64, 70), ("embedding", 70, 70)]


def test_nothing_gives_nothing(embedder: OnnxEmbedder) -> None:
    assert embedder.embed([]).shape == (0, 384)


def test_the_id_names_model_file_and_pooling(embedder: OnnxEmbedder) -> None:
    name, sha, pooling = embedder.id.split(":")
    assert (name, len(sha), pooling) == ("minilm-int8", 12, "mean")
