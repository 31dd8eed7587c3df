"""Run a long build and show only how far it is: ``python scripts/quiet_build.py NAME LOG COMMAND…``.

Reads ninja's ``[12/180]`` from the command's output, keeps all of it in LOG, and shows its end if the command fails.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

STEP = re.compile(r"\[(\d+)/(\d+)\]")
EVERY_S = 5.0
TAIL_LINES = 40


def main() -> int:
    name, log, *command = sys.argv[1:]
    path = Path(log)
    path.parent.mkdir(parents=True, exist_ok=True)
    live = sys.stderr.isatty()
    began = shown = time.monotonic()
    done = total = 0
    say(name, f"starting (its whole output goes to {path})", live=False)
    with path.open("w", encoding="utf-8", errors="replace") as out:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
        )
        assert process.stdout is not None
        for line in process.stdout:
            out.write(line)
            if match := STEP.search(line):
                done, total = int(match[1]), int(match[2])
            now = time.monotonic()
            if total and now - shown >= (0.2 if live else EVERY_S):
                shown = now
                say(name, f"{done} of {total} steps, {now - began:.0f} s", live=live)
        code = process.wait()
    if live:
        sys.stderr.write("\n")
    if code:
        sys.stderr.write("\n".join(path.read_text(encoding="utf-8").splitlines()[-TAIL_LINES:]) + "\n")
        say(name, f"failed; see {path}", live=False)
    else:
        say(name, f"done in {time.monotonic() - began:.0f} s", live=False)
    return code


def say(name: str, what: str, *, live: bool) -> None:
    sys.stderr.write(f"\r\x1b[K{name}: {what}" if live else f"{name}: {what}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
