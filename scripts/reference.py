"""Write the pages of docs/reference that are made from the code: ``python scripts/reference.py [--check]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from edgeperso import errors
from edgeperso.cli.app import command

ROOT = Path(__file__).resolve().parent.parent
CLI_PAGE = ROOT / "docs/reference/cli.md"
ERRORS_PAGE = ROOT / "docs/reference/errors.md"

CLI_HEAD = """# Commands

Made from the program by `python scripts/reference.py`; a test compares the two.

Answers go to stdout, everything else to stderr. With `--json` stdout gets one JSON object, or nothing when the command
fails: the error is then one JSON object on stderr, `{"error": {"code": …, "message": …, "hint": …}}`. Exit codes: 0
done, and otherwise those of [errors](errors.md). Colours appear only on a terminal and never with `NO_COLOR`.

The vault is the folder that `--home` or `EDGEPERSO_HOME` names; model files lie where `EDGEPERSO_MODELS` says. Without
an option that says how to unlock, the credential that the vault has is used: the key file that `EDGEPERSO_KEY_FILE`
names, the keyring, or a passphrase asked on the terminal. `edgeperso --install-completion` sets up your shell.
"""

ERRORS_HEAD = """# Errors

Made from `edgeperso/errors.py` by `python scripts/reference.py`; a test compares the two.

Every error has a `code` for programs, an exit code for shells, a message and a hint. None of them quotes a text of
yours, a question or a key. `internal` (exit 70) is a fault of edgeperso itself: please report it.

| code | class | kind of | exit | what helps |
|---|---|---|---|---|
"""


def cli_page() -> str:
    """The whole command tree as Markdown."""
    root = command()
    return CLI_HEAD + "".join(sections(root, "edgeperso", click.Context(root, info_name="edgeperso")))


def sections(one: click.Command, path: str, context: click.Context) -> Iterator[str]:
    if isinstance(one, click.Group):
        if path != "edgeperso":
            yield f"\n## {path}\n\n{one.help}\n"
        for name in one.list_commands(context):
            child = one.get_command(context, name)
            assert child is not None
            yield from sections(child, f"{path} {name}", click.Context(child, info_name=name, parent=context))
        return
    usage = " ".join(one.collect_usage_pieces(context))
    level = "##" if path.count(" ") == 1 else "###"
    yield f"\n{level} {path}\n\n    {path} {usage}\n\n{one.help}\n"
    rows = [record for parameter in one.params if (record := describe(parameter, context))]
    if rows:
        yield "\n| option | |\n|---|---|\n" + "".join(f"| `{name}` | {text} |\n" for name, text in rows)


def describe(parameter: click.Parameter, context: click.Context) -> tuple[str, str] | None:
    if isinstance(parameter, click.Option):
        if parameter.name == "help":
            return None
        record = parameter.get_help_record(context)
        return None if record is None else (cell(record[0]), cell(record[1]))
    return cell(parameter.make_metavar(context)), cell(getattr(parameter, "help", "") or "")


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def errors_page() -> str:
    """The error tree as a table, in the order of the tree."""
    return ERRORS_HEAD + "".join(error_rows(errors.EdgepersoError, ""))


def error_rows(cls: type[errors.EdgepersoError], parent: str) -> Iterator[str]:
    if cls.__module__ == errors.__name__:
        yield f"| `{cls.code}` | `{cls.__name__}` | {parent} | {cls.exit_code} | {cell(cls.default_hint)} |\n"
        for child in cls.__subclasses__():
            yield from error_rows(child, f"`{cls.__name__}`")


PAGES = {CLI_PAGE: cli_page, ERRORS_PAGE: errors_page}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say which pages are out of date")
    check = parser.parse_args().check
    stale = 0
    for path, make in PAGES.items():
        text = make()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale += 1
            sys.stderr.write(f"{path.relative_to(ROOT)} is {'out of date' if check else 'written'}\n")
            if not check:
                path.write_text(text, encoding="utf-8")
    return int(check and stale > 0)


if __name__ == "__main__":
    sys.exit(main())
