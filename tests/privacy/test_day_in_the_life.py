"""Nothing readable of a person gets out of the vault: not to a file, a temporary one included, a log, or a traceback.

A whole day (``day.py``) is lived under strace with random words in all that the person gives. Then all bytes that any
of its processes wrote, whatever to, and all files that are left are searched for those words, for the vectors of the
texts, and for the keys.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

HERE = Path(__file__).parent
LETTERS = "bcdfghjkmnpqrtvwxz"  # without vowels: no stemmer cuts such a word
IMPORTED = ("note", "file name", "heading", "mail subject", "mail author", "mail", "chat", "chat title", "killed")
KEPT = (*IMPORTED, "profile", "remembered", "typed", "edited new", "asked", "chatted", "asked in a shell")
UNKEPT = ("edited old", "forgotten", "recalled", "in an error", "bad line", "wrong passphrase", "passphrase")


class Places(NamedTuple):
    """``world``: all that edgeperso may write. ``keys``, ``export``: where secrets lie in the open on purpose."""

    root: Path

    @property
    def world(self) -> Path:
        return self.root / "world"

    @property
    def inputs(self) -> Path:
        return self.root / "inputs"

    @property
    def log(self) -> Path:
        return self.world / "day.log"

    def meant(self, path: str) -> bool:
        """Whether secrets may be written there."""
        return any(path.startswith(f"{self.root / name}/") for name in ("keys", "export"))

    def env(self, models_dir: Path) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(HERE.parent.parent),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(self.world / "person"),
            "TMPDIR": str(self.world / "temporary"),
            "DAY_LOG": str(self.log),
            "EDGEPERSO_DEBUG": "1",
            "EDGEPERSO_MODELS": str(models_dir),
            "OMP_NUM_THREADS": "1",
        }


class Lived(NamedTuple):
    """The day as it was: the trace, what it told of its secrets, the words by name, and what to search for."""

    places: Places
    run: Any
    told: dict[str, Any]
    words: dict[str, str]
    needles: Any

    def outputs(self) -> Iterator[tuple[str, bytes]]:
        """All that was written and wasn't meant to be read, by where."""
        meant = {self.run.stdout_pipe, *self.told["pipes"]}
        for target, data in self.run.written.items():
            if target not in meant and not self.places.meant(target):
                yield target, data
        yield "names of files", self.run.names
        yield "stderr", self.run.stderr
        yield from ((str(path), path.read_bytes()) for path in self.places.world.rglob("*") if path.is_file())


def canary() -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(24))


def give(inputs: Path, words: dict[str, str]) -> None:
    """All that the person gives to edgeperso, as files."""
    life = inputs / "life"
    life.mkdir(parents=True)
    (inputs / "canaries.json").write_text(json.dumps(words))
    (inputs / "passphrase").write_text(words["passphrase"] + "\n")
    (inputs / "wrong").write_text(words["wrong passphrase"] + "\n")
    (inputs / "profile").write_text(words["profile"])
    (inputs / "question").write_text(f"Where did I see {words['asked in a shell']}?")
    (inputs / "typed").write_text(f"I live in {words['typed']} now.")
    (inputs / "latin1").write_bytes(f"é {words['in an error']}".encode("latin-1"))
    (inputs / "no.backup").write_text(words["in an error"] * 99)
    (life / f"{words['file name']}.md").write_text(
        f"# {words['heading']}\n\nI met {words['note']} in Lisbon.\n\n## 3 May 2024\n\nWe went to the sea.\n"
    )
    (life / "sent.mbox").write_text(
        "From ann@example.org Mon Mar  4 10:00:00 2024\n"
        f"From: {words['mail author']} <ann@example.org>\nTo: me@example.org\nDate: Mon, 4 Mar 2024 10:00:00 +0000\n"
        f"Subject: About {words['mail subject']}\nMessage-ID: <1@example.org>\n\nBring {words['mail']} along.\n"
    )
    (life / "bad.jsonl").write_text(
        f'{{"text": "{words["bad line"]}\n{{"text": "ok", "time": "{words["bad line"]}"}}\n{{"text": "A good line."}}\n'
    )
    message = {
        "id": "a",
        "author": {"role": "user"},
        "create_time": 1_710_230_400.5,
        "content": {"content_type": "text", "parts": [f"How do I cook {words['chat']}?"]},
    }
    talk = {
        "title": words["chat title"],
        "create_time": 1_700_000_000,
        "conversation_id": "c",
        "mapping": {
            "root": {"id": "root", "parent": None, "children": ["a"], "message": None},
            "a": {"id": "a", "parent": "root", "children": [], "message": message},
        },
        "current_node": "a",
    }
    with zipfile.ZipFile(life / "chats.zip", "w") as archive:
        archive.writestr("conversations.json", json.dumps([talk]))
    lines = (json.dumps({"text": f"On day {n} I saw {words['killed']}."}) + "\n" for n in range(540))
    (inputs / "many.jsonl").write_text("".join(lines))


@pytest.fixture(scope="module")
def lived(
    tmp_path_factory: pytest.TempPathFactory, models_dir: Path, tracing: SimpleNamespace, search: SimpleNamespace
) -> Lived:
    """The day, once."""
    places = Places(tmp_path_factory.mktemp("day").resolve())
    for name in ("world/person", "world/temporary", "world/cwd", "keys", "export"):
        (places.root / name).mkdir(parents=True)
    words = {name: canary() for name in (*KEPT, *UNKEPT)}
    give(places.inputs, words)
    shared_memory = Path("/dev/shm")
    before = set(shared_memory.iterdir()) if shared_memory.is_dir() else set()
    run = tracing.run(
        [sys.executable, HERE / "day.py", "whole", places.world, places.inputs],
        places.root / "traces",
        places.env(models_dir),
        places.world / "cwd",
        600,
    )
    assert run.code == 0, run.stderr.decode()[-3000:]
    after = set(shared_memory.iterdir()) if shared_memory.is_dir() else set()
    for number, path in enumerate(path for path in after - before if path.is_file()):
        (places.world / f"shared-{number}").write_bytes(path.read_bytes())
    told = json.loads(run.stdout)
    needles = search.Needles()
    for name, word in words.items():
        needles.add(name, search.text_forms(word))
    for name, key in told["keys"].items():
        needles.add(name, search.byte_forms(bytes.fromhex(key)))
    for text in told["recovery_keys"]:
        needles.add("recovery key", [*search.text_forms(text), *search.text_forms(text.replace("-", ""))])
    for name, raw in told["states"].items():
        needles.add(name, search.byte_forms(bytes.fromhex(raw)))
    for name, raw in told["vectors"].items():
        needles.add(name, search.vector_forms(np.frombuffer(bytes.fromhex(raw), dtype="<f4")))
    return Lived(places, run, told, words, needles)


def test_nothing_that_the_person_gave_is_written_anywhere(lived: Lived) -> None:
    found = {where: names for where, data in lived.outputs() if (names := lived.needles.found_in(data))}
    assert found == {}


def test_the_search_saw_what_there_was_to_see(lived: Lived) -> None:
    """Were the trace, the logs or the secrets empty, nothing would be found in them."""
    written = lived.run.written
    for name in ("home", "second"):
        pages = sum(len(data) for path, data in written.items() if f"/{name}/" in path and "vault.db" in path)
        assert pages > 100_000, f"no writes to the database in {name} were seen"
    assert str(lived.places.world / "first.backup").encode() in lived.run.names
    log = lived.places.log.read_text()
    for event in ("vault.created", "import.finished", "assistant.answered", "memories.forgotten", "key.rotated"):
        assert event in log
    assert log.count("Traceback") >= len(lived.told["errors"]) == 8
    assert lived.run.stderr.count(b"error [") == 4
    assert len(written[str(lived.places.log)]) == len(log.encode())
    assert len(lived.told["vectors"]) > 100
    assert len(lived.told["states"]) > 1
    assert len(lived.told["keys"]) >= 3 * 6 + 4
    assert lived.run.cut == 0, "strace cut writes short"


def test_all_that_was_kept_was_in_the_vault(lived: Lived) -> None:
    """The one file that is meant to be readable holds every word, so each of them went through the vault."""
    exported = (lived.places.root / "export" / "all.jsonl").read_bytes()
    found = lived.needles.found_in(exported)
    assert found & lived.words.keys() == set(KEPT)
    assert lived.needles.found_in((lived.places.root / "keys" / "me.key").read_bytes()) == {"key file"}


def test_every_byte_went_by_a_way_that_is_traced(lived: Lived) -> None:
    """The kernel may copy a file whose bytes were seen when they were written; SQLite maps the index of its log (page
    numbers and checksums, in a file named ``-shm``)."""
    for call, *paths in lived.run.unseen:
        assert call == "sendfile", call
        assert paths[1] in lived.run.written, "a file was copied that nobody was seen to write"
    assert {path for path in lived.run.mapped if not path.endswith("-shm")} == set()


def test_no_library_keeps_files_of_its_own(lived: Lived) -> None:
    """A cache, or a database of reports to a library's maker."""
    folders = (lived.places.world / name for name in ("person", "temporary", "cwd"))
    assert [path for folder in folders for path in folder.rglob("*")] == []


def test_nothing_is_connected_to(lived: Lived) -> None:
    assert lived.run.families <= {"AF_UNIX"}


def test_a_careless_program_is_caught(tmp_path: Path, tracing: SimpleNamespace, search: SimpleNamespace) -> None:
    """The same trace and search over a program that leaks in every way."""
    ways = ("sqlite", "temporary", "deleted", "name", "base64", "wide", "hex", "traceback", "mapped", "network")
    words = {way: canary() for way in ways}
    vector = np.random.default_rng().standard_normal(384).astype("<f4")
    lines = [*(f"{way}={word}" for way, word in words.items()), f"vector={vector.tobytes().hex()}"]
    (tmp_path / "secrets").write_text("\n".join(lines))
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    program = [sys.executable, HERE / "careless.py", tmp_path / "secrets"]
    run = tracing.run(program, tmp_path / "traces", {"TMPDIR": str(cwd)}, cwd, 60)
    assert run.code == 0, run.stderr.decode()
    needles = search.Needles()
    for way, word in words.items():
        needles.add(way, search.text_forms(word))
    needles.add("vector", search.vector_forms(vector))
    traced = set().union(*(needles.found_in(data) for data in run.written.values()), needles.found_in(run.names))
    assert traced == {*words, "vector"} - {"mapped"}
    assert run.mapped == {str(cwd / "mapped")}
    left = set().union(*(needles.found_in(path.read_bytes()) for path in cwd.iterdir()))
    assert left >= {"sqlite", "base64", "wide", "hex", "mapped", "vector"}
    assert needles.found_in(run.stderr) == {"traceback"}
    assert "AF_INET" in run.families
