"""Who may import what: one door for each heavy dependency, one for the network."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "edgeperso"
FEDERATED = ROOT / "federated" / "edgeperso_federated"

# module → the files (or folders, ending in a slash) that may import it
DOORS = {
    "sqlcipher3": {"vault/database.py"},
    "sqlite_utils": {"vault/database.py"},
    "sqlite3": set[str](),
    "cryptography": {"vault/keys.py"},
    "keyring": {"vault/keyring_store.py"},
    "llama_cpp": {"engine/"},
    "onnxruntime": {"embedding/"},
    "tokenizers": {"embedding/"},
    "torch": {"embedding/export.py", "adaptation/training/"},
    "transformers": {"embedding/export.py"},
    "safetensors": {"adaptation/bridge/peft.py"},
    "nltk": {"evals/metrics/text.py"},
    "rouge_score": {"evals/metrics/text.py"},
    "sacrebleu": {"evals/metrics/text.py"},
    "pytrec_eval": {"evals/metrics/ranking.py"},
    "scipy": {"evals/metrics/"},
    "sklearn": {"evals/metrics/"},
    "pickle": set[str](),
    "shelve": set[str](),
}
# The same for the federated package: Flower's half sees no vault, and the broker is the only one that opens it.
FEDERATED_DOORS = {
    "flwr": {"flower/"},
    "httpx": {"flower/link.py"},
    "ray": set[str](),
    "torch": set[str](),
    "sqlcipher3": set[str](),
    "edgeperso.vault": {"broker/"},
    "edgeperso.assistant": set[str](),
    "cryptography": {"secagg/primitives.py", "privacy/noise.py", "deploy/certificates.py"},
    "dp_accounting": {"privacy/accounting.py"},
    "socket": {"broker/", "deploy/processes.py"},
    "pickle": set[str](),
    "shelve": set[str](),
}
NETWORK = {
    "aiohttp",
    "asyncio",
    "ftplib",
    "http",
    "httpx",
    "huggingface_hub",
    "imaplib",
    "poplib",
    "requests",
    "smtplib",
    "socket",
    "socketserver",
    "ssl",
    "telnetlib",
    "urllib.request",
    "urllib.error",
    "urllib3",
    "webbrowser",
    "xmlrpc",
}
NETWORK_DOOR = {"catalogue/pull.py"}


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module name that the source imports, at the top or inside a function, by statement or by call."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield module
                yield from (f"{module}.{name.name}" for name in names)
            case ast.Call(
                func=ast.Name(id="__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(module)), *_],
            ):
                yield module


def sources(package: Path) -> list[tuple[str, set[str]]]:
    paths = sorted(package.rglob("*.py"))
    return [
        (path.relative_to(package).as_posix(), set(imported(ast.parse(path.read_text(encoding="utf-8")))))
        for path in paths
    ]


def importers_of(module: str, package: Path = PACKAGE) -> set[str]:
    return {
        name
        for name, modules in sources(package)
        if any(one == module or one.startswith(module + ".") for one in modules)
    }


def through(name: str, doors: set[str]) -> bool:
    return any(name == door or (door.endswith("/") and name.startswith(door)) for door in doors)


@pytest.mark.parametrize("module", DOORS)
def test_a_heavy_dependency_has_one_door(module: str) -> None:
    assert {name for name in importers_of(module) if not through(name, DOORS[module])} == set()


@pytest.mark.parametrize("module", FEDERATED_DOORS)
def test_a_door_of_the_federated_package(module: str) -> None:
    assert {name for name in importers_of(module, FEDERATED) if not through(name, FEDERATED_DOORS[module])} == set()


@pytest.mark.parametrize("module", sorted(NETWORK - FEDERATED_DOORS.keys()))
def test_a_federation_opens_connections_through_its_doors_alone(module: str) -> None:
    assert importers_of(module, FEDERATED) == set()


def test_what_flower_runs_on_a_device_knows_neither_vault_nor_training() -> None:
    """Not by detours either: it hands bytes to the broker and back."""
    pytest.importorskip("flwr")
    code = "import sys, edgeperso_federated.flower.client_app; print('\\n'.join(sys.modules))"
    path = {"PYTHONPATH": str(FEDERATED.parent), "FLWR_TELEMETRY_ENABLED": "0"}
    told = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | path, capture_output=True, text=True, check=True
    )
    modules = set(told.stdout.split())
    assert "edgeperso_federated.broker.proxy" in modules
    forbidden = {
        "edgeperso.vault",
        "edgeperso.assistant",
        "edgeperso.engine.native",
        "torch",
        "sqlcipher3",
        "llama_cpp",
    }
    assert modules & forbidden == set()


@pytest.mark.parametrize("module", sorted(NETWORK))
def test_only_pull_opens_connections(module: str) -> None:
    assert importers_of(module) <= NETWORK_DOOR


def test_the_doors_are_really_used() -> None:
    """If a door moved, this list is out of date and the tests above prove nothing."""
    assert importers_of("sqlcipher3") == {"vault/database.py"}
    assert importers_of("cryptography") == {"vault/keys.py"}
    assert importers_of("urllib.request") == NETWORK_DOOR
    assert importers_of("edgeperso.vault", FEDERATED)
    assert importers_of("flwr", FEDERATED)


def test_the_search_finds_what_it_should() -> None:
    hidden = "def f():\n    import socket as s\n    from http import client\n    __import__('ssl')\n"
    assert {"socket", "http", "http.client", "ssl"} <= set(imported(ast.parse(hidden)))
