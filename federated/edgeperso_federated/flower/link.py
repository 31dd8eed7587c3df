"""Asks clients over Flower's grid, each for itself: what one of them sends, or doesn't, is no other one's trouble.

Flower's own strategies take all replies in one go, and one that can't be read ends the run. Here each reply is fetched
by itself, in a thread that may hang (Flower waits for the pieces of a reply for minutes) while the others go on.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final

import httpx
from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from edgeperso_federated.flower.wire import Garbled, Reply, read_reply

__all__ = ["Link"]

_PULSE_S: Final = 0.3
_STUCK_S: Final = 5.0
_WORKERS: Final = 2
_PUSHED_AT_ONCE: Final = 16


class Link:
    """A grid, and who sits at it.

    Args:
        grid: Flower's.
        nodes: identities of nodes in the order of clients' numbers; a client without one is absent.
        pulse_s: between two looks for a reply.
    """

    def __init__(self, grid: Grid, nodes: list[int], *, pulse_s: float = _PULSE_S) -> None:
        self._grid = grid
        self._pulse_s = pulse_s
        self.nodes = nodes
        self._refused: Counter[str] = Counter()

    def refusals(self) -> dict[str, int]:
        """Why brokers refused since this was last asked, and how often: it helps who runs the server."""
        told, self._refused = dict(sorted(self._refused.items())), Counter()
        return told

    def online(self) -> set[int]:
        """The clients that are connected now. New nodes get numbers after the known ones."""
        there = sorted(self._grid.get_node_ids())
        self.nodes += [node for node in there if node not in self.nodes]
        return {self.nodes.index(node) for node in there}

    def wait_for(self, count: int, timeout_s: float) -> int:
        """How many clients are connected, once they are ``count`` or the time is up."""
        give_up = time.monotonic() + timeout_s
        while True:
            online = len(self.online())
            if online >= count or time.monotonic() >= give_up:
                return online
            time.sleep(self._pulse_s)

    def ask(self, requests: Mapping[int, RecordDict], timeout_s: float) -> Iterator[tuple[int, Reply | None]]:
        """Each client once with its reply, in the order in which they come; None: absent, too late, or garbled.

        A request isn't carried out any more once the time is up.
        """
        online = self.online()
        for client in requests.keys() - online:
            yield client, None
        asked = {client: content for client, content in requests.items() if client in online}
        waiting = self._push(asked, timeout_s)
        for client in asked.keys() - set(waiting.values()):
            yield client, None
        yield from self._pull(waiting, time.monotonic() + timeout_s)

    def _push(self, asked: Mapping[int, RecordDict], ttl_s: float) -> dict[str, int]:
        waiting: dict[str, int] = {}
        clients = list(asked)
        for start in range(0, len(clients), _PUSHED_AT_ONCE):
            some = clients[start : start + _PUSHED_AT_ONCE]
            messages = [Message(asked[client], self.nodes[client], "train", ttl=ttl_s) for client in some]
            pushed = list(self._grid.push_messages(messages))
            if len(pushed) == len(some):
                waiting |= {one: client for one, client in zip(pushed, some, strict=True) if one}
        return waiting

    def _pull(self, waiting: dict[str, int], give_up: float) -> Iterator[tuple[int, Reply | None]]:
        todo: SimpleQueue[str | None] = SimpleQueue()
        done: SimpleQueue[tuple[str, list[Message] | None]] = SimpleQueue()
        out: dict[str, float] = {}
        again: dict[str, float] = dict.fromkeys(waiting, 0.0)
        workers = 0
        while waiting and (now := time.monotonic()) < give_up:
            stuck = sum(now - since > _STUCK_S for since in out.values())
            while workers < min(stuck + _WORKERS, len(waiting) + stuck):
                Thread(target=self._work, args=(todo, done), daemon=True).start()
                workers += 1
            for one in [one for one, at in again.items() if at <= now]:
                del again[one]
                out[one] = now
                todo.put(one)
            try:
                one, messages = done.get(timeout=self._pulse_s)
            except Empty:
                continue
            del out[one]
            if messages == []:
                again[one] = time.monotonic() + self._pulse_s
                continue
            reply = _read(messages)
            if reply is not None and reply.refused is not None:
                self._refused[reply.refused.value] += 1
            yield waiting.pop(one), reply
        for _ in range(workers):
            todo.put(None)
        for client in waiting.values():
            yield client, None

    def _work(self, todo: SimpleQueue[str | None], done: SimpleQueue[tuple[str, list[Message] | None]]) -> None:
        while (one := todo.get()) is not None:
            try:
                done.put((one, list(self._grid.pull_messages([one]))))
            except httpx.HTTPError:
                done.put((one, []))
            except Exception:  # noqa: BLE001 - whatever a stranger's bytes do to Flower's reader
                done.put((one, None))


def _read(messages: list[Message] | None) -> Reply | None:
    if messages is None or len(messages) != 1:
        return None
    try:
        return read_reply(messages[0].content) if messages[0].has_content() else None
    except (Garbled, ValueError, TypeError, AttributeError, KeyError):
        return None
