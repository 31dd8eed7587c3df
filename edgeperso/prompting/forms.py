"""How a prompt is put to a model: through its own chat template, or as a text to be continued.

Both grow at the end only: ``opening`` once, then ``turn`` after ``turn``, the model's answers in between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from edgeperso.prompting.pieces import Piece

__all__ = ["ANSWERING", "ChatForm", "CompletionForm", "Form", "Render", "choose_form"]

Render = Callable[[list[dict[str, str]]], "str | None"]
"""Messages (role, content) → the prompt as the model's own template writes it, up to the answer; None if it refuses."""

ANSWERING: Final = "You answer questions from the person's notes, briefly."
"""The task that a model is given unless it is told another: its system message."""
_NOTES: Final = "Notes, with dates:"
_NOTES_IN_ORDER: Final = "Notes, oldest first:"
_LIFE: Final = "Notes from the person's life:"
_FROM_NOTES: Final = "Answer from the notes."
_LATEST: Final = "Where they differ, the note with the latest date holds."
_LAST: Final = "Where they differ, the last note holds."
_MARKS: Final = ("\u2063s0\u2063", "\u2063u1\u2063", "\u2063a1\u2063", "\u2063u2\u2063")


class Form(Protocol):
    """The shape of a prompt. ``stop`` ends an answer."""

    @property
    def stop(self) -> tuple[str, ...]: ...

    def opening(self, profile: str, task: str = ANSWERING) -> list[Piece]:
        """What comes first and stays the same: the model's task, and the person's profile card."""
        ...

    def turn(self, notes: list[str], question: str, begun: str, *, first: bool, dated: bool = True) -> list[Piece]:
        """What is appended for a question: the quoted notes, the question, the first words of the answer. Where they
        aren't ``dated``, the notes are in the order of time."""
        ...

    def open_turn(self, notes: list[str], words: str) -> list[Piece]:
        """A first turn that isn't over: the quoted notes, then ``words``, which any text may follow."""
        ...

    def close_turn(self) -> list[Piece]:
        """What ends such a turn: the answer comes next."""
        ...


@dataclass(frozen=True, slots=True)
class CompletionForm:
    """For models without a chat template: notes, the question, and an answer to go on with."""

    stop: tuple[str, ...] = ("\n",)

    def opening(self, profile: str, task: str = ANSWERING) -> list[Piece]:
        head = "" if task == ANSWERING else f"{task}\n\n"  # a text to be continued needs no word on answering
        return [Piece(f"{head}{profile}\n\n" if profile else head)]

    def turn(self, notes: list[str], question: str, begun: str, *, first: bool, dated: bool = True) -> list[Piece]:
        gap = "" if first else "\n\n"
        begin = f" {begun}" if begun else ""
        block = _block(_LIFE if dated else _NOTES_IN_ORDER, notes)
        return [Piece(f"{gap}{block}Question: {question}\nThe answer, from the notes:{begin}")]

    def open_turn(self, notes: list[str], words: str) -> list[Piece]:
        return [Piece(f"{_block(_LIFE, notes)}{words}")]

    def close_turn(self) -> list[Piece]:
        return [Piece("\nAnswer:")]


@dataclass(frozen=True, slots=True)
class ChatForm:
    """Through the model's own template, cut into what is ours (its markup) and the gaps that hold text of people.
    ``latest``: beside the question stands the rule that the latest note holds."""

    before_system: str
    before_user: str
    after_user: str
    between: str
    after_next: str
    begin: bool = False
    latest: bool = True

    @property
    def stop(self) -> tuple[str, ...]:
        return ("\n",) if self.begin else ()

    def opening(self, profile: str, task: str = ANSWERING) -> list[Piece]:
        system = f"{task}\n{profile}" if profile else task
        return [Piece(self.before_system, ours=True), Piece(system), Piece(self.before_user, ours=True)]

    def turn(self, notes: list[str], question: str, begun: str, *, first: bool, dated: bool = True) -> list[Piece]:
        holds = _LATEST if dated else _LAST
        rule = f"{_FROM_NOTES} {holds}" if self.latest and not self.begin else _FROM_NOTES
        ask = f"{rule}\nQuestion: {question}" if notes else f"Question: {question}"
        markup = [] if first else [Piece(self.between, ours=True)]
        answer = [Piece(f"Answer: {begun}")] if self.begin and begun else []
        body = Piece(f"{_block(_NOTES if dated else _NOTES_IN_ORDER, notes)}{ask}")
        return [*markup, body, Piece(self.after_user if first else self.after_next, ours=True), *answer]

    def open_turn(self, notes: list[str], words: str) -> list[Piece]:
        return [Piece(f"{_block(_NOTES, notes)}{words}")]

    def close_turn(self) -> list[Piece]:
        return [Piece(self.after_user, ours=True)]


def _block(heading: str, notes: list[str]) -> str:
    """The quoted notes under their heading, or nothing where there are none."""
    return "".join([f"{heading}\n\n", *(f"{note}\n" for note in notes), "\n"]) if notes else ""


def choose_form(render: Render | None, *, begin: bool, latest: bool = True) -> Form:
    """The model's chat template if it has one that two turns can be read off, else the completion form.

    ``begin`` writes the first words of the answer in the model's place, which small models need; without
    ``latest`` the rule is left out that of notes that differ the latest holds.
    """
    form = None if render is None else _read_template(render, begin=begin, latest=latest)
    return form if form is not None else CompletionForm()


def _read_template(render: Render, *, begin: bool, latest: bool) -> ChatForm | None:
    system, user, answer, following = _MARKS
    for system_in_user in (False, True):
        opening = [] if system_in_user else [{"role": "system", "content": system}]
        first = {"role": "user", "content": f"{system}\n\n{user}" if system_in_user else user}
        one = render([*opening, first])
        two = render(
            [*opening, first, {"role": "assistant", "content": answer}, {"role": "user", "content": following}]
        )
        if one is None or two is None:
            continue
        parts = _cut(one, (system, user)), _cut(two, (system, user, answer, following))
        if parts[0] is not None and parts[1] is not None and parts[0][:2] == parts[1][:2]:
            before_system, before_user, after_user = parts[0]
            between, after_next = parts[1][3:]
            return ChatForm(before_system, before_user, after_user, between, after_next, begin, latest)
    return None


def _cut(text: str, marks: tuple[str, ...]) -> list[str] | None:
    parts: list[str] = []
    for mark in marks:
        head, found, text = text.partition(mark)
        if not found:
            return None
        parts.append(head)
    return [*parts, text]
