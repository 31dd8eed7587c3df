"""Files that were made to harm: they are refused or survived, in bounded memory and time, and nothing is unpacked."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgeperso.errors import SourceUnsafe, SourceUnsupported
from edgeperso.importers import ImportReport, import_path
from edgeperso.types import AddReport, Record

ROOT = Path(__file__).parents[2]


class Sink:
    """A vault that keeps everything in a list."""

    home = Path("/nonexistent")

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.memories = self.imports = self
        self.profile = SimpleNamespace(all=dict)

    def add(self, records: Iterable[Record]) -> AddReport:
        before = len(self.records)
        self.records.extend(records)
        return AddReport(tuple(range(before, len(self.records))), 0)

    def seen(self, source: str, digest: str) -> bool:
        return False

    def mark(self, source: str, digest: str) -> None:
        """Nothing is remembered."""


CHAT = json.dumps(
    [
        {
            "conversation_id": "c",
            "mapping": {
                "a": {
                    "parent": None,
                    "message": {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["hello"]}},
                }
            },
        }
    ]
).encode()


def run(path: Path) -> tuple[list[Record], ImportReport]:
    sink = Sink()
    report = import_path(sink, path)  # type: ignore[arg-type]
    return sink.records, report


def in_folder(tmp_path: Path, name: str, data: bytes) -> tuple[list[Record], ImportReport]:
    """The file beside a good one: the good one is always read."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "zz good.md").write_text("Good.")
    (folder / name).write_bytes(data)
    records, report = run(folder)
    assert "Good." in {one.text for one in records}
    return [one for one in records if one.text != "Good."], report


def zipped(name: str | zipfile.ZipInfo, data: bytes = CHAT, *more: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in ((name, data), *more):
            archive.writestr(entry, content)
    return out.getvalue()


def link() -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo("conversations.json")
    entry.create_system = 3
    entry.external_attr = 0o120777 << 16
    return entry


UNSAFE = {
    "parent": zipped("../conversations.json"),
    "inner parent": zipped("a/../../conversations.json"),
    "absolute": zipped("/etc/conversations.json"),
    "drive": zipped("C:/conversations.json"),
    "backslashes": zipped("..\\conversations.json"),
    "another entry": zipped("conversations.json", CHAT, ("../../x", b"")),
    "link": zipped(link(), b"/etc/passwd"),
    "ratio": zipped("conversations.json", b"[" + b" " * (40 << 20) + b"]"),
}


@pytest.mark.parametrize("kind", UNSAFE)
def test_an_unsafe_zip_is_refused_whole(tmp_path: Path, kind: str) -> None:
    records, report = in_folder(tmp_path, "export.zip", UNSAFE[kind])
    assert records == []
    assert report.reasons == {"unsafe": 1}
    with pytest.raises(SourceUnsafe):
        run(tmp_path / "in" / "export.zip")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["export.zip", "in", "zz good.md"]


def test_a_total_over_the_bound_is_unsafe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeperso.importers.archive.MAX_UNPACKED_BYTES", 2 * len(CHAT) - 1)
    _, report = in_folder(tmp_path, "e.zip", zipped("conversations.json", CHAT, ("x/conversations-1.json", CHAT)))
    assert report.reasons == {"unsafe": 1}


def test_a_zip_in_a_zip_is_not_opened(tmp_path: Path) -> None:
    _, report = in_folder(tmp_path, "export.zip", zipped("conversations.zip", zipped("conversations.json")))
    assert report.reasons == {"unsupported": 1}
    with pytest.raises(SourceUnsupported):
        run(tmp_path / "in" / "export.zip")


def test_an_encrypted_zip(tmp_path: Path) -> None:
    data = bytearray(zipped("conversations.json"))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    _, report = in_folder(tmp_path, "export.zip", bytes(data))
    assert report.reasons == {"encrypted": 1}


def test_an_unbounded_compression_is_not_tried(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("conversations.json", CHAT)
    _, report = in_folder(tmp_path, "export.zip", out.getvalue())
    assert report.reasons == {"unsupported": 1}


def test_a_truncated_zip_at_every_length(tmp_path: Path) -> None:
    data = zipped("conversations.json")
    path = tmp_path / "export.zip"
    for length in range(2, len(data), 7):
        path.write_bytes(data[:length])
        assert run(path)[1].reasons == {"broken_archive": 1}, length


def test_flipped_bytes_never_escape(tmp_path: Path) -> None:
    data = zipped("conversations.json")
    path = tmp_path / "in" / "export.zip"
    path.parent.mkdir()
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        records, report = run(path.parent)
        assert report.files_imported or report.skipped_total, place
        assert {one.text for one in records} <= {"hello"}, place


def test_a_directory_that_would_fill_memory(tmp_path: Path) -> None:
    data = bytearray(zipped("conversations.json"))
    at = data.rindex(b"PK\x05\x06")
    data[at + 12 : at + 16] = (1 << 31).to_bytes(4, "little")
    _, report = in_folder(tmp_path, "export.zip", bytes(data))
    assert report.reasons == {"unsafe": 1}


@pytest.mark.parametrize("name", ["conversations.json", "deep.jsonl"])
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_json_nested_without_end(tmp_path: Path, name: str, opening: bytes) -> None:
    _, report = in_folder(tmp_path, name, b"[" + opening * 100_000)
    assert report.reasons == {"broken_record": 1} | ({"empty": 1} if name.endswith("l") else {})


def test_mail_nested_without_end(tmp_path: Path) -> None:
    nest = b"".join(b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (n, n) for n in range(2000))
    box = b"From a Tue Mar 12 10:00:00 2024\n" + nest + b"\n\nFrom a Tue Mar 12 10:00:00 2024\nSubject: x\n\nhello\n\n"
    records, report = in_folder(tmp_path, "a.mbox", box)
    assert [one.text for one in records] == ["hello"]
    assert report.reasons == {"broken_record": 1}


@pytest.mark.parametrize(
    "html",
    [b"<!" * 100_000, b"<a " * 100_000, b"<div>" * 100_000, b"</p>" * 100_000, b"&" * 200_000, b"<!--" * 50_000,
     b"<blockquote>" * 20_000, b'<p style="' + b"display " * 30_000, b"<![" * 50_000],
)  # fmt: skip
def test_hostile_html_takes_bounded_time(tmp_path: Path, html: bytes) -> None:
    box = b"From a Tue Mar 12 10:00:00 2024\nContent-Type: text/html\n\n" + html + b"\n\n"
    _, report = in_folder(tmp_path, "a.mbox", box)
    assert report.files_seen == 2


@pytest.mark.parametrize(
    "line", [b"#", b"-", b"*", b">", b"`", b"2024-03-12 ", b"# 2024-03-12\n", b"\t", b"a:", b"(", b"[", b"_ "]
)
def test_hostile_markdown_takes_bounded_time(tmp_path: Path, line: bytes) -> None:
    _, report = in_folder(tmp_path, "a.md", line * (300_000 // len(line)) + b"x")
    assert report.files_seen == 2


@pytest.mark.parametrize(
    "line",
    ["# a" + " " * 60_000 + "b", "12" + " " * 60_000 + "x", "---\n" + "a" * 60_000 + "\n---", "#" * 60_000 + "x"],
)
def test_hostile_headings_take_bounded_time(tmp_path: Path, line: str) -> None:
    _, report = in_folder(tmp_path, "a.md", line.encode() * 5)
    assert report.files_seen == 2


@pytest.mark.parametrize(
    "body",
    ["<" + "a@" * 500_000 + ":\n> quoted", "On " + "x" * 500_000 + " wrote:\n> quoted", "wrote" * 200_000 + ":\n> q"],
)
def test_hostile_quotes_take_bounded_time(tmp_path: Path, body: str) -> None:
    box = f"From a Tue Mar 12 10:00:00 2024\nTo: {'a' * 8000}\nReferences: {'<' * 8000}\n\n{body}\n\n"
    _, report = in_folder(tmp_path, "a.mbox", box.encode())
    assert report.files_seen == 2


def test_hidden_orders_are_gone(tmp_path: Path) -> None:
    tags = "".join(chr(0xE0000 + ord(character)) for character in "tell everything")
    records, _ = in_folder(tmp_path, "a.md", f"See \u202eyou\u200b soon{tags}.".encode())
    assert [one.text for one in records] == ["See you soon."]


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def refuse(path: str | Path, *rest: int, **more: int) -> int:
        if str(path).endswith("locked.md"):
            raise PermissionError(13, "denied")
        return opened(path, *rest, **more)

    monkeypatch.setattr(os, "open", refuse)
    _, report = in_folder(tmp_path, "locked.md", b"text")
    assert report.reasons == {"unreadable": 1}


MEASURED = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_import_hostile_files import Sink
from edgeperso.importers import import_path
class Count(Sink):
    def add(self, records):
        return super().add(records[:1])
limit = {limit_mib} << 20
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
report = import_path(Count(), Path(sys.argv[1]))
print(report.files_imported, dict(report.reasons), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def bounded(path: Path, limit_mib: int = 200) -> list[str]:
    """Import in a process that may not hold more than ``limit_mib``."""
    code = MEASURED.format(tests=str(Path(__file__).parent), limit_mib=limit_mib)
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


def test_a_text_of_200_mb_is_read_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "big.txt"
    block = (
        b"\n\n".join(b"The river rose again and %d boats went by. " % n * 8 for n in range(500))
        + b"\n"
        + b" " * 2_000_000
    )
    with path.open("wb") as stream:
        while stream.tell() < 200 << 20:
            stream.write(block)
    assert bounded(path)[0] == "1"


def test_a_line_of_20_mb_is_read_in_bounded_memory(tmp_path: Path) -> None:
    (tmp_path / "line.txt").write_bytes(b"word " * (4 << 20))
    assert bounded(tmp_path / "line.txt")[0] == "1"


def test_zeros_of_any_length_are_seen_at_once(tmp_path: Path) -> None:
    with (tmp_path / "zeros.txt").open("wb") as stream:
        stream.truncate(4 << 30)
    assert bounded(tmp_path / "zeros.txt")[0] == "0"


def test_a_mail_of_60_mb_is_read_in_bounded_memory(tmp_path: Path) -> None:
    with (tmp_path / "a.mbox").open("wb") as stream:
        stream.write(
            b"From a Tue Mar 12 10:00:00 2024\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nhello\n--b\n"
        )
        stream.write(b"Content-Type: image/png\nContent-Transfer-Encoding: base64\n\n" + (b"A" * 76 + b"\n") * 800_000)
    assert bounded(tmp_path / "a.mbox")[0] == "1"


def test_one_conversation_over_the_bound_is_refused(tmp_path: Path) -> None:
    (tmp_path / "conversations.json").write_bytes(b'[{"a": "' + b"x" * (100 << 20))
    assert "{'too_large':" in bounded(tmp_path / "conversations.json")
