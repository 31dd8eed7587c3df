"""Filling a vault's vector spaces, stopping, going on, and switching embedders."""

from __future__ import annotations

import pytest

from edgeperso.embedding import active_space, embed_missing, reindex
from edgeperso.errors import Cancelled, EmbedderMismatch
from edgeperso.types import Float32, Kind, Progress, Record
from edgeperso.vault import Vault


def fill(vault: Vault, count: int) -> tuple[int, ...]:
    return vault.memories.add(
        Record(text=f"note number {number}", kind=Kind.NOTE, source="notes.md", locator=str(number))
        for number in range(count)
    ).ids


class Counting:
    """Passes on to another embedder, and counts; ``stop_after`` batches it breaks."""

    def __init__(self, inner, stop_after: int = 10**9) -> None:
        self.inner, self.stop_after, self.batches, self.texts = inner, stop_after, 0, 0

    @property
    def id(self) -> str:
        return self.inner.id

    @property
    def dim(self) -> int:
        return self.inner.dim

    def embed(self, texts: list[str], progress: Progress | None = None) -> Float32:
        if self.batches == self.stop_after:
            raise KeyboardInterrupt
        self.batches += 1
        self.texts += len(texts)
        return self.inner.embed(texts, progress)


def test_every_memory_gets_one_vector_and_only_once(vault, fake_embedder) -> None:
    ids = fill(vault, 600)
    seen: list[tuple[str, int, int | None]] = []
    assert embed_missing(vault, fake_embedder, lambda *step: seen.append(step)) == 600
    assert embed_missing(vault, fake_embedder) == 0
    stored, vectors = vault.vectors.load(fake_embedder.id)
    assert tuple(stored) == ids
    assert vectors.shape == (600, fake_embedder.dim)
    assert seen[-1] == ("embedding", 600, 600)


def test_an_interrupted_run_goes_on_where_it_was(vault, fake_embedder) -> None:
    fill(vault, 600)
    with pytest.raises(KeyboardInterrupt):
        embed_missing(vault, Counting(fake_embedder, stop_after=1))
    done = len(vault.vectors.load(fake_embedder.id)[0])
    assert 0 < done < 600
    second = Counting(fake_embedder)
    assert embed_missing(vault, second) == 600 - done == second.texts


def test_cancel_keeps_what_was_made(vault, fake_embedder) -> None:
    fill(vault, 600)
    asked = iter([False, True])
    with pytest.raises(Cancelled):
        embed_missing(vault, fake_embedder, cancel=lambda: next(asked))
    assert 0 < len(vault.vectors.load(fake_embedder.id)[0]) < 600


def test_a_memory_edited_while_it_is_embedded_does_not_keep_its_old_vector(vault, fake_embedder) -> None:
    (id_,) = fill(vault, 1)

    class Editing(Counting):
        def embed(self, texts: list[str], progress: Progress | None = None) -> Float32:
            if not self.batches:
                vault.memories.edit(id_, "something else entirely")
            return super().embed(texts, progress)

    embed_missing(vault, Editing(fake_embedder))
    stored = vault.vectors.load(fake_embedder.id)[1][0].astype("float32")
    assert stored @ fake_embedder.embed(["something else entirely"])[0] > 0.99


def test_a_second_embedder_is_refused(vault, fake_embedder) -> None:
    fill(vault, 3)
    embed_missing(vault, fake_embedder)
    other = type(fake_embedder)("other", 32)
    with pytest.raises(EmbedderMismatch) as caught:
        embed_missing(vault, other)
    assert "reindex" in caught.value.hint
    assert vault.vectors.missing(other.id, 10)


def test_reindex_serves_the_old_space_until_the_new_one_is_whole(vault, fake_embedder) -> None:
    fill(vault, 600)
    embed_missing(vault, fake_embedder)
    other = type(fake_embedder)("other", 32)
    with pytest.raises(KeyboardInterrupt):
        reindex(vault, Counting(other, stop_after=2))
    assert active_space(vault) == fake_embedder.id
    assert len(vault.vectors.load(fake_embedder.id)[0]) == 600
    resumed = Counting(other)
    assert reindex(vault, resumed) == resumed.texts < 600
    assert active_space(vault) == other.id
    assert [space for space, _, _ in vault.vectors.spaces()] == [other.id]


def test_reindex_takes_in_what_comes_meanwhile(vault, fake_embedder) -> None:
    fill(vault, 300)

    class Adding(Counting):
        def embed(self, texts: list[str], progress: Progress | None = None) -> Float32:
            if self.batches == 1:
                vault.memories.add([Record(text="late", kind=Kind.NOTE, source="late.md")])
            return super().embed(texts, progress)

    assert reindex(vault, Adding(fake_embedder)) == 301
    assert not vault.vectors.missing(fake_embedder.id, 1)


def test_reindex_of_an_empty_vault_only_switches(vault, fake_embedder) -> None:
    assert reindex(vault, fake_embedder) == 0
    assert active_space(vault) == fake_embedder.id
