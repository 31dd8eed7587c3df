"""A conversation as tokens that only grow at the end, within a budget that is never exceeded.

The stable part comes first (system, profile), then turn by turn: memories as quoted data, the person's words, the
answer. llama.cpp's prefix cache therefore holds from turn to turn. When the context is full, the layout begins anew
with the stable part and the question at hand, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final

from edgeperso.errors import EmptyQuestion, QuestionTooLong
from edgeperso.prompting.begun import begun_answer
from edgeperso.prompting.excerpts import WHOLE, Excerpts, Shorten
from edgeperso.prompting.forms import ANSWERING, Form
from edgeperso.prompting.pieces import Tokenizer, tokenize_pieces
from edgeperso.prompting.quote import quote
from edgeperso.prompting.wide import Note, Span, Wide, around, part
from edgeperso.types import Hit, Memory

__all__ = ["Budget", "Dropped", "Layout", "OpenTurn", "Prompt", "profile_card"]

_JUDGED_TOKENS: Final = 200
"""Of a note, and of a question, that many tokens are judged."""

_NOTE_OVERHEAD: Final = 2
"""Tokens that a line of its own may cost beyond those of its text, when pieces are joined."""


@dataclass(frozen=True, slots=True)
class Budget:
    """In tokens: the model's context, what is kept free in it for the answer, the most that memories may take."""

    context_tokens: int
    answer_tokens: int
    memory_tokens: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """A memory that was found and left out: ``reason`` is ``budget`` (no room), ``shown`` (it stands earlier in the
    conversation), ``reader`` (the model reads no more at once, or nothing so far behind the best)
    or ``superseded`` (a newer memory replaced it)."""

    memory_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """One turn, ready for the engine. ``tokens`` is the whole sequence, its first ``kept_tokens`` the same as in the
    turn before; ``memory_tokens`` and ``question_tokens`` are parts of the rest. ``begun`` are the first words of the
    answer, already in the tokens. ``earlier`` are memories that stand in the turns before and so are read as well.
    ``restarted``: the earlier turns no longer fit and were left out. ``spans`` are the notes, also of earlier turns,
    that are to be taken over from states. Of the memories ``partly`` included only some sentences are read: the rest
    may come in a later turn."""

    tokens: list[int]
    kept_tokens: int
    stable_tokens: int
    memory_tokens: int
    question_tokens: int
    begun: str
    stop: tuple[str, ...]
    included: tuple[int, ...]
    earlier: tuple[int, ...]
    dropped: tuple[Dropped, ...]
    restarted: bool
    spans: tuple[Span, ...] = ()
    partly: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenTurn:
    """A first turn whose words may go on in several ways, each to be judged: the whole ``tokens`` up to there, and
    ``closing``, after which the model answers. ``included`` and ``dropped`` as in `Prompt`."""

    tokens: list[int]
    closing: list[int]
    included: tuple[int, ...]
    dropped: tuple[Dropped, ...]


class Layout:
    """The growing token sequence of one conversation with one model, which is given ``task``."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        form: Form,
        budget: Budget,
        *,
        bos: Sequence[int] = (),
        profile: str = "",
        task: str = ANSWERING,
    ) -> None:
        self._tokenizer = tokenizer
        self._form = form
        self._budget = budget
        self._stable = [*bos, *tokenize_pieces(tokenizer, form.opening(profile, task))]
        self._tokens = list(self._stable)
        self._shown: set[int] = set()
        self._partly: set[int] = set()
        self._spans: tuple[Span, ...] = ()
        self._turns = 0

    @property
    def stable(self) -> list[int]:
        """The tokens that every turn begins with."""
        return list(self._stable)

    @property
    def tokens(self) -> list[int]:
        """All tokens so far."""
        return list(self._tokens)

    @property
    def beginning(self) -> list[int]:
        """What stands before the first note of a conversation: the states of notes are computed after it."""
        before, _ = around(self._tokenizer, self._form, "", first=True)
        return [*self._stable, *before]

    def note(self, memory: Memory) -> list[int]:
        """A memory as the tokens of a line by itself, as `wide_turn` has it."""
        return self._tokenizer.tokenize(f"{quote(memory)}\n")

    @property
    def takes_wide(self) -> bool:
        """Whether `wide_turn` may come next: at the beginning, or once there was one."""
        return self._turns == 0 or bool(self._spans)

    def judging(self, question: str, hits: Sequence[Hit]) -> list[tuple[list[int], list[int]]]:
        """For each hit its note as a context and ``question`` as what follows: how likely a model finds the question
        after the note tells how well the note answers it.

        Source: Sachan et al., "Improving Passage Retrieval with Zero-Shot Question Generation", 2022
        (arXiv:2204.07496).
        """
        tail = self._tokenizer.tokenize(f" {' '.join(question.split())}")[:_JUDGED_TOKENS]
        cue = self._tokenizer.tokenize("\n\nA question that this note answers:")
        return [(self._tokenizer.tokenize(quote(hit.memory))[:_JUDGED_TOKENS] + cue, tail) for hit in hits]

    @property
    def shown(self) -> frozenset[int]:
        """The memories that stand in the tokens."""
        return frozenset(self._shown)

    def resize(self, budget: Budget) -> None:
        """Go on within another budget; turns that no longer fit are left out at the next one."""
        self._budget = budget

    def restart(self) -> None:
        """Forget all turns: the next one begins with the stable part."""
        self._tokens, self._shown, self._partly, self._spans, self._turns = list(self._stable), set(), set(), (), 0

    def turn(
        self,
        question: str,
        hits: Sequence[Hit],
        *,
        begin: bool,
        most: int | None = None,
        behind: float = math.inf,
        again: bool = False,
        shorten: Shorten | None = None,
    ) -> Prompt:
        """The prompt for ``question`` with as many of ``hits`` (best first) as the budget takes, ``most`` at most,
        none whose score is more than ``behind`` below that of the best that fits; oldest first, and of one time the
        best last. With ``begin`` the answer's first words are written for the model, and the best stands nearest to the
        question. With ``again`` memories are quoted although they stand earlier. Where the notes are longer than
        ``shorten`` allows, excerpts of the best are read in their place.

        The turn is part of the conversation once it is `answered`.

        Raises:
            EmptyQuestion: nothing but white space.
            QuestionTooLong: the question alone doesn't fit beside the stable part and the answer.
        """
        question = " ".join(question.split())
        if not question:
            raise EmptyQuestion("The question is empty.")
        begun = begun_answer(question) if begin else ""
        bare = self._turn_tokens([], question, begun, first=self._turns == 0)
        room = self._room(len(bare))
        restarted = room < 0 and self._turns > 0
        if restarted:
            self.restart()
            bare = self._turn_tokens([], question, begun, first=True)
            room = self._room(len(bare))
        if room < 0:
            raise QuestionTooLong(
                f"The question takes {len(bare)} tokens; {max(0, room + len(bare))} are free in a context of "
                f"{self._budget.context_tokens} that keeps {self._budget.answer_tokens} for the answer."
            )
        shown = frozenset() if again else self.shown - self._partly
        limit = min(room, self._budget.memory_tokens)
        taken, dropped = self._choose(hits, limit, len(hits) if most is None else most, shown, behind)
        excerpts = WHOLE
        if shorten is not None and self._is_long(taken, dropped, shorten.tokens):
            found = shorten.of(hits, limit, shown, behind)
            if found.lines:
                excerpts, (taken, dropped) = found, _parted(hits, found.lines.keys(), shown)
        return self._fill(
            question, begun, taken, dropped, bare=len(bare), restarted=restarted, by_time=not begin, excerpts=excerpts
        )

    def wide_turn(self, question: str, hits: Sequence[Hit], wide: Wide) -> Prompt | None:
        """The prompt for ``question`` with many notes, of which most are taken over from states and only the best read
        anew, nearest to the question. None where `turn` has to do, since too few of the
        notes have states, or since it doesn't fit; see `Wide`. A full context begins anew, as in `turn`."""
        question = " ".join(question.split())
        before = self._tokens, self._shown, self._partly, self._spans, self._turns
        restarted = self._turns > 0 and self._room(len(self._turn_tokens([], question, "", first=False))) < 0
        if restarted:
            self.restart()
        prompt = self._wide_prompt(question, hits, wide)
        if prompt is None:
            self._tokens, self._shown, self._partly, self._spans, self._turns = before
            return None
        return replace(prompt, restarted=restarted)

    def _wide_prompt(self, question: str, hits: Sequence[Hit], wide: Wide) -> Prompt | None:
        first = self._turns == 0
        before, after = around(self._tokenizer, self._form, question, first=first)
        frame, bare = len(before) + len(after), len(self._turn_tokens([], question, "", first=first))
        room = min(self._room(frame), wide.note_tokens + bare - frame)
        if not question or not self.takes_wide or room <= 0:
            return None
        taken, dropped = self._choose(hits, room, len(hits), self.shown)
        notes = [Note(hit.memory, self.note(hit.memory)) for hit in taken]
        spliced, fresh = part(notes, wide)
        if not spliced:
            return None
        tokens, spans = [*self._tokens, *before], list(self._spans)
        for note in spliced:
            spans.append(Span(len(tokens), len(tokens) + len(note.tokens), note.memory.id))
            tokens += note.tokens
        tokens += [token for note in fresh for token in note.tokens] + after
        included = tuple(note.memory.id for note in notes)
        return Prompt(
            tokens=tokens,
            kept_tokens=0 if first else len(self._tokens),
            stable_tokens=len(self._stable),
            memory_tokens=len(tokens) - len(self._tokens) - bare,
            question_tokens=bare,
            begun="",
            stop=(),
            included=included,
            earlier=tuple(sorted(self._shown.difference(included))),
            dropped=tuple(dropped),
            restarted=False,
            spans=tuple(spans),
        )

    def open_turn(self, words: str, hits: Sequence[Hit], *, kept_free: int, most: int | None = None) -> OpenTurn:
        """A first turn with as many of ``hits`` (best first) as the budget takes, then ``words``, left open.

        Args:
            kept_free: tokens for what is to follow: candidate texts, the turn's end, the answer.

        Raises:
            QuestionTooLong: ``words`` don't fit beside the stable part and ``kept_free``.
        """
        bare = self._open_tokens([], words)
        room = self._budget.context_tokens - kept_free - len(self._stable) - len(bare)
        if room < 0:
            raise QuestionTooLong(
                f"The question and what is to be judged take {len(bare) + kept_free} tokens; "
                f"{self._budget.context_tokens - len(self._stable)} fit."
            )
        limit = min(room, self._budget.memory_tokens)
        taken, dropped = self._choose(hits, limit, len(hits) if most is None else most, frozenset())
        while True:
            added = self._open_tokens([quote(hit.memory, hit.states) for hit in reversed(taken)], words)
            if len(added) - len(bare) <= limit or not taken:
                break
            dropped.append(Dropped(taken.pop().memory.id, "budget"))
        return OpenTurn(
            tokens=[*self._stable, *added],
            closing=tokenize_pieces(self._tokenizer, self._form.close_turn()),
            included=tuple(hit.memory.id for hit in taken),
            dropped=tuple(dropped),
        )

    def _open_tokens(self, notes: list[str], words: str) -> list[int]:
        return tokenize_pieces(self._tokenizer, self._form.open_turn(notes, words))

    def answered(self, prompt: Prompt, tokens: Sequence[int]) -> None:
        """Make ``prompt`` and what the model said to it part of the conversation, token by token, so that the next turn
        finds them in the prefix cache."""
        self._tokens = [*prompt.tokens, *tokens]
        self._shown.update(prompt.included)
        self._partly = self._partly.difference(prompt.included).union(prompt.partly)
        self._spans = prompt.spans
        self._turns += 1

    def _room(self, bare: int) -> int:
        return self._budget.context_tokens - self._budget.answer_tokens - len(self._tokens) - bare

    def _fill(
        self,
        question: str,
        begun: str,
        taken: list[Hit],
        dropped: list[Dropped],
        *,
        bare: int,
        restarted: bool,
        by_time: bool,
        excerpts: Excerpts,
    ) -> Prompt:
        """Build the turn from what was chosen, and check it against the budget: joined lines may cost a token more."""
        first, kept = self._turns == 0, len(self._tokens)
        limit = min(self._room(bare), self._budget.memory_tokens)
        while True:
            ordered = list(reversed(taken))
            if by_time:
                ordered.sort(key=lambda hit: hit.memory.when_ms)
            notes = [excerpts.lines.get(hit.memory.id) or quote(hit.memory, hit.states) for hit in ordered]
            added = self._turn_tokens(notes, question, begun, first=first, dated=excerpts.dated)
            if len(added) - bare <= limit or not taken:
                break
            dropped.append(Dropped(taken.pop().memory.id, "budget"))
        included = tuple(hit.memory.id for hit in taken)
        return Prompt(
            tokens=[*self._tokens, *added],
            kept_tokens=0 if first else kept,
            stable_tokens=len(self._stable),
            memory_tokens=len(added) - bare,
            question_tokens=bare,
            begun=begun,
            stop=self._form.stop if begun else (),
            included=included,
            earlier=tuple(sorted(self._shown.difference(included))),
            dropped=tuple(dropped),
            restarted=restarted,
            spans=self._spans,
            partly=tuple(id_ for id_ in included if id_ in excerpts.partly),
        )

    def _is_long(self, taken: Sequence[Hit], dropped: Sequence[Dropped], tokens: int) -> bool:
        """Whether notes are longer than ``tokens`` together, or one was left out for its length."""
        over = any(one.reason == "budget" for one in dropped)
        return over or sum(len(self._tokenizer.tokenize(quote(hit.memory, hit.states))) for hit in taken) > tokens

    def _choose(
        self, hits: Sequence[Hit], room: int, most: int, shown: frozenset[int], behind: float = math.inf
    ) -> tuple[list[Hit], list[Dropped]]:
        taken: list[Hit] = []
        dropped: list[Dropped] = []
        full = False
        best = -math.inf
        for hit in hits:
            if hit.memory.id in shown:
                best = max(best, hit.score)
                dropped.append(Dropped(hit.memory.id, "shown"))
                continue
            if len(taken) == most or hit.score < best - behind:
                dropped.append(Dropped(hit.memory.id, "reader"))
                continue
            cost = len(self._tokenizer.tokenize(quote(hit.memory, hit.states))) + _NOTE_OVERHEAD
            if full or cost > room:
                dropped.append(Dropped(hit.memory.id, "budget"))
                # A memory that is too long by itself makes way for the next; a full budget ends the list, so that
                # a worse memory never takes the place of a better one for being short.
                full = full or bool(taken)
                continue
            room -= cost
            best = max(best, hit.score)
            taken.append(hit)
        return taken, dropped

    def _turn_tokens(
        self, notes: list[str], question: str, begun: str, *, first: bool, dated: bool = True
    ) -> list[int]:
        return tokenize_pieces(self._tokenizer, self._form.turn(notes, question, begun, first=first, dated=dated))


def _parted(hits: Sequence[Hit], read: AbstractSet[int], shown: frozenset[int]) -> tuple[list[Hit], list[Dropped]]:
    """Those of ``hits`` that are read, and why the others aren't."""
    others = [hit.memory.id for hit in hits if hit.memory.id not in read]
    reasons = [Dropped(id_, "shown" if id_ in shown else "reader") for id_ in others]
    return [hit for hit in hits if hit.memory.id in read], reasons


def profile_card(attributes: dict[str, str]) -> str:
    """The person's static attributes as one line for the stable part; empty without any."""
    if not attributes:
        return ""
    return "About the person: " + "; ".join(f"{name}: {' '.join(value.split())}" for name, value in attributes.items())
