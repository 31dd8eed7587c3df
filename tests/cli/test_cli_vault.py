"""Making a vault and opening it, with every kind of key that needs no keyring."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from edgeperso import kernels
from edgeperso.cli import doctor, output
from edgeperso.secrecy import Granted, granted
from edgeperso.vault import migrations


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is typed at the prompts for secrets, in order."""
    lines: list[str] = []
    monkeypatch.setattr(getpass, "getpass", lambda _prompt="": lines.pop(0))
    return lines


def test_init_shows_the_recovery_key_once_and_it_opens_the_vault(cli, tmp_path: Path, typed: list[str]) -> None:
    home = tmp_path / "home"
    typed += ["four words at least"] * 2
    made = cli("init", "--home", home, "--json").json
    assert made["home"] == str(home)
    typed.append("four words at least")
    assert cli("profile", "show", "--home", home).code == 0
    typed.append(made["recovery_key"].lower().replace("-", " "))
    assert cli("profile", "show", "--home", home, "--recovery").code == 0
    typed.append("another")
    wrong = cli("profile", "show", "--home", home, "--json")
    assert (wrong.code, wrong.error["code"]) == (3, "wrong_key")
    assert typed == []


def test_init_for_people_prints_the_recovery_key_on_stdout(cli, tmp_path: Path) -> None:
    result = cli("init", "--home", tmp_path / "home", "--key-file", tmp_path / "me.key")
    assert any(len(line) == 69 and line.count("-") == 13 for line in result.out.splitlines())
    assert "only now" in result.err


def test_init_leaves_an_existing_vault_alone_and_asks_nothing(cli, tmp_path: Path, typed: list[str]) -> None:
    home, key = tmp_path / "home", tmp_path / "me.key"
    cli("init", "--home", home, "--key-file", key)
    before = {path.name: path.read_bytes() for path in home.iterdir() if path.is_file()}
    result = cli("init", "--home", home, "--json")
    assert (result.code, result.error["code"]) == (4, "vault_exists")
    assert {path.name: path.read_bytes() for path in home.iterdir() if path.is_file()} == before


def test_a_key_file_is_kept_apart_from_the_vault(cli, tmp_path: Path) -> None:
    result = cli("init", "--home", tmp_path / "home", "--key-file", tmp_path / "home" / "me.key", "--json")
    assert (result.code, result.error["code"]) == (2, "usage")
    assert not (tmp_path / "home").exists()


def test_a_key_file_of_another_vault_or_none_at_all(cli, tmp_path: Path) -> None:
    for name in ("a", "b"):
        cli("init", "--home", tmp_path / name, "--key-file", tmp_path / f"{name}.key")
    other = cli("profile", "show", "--home", tmp_path / "a", "--key-file", tmp_path / "b.key", "--json")
    assert (other.code, other.error["code"]) == (3, "wrong_key")
    gone = cli("profile", "show", "--home", tmp_path / "a", "--key-file", tmp_path / "c.key", "--json")
    assert (gone.code, gone.error["code"]) == (3, "key_file_invalid")


def test_a_passphrase_through_a_descriptor(cli, tmp_path: Path) -> None:
    def descriptor(data: bytes) -> int:
        reader, writer = os.pipe()
        os.write(writer, data)
        os.close(writer)
        return reader

    home = tmp_path / "home"
    assert cli("init", "--home", home, "--passphrase-fd", descriptor(b"in the pipe\n")).code == 0
    assert cli("profile", "show", "--home", home, "--passphrase-fd", descriptor(b"in the pipe")).code == 0
    assert cli("profile", "show", "--home", home, "--passphrase-fd", descriptor(b"other")).code == 3


def test_keys_are_added_changed_and_removed(cli, tmp_path: Path, typed: list[str]) -> None:
    home, key, other = tmp_path / "home", tmp_path / "me.key", tmp_path / "other.key"
    cli("init", "--home", home, "--key-file", key)
    by_key = ("--home", home, "--key-file", key)
    typed += ["the first words"] * 2
    assert cli("key", "passphrase", *by_key).code == 0
    typed += ["the first words", "the second words", "the second words"]
    assert cli("key", "passphrase", "--home", home).code == 0
    typed.append("the first words")
    assert cli("profile", "show", "--home", home).code == 3
    status = cli("key", "status", "--home", home, "--json").json
    assert [one["type"] for one in status["credentials"]] == ["passphrase", "key_file", "recovery"]
    assert cli("key", "add", "key-file", "--to", other, *by_key).code == 0
    assert cli("profile", "show", *by_key).code == 3
    by_other = ("--home", home, "--key-file", other)
    assert cli("key", "remove", "passphrase", *by_other).code == 0
    last = cli("key", "remove", "key-file", *by_other, "--json")
    assert (last.code, last.error["code"]) == (2, "usage")
    assert typed == []


def test_a_lost_passphrase_is_replaced_with_the_recovery_key(cli, tmp_path: Path, typed: list[str]) -> None:
    home = tmp_path / "home"
    typed += ["forgotten soon"] * 2
    recovery = cli("init", "--home", home, "--json").json["recovery_key"]
    typed += [recovery, "a fresh start", "a fresh start"]
    assert cli("key", "passphrase", "--home", home, "--recovery").code == 0
    typed.append("a fresh start")
    renewed = cli("key", "recovery", "--home", home, "--json").json["recovery_key"]
    typed += [recovery, renewed]
    assert cli("profile", "show", "--home", home, "--recovery").code == 3
    assert cli("profile", "show", "--home", home, "--recovery").code == 0


def test_a_new_key_file_needs_its_place(cli, tmp_path: Path) -> None:
    home, key = tmp_path / "home", tmp_path / "me.key"
    cli("init", "--home", home, "--key-file", key)
    assert cli("key", "add", "key-file", "--home", home, "--key-file", key).code == 2
    assert cli("key", "add", "keyring", "--to", tmp_path / "x", "--home", home, "--key-file", key).code == 2
    assert cli("key", "add", "key-file", "--to", home / "x", "--home", home, "--key-file", key).code == 2
    assert not (tmp_path / "x").exists()


def test_a_backup_comes_back_elsewhere_and_overwrites_nothing(cli, tmp_path: Path) -> None:
    home, key, file = tmp_path / "home", tmp_path / "me.key", tmp_path / "me.backup"
    cli("init", "--home", home, "--key-file", key)
    by_key = ("--home", home, "--key-file", key)
    cli("profile", "set", "name", "Ines", *by_key)
    assert cli("backup", file, *by_key, "--json").json["memories"] == 0
    assert cli("backup", file, *by_key).code == 4
    there = ("--home", tmp_path / "there", "--key-file", key)
    assert cli("restore", file, *there).code == 0
    assert cli("profile", "show", *there, "--json").json == {"name": "Ines"}
    assert cli("restore", file, *there, "--json").error["code"] == "vault_exists"
    file.write_bytes(file.read_bytes()[:-5])
    torn = cli("restore", file, "--home", tmp_path / "else", "--key-file", key, "--json")
    assert (torn.code, torn.error["code"]) == (4, "backup_invalid")
    missing = cli("restore", tmp_path / "none", "--home", tmp_path / "else", "--key-file", key, "--json")
    assert missing.error["code"] == "source_not_found"


@pytest.mark.parametrize("words", [("profile", "show"), ("adapter", "list"), ("restore",)])
def test_the_upgrade_of_an_older_vault_shows_how_far_it_is(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vault_without_keys, words: tuple[str, ...]
) -> None:
    home, key = tmp_path / "home", tmp_path / "me.key"
    vault_without_keys(home, key, {"one": np.eye(3, dtype=np.float16)})
    if words == ("restore",):
        words, home = ("restore", str(home.with_suffix(".backup"))), tmp_path / "restored"
    monkeypatch.setattr(migrations, "_MOVED_AT_ONCE", 1)
    monkeypatch.setattr(output, "_LINE_EVERY_S", 0.0)
    shown = cli(*words, "--home", home, "--key-file", key, "--json")
    assert shown.code == 0
    assert [line for line in shown.err.splitlines() if line.startswith("upgrading")] == [
        "upgrading the vault: 0 of 3 (0 %)",
        "upgrading the vault: 1 of 3 (33 %)",
        "upgrading the vault: 2 of 3 (66 %)",
        "upgrading the vault: 3 of 3 (100 %)",
    ]
    assert shown.json is not None


def test_rotation_keeps_the_credential_given_and_says_what_it_dropped(cli, tmp_path: Path, typed: list[str]) -> None:
    home, key = tmp_path / "home", tmp_path / "me.key"
    old = cli("init", "--home", home, "--key-file", key, "--json").json["recovery_key"]
    by_key = ("--home", home, "--key-file", key)
    cli("profile", "set", "name", "Ines", *by_key)
    typed += ["some more words"] * 2
    cli("key", "passphrase", *by_key)
    rotated = cli("key", "rotate", *by_key, "--json").json
    assert rotated["dropped"] == ["passphrase"]
    assert cli("profile", "show", *by_key, "--json").json == {"name": "Ines"}
    typed += [old, rotated["recovery_key"]]
    assert cli("profile", "show", "--home", home, "--recovery").code == 3
    assert cli("profile", "show", "--home", home, "--recovery").code == 0


def test_rotation_with_the_recovery_key_asks_for_a_new_passphrase(cli, tmp_path: Path, typed: list[str]) -> None:
    home, key = tmp_path / "home", tmp_path / "me.key"
    recovery = cli("init", "--home", home, "--key-file", key, "--json").json["recovery_key"]
    typed += [recovery, "brand new words", "brand new words", "brand new words"]
    assert cli("key", "rotate", "--home", home, "--recovery", "--json").json["dropped"] == ["key-file"]
    assert cli("profile", "show", "--home", home).code == 0


@pytest.mark.parametrize(
    ("told", "state", "words"),
    [
        (Granted("native", True, True, True, 8 << 20, 0, ""), "ok", "keys never go to swap"),
        (
            Granted("native", True, False, True, 0, 3, "a program may lock 0 KB"),
            "warning",
            "swap: a program may lock 0",
        ),
        (Granted("python", False, False, False, None, 1, "no extension"), "warning", "in the dump if"),
    ],
)
def test_the_doctor_says_what_of_the_keys_could_reach_the_disk(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Granted, state: str, words: str
) -> None:
    monkeypatch.setattr(doctor, "granted", lambda: told)
    checks = cli("doctor", "--home", tmp_path, "--json").json["checks"]
    (found,) = (check for check in checks if check["name"] == "private memory")
    assert found["state"] == state
    assert words in found["detail"]


@pytest.mark.skipif(sys.platform != "linux", reason="prctl")
@pytest.mark.parametrize(("call", "dumpable"), [("main()", "0"), ("main(['--version'])", "1")])
def test_the_command_keeps_its_memory_to_itself_and_a_host_program_keeps_its_ways(call: str, dumpable: str) -> None:
    code = f"import ctypes, sys; sys.argv = ['edgeperso', '--version']; from edgeperso.cli import main; {call}"
    code += "; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == dumpable


def test_the_doctor_finds_what_is_amiss(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models_dir: Path) -> None:
    monkeypatch.setenv("EDGEPERSO_MODELS", str(models_dir))
    home, key = tmp_path / "home", tmp_path / "me.key"
    cli("init", "--home", home, "--key-file", key)
    well = cli("doctor", "--home", home, "--key-file", key, "--deep", "--json")
    assert well.code == 0
    assert {check["state"] for check in well.json["checks"]} <= {"ok", "warning"}
    assert well.json["private_memory"] | {"refused": 0} == asdict(granted()) | {"refused": 0}
    (home / "header.json").unlink()
    home.chmod(0o755)
    states = {check["name"]: check["state"] for check in cli("doctor", "--home", home, "--json").json["checks"]}
    assert states["key header"] == "warning"
    assert states["permissions"] == "warning"
    with (home / "vault.db").open("r+b") as stream:
        stream.seek(4096 + 100)
        stream.write(b"\x00\x01\x02")
    broken = cli("doctor", "--home", home, "--key-file", key, "--deep", "--json")
    assert broken.code == 1
    assert {check["name"] for check in broken.json["checks"] if check["state"] == "failed"} == {"contents"}
    assert cli("doctor", "--home", tmp_path / "none").code == 1


@pytest.mark.parametrize(("stale", "told"), [(True, "make setup"), (False, "not built")])
def test_the_doctor_says_when_numpy_serves(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stale: bool, told: str
) -> None:
    monkeypatch.setattr(kernels, "AVAILABLE", False)
    monkeypatch.setattr(kernels, "STALE", stale)
    checks = {check["name"]: check for check in cli("doctor", "--home", tmp_path / "none", "--json").json["checks"]}
    assert checks["native kernels"]["state"] == "warning"
    assert told in checks["native kernels"]["detail"]
