"""What the person likes and can't stand: their own sentences that say so, told by their form.

"Which restaurant in Rome?" shares no word with "I can't eat gluten", and a long history holds much that is nearer to
the question. What decides a suggestion is mostly a sentence in which the person speaks of themselves: I avoid, I'd
rather, I am allergic, that doesn't appeal to me. Such sentences are few, so all of them can be weighed. English only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from edgeperso.knowledge.sentences import without_quotes
from edgeperso.knowledge.store import edited_since
from edgeperso.types import Kind, Memory, MemoryFilter, Trust

if TYPE_CHECKING:
    from edgeperso.vault import Vault

__all__ = ["Preferences", "states_preference"]

_ADVERB: Final = r"(?:\w+ly|really|always|never|only|just|do|don't|do not|can'?t|cannot|would|much|also|still|try to)"
_VERB: Final = (
    "(?:like(?! you\\b)|love|enjoy|prefer|favou?r|adore|appreciate|dislike|hate|detest|avoid|refuse|loathe|despise"
    "|prioriti[sz]e|stand|bear|tolerate|rather|believe in|value|insist|stick to|opt for|care for|steer clear"
    "|struggle with)s?"
)
_DOING: Final = (
    "(?:eat|drink|use|buy|wear|watch|read|listen|play|trust|travel|fly|stay|go|do|take|work|support|consume|shop"
    "|want|purchase|consider|choose|drive|accept)"
)
_BEING: Final = (
    "(?:allergic|intolerant|vegan|vegetarian|afraid|scared|averse|sensitive|passionate|fond|committed|(?:un)?comfortable"
    "|(?:un)?interested|opposed|against|drawn|into|keen|an? (?:\\w+ )?(?:fan|believer|lover|advocate)|not a)"
)
_HAVING: Final = (
    "(?:allergy|allergies|intolerance|phobia|fear|aversion|dislike|distaste|disdain|bias|preference|passion|interest"
    "|stance|objections?|anxiety|sensitivity|condition|skin)"
)
_FINDING: Final = "(?:off-putting|difficult|hard|boring|tedious|ineffective|overwhelming|relaxing|helpful|engaging)"
_PLEASING: Final = "(?:great|good|perfect|ideal|appealing|interesting|intriguing|better|best)"
_REPELLING: Final = "(?:appeal|interest me|(?:work|suitable)(?: well)? for me|suit me|suit my|fit my|align with)"
_OF_ME: Final = (  # after "i" or "we"
    rf"(?:'d)?(?: {_ADVERB}){{0,3}} {_VERB}",
    rf"\b[^,]{{0,120}}(?:,|\b) ?(?:and|but|so|or)(?: {_ADVERB}){{0,2}} (?:prefer|avoid|dislike|hate|love|enjoy)",
    rf"(?: \w+){{0,2}} (?:only|never|exclusively|can'?t|cannot|don't|do not|won't|will not) {_DOING}",
    rf"(?:'m| am)(?: \w+){{0,3}} {_BEING}",
    rf" have(?: \w+){{0,4}} {_HAVING}",
    rf" find\b.{{0,100}}\b{_FINDING}",
    r" (?:work|learn|sleep|study) best",
    r"(?:'ll| will)(?: \w+){0,1} (?:go|stick) (?:with|for)",
)
_OF_MINE: Final = (
    r"my (?:favou?rite|preference|taste|style|liking)",
    r"not my (?:thing|cup of tea)",
    r"let's (?:go|stick) (?:with|for)",
    rf"(?:don't|doesn't|do not|does not|didn't|not)(?: \w+){{0,3}} {_REPELLING}",
    rf"(?:sounds?|looks?|seems?|is|are|be)(?: \w+){{0,2}} {_PLEASING}(?: \w+){{0,2}} (?:for|to) me",
)
_STATES: Final = re.compile(rf"\b(?:(?:i|we)(?:{'|'.join(_OF_ME)})|{'|'.join(_OF_MINE)})\b")
_ABOUT_SELF: Final = re.compile(r"\b(?:i|we|me|my)\b|let's|appeal")
_WHOLLY_QUOTED: Final = re.compile(r'^\s*"([^"]*)"\s*$')
"""Who writes nothing else means it."""
_SENTENCE: Final = re.compile(r"[.!?\n]+")
_READ: Final = 20_000
"""Characters of a memory, and of a sentence the first few hundred, are read: no text can take long."""
_SENTENCE_READ: Final = 300
_TYPED: Final = 400
"""Characters of a chat's turn that count: what is longer is mostly pasted (a log, a transcript)."""
_TASK: Final = re.compile(
    r"(?:^|[.!?\n])\s*(?:please,? |(?:can|could|would) you (?:please )?)?"
    r"(?:make (?:this|it|these)|rewrite|rephrase|reword|translate|correct|proofread|improve|fix|edit|shorten|expand"
    r"|continue|complete|summari[sz]e|paraphrase|analy[sz]e|explain|classify)\b[^:.!?\n]{0,200}:",
    re.IGNORECASE,
)
"""What follows such words is a text that they are to be done with."""


def states_preference(text: str) -> bool:
    """Whether somebody says in ``text`` what they like, avoid, need or choose; not in what they quote, nor in what they
    give to be worked on ("Translate: I love you")."""
    own = _TASK.split(_WHOLLY_QUOTED.sub(r"\1", text[:_READ]), maxsplit=1)[0]
    sentences = _SENTENCE.split(without_quotes(own).lower().replace("’", "'"))
    return any(_ABOUT_SELF.search(sentence) and _STATES.search(sentence[:_SENTENCE_READ]) for sentence in sentences)


class Preferences:
    """The memories in which the person states a preference; follows the vault's changes, and reads each text once."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._generation = 0
        self._last_id = 0
        self._stated: set[int] = set()
        self._open: tuple[int, ...] = ()

    def ids(self) -> tuple[int, ...]:
        """Their ids, oldest first: open ones, of the person's own words, and whatever is stored as a preference."""
        generation = self._vault.generation
        if generation != self._generation:
            self._read(self._vault.memories.get(edited_since(self._vault, self._generation, self._last_id)))
            self._read(self._vault.memories.scan(after_id=self._last_id))
            open_ids = self._vault.memories.ids(MemoryFilter(include_closed=False)).tolist()
            self._open = tuple(sorted(self._stated.intersection(open_ids)))
            self._generation = generation
        return self._open

    def _read(self, memories: Iterable[Memory]) -> None:
        for memory in memories:
            self._last_id = max(self._last_id, memory.id)
            if memory.trust is Trust.SELF and _speaks_of_taste(memory):
                self._stated.add(memory.id)
            else:
                self._stated.discard(memory.id)


def _speaks_of_taste(memory: Memory) -> bool:
    if memory.kind in (Kind.PREFERENCE, Kind.DOCUMENT):
        return memory.kind is Kind.PREFERENCE
    return states_preference(memory.text[:_TYPED] if memory.kind is Kind.CHAT else memory.text)
