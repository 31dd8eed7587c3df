"""Who may import what: one door for each heavy dependency, one for the network."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "edgeperso"

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


def sources() -> list[tuple[str, set[str]]]:
    paths = sorted(PACKAGE.rglob("*.py"))
    return [
        (path.relative_to(PACKAGE).as_posix(), set(imported(ast.parse(path.read_text(encoding="utf-8")))))
        for path in paths
    ]


def importers_of(module: str) -> set[str]:
    return {
        name for name, modules in sources() if any(one == module or one.startswith(module + ".") for one in modules)
    }


def through(name: str, doors: set[str]) -> bool:
    return any(name == door or (door.endswith("/") and name.startswith(door)) for door in doors)


@pytest.mark.parametrize("module", DOORS)
def test_a_heavy_dependency_has_one_door(module: str) -> None:
    assert {name for name in importers_of(module) if not through(name, DOORS[module])} == set()


@pytest.mark.parametrize("module", sorted(NETWORK))
def test_only_pull_opens_connections(module: str) -> None:
    assert importers_of(module) <= NETWORK_DOOR


def test_the_doors_are_really_used() -> None:
    """If a door moved, this list is out of date and the tests above prove nothing."""
    assert importers_of("sqlcipher3") == {"vault/database.py"}
    assert importers_of("cryptography") == {"vault/keys.py"}
    assert importers_of("urllib.request") == NETWORK_DOOR


def test_the_search_finds_what_it_should() -> None:
    hidden = "def f():\n    import socket as s\n    from http import client\n    __import__('ssl')\n"
    assert {"socket", "http", "http.client", "ssl"} <= set(imported(ast.parse(hidden)))
