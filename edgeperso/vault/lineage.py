"""What learnt from what: adapters, the states of their trainings and the model's own states, and the memories, turns,
pairs and adapters that they learnt from.

What learnt from something that is forgotten still knows it. So forgetting or editing *taints*: the adapter's weights
are overwritten, it is taken off at once, and so are all adapters that were started from it or made of it; the state of
a training that saw it is dropped, and so is a state that the model computed with it. What a tainted adapter is called,
its numbers and what else it learnt from stay, so that it can be trained again without.

An answer that was given while it was worn may say what it had learnt. Its text stays, but it is accepted no more, so
that nothing learns from it again, and an adapter that did is tainted as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from edgeperso.errors import AdapterRefused
from edgeperso.times import now_ms
from edgeperso.vault.database import Database
from edgeperso.vault.derived import pages
from edgeperso.vault.payloads import drop_payload

__all__ = [
    "Learner",
    "Learnt",
    "add_sources",
    "drop_computed",
    "drop_sources",
    "learnt_from",
    "said_with_tainted",
    "taint",
    "tainted_by",
]

Learner = Literal["adapter", "checkpoint", "state"]

_WORE: Final = """EXISTS (SELECT 1 FROM json_each(turns.trace, '$.adapters') AS worn
    WHERE json_extract(worn.value, '$.outcome') = 'worn' AND json_extract(worn.value, '$.id') IN """
"""Whether an answer was given while one of the adapters was worn; a list of ids and a bracket follow."""
_CORRECTED: Final = "EXISTS (SELECT 1 FROM pairs WHERE pairs.turn_id = turns.id)"
"""Whether the person said how an answer should have read: what is learnt from it are their own words."""
_TAINTED: Final = "(SELECT id FROM adapters WHERE state = 'tainted')"


@dataclass(frozen=True, slots=True)
class Learnt:
    """Ids of what was learnt from, each ascending and once; ``adapters`` are those started from or made of."""

    memories: tuple[int, ...] = ()
    turns: tuple[int, ...] = ()
    pairs: tuple[int, ...] = ()
    adapters: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        memories: Iterable[int] = (),
        turns: Iterable[int] = (),
        pairs: Iterable[int] = (),
        adapters: Iterable[int] = (),
    ) -> Learnt:
        return cls(*(tuple(sorted({int(id_) for id_ in ids})) for ids in (memories, turns, pairs, adapters)))

    def by_kind(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        return (("memory", self.memories), ("turn", self.turns), ("pair", self.pairs), ("adapter", self.adapters))


def learnt_from(database: Database, learner: Learner, id_: int) -> Learnt:
    """What an adapter, checkpoint or state learnt from, as far as it is still there."""
    found: dict[str, list[int]] = {"memory": [], "turn": [], "pair": [], "adapter": []}
    for kind, source in database.rows(
        f"SELECT kind, source_id FROM {learner}_sources WHERE {learner}_id = ?",  # noqa: S608
        (id_,),
    ):
        found[kind].append(source)
    return Learnt.of(found["memory"], found["turn"], found["pair"], found["adapter"])


def add_sources(database: Database, learner: Learner, id_: int, learnt: Learnt, as_of: int | None) -> None:
    """Note what was learnt from, once it is certain that all of it is still there, within the transaction that stores
    what learnt it.

    Args:
        as_of: the vault's generation when the texts were read; None: just now.

    Raises:
        AdapterRefused: some of it was forgotten meanwhile, or edited after ``as_of``.
    """
    gone = sum(len(ids) for _, ids in learnt.by_kind()) - _still_there(database, learnt, as_of)
    if gone:
        raise AdapterRefused(
            f"{gone} of the texts or adapters that it learnt from were forgotten or changed meanwhile.",
            hint="Nothing was stored. Train again.",
        )
    rows = [(id_, kind, source) for kind, ids in learnt.by_kind() for source in ids]
    database.executemany(
        f"INSERT INTO {learner}_sources ({learner}_id, kind, source_id) VALUES (?, ?, ?)",  # noqa: S608
        rows,
    )


def _still_there(database: Database, learnt: Learnt, as_of: int | None) -> int:
    newest = (1 << 62) if as_of is None else int(as_of)
    conditions = (
        (f"memories WHERE revision <= {newest} AND", learnt.memories),
        (f"turns WHERE erased = 0 AND ({_CORRECTED} OR NOT {_WORE}{_TAINTED})) AND", learnt.turns),
        ("pairs WHERE", learnt.pairs),
        ("adapters WHERE state <> 'tainted' AND", learnt.adapters),
    )
    return sum(
        int(count)
        for condition, ids in conditions
        for marks, page in pages(ids)
        for (count,) in database.rows(f"SELECT count(*) FROM {condition} id IN {marks}", page)  # noqa: S608
    )


def tainted_by(database: Database, learnt: Learnt) -> list[int]:
    """The adapters that would be tainted without ``learnt``, ascending: those that learnt from some of it, their
    descendants, and those that learnt from answers given with one of these. Those that are tainted already don't count.
    """
    found = _learners(database, "adapter", learnt)
    youngest = found
    while youngest:
        said = Learnt.of(turns=_said_with(database, youngest), adapters=youngest)
        youngest = _learners(database, "adapter", said) - found
        found |= youngest
    return [
        int(id_)
        for marks, page in pages(sorted(found))
        for (id_,) in database.rows(
            f"SELECT id FROM adapters WHERE state <> 'tainted' AND id IN {marks} ORDER BY id",  # noqa: S608
            page,
        )
    ]


def taint(database: Database, learnt: Learnt) -> list[int]:
    """Taint what `tainted_by` names, withdraw the acceptance of answers given with one of these adapters, and drop the
    checkpoints that saw ``learnt``, such an answer or one of these adapters, within the transaction of what changes
    them; so for the model's states. Returns the adapters' ids."""
    adapters = tainted_by(database, learnt)
    said = _said_with(database, adapters)
    for id_ in adapters:
        _empty(database, id_)
    database.executemany("UPDATE turns SET accepted_ms = NULL WHERE id = ?", [(turn,) for turn in sorted(said)])
    turns, parents = (*learnt.turns, *said), (*learnt.adapters, *adapters)
    drop_computed(database, Learnt.of(learnt.memories, turns, learnt.pairs, parents))
    return adapters


def drop_computed(database: Database, learnt: Learnt) -> None:
    """Delete the states of trainings that saw some of ``learnt``, and the model's states computed from it."""
    for id_ in _learners(database, "checkpoint", learnt):
        database.execute("DELETE FROM checkpoints WHERE id = ?", (id_,))
    for id_ in _learners(database, "state", learnt):
        database.execute("DELETE FROM states WHERE id = ?", (id_,))
    if learnt.adapters:  # which of them computed a memory's state isn't kept
        database.execute("DELETE FROM memory_states WHERE worn = 1")


def _empty(database: Database, adapter_id: int) -> None:
    """Mark one adapter as tainted, overwrite all that it learnt and take it off."""
    drop_payload(database, "adapter", adapter_id)
    database.execute("UPDATE adapters SET state = 'tainted', card = NULL WHERE id = ?", (adapter_id,))
    database.execute(
        "UPDATE worn_adapters SET until_ms = ? WHERE adapter_id = ? AND until_ms IS NULL", (now_ms(), adapter_id)
    )


def drop_sources(database: Database, learnt: Learnt) -> None:
    """Strike out of every lineage what no longer exists."""
    for kind, ids in learnt.by_kind():
        for marks, page in pages(ids):
            database.execute(
                f"DELETE FROM adapter_sources WHERE kind = ? AND source_id IN {marks}",  # noqa: S608
                (kind, *page),
            )


def said_with_tainted(database: Database, turn_id: int) -> bool:
    """Whether an answer was given while an adapter was worn that is tainted by now."""
    found = database.row(f"SELECT 1 FROM turns WHERE id = ? AND {_WORE}{_TAINTED})", (turn_id,))  # noqa: S608
    return found is not None


def _said_with(database: Database, adapters: Iterable[int]) -> set[int]:
    """The answers, of those accepted and those that something learnt as they are, that were given with one of
    ``adapters``."""
    return {
        int(id_)
        for marks, page in pages(sorted(adapters))
        for (id_,) in database.rows(
            f"SELECT id FROM turns WHERE {_WORE}{marks}) AND (accepted_ms IS NOT NULL OR NOT {_CORRECTED} AND id IN "  # noqa: S608
            "(SELECT source_id FROM adapter_sources WHERE kind = 'turn' UNION "
            "SELECT source_id FROM checkpoint_sources WHERE kind = 'turn'))",
            page,
        )
    }


def _learners(database: Database, learner: Learner, learnt: Learnt) -> set[int]:
    return {
        int(id_)
        for kind, ids in learnt.by_kind()
        for marks, page in pages(ids)
        for (id_,) in database.rows(
            f"SELECT {learner}_id FROM {learner}_sources WHERE kind = ? AND source_id IN {marks}",  # noqa: S608
            (kind, *page),
        )
    }
