"""A whole day in the life of a vault, as one program that `test_day_in_the_life` runs under strace.

``day.py whole WORLD INPUTS`` lives it: everything that edgeperso writes lies below WORLD, everything that it is given
below INPUTS. Its stdout is where secrets may go: one JSON object at the end says which keys and vectors there were, so
that they can be looked for. ``day.py cli …`` is the ``edgeperso`` command with all logging on, and ``day.py crash HOME
PASSPHRASE PATH`` an import that is killed after its first batch.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgeperso.assistant import Assistant, open_assistant, readers
from edgeperso.cli import main as edgeperso_main
from edgeperso.embedding import OnnxEmbedder
from edgeperso.errors import EdgepersoError
from edgeperso.importers import import_path
from edgeperso.types import MemoryFilter
from edgeperso.vault import KeyFile, Passphrase, RecoveryKey, Vault, backup
from edgeperso.vault.keys import Purpose
from edgeperso.vault.recovery import recovery_secret

log = logging.getLogger("day")


class Day:
    """The person's day: their folders, and what the test has to know of it."""

    def __init__(self, world: Path, inputs: Path) -> None:
        self.world, self.inputs = world, inputs
        self.home, self.second_home = world / "home", world / "second"
        self.words: dict[str, str] = json.loads((inputs / "canaries.json").read_text())
        self.passphrase = Passphrase((inputs / "passphrase").read_text().strip())
        self.pipes: list[str] = []
        self.keys: dict[str, bytes] = {}
        self.recovery_keys: list[str] = []
        self.vectors: dict[str, np.ndarray] = {}
        self.states: dict[str, bytes] = {}
        self.errors: list[str] = []

    def cli(self, *words: str | Path, stdin: str | None = None, fails: bool = False, answers: bool = False) -> str:
        """One command, unlocked by the passphrase unless the words say otherwise.

        ``answers``: what it prints to stdout is what the person asked to see; else stdout is searched like stderr.
        """
        command: list[str | Path] = [sys.executable, __file__, "cli", *words]
        secret = "wrong" if "wrong" in words else "passphrase"
        command = [word for word in command if word != "wrong"]
        with (
            (self.inputs / secret).open("rb") as passphrase,
            (self.inputs / stdin).open("rb") if stdin else contextlib.nullcontext(subprocess.DEVNULL) as given,
            subprocess.Popen(
                [*command, "--passphrase-fd", str(passphrase.fileno())],
                stdin=given,
                stdout=subprocess.PIPE if answers else 2,
                pass_fds=[passphrase.fileno()],
            ) as process,
        ):
            out = b""
            if process.stdout is not None:
                self.pipes.append(f"pipe:[{os.fstat(process.stdout.fileno()).st_ino}]")
                out = process.stdout.read()
        assert (process.returncode != 0) == fails, f"{words[0]} ended with {process.returncode}"
        assert process.returncode != 70, f"{words[0]} ended with an internal error"
        return out.decode()

    def fails(self, what: str, action: Callable[[], object]) -> None:
        """Run what must go wrong, and log it with its traceback, as a careless host program would."""
        try:
            action()
        except EdgepersoError as error:
            log.exception("%s: %r", what, error)
            self.errors.append(error.code)
        else:
            raise AssertionError(f"{what} should have failed")

    def note_keys(self, vault: Vault, name: str) -> None:
        self.keys[f"master key, {name}"] = bytes(vault.master._key.view())
        for purpose in Purpose:
            self.keys[f"{purpose} key, {name}"] = bytes.fromhex(vault.master.derive(purpose).hex())

    def note_recovery(self, text: str) -> None:
        self.recovery_keys.append(text)
        self.keys[f"recovery key {len(self.recovery_keys)}"] = recovery_secret(text)

    def note_vectors(self, vault: Vault) -> None:
        """The vectors as the vault holds them; those of this process's own embedding come by `record`."""
        space = vault.vectors.spaces()[0][0]
        ids, vectors = vault.vectors.load(space)
        for id_, vector in list(zip(ids.tolist(), vectors, strict=True))[:40]:
            self.vectors[f"stored vector {id_}, {len(self.vectors)}"] = vector.astype("<f4")

    def record(self, embed: Callable[..., Any]) -> Callable[..., Any]:
        def recording(embedder: OnnxEmbedder, texts: list[str], *rest: Any) -> Any:
            vectors = embed(embedder, texts, *rest)
            for vector in vectors[:40]:
                self.vectors[f"made vector {len(self.vectors)}"] = vector.copy()
            return vectors

        return recording

    # The day

    def morning(self) -> None:
        """A vault, a profile, an import, and one that is killed."""
        made = json.loads(self.cli("init", "--home", self.home, "--json", answers=True))
        self.note_recovery(made["recovery_key"])
        self.cli("profile", "set", "hobby", "--home", self.home, stdin="profile")
        self.cli("import", self.inputs / "life", "--home", self.home)
        crash = [sys.executable, __file__, "crash", self.home, self.inputs / "passphrase", self.inputs / "many.jsonl"]
        assert subprocess.run(crash, check=False).returncode == -signal.SIGKILL
        copy = self.world / "after the crash"
        copy.mkdir()
        for path in self.home.iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
        assert (copy / "vault.db-wal").stat().st_size > 0, "the crash came too late to leave anything"

    def noon(self) -> None:
        """Ask, talk, correct, forget, all in this process."""
        with open_assistant(self.home, key=self.passphrase) as me:
            self.note_keys(me.vault, "first")
            half = me.vault.memories.count(MemoryFilter(sources=("many.jsonl",)))
            assert half == 500, f"{half} memories outlived the crash"
            assert me.add(self.inputs / "many.jsonl").added == 40
            told = me.remember(f"My boat is called {self.words['remembered']}.")
            old = me.remember(f"The door code is {self.words['edited old']}.")
            gone = me.remember(f"Nobody may know of {self.words['forgotten']}.")
            self.note_vectors(me.vault)
            asked = me.ask(f"What is the boat {self.words['remembered']} like, {self.words['asked']}?", max_tokens=8)
            assert asked.text
            chat = me.chat()
            for _ in range(2):
                assert chat.ask(f"Who is {self.words['chatted']}?", max_tokens=8).text
            me.why()
            assert me.recall(f"the boat {self.words['recalled']}")
            me.edit(old.id, f"The door code is {self.words['edited new']}.")
            me.forget(me.plan_forget(ids=(gone.id,)))
            self.note_vectors(me.vault)
            self.read_ahead(me)
            self.provoke(me)
            backup.write(me.vault, self.world / "first.backup")
            self.note_recovery(me.vault.header.new_recovery(me.vault.master))
            me.vault.header.add(me.vault.master, KeyFile(self.world.parent / "keys" / "me.key"))
            assert told.id in [memory.id for memory in me.vault.memories.scan()]

    def read_ahead(self, me: Assistant) -> None:
        """The model's states of memories go into the vault and out again, as those of one that reads several notes."""
        readers._SMALL = 0
        assert me.read_ahead(3.0).read > 0
        for number, state in me.vault.database.rows("SELECT memory_state_id, data FROM memory_state_chunks LIMIT 8"):
            self.states[f"state {number}"] = state[len(state) // 2 :][:256]
        assert me.ask(f"What is the boat {self.words['remembered']} like?", max_tokens=4, memory_states=True).text

    def provoke(self, me: Assistant) -> None:
        """Errors whose cause holds a person's text."""
        word = self.words["in an error"]
        self.fails("too long", lambda: me.ask(f"What of {word} " * 9_000))
        self.fails("no UTF-8", lambda: me.remember(f"\ud800 {word}"))
        self.fails("no UTF-8", lambda: me.vault.profile.set("name", f"\udfff {word}"))
        self.fails("wrong passphrase", lambda: Vault.open(self.home, Passphrase(self.words["wrong passphrase"])))
        self.fails("mistyped", lambda: Vault.open(self.home, RecoveryKey(self.recovery_keys[0][:-1] + "?")))
        self.fails("key file", lambda: Vault.open(self.home, KeyFile(self.inputs / "life" / "bad.jsonl")))
        self.fails(
            "not a backup", lambda: backup.restore(self.inputs / "no.backup", self.world / "no", self.passphrase)
        )

    def evening(self) -> None:
        """The same from the command line; backup, restore, new keys."""
        here = ("--home", self.home)
        self.cli("ask", *here, stdin="question", answers=True)
        self.cli("remember", *here, stdin="typed")
        self.cli("backup", self.world / "second.backup", *here)
        self.damage()
        self.cli("restore", self.world / "second.backup", "--home", self.second_home)
        rotated = json.loads(self.cli("key", "rotate", *here, "--json", answers=True))
        self.note_recovery(rotated["recovery_key"])
        self.cli("export", self.world.parent / "export" / "all.jsonl", *here)
        with Vault.open(self.home, RecoveryKey(self.recovery_keys[-1])) as vault:
            self.note_keys(vault, "rotated")
            self.note_vectors(vault)
            vault.check()
        with Vault.open(self.second_home, RecoveryKey(self.recovery_keys[-2])) as vault:
            self.note_keys(vault, "restored")

    def damage(self) -> None:
        """A backup and a database with flipped bytes, the wrong passphrase, words that no command takes."""
        data = bytearray((self.world / "second.backup").read_bytes())
        data[len(data) // 2] ^= 1
        (self.world / "damaged.backup").write_bytes(data)
        self.cli("restore", self.world / "damaged.backup", "--home", self.world / "no", fails=True)
        broken = self.world / "broken"
        broken.mkdir()
        for path in self.home.iterdir():
            (broken / path.name).write_bytes(path.read_bytes())
        database = bytearray((broken / "vault.db").read_bytes())
        database[5_000::97] = bytes(len(database[5_000::97]))
        (broken / "vault.db").write_bytes(database)
        self.fails("damaged", lambda: Vault.open(broken, self.passphrase).check())
        here = ("--home", self.home)
        self.cli("recall", "wrong", *here, self.words["in an error"], fails=True)
        self.cli("ask", "--no-such-option", self.words["in an error"], *here, fails=True)
        self.cli("remember", *here, stdin="latin1", fails=True)

    def report(self) -> dict[str, object]:
        key_file = (self.world.parent / "keys" / "me.key").read_text().split()[2]
        self.keys["key file"] = bytes.fromhex(key_file)
        return {
            "pipes": self.pipes,
            "keys": {name: key.hex() for name, key in self.keys.items()},
            "recovery_keys": self.recovery_keys,
            "vectors": {name: v.tobytes().hex() for name, v in self.vectors.items()},
            "states": {name: state.hex() for name, state in self.states.items()},
            "errors": self.errors,
        }


def whole(world: Path, inputs: Path) -> None:
    answers = os.dup(1)
    os.dup2(2, 1)  # from here on whatever a library prints is searched
    day = Day(world, inputs)
    OnnxEmbedder.embed = day.record(OnnxEmbedder.embed)  # type: ignore[method-assign]
    day.morning()
    day.noon()
    day.evening()
    with os.fdopen(answers, "w") as out:
        json.dump(day.report(), out)


def crash(home: Path, passphrase: Path, path: Path) -> None:
    def die(stage: str, done: int, total: int | None) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with Vault.open(home, Passphrase(passphrase.read_text().strip())) as vault:
        import_path(vault, path, progress=die)


if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG, filename=os.environ["DAY_LOG"])
    match sys.argv[1:]:
        case ["cli", *words]:
            sys.exit(edgeperso_main(words))
        case ["crash", home, passphrase, path]:
            crash(Path(home), Path(passphrase), Path(path))
        case ["whole", world, inputs]:
            whole(Path(world), Path(inputs))
