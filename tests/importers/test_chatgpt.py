"""ChatGPT's export: what was said on the branch that was shown, and nothing else."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgeperso.importers import ImportReport, Reason, import_path
from edgeperso.importers.json_stream import BrokenJson, array_elements
from edgeperso.types import Kind, Record, Trust

if TYPE_CHECKING:
    from conftest import FakeVault

Load = Callable[..., tuple[list[Record], ImportReport]]


def node(name: str, parent: str | None, role: str, content: object, **extra: object) -> dict[str, object]:
    if isinstance(content, str):
        content = {"content_type": "text", "parts": [content]}
    message = {"id": name, "author": {"role": role}, "create_time": 1_710_230_400.5, "content": content, **extra}
    return {"id": name, "parent": parent, "children": [], "message": message}


def conversation(*nodes: dict[str, object], **extra: object) -> dict[str, object]:
    root = {"id": "root", "parent": None, "children": ["a"], "message": None}
    mapping = {str(one["id"]): one for one in (root, *nodes)}
    for one in nodes:
        parent = mapping.get(str(one["parent"]))
        if parent is not None and one["id"] not in parent["children"]:  # type: ignore[operator]
            parent["children"].append(one["id"])  # type: ignore[attr-defined]
    return {"title": "Tea", "create_time": 1_700_000_000, "conversation_id": "c-1", "mapping": mapping, **extra}


def plain() -> dict[str, object]:
    return conversation(
        node("a", "root", "user", "Tea or coffee?"), node("b", "a", "assistant", "Tea."), current_node="b"
    )


def test_a_conversation(load: Load) -> None:
    records, report = load("conversations.json", json.dumps([plain()]))
    assert records == [
        Record("Tea or coffee?", Kind.CHAT, "conversations.json", "a", "Tea", "me", "c-1", 0, 1_710_230_400_500),
        Record("Tea.", Kind.CHAT, "conversations.json", "b", "Tea", "assistant", "c-1", 1, 1_710_230_400_500,
               trust=Trust.OTHER),
    ]  # fmt: skip
    assert report.added == 2


def test_only_the_branch_that_was_shown(load: Load) -> None:
    tree = conversation(
        node("a", "root", "user", "old question"), node("b", "a", "assistant", "old answer"),
        node("a2", "root", "user", "new question"), node("b2", "a2", "assistant", "new answer"),
        current_node="b",
    )  # fmt: skip
    assert [one.text for one in load("conversations.json", json.dumps([tree]))[0]] == ["old question", "old answer"]
    tree["current_node"] = None
    tree["conversation_id"] = "c-2"
    assert [one.text for one in load("conversations.json", json.dumps([tree]))[0]] == ["new question", "new answer"]


def test_what_was_not_said_is_left_out(load: Load) -> None:
    spoken = {"content_type": "audio_transcription", "text": "Spoken."}
    picture = {"content_type": "image_asset_pointer"}
    multimodal = {"content_type": "multimodal_text", "parts": [picture, "What is this?", spoken]}
    tree = conversation(
        node("a", "root", "system", "You are"),
        node("b", "a", "user", "profile", metadata={"is_user_system_message": True}),
        node("c", "b", "user", "hidden", metadata={"is_visually_hidden_from_conversation": True}),
        node("d", "c", "user", multimodal),
        node("e", "d", "assistant", {"content_type": "code", "text": "search()"}, recipient="browser"),
        node("f", "e", "tool", "tool result"),
        node("g", "f", "assistant", {"content_type": "thoughts", "thoughts": []}),
        node("h", "g", "assistant", {"content_type": "code", "text": "print(1)"}, recipient="all"),
        node("i", "h", "assistant", "A cat\ue200cite\ue202turn0search1\ue201."),
        current_node="i",
    )
    records, report = load("conversations.json", json.dumps([tree]))
    assert [one.text for one in records] == ["What is this?\n\nSpoken.", "print(1)", "A cat."]
    assert report.attachments == 1


def zipped(*entries: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return out.getvalue()


def test_the_zip_its_folder_and_the_file_hold_the_same(load: Load, tmp_path: Path) -> None:
    data = json.dumps([plain()]).encode()
    from_zip, _ = load("export.zip", zipped(("chat.html", b"<p>"), ("conversations.json", data), ("u/a.png", b"\x89")))
    assert [one.text for one in from_zip] == ["Tea or coffee?", "Tea."]
    assert {one.source for one in from_zip} == {"export.zip"}
    numbered, _ = load("export2.zip", zipped(("x/conversations-000.json", data), ("x/conversations-001.json", b"[]")))
    assert len(numbered) == 2


@pytest.mark.parametrize(
    "bad", [{}, [], 3, None, {"mapping": []}, {"mapping": {"a": 3}}, {"mapping": {"a": {"parent": "a"}}}]
)
def test_a_broken_conversation_is_skipped(load: Load, bad: object) -> None:
    records, report = load("conversations.json", json.dumps([bad, plain()]))
    assert len(records) == 2
    assert set(report.reasons) <= {"broken_record"}


def test_circles_end(load: Load) -> None:
    tree = conversation(node("a", "b", "user", "x"), node("b", "a", "user", "y"), current_node="a")
    assert len(load("conversations.json", json.dumps([tree]))[0]) == 2


@pytest.mark.parametrize("end", ["", "]", "}", ",", '{"mapping": {"a"', "[" * 100_000, '{"a":' * 100_000])
def test_a_file_that_breaks_off_keeps_what_came_before(load: Load, end: str) -> None:
    text = "[" + json.dumps(plain()) + "," + end
    records, report = load("conversations.json", text)
    assert len(records) == 2
    assert report.files_imported == 0
    assert [(skip.reason, skip.detail) for skip in report.skipped] == [(Reason.BROKEN_RECORD, 2)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_elements_across_any_border(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeperso.importers.json_stream._CHUNK", size)
    values = [{"a": ['é\\"]', {"b": None}]}, {}, {"c": "}" * 50}, [], "x"]
    assert list(array_elements(io.StringIO(f" {json.dumps(values)} "), lambda: None)) == values


@pytest.mark.parametrize("text", ["", "{}", "null", "[1 2]", "[,]", "[1,]", "["])
def test_no_array(text: str) -> None:
    with pytest.raises(BrokenJson):
        list(array_elements(io.StringIO(text), lambda: None))


def test_an_unpacked_export(vault: FakeVault, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "conversations.json").write_text(json.dumps([plain()]))
    (folder / "user.json").write_text("{}")
    report = import_path(vault, folder)  # type: ignore[arg-type]
    assert {one.source for one in vault.records} == {"export/conversations.json"}
    assert report.reasons == {"unsupported": 1}
