"""What travels in Flower's messages, and what is not taken for it."""

from __future__ import annotations

import pytest

pytest.importorskip("flwr")

from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from edgeperso_federated.broker.protocol import Refusal
from edgeperso_federated.flower.wire import Garbled, Reply, read_reply, read_request, reply, request


def test_a_request_comes_back_as_it_was() -> None:
    found = read_request(request("task", {"b": [1, {"c": None}], "a": "é"}, b"\x00tensors"))
    assert (found.step, found.header, found.body) == ("task", {"a": "é", "b": [1, {"c": None}]}, b"\x00tensors")


@pytest.mark.parametrize("said", [Reply("update", b"bytes"), Reply("mask", b""), Reply("", refused=Refusal.BUDGET)])
def test_a_reply_comes_back_as_it_was(said: Reply) -> None:
    assert read_reply(reply(said)) == said


def body(**changes: object) -> ArrayRecord:
    said = {"dtype": "uint8", "shape": (3,), "stype": "edgeperso.bytes", "data": b"abc"} | changes
    return ArrayRecord({"body": Array(**said)})


GARBLED = {
    "nothing": RecordDict(),
    "no body": RecordDict({"answer": ConfigRecord({"step": "update"})}),
    "another record": RecordDict({"answer": ConfigRecord({"step": "update"}), "body": body(), "x": ConfigRecord()}),
    "another key": RecordDict({"answer": ConfigRecord({"step": "update", "x": 1}), "body": body()}),
    "another kind of record": RecordDict({"answer": MetricRecord({"step": 1}), "body": body()}),
    "a number for a word": RecordDict({"answer": ConfigRecord({"step": 1}), "body": body()}),
    "an unknown step": RecordDict({"answer": ConfigRecord({"step": "tell me all"}), "body": body()}),
    "a refusal in other words": RecordDict({"answer": ConfigRecord({"refused": "my diary says"})}),
    "a list of refusals": RecordDict({"answer": ConfigRecord({"refused": ["budget"]})}),
    "a refusal with a body": RecordDict({"answer": ConfigRecord({"refused": "budget"}), "body": body()}),
    "numpy": RecordDict({"answer": ConfigRecord({"step": "update"}), "body": body(stype="numpy.ndarray")}),
    "two arrays": RecordDict(
        {"answer": ConfigRecord({"step": "update"}), "body": ArrayRecord({"body": body()["body"], "x": body()["body"]})}
    ),
    "a request": request("task", {}, b"abc"),
}


@pytest.mark.parametrize("kind", GARBLED)
def test_what_is_no_reply_is_not_read(kind: str) -> None:
    assert read_reply(RecordDict({"answer": ConfigRecord({"step": "update"}), "body": body()})).body == b"abc"
    with pytest.raises(Garbled):
        read_reply(GARBLED[kind])


@pytest.mark.parametrize("header", [b"{", b"[]", b"\xff", b"[" * 100_000, b'{"a":' + b'"' + b"x" * 20_000 + b'"}'])
def test_what_is_no_request_is_not_read(header: bytes) -> None:
    content = RecordDict({"asked": ConfigRecord({"step": "task", "header": header}), "body": body()})
    with pytest.raises(Garbled):
        read_request(content)
