"""Conversations with the assistant, turn by turn, each answer with the trace that explains it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from edgeperso.errors import AdapterRefused, NotFound, UsageError
from edgeperso.times import now_ms
from edgeperso.types import Role, Turn
from edgeperso.vault.database import Database
from edgeperso.vault.lineage import said_with_tainted

__all__ = ["Conversations"]

_COLUMNS: Final = "id, conversation_id, role, text, at_ms, trace"


class Conversations:
    """The conversations of one vault. Open through `Vault.conversations`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self) -> int:
        """Begin a conversation and return its id."""
        return self._database.insert("INSERT INTO conversations (started_ms) VALUES (?)", (now_ms(),))

    def latest(self) -> int | None:
        """The id of the conversation begun last."""
        row = self._database.row("SELECT max(id) FROM conversations")
        return None if row is None or row[0] is None else int(row[0])

    def add_turn(self, conversation_id: int, role: Role, text: str, trace: dict[str, object] | None = None) -> Turn:
        """Append a turn. ``trace`` must be JSON, hold no text of memories, and name the memories that an answer drew
        from in ``trace["sources"]``: forgetting one of them erases the answer.

        Raises:
            NotFound: there is no such conversation.
        """
        with self._database.transaction():
            if self._database.row("SELECT 1 FROM conversations WHERE id = ?", (conversation_id,)) is None:
                raise NotFound(f"There is no conversation {conversation_id}.")
            at_ms = now_ms()
            id_ = self._database.insert(
                "INSERT INTO turns (conversation_id, role, text, at_ms, trace) VALUES (?, ?, ?, ?, ?)",
                (conversation_id, role.value, text, at_ms, None if trace is None else json.dumps(trace)),
            )
        return Turn(id_, conversation_id, role, text, at_ms, trace)

    def turns(self, conversation_id: int) -> list[Turn]:
        """The turns of a conversation, in order; none when it is unknown."""
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM turns WHERE conversation_id = ? ORDER BY id",  # noqa: S608
            (conversation_id,),
        )
        return [_turn(row) for row in rows]

    def all_turns(self) -> Iterator[Turn]:
        """Every turn of every conversation, by conversation and order."""
        for row in self._database.rows(f"SELECT {_COLUMNS} FROM turns ORDER BY conversation_id, id"):  # noqa: S608
            yield _turn(row)

    def turn(self, id_: int) -> Turn:
        """Raises:
        NotFound: there is no such turn.
        """
        row = self._database.row(f"SELECT {_COLUMNS} FROM turns WHERE id = ?", (id_,))  # noqa: S608
        if row is None:
            raise NotFound(f"There is no turn {id_}.")
        return _turn(row)

    def last_answer(self) -> Turn | None:
        """The assistant's last turn, in whichever conversation and process."""
        row = self._database.row(
            f"SELECT {_COLUMNS} FROM turns WHERE role = ? ORDER BY id DESC LIMIT 1",  # noqa: S608
            (Role.ASSISTANT.value,),
        )
        return None if row is None else _turn(row)

    def accept(self, turn_id: int) -> None:
        """Note that the person is content with an answer: it may train. Accepting it again changes nothing.

        Raises:
            NotFound: there is no such turn, or it was forgotten.
            UsageError: it is the person's own.
            AdapterRefused: it was given with an adapter that learnt from what was forgotten or edited since.
        """
        with self._database.transaction():
            row = self._database.row("SELECT role, erased FROM turns WHERE id = ?", (turn_id,))
            if row is None or row[1]:
                raise NotFound(f"There is no turn {turn_id}, or it was forgotten.")
            if row[0] != Role.ASSISTANT.value:
                raise UsageError(f"Turn {turn_id} is not an answer.")
            if said_with_tainted(self._database, turn_id):
                raise AdapterRefused(
                    "The answer was given with an adapter that learnt from what was forgotten or changed since.",
                    hint="Nothing was changed. Ask again, and accept the new answer.",
                )
            self._database.execute(
                "UPDATE turns SET accepted_ms = coalesce(accepted_ms, ?) WHERE id = ?", (now_ms(), turn_id)
            )

    def accepted_turns(self) -> list[tuple[Turn, Turn]]:
        """The accepted answers, in order, each after what the person said before it in the same conversation. An answer
        that follows nothing of the person's is left out."""
        rows = self._database.rows(
            f"SELECT {_COLUMNS}, (SELECT max(asked.id) FROM turns AS asked WHERE asked.id < turns.id "  # noqa: S608
            "AND asked.conversation_id = turns.conversation_id AND asked.role = ?) "
            "FROM turns WHERE accepted_ms IS NOT NULL ORDER BY id",
            (Role.PERSON.value,),
        )
        return [(self.turn(asked), _turn(row)) for *row, asked in rows if asked is not None]


def _turn(row: Sequence[Any]) -> Turn:
    return Turn(row[0], row[1], Role(row[2]), row[3], row[4], None if row[5] is None else json.loads(row[5]))
