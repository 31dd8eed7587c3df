"""A hostile Flower app on the broker's socket: it asks for everything else, and gets refusals; and whatever it gets,
nothing of the person is in it."""

from __future__ import annotations

import contextlib
import json
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeperso_federated.broker.device import identity_of, ledger_of
from edgeperso_federated.broker.protocol import MOST_HEADER_BYTES, Refusal, Refused, header_bytes
from edgeperso_federated.broker.proxy import Proxy
from edgeperso_federated.update import Update, read_update, update_to_bytes

from .broker_world import CANARY, TEXTS, World
from .hostile_app import Hostile, assert_clean


@pytest.fixture
def hostile(world: World) -> Iterator[Hostile]:
    """Its broker answers in less than a second, so that half frames don't hold up the tests. At the end nothing of the
    person's is in what it was sent."""
    with world.listening(patience_s=0.7):
        app = Hostile(world)
        yield app
    assert_clean(world, bytes(app.received))


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory, tiny_path: Path) -> Iterator[Hostile]:
    """One for all questions that must come to nothing: after them nothing was trained, charged or told."""
    world = World(tmp_path_factory.mktemp("idle"), tiny_path)
    with world.listening(patience_s=0.7):
        app = Hostile(world)
        yield app
    assert_clean(world, bytes(app.received))
    assert not world.trainer.seen
    assert ledger_of(world.vault).bill().rounds == 0
    world.close()


def task_header(world: World, **changes: Any) -> dict[str, Any]:
    return {"kind": "task", "task": world.task(**changes).to_header()}


def edited(header: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    copy = json.loads(json.dumps(header))
    *parents, last = path.split(".")
    part = copy
    for parent in parents:
        part = part[parent]
    part[last] = value
    return copy


# ---- the honest one, for comparison --------------------------------------------------------------------------------


def test_an_honest_round_through_the_proxy(world: World, hostile: Hostile) -> None:
    proxy = Proxy(world.path, patience_s=20)
    proxy.hello()
    task = world.task()
    answer = proxy.task(task.to_header(), world.tensors())
    assert answer.step == "update"
    read_update(task.order.schema(world.frame), answer.body)
    assert_clean(world, answer.body)
    with pytest.raises(Refused) as caught:
        proxy.task(task.to_header(), world.tensors())
    assert caught.value.why is Refusal.REPLAY
    with pytest.raises(Refused) as caught:
        proxy.result("run-1", 1, "share", b"")
    assert caught.value.why is Refusal.SECAGG


def test_the_search_for_canaries_finds_them(world: World) -> None:
    for text in (CANARY.encode(), TEXTS[3].encode().hex().encode(), b"x" + identity_of(world.vault).to_bytes()):
        with pytest.raises(AssertionError):
            assert_clean(world, b"an answer " + text)


# ---- other questions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        {"kind": "memories"},
        {"kind": "memories", "query": "diary"},
        {"kind": "key"},
        {"kind": "consent"},
        {"kind": "ledger"},
        {"kind": "train"},
        {"kind": "hello"},
        {"kind": "hello", "version": 1, "memories": True},
        {"kind": "hello", "version": 2},
        {"kind": "hello", "version": "1"},
        {"kind": "task"},
        {"kind": "task", "task": None},
        {"kind": "task", "task": "../../home/vault.db"},
        {"kind": "result", "run": "run-1", "attempt": 1},
        {"kind": "result", "run": "run-1", "attempt": 1, "step": "share", "path": "/etc/passwd"},
        {"kind": ["task"]},
        {},
    ],
)
def test_other_commands_are_garbage(idle: Hostile, header: dict[str, Any]) -> None:
    assert idle.ask(header) == "garbage"


@pytest.mark.parametrize("step", ["share", "mask", "confirm", "unmask", "update", "advertise", "../x", CANARY])
def test_no_step_is_answered_without_a_round(idle: Hostile, step: str) -> None:
    assert idle.ask({"kind": "result", "run": "run-1", "attempt": 1, "step": step}) == "secagg"


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        ("task.federation", "bees", "consent"),
        ("task.federation", "../../home", "bounds"),
        ("task.federation", "birds\x00", "bounds"),
        ("task.federation", None, "garbage"),
        ("task.model", "/etc/passwd", "garbage"),
        ("task.order.base_sha256", "/etc/passwd", "bounds"),
        ("task.order.base_sha256", "0" * 64, "base"),
        ("task.order.memories", True, "garbage"),
        ("task.order.method", "pickle", "garbage"),
        ("task.order.method", "soft", "bounds"),
        ("task.order.method", "flora", "schema"),
        ("task.order.method", "fedavg", "schema"),
        ("task.order.metrics", ["texts"], "bounds"),
        ("task.order.metrics", ["loss"], "bounds"),
        ("task.order.metrics", [1], "garbage"),
        ("task.order.max_examples", 10_001, "bounds"),
        ("task.order.max_examples", 999, "schema"),
        ("task.order.bound", 2.0, "bounds"),
        ("task.order.bound", 1e300, "bounds"),
        ("task.order.privacy", None, "schema"),
        ("task.order.privacy.clip", 0.5, "bounds"),
        ("task.order.privacy.noise_multiplier", 0.0001, "garbage"),
        ("task.order.privacy.noise_multiplier", 1.0, "schema"),
        ("task.order.adaptive", True, "bounds"),
        ("task.order.adaptive", 1, "garbage"),
        ("task.order.secure", True, "bounds"),
        ("task.order.round", 0, "garbage"),
        ("task.order.round", 1.0, "garbage"),
        ("task.order.round", True, "garbage"),
        ("task.order.attempt", 10**30, "bounds"),
        ("task.order.run", "x" * 65, "garbage"),
        ("task.order.shape.rank", 65, "bounds"),
        ("task.order.shape.rank", 8, "schema"),
        ("task.order.shape.targets", ["../../vault"], "garbage"),
        ("task.order.shape.targets", ["attn_q", "attn_v", "ffn_up"], "schema"),
        ("task.order.shape.is", "Central", "garbage"),
        ("task.order.shape.is", "__import__", "garbage"),
        ("task.order.seed", "ab" * 1000, "garbage"),
        ("task.plan.rank", 5, "bounds"),
        ("task.plan.epochs", 21, "bounds"),
        ("task.plan.epochs", -1, "bounds"),
        ("task.plan.minutes", 121, "bounds"),
        ("task.plan.minutes", 11, "consent"),
        ("task.plan.batch_tokens", 4097, "bounds"),
        ("task.plan.threads", 64, "garbage"),
        ("task.plan", [], "garbage"),
        ("task.group", {"number": 0, "least_clients": 3, "most_clients": 9, "bits": 64}, "bounds"),
        ("task.group", {"number": 0, "least_clients": 1, "most_clients": 1, "bits": 64}, "bounds"),
        ("task.schema", "0" * 64, "schema"),
        ("task.schema", 0, "garbage"),
    ],
)
def test_a_task_with_anything_else_in_it_is_refused(idle: Hostile, path: str, value: object, word: str) -> None:
    assert idle.ask(edited(task_header(idle.world), path, value), idle.world.tensors()) == word


@pytest.mark.parametrize("fault", ["more", "larger", "nan", "huge", "garbage", "none", "long"])
def test_global_tensors_that_are_not_the_tasks_are_refused(idle: Hostile, fault: str) -> None:
    shapes = {one.name: one.shape for one in idle.world.task().order.schema(idle.world.frame).fields}
    tensors = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    name = next(iter(tensors))
    if fault == "more":
        tensors["memories"] = np.zeros(1, np.float32)
    elif fault == "larger":
        tensors[name] = np.zeros((tensors[name].shape[0], 1000), np.float32)
    elif fault in ("nan", "huge"):
        tensors[name][:] = {"nan": np.nan, "huge": 1e30}[fault]
    body = update_to_bytes(Update(tensors, 1, {}))
    body = {"garbage": b"PK\x03\x04" + body[4:], "none": b"", "long": body + b"\0"}.get(fault, body)
    expected = "size" if fault in ("more", "larger", "long") else "tensors"
    assert idle.ask(task_header(idle.world), body) == expected


# ---- frames --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "garbage"),
        (b"\x80\x04\x95" + bytes(100), "garbage"),
        (struct.pack("<4sIQ", b"EPB1", MOST_HEADER_BYTES + 1, 0), "size"),
        (struct.pack("<4sIQ", b"EPB1", 2**32 - 1, 0), "size"),
        (struct.pack("<4sIQ", b"EPB1", 2, 2**64 - 1) + b"{}", "size"),
        (struct.pack("<4sIQ", b"EPB1", 2, 2**29 + 1) + b"{}", "size"),
        (struct.pack("<4sIQ", b"EPB1", 0, 0), "garbage"),
        (struct.pack("<4sIQ", b"EPB1", 16000, 0) + b"[" * 16000, "garbage"),
        (struct.pack("<4sIQ", b"EPB1", 2, 0) + b"\xff\xfe", "garbage"),
    ],
)
def test_what_is_no_frame_is_refused(idle: Hostile, data: bytes, word: str) -> None:
    assert idle.word(idle.raw(data)) == word


@pytest.mark.parametrize(
    "header",
    [
        b'{"kind": "hello","version":1}',
        b'{"version":1,"kind":"hello"}',
        b'{"kind":"key","kind":"hello","version":1}',
        b'{"kind":"hello","version":1e0}',
        b'{"kind":"hell\\u006f","version":1}',
        b'{"kind":"hello","version":NaN}',
        b'{"kind":"hello","version":1}\n',
    ],
)
def test_there_is_one_way_to_say_a_thing(idle: Hostile, header: bytes) -> None:
    assert idle.word(idle.raw(idle.frame(header))) == "garbage"
    assert idle.ask({"kind": "hello", "version": 1}) == "hello"


def test_a_body_where_none_belongs_is_not_read(idle: Hostile) -> None:
    header = header_bytes({"kind": "hello", "version": 1})
    assert idle.word(idle.raw(idle.frame(header, length=2**29))) == "size"


@pytest.mark.parametrize("end", [True, False])
def test_half_a_frame_gets_no_answer_and_holds_nobody_up(world: World, hostile: Hostile, end: bool) -> None:
    whole = hostile.frame(header_bytes(task_header(world)), world.tensors())
    for cut in (0, 3, 16, 40, len(whole) - 1):
        begun = time.monotonic()
        assert hostile.raw(whole[:cut], end=end) == b""
        assert time.monotonic() - begun < 5
    assert hostile.ask({"kind": "hello", "version": 1}) == "hello"
    assert not world.trainer.seen


def test_bytes_that_trickle_have_one_deadline_for_all(hostile: Hostile) -> None:
    with hostile.world.connect() as connection:
        begun = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - begun < 10:
                connection.sendall(b"E")
                time.sleep(0.05)
        assert time.monotonic() - begun < 5


def test_many_connections_are_turned_away_and_the_rest_served(hostile: Hostile) -> None:
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(hostile.world.connect()) for _ in range(40)]
        turned_away = 0
        for connection in waiting[8:]:
            turned_away += hostile.all_of(connection) == b""
        assert turned_away == 32
        threads = [one for one in threading.enumerate() if "_serve_one" in one.name]
        assert len(threads) <= 8
    time.sleep(0.3)
    assert hostile.ask({"kind": "hello", "version": 1}) == "hello"


# ---- at once, and again --------------------------------------------------------------------------------------------


def test_of_tasks_at_once_one_is_done(world: World, hostile: Hostile) -> None:
    begun, go = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert go.wait(10)

    world.trainer.before = wait
    words: list[str] = []
    first = threading.Thread(target=lambda: words.append(hostile.ask(task_header(world), world.tensors())))
    first.start()
    assert begun.wait(10)
    for attempt in (1, 2, 3):
        assert hostile.ask(task_header(world, attempt=attempt), world.tensors()) == "busy"
    assert hostile.ask({"kind": "result", "run": "run-1", "attempt": 1, "step": "share"}) == "busy"
    assert hostile.ask({"kind": "hello", "version": 1}) == "hello"
    go.set()
    first.join(10)
    assert words == ["result"]
    assert len(world.trainer.seen) == 1
    assert ledger_of(world.vault).bill().rounds == 1


def test_a_client_that_hangs_up_gets_no_second_try(world: World, hostile: Hostile) -> None:
    header = header_bytes(task_header(world))
    with world.connect() as connection:
        connection.sendall(hostile.frame(header, world.tensors()))
    deadline = time.monotonic() + 10
    while not world.trainer.seen and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)
    assert hostile.ask(task_header(world), world.tensors()) == "replay"
    assert len(world.trainer.seen) == 1


def test_an_error_with_the_persons_text_in_it_goes_no_further(world: World, hostile: Hostile) -> None:
    def fail() -> None:
        raise RuntimeError(TEXTS[0])

    world.trainer.before = fail
    assert hostile.ask(task_header(world), world.tensors()) == "failed"
    assert hostile.ask({"kind": "hello", "version": 1}) == "hello"
