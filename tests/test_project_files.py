"""The project's own rules: small files, a true error tree, pins for everything that is installed."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeperso import errors

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAX_LINES = 420
BROUGHT = {"ray": "flwr[simulation", "dp-accounting": "dp]"}
"""Libraries that an extra of a requirement is there for, by how the requirement names it."""
NAME = re.compile(r"[A-Za-z0-9._-]+")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==", 1) for line in lines if line and not line.startswith("#"))


def classes(cls: type[errors.EdgepersoError]) -> Iterator[type[errors.EdgepersoError]]:
    if cls.__module__ == errors.__name__:
        yield cls
        for child in cls.__subclasses__():
            yield from classes(child)


@pytest.mark.parametrize("folder", ["edgeperso", "federated", "native", "scripts", "benchmarks", "tests"])
def test_files_stay_small(folder: str) -> None:
    paths = [path for suffix in ("*.py", "*.cpp", "*.hpp") for path in (ROOT / folder).rglob(suffix)]
    long = {str(path.relative_to(ROOT)): n for path in paths if (n := len(path.read_text().splitlines())) > MAX_LINES}
    assert long == {}


def test_no_file_is_left_unfinished() -> None:
    words = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    here = Path(__file__)
    paths = [path for suffix in ("*.py", "*.cpp", "*.hpp") for path in ROOT.glob(f"[a-z]*/**/{suffix}")]
    assert [path for path in paths if path != here and words.search(path.read_text(encoding="utf-8"))] == []


def test_the_error_tree_in_the_docstring_is_the_real_one() -> None:
    drawn = re.findall(r"(?:^|[├└]── |)\b([A-Z][A-Za-z]+)\b(?: +exit \d+| {2,}|$)", errors.__doc__ or "", re.MULTILINE)
    assert sorted(drawn) == sorted(cls.__name__ for cls in classes(errors.EdgepersoError))


def test_every_error_has_its_own_code_and_is_exported() -> None:
    every = list(classes(errors.EdgepersoError))
    assert len({cls.code for cls in every}) == len(every)
    assert sorted(errors.__all__) == sorted(cls.__name__ for cls in every)
    assert all(cls.exit_code not in {0, 70} for cls in every)


def test_everything_that_is_installed_is_pinned() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]
    required = [*PYPROJECT["project"]["dependencies"], *PYPROJECT["build-system"]["requires"]]
    wanted = [*required, *extras["dev"], *extras["eval"]]
    names = {normal(NAME.match(one).group()) for one in wanted}  # type: ignore[union-attr]
    assert names - pins().keys() == set()


def test_every_library_that_is_imported_is_declared() -> None:
    """A library that only happens to be there, as some other one's dependency, is gone one day."""
    distributions = importlib.metadata.packages_distributions()
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"]
    requirements = [*project["dependencies"], *extras["eval"], *extras["train"], *extras["federated"]]
    declared = {normal(NAME.match(one).group()) for one in requirements}  # type: ignore[union-attr]
    declared |= {name for name, part in BROUGHT.items() if any(part in one for one in requirements)}
    own = {"edgeperso", "edgeperso_federated"}
    undeclared = set()
    paths = [
        path for package in ("edgeperso", "federated/edgeperso_federated") for path in (ROOT / package).rglob("*.py")
    ]
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for top in {name.partition(".")[0] for name in names} - sys.stdlib_module_names - own:
                if not {normal(one) for one in distributions.get(top, [top])} & declared:
                    undeclared.add((top, path.relative_to(ROOT).as_posix()))
    assert undeclared == set()


def test_constraints_name_no_place() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert "@" not in text


def test_torch_is_not_in_the_base_install() -> None:
    assert not any(
        normal(one).startswith(("torch", "transformers", "flwr")) for one in PYPROJECT["project"]["dependencies"]
    )


def test_the_command_starts_without_the_heavy_libraries() -> None:
    """`edgeperso --help` and shell completion must be quick."""
    heavy = {"llama_cpp", "nltk", "onnxruntime", "scipy", "sklearn", "sqlcipher3", "tokenizers"}
    code = "import sys, edgeperso.cli.app as a; a.command(); print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert heavy & set(out.split()) == set()
