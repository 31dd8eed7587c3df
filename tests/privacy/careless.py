"""A program that leaks in every way that the search must notice: `test_day_in_the_life` runs it as a control."""

from __future__ import annotations

import base64
import contextlib
import mmap
import os
import socket
import sqlite3
import sys
import tempfile
from pathlib import Path

import numpy as np


def main(secrets: Path) -> None:
    words = dict(line.split("=") for line in secrets.read_text().splitlines())
    with sqlite3.connect("plain.db") as database:
        database.execute("CREATE TABLE notes (text)")
        database.execute("INSERT INTO notes VALUES (?)", (words["sqlite"],))
    with tempfile.TemporaryFile("w") as unnamed:
        unnamed.write(words["temporary"])
    Path("gone").write_text(words["deleted"])
    Path("gone").unlink()
    Path(words["name"]).touch()
    Path("log").write_bytes(b"x" + base64.b64encode(f"so: {words['base64']}!".encode()))
    Path("wide").write_text(words["wide"], encoding="utf-16")
    Path("hex").write_text(words["hex"].encode().hex())
    os.writev(2, [b"Traceback: ", words["traceback"].encode()])
    vector = np.frombuffer(bytes.fromhex(words["vector"]), dtype="<f4")
    Path("vector").write_bytes(b"odd" + vector.astype("<f2").tobytes()[100:120])
    Path("quantized").write_bytes(np.round(vector * 127 / np.abs(vector).max()).astype("i1").tobytes())
    with Path("mapped").open("w+b") as file:
        file.truncate(4096)
        with mmap.mmap(file.fileno(), 4096) as memory:
            memory[100:124] = words["mapped"].encode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender, contextlib.suppress(OSError):
        sender.connect(("127.0.0.1", 9))
        sender.send(words["network"].encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
