"""A broker until Ctrl-C: ``python -m edgeperso_federated.broker --home … --key-file … --model … --socket …``.

It opens the vault with a key file; `edgeperso fl join` can ask for a passphrase.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from threading import Event

from edgeperso.cli.output import ProgressLine
from edgeperso.errors import EdgepersoError
from edgeperso.vault import KeyFile, Vault
from edgeperso_federated.broker.run import run_broker


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m edgeperso_federated.broker", description="Run a broker.")
    for name, told in (
        ("home", "of the vault"),
        ("key-file", "that opens it"),
        ("model", "GGUF"),
        ("socket", "to make"),
    ):
        parser.add_argument(f"--{name}", type=Path, required=True, help=told)
    given = parser.parse_args()
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        with ProgressLine() as progress:  # an older vault is brought up to date first
            vault = Vault.open(given.home, KeyFile(given.key_file), progress=progress)
        with vault:
            run_broker(vault, given.model, given.socket, stop)
    except EdgepersoError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a program's own error
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
