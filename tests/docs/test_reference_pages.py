"""The reference pages say what the program says; links in the documentation lead somewhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts/reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["CLI_PAGE", "ERRORS_PAGE"])
def test_a_page_made_from_the_program_is_up_to_date(reference: ModuleType, page: str) -> None:
    path: Path = getattr(reference, page)
    assert path.read_text(encoding="utf-8") == reference.PAGES[path](), "run `python scripts/reference.py`"


def test_every_command_says_what_it_does(reference: ModuleType) -> None:
    assert "None" not in re.findall(r"^None$", reference.cli_page(), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_commands_in_the_documentation_exist(reference: ModuleType) -> None:
    """Each `edgeperso VERB` that a page shows is a verb of the program."""
    known = reference.command()
    shown = {
        verb
        for page in PAGES
        if page.name != "architecture.md"
        for verb in re.findall(r"(?:^|`|\$ )edgeperso ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert shown - set(known.commands) == set()
