"""The ``edgeperso`` command: verbs over the façade, no logic of their own.

Answers go to stdout, everything else to stderr. With ``--json`` stdout gets exactly one JSON object, or nothing when
the command fails; the error is then one JSON object on stderr. Secrets come from a terminal, a file descriptor, a key
file or the keyring, never from the command line. What others wrote can't steer the terminal: control characters are
shown as ``?``.
"""

from __future__ import annotations

from edgeperso.cli.app import main

__all__ = ["main"]
