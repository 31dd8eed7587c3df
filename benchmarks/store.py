"""How fast memories go into the vault, against the same rows into plain SQLite.

The peer is Python's own ``sqlite3`` on an unencrypted file with the vault's schema and indexes, write-ahead log,
``synchronous=FULL`` and as many rows in a transaction; the rows go in through ``executemany``. Everything else is
SQLite's default. Both sides end with all of the log folded into the file, inside the time. Runs come in pairs, one of
each side after the other, and a ratio is the median of the pairs' ratios, plain time over vault time: 1 is as fast.

- ``insert_vs_plain``: from the same `Record` objects to the same rows on disk. The peer makes its rows in the same
  way, straight into tuples. That is counted because its rows are to be the same, and the digest in them is what makes
  an import idempotent on either side; it is no cost of the vault over plain SQLite.
- ``insert_vs_prepared``: the strictest reading. The vault starts from records, the peer from rows made beforehand.
- ``storage_vs_plain``: both start from rows made beforehand: what encryption alone costs.
- ``prepare_us``: the making of one row. ``origin_index_us`` and ``thread_index_us``: what the two indexes cost a row,
  on the peer's side.
- ``one_row_txn_ms``, ``plain_one_row_txn_ms``: one memory in a transaction of its own, median.
"""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from operator import attrgetter
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks._report import arguments, report
from edgeperso.types import Kind, Record
from edgeperso.vault import KeyFile, Vault
from edgeperso.vault.memory_rows import CHUNK_ROWS, flat_rows, insertion
from edgeperso.vault.migrations import FIRST_SCHEMA

BATCH = 2000
WIDTH = 13
SINGLES = 200
FIELDS = attrgetter(
    "text", "kind._value_", "source", "locator", "title", "author", "thread", "position", "occurred_ms", "scope",
    "trust._value_",
)  # fmt: skip


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--pairs", type=int, default=7)
    options = parser.parse_args()
    records = make_records(options.rows, options.seed)
    prepared = batches(records)
    assert [tuple(row) for row in rows_of(prepared[0])] == make_rows(records[:BATCH])
    pairs = [one_pair(records, prepared) for _ in range(options.pairs)]
    ours, stored, plain, plain_rows, no_origin, no_thread, prepare = (
        list(column) for column in zip(*pairs, strict=True)
    )
    n = options.rows
    figures = {
        "insert_vs_plain": ratio(plain, ours),
        "insert_vs_prepared": ratio(plain_rows, ours),
        "storage_vs_plain": ratio(plain_rows, stored),
        "insert_per_s": n / median(ours),
        "plain_per_s": n / median(plain),
        "prepared_per_s": n / median(plain_rows),
        "prepare_us": median(prepare) / n * 1e6,
        "origin_index_us": (median(plain_rows) - median(no_origin)) / n * 1e6,
        "thread_index_us": (median(plain_rows) - median(no_thread)) / n * 1e6,
        **single_rows(records[:SINGLES]),
    }
    report("store", figures, n=n, seed=options.seed, as_json=options.json)


def one_pair(records: list[Record], prepared: list[list[list[object]]]) -> tuple[float, ...]:
    rows = [rows_of(batch) for batch in prepared]
    return (
        vault_from_records(records),
        vault_from_rows(prepared),
        plain_from_records(records),
        plain_from_rows(rows),
        plain_from_rows(rows, without="memories_origin"),
        plain_from_rows(rows, without="memories_thread"),
        time_of_rows(records),
    )


def ratio(plain: list[float], ours: list[float]) -> float:
    return median(each / our for each, our in zip(plain, ours, strict=True))


def make_records(count: int, seed: int) -> list[Record]:
    """Notes of 8 to 60 invented words (220 characters on average), twenty to a file, in the order of their time."""
    chance = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(chance.choices(letters, k=chance.randint(2, 9))) for _ in range(5000)]
    return [
        Record(
            text=" ".join(chance.choices(words, k=chance.randint(8, 60))),
            kind=Kind.NOTE,
            source=f"notes/{i // 20}.md",
            locator=f"line {i}",
            title="A title",
            thread=f"notes/{i // 20}.md",
            position=i % 20,
            occurred_ms=1_700_000_000_000 + i * 60_000,
        )
        for i in range(count)
    ]


def batches(records: list[Record]) -> list[list[list[object]]]:
    """The vault's rows, by transaction and by statement."""
    return [
        [
            list(flat_rows(records[chunk : min(chunk + CHUNK_ROWS, first + BATCH)], 0))
            for chunk in range(first, min(first + BATCH, len(records)), CHUNK_ROWS)
        ]
        for first in range(0, len(records), BATCH)
    ]


def make_rows(records: list[Record]) -> list[tuple[object, ...]]:
    """The vault's rows, made as fast as Python can without the vault."""
    return [
        (
            *(fields := FIELDS(record)),
            0,
            blake2b(
                f"{fields[0].strip()}\x1f{fields[2]}\x1f{fields[3]}\x1f{fields[6]}\x1f{fields[5]}\x1f{fields[8]}".encode(),
                digest_size=8,
            ).digest(),
        )
        for record in records
    ]


def rows_of(batch: list[list[object]]) -> list[list[object]]:
    return [flat[start : start + WIDTH] for flat in batch for start in range(0, len(flat), WIDTH)]


@contextmanager
def new_vault() -> Iterator[Vault]:
    with tempfile.TemporaryDirectory() as folder:
        vault, _ = Vault.create(Path(folder) / "home", KeyFile(Path(folder) / "key"))
        with vault:
            yield vault


@contextmanager
def plain_database(without: str = "") -> Iterator[sqlite3.Connection]:
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(Path(folder) / "plain.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        for statement in FIRST_SCHEMA:
            if not without or f"INDEX {without} " not in statement:
                connection.execute(statement)
        yield connection
        connection.close()


def vault_from_records(records: list[Record]) -> float:
    with new_vault() as vault:
        start = perf_counter()
        vault.memories.add(records, batch_size=BATCH)
        vault.database.checkpoint()
        return perf_counter() - start


def vault_from_rows(prepared: list[list[list[object]]]) -> float:
    with new_vault() as vault:
        start = perf_counter()
        for batch in prepared:
            with vault.transaction():
                for rows in batch:
                    vault.database.execute(insertion(len(rows) // WIDTH), rows)  # type: ignore[arg-type]
        vault.database.checkpoint()
        return perf_counter() - start


def plain_from_records(records: list[Record]) -> float:
    with plain_database() as connection:
        start = perf_counter()
        for first in range(0, len(records), BATCH):
            store(connection, make_rows(records[first : first + BATCH]))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return perf_counter() - start


def plain_from_rows(prepared: list[list[list[object]]], without: str = "") -> float:
    with plain_database(without) as connection:
        start = perf_counter()
        for rows in prepared:
            store(connection, rows)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return perf_counter() - start


def store(connection: sqlite3.Connection, rows: Sequence[Sequence[object]]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(insertion(1), rows)
    connection.execute("COMMIT")


def time_of_rows(records: list[Record]) -> float:
    start = perf_counter()
    for first in range(0, len(records), CHUNK_ROWS):
        flat_rows(records[first : first + CHUNK_ROWS], 0)
    return perf_counter() - start


def single_rows(records: list[Record]) -> dict[str, float]:
    ours, plain = [], []
    with new_vault() as vault, plain_database() as connection:
        for record in records:
            start = perf_counter()
            vault.memories.add([record])
            ours.append(perf_counter() - start)
            start = perf_counter()
            store(connection, make_rows([record]))
            plain.append(perf_counter() - start)
    return {"one_row_txn_ms": median(ours) * 1000, "plain_one_row_txn_ms": median(plain) * 1000}


if __name__ == "__main__":
    main()
