"""The main job once through: a vault in a temporary home, the sample life imported, questions answered as they stream.

``make demo`` runs it. The vault opens with a key file beside it, and both are gone at the end.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from edgeperso.assistant import Assistant, Chat, Reply, open_assistant
from edgeperso.cli.describe import memory_place, one_line
from edgeperso.cli.output import ProgressLine, clean, paint
from edgeperso.times import date_ms
from edgeperso.vault import KeyFile, Vault

LIFE = Path(__file__).resolve().parent.parent / "examples/life"
PARTS = ("notes", "mail.mbox", "chatgpt")
TODAY = date(2025, 12, 31)
QUESTIONS = (
    "Which city do I live in now?",
    "Which nuts am I allergic to?",
    "What's the code of my bike lock?",
    "When is my sister Hanne's birthday?",
    "What are Hanne, Wout and I giving Mum for her 65th birthday?",
    "What is my sourdough starter called?",
)
CONVERSATION = ("Which hot drink have I switched to?", "Which sport do I do now, since I quit the gym?")


def main() -> None:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="edgeperso-demo-") as folder:
        home, key = Path(folder) / "home", KeyFile(Path(folder) / "me.key")
        say(f"A vault in {home}, opened by a key file. Today is {TODAY}.\n", "dim")
        vault, _recovery_key = Vault.create(home, key)
        vault.close()
        with open_assistant(home, key=key, clock=clock(began)) as me:
            take_in(me)
            _ = me.engine  # load the model before the questions, so that the first one isn't slower than the rest
            say(f"Ready after {time.perf_counter() - began:.1f} s.\n", "dim")
            for question in QUESTIONS:
                answer(me, question, me.ask(question))
            say("\nA conversation: the second turn reads only what is new.", "bold")
            chat: Chat = me.chat()
            for question in CONVERSATION:
                reply = chat.ask(question)
                answer(me, question, reply)
                tokens = reply.trace.tokens
                say(f"  {tokens['cached']} tokens kept from before, {tokens['evaluated']} new ones read", "dim")
    say("\nThe vault is gone again. To make your own: .venv/bin/edgeperso init", "bold")


def take_in(me: Assistant) -> None:
    """Import the sample life, with progress."""
    began = time.perf_counter()
    with ProgressLine() as progress:
        added = sum(me.add(LIFE / part, progress=progress).added for part in PARTS)
    say(f"{added} memories of Ines Verhulst (invented) imported in {time.perf_counter() - began:.1f} s.", "dim")


def answer(me: Assistant, question: str, reply: Reply) -> None:
    """One question: the answer as it comes, then where it comes from and how long it took."""
    say(f"\n{question}", "cyan")
    for piece in reply:
        sys.stdout.write(clean(piece))
        sys.stdout.flush()
    trace = reply.trace
    sys.stdout.write("\n")
    for memory in me.vault.memories.get(list(trace.sources)):
        say(f"  {memory_place(memory)}: {one_line(memory.text, 70)}", "dim")
    first, total = trace.timings_ms["first_token"], trace.timings_ms["total"]
    say(f"  first word after {first / 1000:.2f} s, done after {total / 1000:.2f} s", "dim")


def clock(began: float) -> Callable[[], int]:
    """The time in the sample life: noon of its last day, going on from there."""
    return lambda: date_ms(TODAY) + round((time.perf_counter() - began) * 1000)


def say(text: str, style: str) -> None:
    sys.stdout.write(paint(clean(text), style, sys.stdout) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
