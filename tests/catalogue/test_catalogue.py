"""Names to files, and whether the files are whole."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from edgeperso.catalogue import Catalogue, HubSource, ModelEntry, ModelFile, ModelRole, WheelSource, file_sha256
from edgeperso.catalogue.entries import BUILT_IN
from edgeperso.errors import ModelCorrupt, ModelNotFound

MODEL, WORDS = b"weights" * 100, b"words"


def pinned(name: str, data: bytes) -> ModelFile:
    return ModelFile(name, hashlib.sha256(data).hexdigest(), len(data), ())


ENTRY = ModelEntry("toy", ModelRole.ENGINE, "MIT", "a toy", (pinned("toy.gguf", MODEL), pinned("words.json", WORDS)))


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path, (ENTRY,))


def fill(catalogue: Catalogue, model: bytes = MODEL, words: bytes = WORDS) -> None:
    folder = catalogue.folder("toy")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "toy.gguf").write_bytes(model)
    (folder / "words.json").write_bytes(words)


def test_the_built_in_entries_are_pinned_and_well_formed() -> None:
    assert [(entry.name, entry.role) for entry in BUILT_IN] == [
        ("smollm2-135m", ModelRole.ENGINE),
        ("minilm-int8", ModelRole.EMBEDDER),
    ]
    for entry in BUILT_IN:
        assert entry.licence == "Apache-2.0"
        for file in entry.files:
            assert len(bytes.fromhex(file.sha256)) == 32
            assert file.size_bytes > 0
            assert Path(file.name).name == file.name
            assert file.sources
            for source in file.sources:
                if isinstance(source, HubSource):
                    assert source.url.startswith("https://")
                    assert source.url.endswith(file.name)
                else:
                    assert isinstance(source, WheelSource)


def test_the_built_in_files_on_this_machine_are_whole(models_dir: Path) -> None:
    catalogue = Catalogue(models_dir)
    for entry in catalogue.entries():
        catalogue.verify(entry.name)
        assert catalogue.present(entry.name)
        assert catalogue.locate(entry.name).name == entry.files[0].name


def test_locate_gives_the_model_file_of_a_name(catalogue: Catalogue) -> None:
    fill(catalogue)
    assert catalogue.locate("toy") == catalogue.models_dir / "toy" / "toy.gguf"
    assert catalogue.entry("toy").size_bytes == len(MODEL) + len(WORDS)


def test_locate_takes_a_path_as_it_is(catalogue: Catalogue, tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(b"x")
    assert catalogue.locate(own) == own
    assert catalogue.locate(str(own)) == own


@pytest.mark.parametrize("name", ["nothing", "/no/such/file.gguf"])
def test_what_is_not_there_is_not_found_and_names_are_offered(catalogue: Catalogue, name: str) -> None:
    with pytest.raises(ModelNotFound, match="toy"):
        catalogue.locate(name)


def test_an_entry_that_was_not_pulled_says_how(catalogue: Catalogue) -> None:
    assert not catalogue.present("toy")
    with pytest.raises(ModelNotFound, match="model pull toy"):
        catalogue.locate("toy")


def test_one_file_of_two_missing(catalogue: Catalogue) -> None:
    fill(catalogue)
    (catalogue.folder("toy") / "words.json").unlink()
    with pytest.raises(ModelNotFound, match=r"words\.json"):
        catalogue.locate("toy")


def test_a_truncated_file_is_corrupt_at_once(catalogue: Catalogue) -> None:
    fill(catalogue, model=MODEL[:-1])
    with pytest.raises(ModelCorrupt):
        catalogue.locate("toy")


def test_a_flipped_byte_is_found_by_verify(catalogue: Catalogue) -> None:
    fill(catalogue)
    catalogue.verify("toy")
    fill(catalogue, model=b"W" + MODEL[1:])
    catalogue.locate("toy")
    with pytest.raises(ModelCorrupt, match="sha256"):
        catalogue.verify("toy")


def test_the_hash_is_read_again_only_when_the_file_changed(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"one")
    assert file_sha256(path) == hashlib.sha256(b"one").hexdigest()
    path.write_bytes(b"three")
    assert file_sha256(path) == hashlib.sha256(b"three").hexdigest()
    with pytest.raises(ModelNotFound):
        file_sha256(tmp_path / "none")
