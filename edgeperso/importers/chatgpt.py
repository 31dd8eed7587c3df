"""ChatGPT's data export: the zip, its unpacked folder, or ``conversations.json`` alone.

Each conversation is a tree (edited and regenerated messages branch); the branch that was shown last is read. Only what
the person and the assistant said to each other counts: system, tool and hidden messages, calls of tools and the
assistant's thoughts are left out.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import BinaryIO, Final, cast

from edgeperso.importers.archive import BROKEN_ZIP, open_zip, select
from edgeperso.importers.clean import clean, one_line
from edgeperso.importers.json_stream import BrokenJson, ElementTooLarge, array_elements
from edgeperso.importers.report import Reason
from edgeperso.importers.source import Context, FileRejected, SourceFile
from edgeperso.importers.split import split_text
from edgeperso.types import Kind, Record, Trust

__all__ = ["ASSISTANT_AUTHOR", "PERSON_AUTHOR", "ChatGptImporter"]

PERSON_AUTHOR: Final = "me"
ASSISTANT_AUTHOR: Final = "assistant"

_FILE_NAME: Final = re.compile(r"conversations(?:[-_]?\d+)?\.json")
_ZIP_HEAD: Final = b"PK"
_ARRAY_START: Final = re.compile(rb"^(?:\xef\xbb\xbf)?\s*\[")
_CITATION: Final = re.compile("\ue200[^\ue200\ue201]{0,2000}\ue201|【\\d+†[^】]{0,200}】", re.DOTALL)
_LATEST_S: Final = 7_258_118_400
_AUTHORS: Final = {"user": (PERSON_AUTHOR, Trust.SELF), "assistant": (ASSISTANT_AUTHOR, Trust.OTHER)}

Json = Mapping[str, object]


class ChatGptImporter:
    """The person's messages are trusted as their own words, the assistant's answers are somebody else's."""

    name = "chatgpt"
    version = 1

    def accepts(self, file: SourceFile) -> bool:
        if file.suffix == ".zip":
            return file.head.startswith(_ZIP_HEAD)
        return bool(_FILE_NAME.fullmatch(file.path.name)) and bool(_ARRAY_START.match(file.head))

    def read(self, file: SourceFile, context: Context) -> Iterator[Record]:
        with file.open() as stream:
            if file.suffix == ".zip":
                yield from _zip_records(stream, file, context)
            else:
                yield from _json_records(stream, file, context, 0)


def _zip_records(stream: BinaryIO, file: SourceFile, context: Context) -> Iterator[Record]:
    with open_zip(stream) as archive:
        chosen = select(archive, _FILE_NAME)
        if not chosen:
            raise FileRejected(Reason.UNSUPPORTED)
        for number, entry in enumerate(chosen):
            try:
                with archive.open(entry) as inner:
                    yield from _json_records(cast(BinaryIO, inner), file, context, number * 1_000_000)
            except (*BROKEN_ZIP, zlib.error):
                raise FileRejected(Reason.BROKEN_ARCHIVE) from None


def _json_records(stream: BinaryIO, file: SourceFile, context: Context, before: int) -> Iterator[Record]:
    """Records of a ``conversations.json``; ``before`` counts the conversations in the files read before."""
    number = before
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="replace")
    try:
        for element in array_elements(text, context.check):
            number += 1
            try:
                yield from _conversation(element, number, file, context)
            except (TypeError, ValueError, KeyError, AttributeError, RecursionError, OverflowError):
                context.skip(Reason.BROKEN_RECORD, number)
    except ElementTooLarge:
        raise FileRejected(Reason.TOO_LARGE, number + 1) from None
    except BrokenJson:
        raise FileRejected(Reason.BROKEN_RECORD, number + 1) from None


def _conversation(element: object, number: int, file: SourceFile, context: Context) -> Iterator[Record]:
    conversation = _object(element)
    mapping = _object(conversation["mapping"])
    identity = conversation.get("conversation_id") or conversation.get("id")
    thread = one_line(str(identity)) if identity else f"{file.source}#{number}"
    title = one_line(_string(conversation.get("title")))
    started_ms = _time_ms(conversation.get("create_time"))
    position = 0
    for node in _branch(mapping, conversation.get("current_node")):
        message = mapping[node]
        said = _said(_object(message).get("message"), context)
        if said is None:
            continue
        author, trust, text, at_ms = said
        for piece in split_text(text):
            yield Record(
                text=piece,
                kind=Kind.CHAT,
                source=file.source,
                locator=one_line(node),
                title=title,
                author=author,
                thread=thread,
                position=position,
                occurred_ms=at_ms or started_ms,
                scope=context.scope,
                trust=trust,
            )
            position += 1


def _branch(mapping: Json, current: object) -> list[str]:
    """Node ids from the root to ``current``, or to the end of the newest branch where it isn't known."""
    node: object = current if isinstance(current, str) and current in mapping else _last_leaf(mapping)
    path: list[str] = []
    seen: set[str] = set()
    while isinstance(node, str) and node in mapping and node not in seen:
        seen.add(node)
        path.append(node)
        node = _object(mapping[node]).get("parent")
    return path[::-1]


def _last_leaf(mapping: Json) -> str | None:
    node = next((name for name, entry in mapping.items() if _object(entry).get("parent") not in mapping), None)
    seen: set[str] = set()
    while node is not None and node not in seen:
        seen.add(node)
        children = _object(mapping[node]).get("children")
        known = [child for child in children if child in mapping] if isinstance(children, list) else []
        if not known:
            return node
        node = known[-1]
    return node


def _said(message: object, context: Context) -> tuple[str, Trust, str, int | None] | None:
    """Author, trust, text and time of a message that one of the two said to the other."""
    if not isinstance(message, dict):
        return None
    speaker = _AUTHORS.get(str(_object(message.get("author") or {}).get("role")))
    metadata = _object(message.get("metadata") or {})
    hidden = metadata.get("is_visually_hidden_from_conversation") or metadata.get("is_user_system_message")
    if speaker is None or hidden or message.get("recipient", "all") not in {"all", None}:
        return None
    text, others = _content(_object(message.get("content") or {}))
    context.attachment(others)
    text = clean(_CITATION.sub("", text))
    if not text.strip():
        return None
    return (*speaker, text, _time_ms(message.get("create_time")))


def _content(content: Json) -> tuple[str, int]:
    """The text of a message, and how many parts of it are none (pictures, sounds)."""
    kind = content.get("content_type")
    if kind == "code":
        return _string(content.get("text")), 0
    parts = content.get("parts")
    if kind not in {"text", "multimodal_text"} or not isinstance(parts, list):
        return "", 0
    texts = [part for part in parts if isinstance(part, str)]
    others = [part for part in parts if isinstance(part, dict)]
    spoken = [_string(part.get("text")) for part in others if part.get("content_type") == "audio_transcription"]
    return "\n\n".join(texts + spoken), len(others) - len(spoken)


def _time_ms(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _LATEST_S:
        return None
    return round(value * 1000)


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _object(value: object) -> Json:
    if not isinstance(value, dict):
        raise TypeError("object")
    return value
