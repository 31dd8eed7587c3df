"""What the person says about answers: this one rather than that, it should have read so, it was good."""

from __future__ import annotations

from edgeperso.errors import NotFound, UsageError
from edgeperso.types import Role, Turn
from edgeperso.vault import Vault
from edgeperso.vault.pairs import PreferencePair

__all__ = ["accept", "correct"]

_SCOPE = "personal"


def correct(vault: Vault, text: str, *, turn_id: int | None, at_ms: int) -> PreferencePair:
    """Store that an answer should have read ``text``. The pair draws on the memories that the answer drew on: it goes
    with them. Its scope is theirs, if they are of one.

    Raises:
        NotFound: there is no such answer, or it was forgotten.
        UsageError: the turn is the person's own.
        DataInvalid: ``text`` is empty or says the same.
    """
    answer = _answer(vault, turn_id)
    earlier = [turn for turn in vault.conversations.turns(answer.conversation_id) if turn.id < answer.id]
    question = next((turn for turn in reversed(earlier) if turn.role is Role.PERSON), None)
    if question is None:
        raise NotFound(f"Turn {answer.id} answers nothing.", hint="Use `prefer` with a question of your own.")
    sources = (answer.trace or {}).get("sources")
    read = vault.memories.get(sources if isinstance(sources, list) else ())
    scopes = {memory.scope for memory in read}
    return vault.pairs.add(
        question.text,
        text.strip(),
        answer.text,
        at_ms=at_ms,
        scope=scopes.pop() if len(scopes) == 1 else _SCOPE,
        turn_id=answer.id,
        memories=[memory.id for memory in read],
    )


def accept(vault: Vault, turn_id: int | None) -> int:
    """Note that the person is content with an answer, and return its turn's id.

    Raises:
        NotFound, UsageError: as `correct`.
        AdapterRefused: as `Conversations.accept`.
    """
    answer = _answer(vault, turn_id)
    vault.conversations.accept(answer.id)
    return answer.id


def _answer(vault: Vault, turn_id: int | None) -> Turn:
    turn = vault.conversations.last_answer() if turn_id is None else vault.conversations.turn(turn_id)
    if turn is None or not turn.text or (turn.trace or {}).get("forgotten"):
        raise NotFound("There is no answer to speak of, or it was forgotten.", hint="Ask something first.")
    if turn.role is not Role.ASSISTANT:
        raise UsageError(f"Turn {turn.id} is not an answer.")
    return turn
