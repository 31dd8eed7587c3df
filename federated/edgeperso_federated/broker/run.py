"""A broker over an open vault, with what its process can do to keep its memory to itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event

from edgeperso.secrecy import seclude
from edgeperso.vault import Vault
from edgeperso_federated.broker.desk import Desk
from edgeperso_federated.broker.device import Device
from edgeperso_federated.broker.server import Broker

__all__ = ["run_broker"]


def run_broker(vault: Vault, model: Path, path: Path, stop: Event, *, ready: Callable[[], None] = lambda: None) -> None:
    """Answer on the socket at ``path`` until ``stop`` is set. The process is the broker's alone: it is secluded.

    Args:
        vault: open, and closed by the caller.
        model: the GGUF file that is trained on.
        ready: called once it listens.

    Raises:
        UsageError: as `Broker`.
        ModelNotFound, ModelCorrupt, ModelUnsupported: as `Device`.
    """
    seclude()
    broker = Broker(Desk(Device(vault, model), stop), path)
    ready()
    broker.serve(stop)
