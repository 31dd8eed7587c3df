"""What travels in a Flower message: a few words, and one body of bytes in a form of our own.

A request's record ``asked`` has ``step`` and ``header``; its ``body`` is the round's tensors or a message of secure
aggregation. A reply's record ``answer`` has ``step`` or the word ``refused``; its ``body`` is an update or a message of
secure aggregation. A body is an array of bytes with a serialization that is no numpy's, so that nobody's ``numpy()``
reads it; Flower cuts it into pieces.

Whoever reads takes nothing on trust: another record, key, type or size is `Garbled`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from edgeperso_federated.broker.protocol import MOST_HEADER_BYTES, Header, Refusal, header_bytes

__all__ = ["STEPS", "Garbled", "Reply", "Request", "read_reply", "read_request", "reply", "request"]

STEPS: Final = ("share", "mask", "confirm", "unmask")
"""Of a round that is summed in secret, after its task."""

_ASKED: Final = "asked"
_ANSWER: Final = "answer"
_BODY: Final = "body"
_KIND: Final = "edgeperso.bytes"


class Garbled(Exception):
    """It isn't in our form."""


@dataclass(frozen=True, slots=True)
class Request:
    """``step`` is ``task`` or one of `STEPS`; ``header`` the task, or which round it belongs to."""

    step: str
    header: Header
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """``step`` is ``update``, ``advertise`` or one of `STEPS`; with ``refused`` there is no body."""

    step: str
    body: bytes = b""
    refused: Refusal | None = None


def request(step: str, header: Header, body: bytes) -> RecordDict:
    return RecordDict({_ASKED: ConfigRecord({"step": step, "header": header_bytes(header)}), _BODY: _packed(body)})


def read_request(content: RecordDict) -> Request:
    """Raises:
    Garbled: it is none.
    """
    record = _record(content, _ASKED, {_ASKED, _BODY})
    step, header = record.get("step"), record.get("header")
    if record.keys() != {"step", "header"} or not isinstance(step, str) or not isinstance(header, bytes):
        raise Garbled
    if step not in ("task", *STEPS) or len(header) > MOST_HEADER_BYTES:
        raise Garbled
    try:
        said = json.loads(header)
    except (ValueError, RecursionError):
        raise Garbled from None
    if not isinstance(said, dict):
        raise Garbled
    return Request(step, said, _unpacked(content))


def reply(answer: Reply) -> RecordDict:
    if answer.refused is not None:
        return RecordDict({_ANSWER: ConfigRecord({"refused": answer.refused.value})})
    return RecordDict({_ANSWER: ConfigRecord({"step": answer.step}), _BODY: _packed(answer.body)})


def read_reply(content: RecordDict) -> Reply:
    """Raises:
    Garbled: it is none.
    """
    refused = _record(content, _ANSWER, set(content.keys())).get("refused")
    if refused is not None:
        record = _record(content, _ANSWER, {_ANSWER})
        if record.keys() != {"refused"} or not isinstance(refused, str) or refused not in set(Refusal):
            raise Garbled
        return Reply("", refused=Refusal(refused))
    record = _record(content, _ANSWER, {_ANSWER, _BODY})
    step = record.get("step")
    if record.keys() != {"step"} or not isinstance(step, str) or step not in ("update", "advertise", *STEPS):
        raise Garbled
    return Reply(step, _unpacked(content))


def _record(content: RecordDict, name: str, names: set[str]) -> Any:
    record = content.get(name)
    if content.keys() != names or not isinstance(record, ConfigRecord):
        raise Garbled
    return record


def _packed(body: bytes) -> ArrayRecord:
    return ArrayRecord({_BODY: Array("uint8", (len(body),), _KIND, body)})


def _unpacked(content: RecordDict) -> bytes:
    record = content.get(_BODY)
    if not isinstance(record, ArrayRecord) or record.keys() != {_BODY}:
        raise Garbled
    array = record[_BODY]
    if array.stype != _KIND or not isinstance(array.data, bytes):
        raise Garbled
    return array.data
