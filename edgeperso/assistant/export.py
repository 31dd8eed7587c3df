"""A person's data in plain text, for them to keep or take elsewhere: the one place where it leaves the vault readable.

Promises: only to a new file that is readable by its owner alone; never over an existing file; never by itself.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from edgeperso.errors import DiskFull, ReadOnly, UsageError
from edgeperso.vault import Vault

__all__ = ["ExportReport", "export_jsonl"]


@dataclass(frozen=True, slots=True)
class ExportReport:
    memories: int
    attributes: int
    turns: int


def export_jsonl(vault: Vault, path: Path) -> ExportReport:
    """One JSON object a line: ``{"type": "memory" | "profile" | "turn", …}``. Memories import again as they are.

    Raises:
        UsageError: the file exists already.
        ReadOnly, DiskFull: it can't be written; nothing is left behind.
    """
    counts = {"memory": 0, "profile": 0, "turn": 0}
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(
            "The export's file exists already.", hint="Nothing was changed. Choose another name."
        ) from None
    except OSError as error:
        raise _mapped(error) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            for line in _lines(vault):
                counts[str(line["type"])] += 1
                out.write(json.dumps(line, ensure_ascii=False) + "\n")
    except BaseException as error:
        with contextlib.suppress(OSError):
            path.unlink()
        if isinstance(error, OSError):
            raise _mapped(error) from None
        raise
    return ExportReport(counts["memory"], counts["profile"], counts["turn"])


def _lines(vault: Vault) -> Iterator[dict[str, object]]:
    for name, value in vault.profile.all().items():
        yield {"type": "profile", "name": name, "value": value}
    for memory in vault.memories.scan():
        yield {"type": "memory", **asdict(memory), "time": memory.occurred_ms}
    for turn in vault.conversations.all_turns():
        yield {
            "type": "turn",
            "conversation": turn.conversation_id,
            "role": turn.role,
            "text": turn.text,
            "time": turn.at_ms,
        }


def _mapped(error: OSError) -> DiskFull | ReadOnly:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull("The disk is full; the unfinished export was deleted.")
    return ReadOnly("The export's file can't be written there.")
