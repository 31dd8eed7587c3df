"""What the person thinks of answers: ``prefer``, ``correct``, ``accept``, and the pairs that come of it.

Texts are typed when asked for, or come through a pipe; never as words of the command, where a shell's history and the
process list would hold them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from edgeperso.cli.describe import one_line
from edgeperso.cli.frame import Run, family, verb
from edgeperso.cli.typed import YES, confirm, text_from
from edgeperso.errors import DataInvalid, NotFound
from edgeperso.times import day_of

if TYPE_CHECKING:
    from edgeperso.vault.pairs import PreferencePair

__all__ = ["app", "pairs"]

app = typer.Typer()
pairs = family("Preferences between two answers; `edgeperso train dpo` learns from them.")

_KEYS: Final = ("prompt", "chosen", "rejected")


@verb(app, "prefer")
def prefer(
    run: Run,
    scope: Annotated[str, typer.Option("--scope", metavar="NAME", help="The scope of the pair.")] = "personal",
) -> None:
    """Say which of two answers to a question is better: typed, or on stdin as JSON lines (prompt, chosen, rejected)."""
    choices = list(_choices())
    with run.assistant() as me, me.vault.transaction():
        kept = [me.prefer(chosen, rejected, prompt=prompt, scope=scope).id for prompt, chosen, rejected in choices]
        total = me.vault.pairs.count()
    run.out.result({"pairs": kept, "total": total})
    run.out.answer(f"{_counted(len(kept))} kept, {total:,} in all. `edgeperso train dpo` learns from them.")


@verb(app, "correct")
def correct(run: Run) -> None:
    """Say how the last answer should have read; typed, or through a pipe."""
    with run.assistant() as me:
        answer = me.vault.conversations.last_answer()
        if answer is None or not answer.text:
            raise NotFound("There is no answer to correct.", hint="Ask something first.")
        run.out.note(f"The last answer: {one_line(answer.text)}")
        pair = me.correct(text_from(None, "It should have read: "))
    run.out.result({"pair": pair.id})
    run.out.answer(f"Kept as pair {pair.id}.")


@verb(app, "accept")
def accept(run: Run) -> None:
    """Say that the last answer is as it should be: `edgeperso train` may learn from it."""
    with run.assistant() as me:
        turn_id = me.accept()
    run.out.result({"turn": turn_id})
    run.out.answer("The last answer is accepted.")


@verb(pairs, "list")
def list_pairs(run: Run) -> None:
    """Show the pairs, the newest last."""
    with run.vault() as vault:
        kept = list(vault.pairs.all())
    run.out.result({"pairs": [_pair_dict(one) for one in kept]})
    for one in kept:
        run.out.heading(f"[{one.id}] {day_of(one.at_ms)}  {one_line(one.prompt)}")
        run.out.rows([("chosen", one_line(one.chosen)), ("rejected", one_line(one.rejected))])
    if not kept:
        run.out.note("There is none yet. `edgeperso prefer` and `edgeperso correct` make them.")


@verb(pairs, "forget")
def forget_pairs(
    run: Run,
    ids: Annotated[list[int], typer.Argument(metavar="ID...", min=1, help="Numbers that `pair list` shows.")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Delete pairs for good; adapters that learnt from them are erased too."""
    with run.vault() as vault:
        known = {one.id for one in vault.pairs.all()} & set(ids)
        if not known:
            raise NotFound("There is no such pair.", hint="See `edgeperso pair list`.")
        if not confirm(run.out, f"Delete {_counted(len(known))} for good?", yes=yes, hint=YES):
            run.out.note("Nothing was changed.")
            return
        tainted = vault.pairs.delete(sorted(known))
    run.out.result({"pairs": sorted(known), "adapters": list(tainted)})
    run.out.answer(f"Forgotten: {_counted(len(known))}.")
    if tainted:
        run.out.note(f"Taken out of service, their weights erased: adapters {', '.join(map(str, tainted))}.", "yellow")


def _pair_dict(pair: PreferencePair) -> dict[str, Any]:
    return {
        "id": pair.id,
        "prompt": pair.prompt,
        "chosen": pair.chosen,
        "rejected": pair.rejected,
        "at_ms": pair.at_ms,
        "scope": pair.scope,
    }


def _counted(pairs: int) -> str:
    return "1 pair" if pairs == 1 else f"{pairs:,} pairs"


def _choices() -> Iterator[tuple[str, str, str]]:
    """Prompt, chosen, rejected: typed on a terminal, or one JSON object a line of stdin.

    Raises:
        DataInvalid: a line of stdin isn't such an object.
    """
    if sys.stdin.isatty():
        yield (
            text_from(None, "The question:      "),
            text_from(None, "The better answer: "),
            text_from(None, "The other answer:  "),
        )
        return
    for number, line in enumerate(text_from(None, "").splitlines(), 1):
        if line.strip():
            yield _read(line, number)


def _read(line: str, number: int) -> tuple[str, str, str]:
    try:
        found = json.loads(line)
        prompt, chosen, rejected = (found[key] for key in _KEYS)
    except (ValueError, TypeError, KeyError, RecursionError):
        prompt = chosen = rejected = None
    if not isinstance(prompt, str) or not isinstance(chosen, str) or not isinstance(rejected, str):
        raise DataInvalid(
            f"Line {number} of stdin is not a pair.",
            hint='Write {"prompt": "…", "chosen": "…", "rejected": "…"}, one object a line.',
        )
    return prompt, chosen, rejected
