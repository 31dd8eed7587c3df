"""A run over a folder: once only, resumable, and no file can end it."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeperso.errors import Cancelled, DiskFull, SourceNotFound, SourceUnsupported
from edgeperso.importers import Reason, import_path
from edgeperso.importers.run import _BATCH

if TYPE_CHECKING:
    from conftest import FakeVault


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    (folder / "2024").mkdir(parents=True)
    (folder / "a.md").write_text("Alpha.")
    (folder / "2024" / "03.md").write_text("# 2024-03-12\nBeta.\n")
    (folder / "b.jsonl").write_text('{"text": "Gamma."}\n')
    return folder


def many(folder: Path, count: int) -> Path:
    path = folder / "many.jsonl"
    path.write_text("".join(f'{{"text": "memory {number}"}}\n' for number in range(count)))
    return path


def test_a_folder(vault: FakeVault, notes: Path) -> None:
    report = import_path(vault, notes)
    assert [(one.source, one.text) for one in vault.records] == [
        ("notes/a.md", "Alpha."), ("notes/b.jsonl", "Gamma."), ("notes/2024/03.md", "Beta."),
    ]  # fmt: skip
    assert (report.files_seen, report.files_imported, report.added) == (3, 3, 3)


def test_a_second_import_adds_nothing(vault: FakeVault, notes: Path) -> None:
    import_path(vault, notes)
    report = import_path(vault, notes)
    assert (report.files_unchanged, report.files_imported, report.added, report.duplicates) == (3, 0, 0, 0)
    vault.ledger.clear()
    report = import_path(vault, notes)
    assert (report.files_imported, report.added, report.duplicates) == (3, 0, 3)


def test_another_scope_or_owner_is_looked_at_again(vault: FakeVault, notes: Path) -> None:
    import_path(vault, notes)
    assert import_path(vault, notes, scope="work").files_unchanged == 0
    assert import_path(vault, notes, own_addresses=["me@y.example"]).files_unchanged == 0
    assert vault.records[0].scope == "personal"


def test_the_scope_is_given_on(vault: FakeVault, notes: Path) -> None:
    import_path(vault, notes, scope="work")
    assert {one.scope for one in vault.records} == {"work"}


def test_names_with_dots_and_links(vault: FakeVault, notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(notes)
    import_path(vault, Path())
    assert {one.source.split("/")[0] for one in vault.records} == {"notes"}
    (notes.parent / "linked").symlink_to(notes)
    import_path(vault, notes.parent / "linked")
    assert {one.source.split("/")[0] for one in vault.records} == {"notes", "linked"}


def test_what_is_not_read_is_reported(vault: FakeVault, notes: Path, tmp_path: Path) -> None:
    vault.home = notes / "vault"
    vault.home.mkdir()
    (vault.home / "x.md").write_text("own")
    (tmp_path / "secret.md").write_text("secret")
    (notes / "out.md").symlink_to(tmp_path / "secret.md")
    (notes / "up").symlink_to("..")
    (notes / "loop").symlink_to("loop")
    (notes / "in.md").symlink_to("a.md")
    (notes / ".git").mkdir()
    (notes / "empty.md").touch()
    (notes / "photo.png").write_bytes(b"\x89PNG")
    (notes / "bin.md").write_bytes(b"\x7fELF\x00\x00\x00")
    os.mkfifo(notes / "pipe.md")
    report = import_path(vault, notes)
    assert {skip.source.removeprefix("notes/"): skip.reason for skip in report.skipped} == {
        "vault": Reason.OWN_VAULT, "out.md": Reason.SYMLINK_OUTSIDE, "up": Reason.SYMLINK_OUTSIDE,
        "loop": Reason.SYMLINK_OUTSIDE, "in.md": Reason.SYMLINK_INSIDE, ".git": Reason.HIDDEN,
        "empty.md": Reason.EMPTY, "photo.png": Reason.UNSUPPORTED, "bin.md": Reason.BINARY,
        "pipe.md": Reason.SPECIAL_FILE,
    }  # fmt: skip
    assert report.added == 3
    assert not any("secret" in one.text or "own" in one.text for one in vault.records)


def test_every_reason_has_a_sentence() -> None:
    assert all(reason.hint.endswith(".") for reason in Reason)


def test_odd_names_can_be_stored_and_printed(vault: FakeVault, notes: Path) -> None:
    (notes / os.fsdecode(b"caf\xe9.md")).write_text("Latin name.")
    (notes / "a\n\x1b\u202eb.md").write_text("Control name.")
    (notes / "cafe\u0301.md").write_text("Decomposed name.")
    import_path(vault, notes)
    names = {one.text: one.source for one in vault.records}
    assert names["Latin name."] == "notes/caf\\xe9.md"
    assert names["Control name."] == "notes/a\\n\\x1b\\u202eb.md"
    assert names["Decomposed name."] == "notes/caf\u00e9.md"


def test_one_file_alone(vault: FakeVault, notes: Path, tmp_path: Path) -> None:
    import_path(vault, notes / "2024" / "03.md")
    assert [one.source for one in vault.records] == ["03.md"]
    with pytest.raises(SourceNotFound):
        import_path(vault, tmp_path / "nothing")
    (tmp_path / "x.docx").write_bytes(b"PK")
    with pytest.raises(SourceUnsupported):
        import_path(vault, tmp_path / "x.docx")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceUnsupported):
        import_path(vault, tmp_path / "pipe")


@pytest.mark.parametrize("stop", ["event", "callable", "interrupt"])
def test_a_stopped_import_goes_on(vault: FakeVault, tmp_path: Path, stop: str) -> None:
    path = many(tmp_path, 3 * _BATCH + 10)
    event = threading.Event()

    def after_two_batches() -> None:
        if len(vault.records) >= 2 * _BATCH:
            if stop == "interrupt":
                raise KeyboardInterrupt
            event.set()

    vault.before_add = after_two_batches
    cancel = {"event": event, "callable": event.is_set, "interrupt": None}[stop]
    with pytest.raises(Cancelled) as caught:
        import_path(vault, path, cancel=cancel)
    kept = len(vault.records)
    assert kept in {2 * _BATCH, 3 * _BATCH}
    assert str(kept) in caught.value.message
    assert not vault.ledger
    vault.before_add = lambda: None
    report = import_path(vault, path)
    assert (report.added, report.duplicates) == (3 * _BATCH + 10 - kept, kept)
    assert len({one.text for one in vault.records}) == len(vault.records) == 3 * _BATCH + 10


def test_an_error_of_the_vault_ends_the_run(vault: FakeVault, notes: Path) -> None:
    def full() -> None:
        raise DiskFull("full")

    vault.before_add = full
    with pytest.raises(DiskFull):
        import_path(vault, notes)
    assert not vault.ledger


def test_progress_grows_to_the_whole(vault: FakeVault, notes: Path) -> None:
    many(notes, 2000)
    calls: list[tuple[str, int, int | None]] = []
    import_path(vault, notes, progress=lambda *call: calls.append(call))
    done = [call[1] for call in calls]
    assert done == sorted(done)
    assert calls[-1][0] == "import"
    assert calls[-1][1] == calls[-1][2] == sum(path.stat().st_size for path in notes.rglob("*") if path.is_file())


def test_a_file_that_grows_meanwhile_is_not_marked(vault: FakeVault, tmp_path: Path) -> None:
    path = many(tmp_path, 5)

    def grow() -> None:
        with path.open("a") as stream:
            stream.write('{"text": "late"}\n')
        vault.before_add = lambda: None

    vault.before_add = grow
    report = import_path(vault, path)
    assert report.reasons == {"changed_while_read": 1}
    import_path(vault, path)
    assert "late" in {one.text for one in vault.records}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([".md", ".txt", ".jsonl", ".mbox", ".zip", ".json", ""]),
    st.sampled_from(
        [b"", b"From a Tue Mar 12 10:00:00 2024\nA: b\n\n", b"PK\x03\x04", b"[", b"---\n", b"\xff\xfe", b'{"text":']
    ),
    st.one_of(st.binary(max_size=2000), st.text(max_size=1000).map(lambda text: text.encode("utf-8", "replace"))),
)
def test_no_bytes_can_end_an_import(vault: FakeVault, tmp_path: Path, suffix: str, head: bytes, tail: bytes) -> None:
    folder = tmp_path / "fuzz"
    folder.mkdir(exist_ok=True)
    path = folder / f"conversations{suffix}"
    path.write_bytes(head + tail)
    try:
        report = import_path(vault, folder)
    finally:
        path.unlink()
    assert report.files_seen == 1
