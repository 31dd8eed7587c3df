"""The verbs that answer: ``ask``, ``recommend``, ``chat``, ``why``."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from edgeperso.cli import failure
from edgeperso.cli.describe import adapter_outcome, memory_place, one_line, show_trace_lines, source_dict
from edgeperso.cli.frame import Run, verb
from edgeperso.cli.memories import show_plan
from edgeperso.cli.options import ModelOption, StatesOption
from edgeperso.cli.typed import WordsArgument, confirm, text_from
from edgeperso.errors import Cancelled, EdgepersoError
from edgeperso.types import Asking, MemoryFilter

if TYPE_CHECKING:
    from edgeperso.assistant import Assistant, Reply, Trace

__all__ = ["app"]

app = typer.Typer()

_SETTLE_S = 0.5
"""Who types on at once isn't made to wait for a reading to end."""
_HELP = "/why  how the last answer came about    /forget ID…  delete memories    /quit  leave (or Ctrl-D)"


@verb(app, "ask", filters=True)
def ask(run: Run, words: WordsArgument = None, model: ModelOption = None, memory_states: StatesOption = None) -> None:
    """Answer one question from what the vault knows; Ctrl-C ends the answer and keeps what was said."""
    question = text_from(words, "Question: ")
    with run.assistant(model) as me:
        reply = me.ask(question, where=run.where or MemoryFilter(), memory_states=memory_states)
        say(run, me, reply)
        if reply.trace.stopped == "cancelled":
            raise Cancelled("The answer was stopped.", hint="What was said is kept.")


@verb(app, "recommend", filters=True)
def recommend(
    run: Run,
    words: WordsArgument = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", show_default=False, metavar="TEXT", help="What may be recommended; give two or more."),
    ] = None,
    asking: Annotated[Asking, typer.Option("--asking", help="The way in which the model is asked.")] = Asking.REASONED,
    model: ModelOption = None,
) -> None:
    """Put given options in the order in which they suit the person, by what the vault knows of them."""
    question = text_from(words, "Question: ")
    options = option or []
    with run.assistant(model) as me:
        weighed = me.recommend(question, options, where=run.where or MemoryFilter(), asking=asking)
        sources = me.vault.memories.get(weighed.sources)
    ranked = [{"option": options[place], "place": place, "score": weighed.scores[place]} for place in weighed.order]
    run.out.result({"ranked": ranked, "sources": [source_dict(memory) for memory in sources]})
    run.out.rows((str(number), f"{one['score']:.2f}", str(one["option"])) for number, one in enumerate(ranked, 1))
    for memory in sources:
        run.out.note(f"{memory_place(memory)}: {one_line(memory.text)}")


@verb(app, "chat", filters=True)
def chat(run: Run, model: ModelOption = None, memory_states: StatesOption = None) -> None:
    """Talk; each turn costs only what is new. With --json, one object a turn. /help shows the commands."""
    with run.assistant(model) as me:
        conversation = me.chat(where=run.where or MemoryFilter(), memory_states=memory_states)
        for line in lines_typed(run, lambda: reading_ahead(me, wanted=conversation.uses_states)):
            if line.startswith("/"):
                if line.split()[0] in {"/quit", "/exit"}:
                    return
                with shown(run):
                    command(run, me, line)
            elif line:
                with shown(run):
                    say(run, me, conversation.ask(line))


def lines_typed(run: Run, meanwhile: Callable[[], AbstractContextManager[None]]) -> Iterator[str]:
    """What the person types, line by line, until the end of input; Ctrl-C throws away a line half-typed. ``meanwhile``
    lasts while a line is waited for."""
    live = sys.stdin.isatty() and sys.stdout.isatty() and not run.out.json
    if live:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 - gives input() its line editing; no history is ever written
        run.out.note(_HELP)
    while True:
        try:
            with meanwhile():
                line = input("> " if live else "").strip()
            yield line
        except EOFError:
            return
        except KeyboardInterrupt:
            if not live:
                raise
            run.out.note("(/quit or Ctrl-D leaves)")


@contextlib.contextmanager
def reading_ahead(me: Assistant, *, wanted: bool) -> Iterator[None]:
    """Within it, memories are read ahead in a thread of their own, which ends at once where the block does."""
    if not wanted:
        yield
        return
    stop = threading.Event()

    def read() -> None:
        if not stop.wait(_SETTLE_S):
            with contextlib.suppress(EdgepersoError):  # no one asked for it; the next question says what is wrong
                me.read_ahead(cancel=stop)

    thread = threading.Thread(target=read, name="reading ahead", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def shown(run: Run) -> Iterator[None]:
    """An error in one turn is shown, and the conversation goes on."""
    try:
        yield
    except EdgepersoError as error:
        failure.report(error, json=run.out.json)


def command(run: Run, me: Assistant, line: str) -> None:
    """A line that begins with a slash."""
    name, *arguments = line.split()
    if name == "/why":
        show_trace(run, me, me.why())
    elif name == "/forget" and arguments and all(one.isdecimal() for one in arguments):
        plan = me.plan_forget(ids=tuple(map(int, arguments)))
        show_plan(run, plan)
        if confirm(run.out, "Delete this for good?", yes=False):
            me.forget(plan)
            run.out.answer("Forgotten.")
    else:
        run.out.note(_HELP)


@verb(app, "why")
def why(run: Run) -> None:
    """Show how the last answer came about: memories and their scores, the prompt's budget, model, timings."""
    with run.assistant() as me:
        show_trace(run, me, me.why())


def say(run: Run, me: Assistant, reply: Reply) -> None:
    """Print an answer as it comes, then where it comes from."""
    with cancelled_by_ctrl_c(reply):
        for piece in reply:
            run.out.answer(piece, end="")
    run.out.answer()
    trace = reply.trace
    memories = me.vault.memories.get(list(reply.sources))
    run.out.result({"answer": reply.text, "sources": [source_dict(one) for one in memories], "trace": trace.as_dict()})
    if run.out.json:
        return
    for memory in memories:
        run.out.note(memory_place(memory))
    first_s, total_s = trace.timings_ms["first_token"] / 1000, trace.timings_ms["total"] / 1000
    run.out.note(f"first word after {first_s:.2f} s, done after {total_s:.2f} s; `edgeperso why` tells more")


@contextlib.contextmanager
def cancelled_by_ctrl_c(reply: Reply) -> Iterator[None]:
    """The first Ctrl-C ends the answer after the current token; the second one is the usual one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(_number: int, _frame: FrameType | None) -> None:
        reply.cancel()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def show_trace(run: Run, me: Assistant, trace: Trace) -> None:
    memories = me.vault.memories.get([hit.memory_id for hit in trace.hits])
    run.out.result({**trace.as_dict(), "memories": [source_dict(memory) for memory in memories]})
    run.out.heading("Memories")
    run.out.rows(show_trace_lines(trace, memories))
    for title, values, unit in (
        ("Prompt budget (tokens)", trace.budget, "d"),
        ("Tokens", trace.tokens, "d"),
        ("Timings (ms)", trace.timings_ms, ".0f"),
    ):
        run.out.heading(title)
        run.out.rows((name.replace("_", " "), format(value, unit)) for name, value in values.items())
    run.out.heading("Model")
    run.out.rows((name, str(value)) for name, value in trace.model.items())
    if trace.adapters:
        run.out.heading("Adapters")
        run.out.rows(
            (f"[{one.id}]", one.granularity.value, f"at {one.scale:.2f}", adapter_outcome(one.outcome))
            for one in trace.adapters
        )
    ended = f"ended by {trace.stopped}" + (", after earlier turns were left out" if trace.restarted else "")
    run.out.answer(ended)
