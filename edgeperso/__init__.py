"""edgeperso: a local language model that knows you, and nobody else does.

    import edgeperso as ep

    with ep.open(home="~/me", key=ep.KeyFile("me.key")) as me:
        me.add("notes/")
        print(me.ask("Dinner ideas?").text)

Everything is loaded on first use: importing the package is cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeperso.assistant import Assistant, Chat, Reply, Trace, TrainingReport
    from edgeperso.assistant import open_assistant as open  # noqa: A004
    from edgeperso.errors import EdgepersoError
    from edgeperso.types import Hit, Kind, Memory, MemoryFilter, Trust
    from edgeperso.vault import KeyFile, OsKeyring, Passphrase, RecoveryKey, Vault

__version__ = "0.1.0"

__all__ = [
    "Assistant",
    "Chat",
    "EdgepersoError",
    "Hit",
    "KeyFile",
    "Kind",
    "Memory",
    "MemoryFilter",
    "OsKeyring",
    "Passphrase",
    "RecoveryKey",
    "Reply",
    "Trace",
    "TrainingReport",
    "Trust",
    "Vault",
    "__version__",
    "open",
]

_HOMES = {
    "edgeperso.assistant": ("Assistant", "Chat", "Reply", "Trace", "TrainingReport", "open"),
    "edgeperso.errors": ("EdgepersoError",),
    "edgeperso.types": ("Hit", "Kind", "Memory", "MemoryFilter", "Trust"),
    "edgeperso.vault": ("KeyFile", "OsKeyring", "Passphrase", "RecoveryKey", "Vault"),
}


def __getattr__(name: str) -> object:
    """Load a public name's module when the name is first used (PEP 562)."""
    import importlib

    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(module), "open_assistant" if name == "open" else name)
    raise AttributeError(f"module 'edgeperso' has no attribute {name!r}")
