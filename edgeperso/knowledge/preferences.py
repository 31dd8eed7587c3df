"""What the person likes and can't stand: their own sentences that say so, told by their form.

"Which restaurant in Rome?" shares no word with "I can't eat gluten", and a long history holds much that is nearer to
the question. What decides a suggestion is mostly a sentence in which the person speaks of themselves: I avoid, I'd
rather, I am allergic, that doesn't appeal to me. Such sentences are few, so all of them can be weighed. English only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from edgeperso.types import Kind, Memory, MemoryFilter, Trust

if TYPE_CHECKING:
    from edgeperso.vault import Vault

__all__ = ["Preferences", "states_preference"]

_ADVERB: Final = r"(?:\w+ly|really|always|never|only|just|do|don't|do not|can'?t|cannot|would|much|also|still|try to)"
_VERB: Final = (
    "(?:like|love|enjoy|prefer|favou?r|adore|appreciate|dislike|hate|detest|avoid|refuse|loathe|despise|prioriti[sz]e"
    "|stand|bear|tolerate|rather|believe in|value|insist|stick to|opt for|care for|struggle with)s?"
)
_DOING: Final = (
    "(?:eat|drink|use|buy|wear|watch|read|listen|play|trust|travel|fly|stay|go|do|take|work|support|consume|shop|want)"
)
_BEING: Final = (
    "(?:allergic|intolerant|vegan|vegetarian|afraid|scared|averse|sensitive|passionate|fond|committed|uncomfortable"
    "|interested|opposed|against|drawn|into|keen|a (?:fan|believer|lover)|not a)"
)
_HAVING: Final = (
    "(?:allergy|allergies|intolerance|phobia|fear|aversion|dislike|distaste|preference|passion|interest|stance"
    "|objections?|anxiety|sensitivity|condition|skin)"
)
_FINDING: Final = "(?:off-putting|difficult|hard|boring|tedious|ineffective|overwhelming|relaxing|helpful|engaging)"
_PLEASING: Final = "(?:great|good|perfect|ideal|appealing|interesting|intriguing|better|best)"
_REPELLING: Final = "(?:appeal|interest me|(?:work|suitable)(?: well)? for me|suit me|suit my|fit my|align with)"
_FORMS: Final = (
    rf"(?:i|i'd|we)(?: {_ADVERB}){{0,3}} {_VERB}",
    rf"i\b[^.!?]{{0,120}}\b(?:and|but|so|or)(?: {_ADVERB}){{0,2}} (?:prefer|avoid|dislike|hate|love|enjoy)",
    rf"i(?: \w+){{0,2}} (?:only|never|exclusively|can'?t|cannot|don't|do not) {_DOING}",
    rf"i(?:'m| am)(?: \w+){{0,3}} {_BEING}",
    rf"i have(?: \w+){{0,4}} {_HAVING}",
    rf"i find\b[^.!?]{{0,100}}\b{_FINDING}",
    r"i (?:work|learn|sleep|study) best",
    r"my (?:favou?rite|preference|taste|style|liking)",
    r"not my (?:thing|cup of tea)",
    r"(?:i'll|i will|let's) (?:go|stick) (?:with|for)",
    rf"(?:don't|doesn't|do not|does not|didn't|not)(?: \w+){{0,3}} {_REPELLING}",
    rf"(?:sounds?|looks?|seems?|is|are|be)(?: \w+){{0,2}} {_PLEASING}(?: \w+){{0,2}} (?:for|to) me",
)
_STATES: Final = re.compile("|".join(rf"\b(?:{form})\b" for form in _FORMS), re.IGNORECASE)


def states_preference(text: str) -> bool:
    """Whether somebody says in ``text`` what they like, avoid, need or choose."""
    return _STATES.search(text.replace("’", "'")) is not None


class Preferences:
    """The memories in which the person states a preference; follows the vault's changes."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._generation: int | None = None
        self._ids: tuple[int, ...] = ()

    def ids(self) -> tuple[int, ...]:
        """Their ids, oldest first: open ones, of the person's own words, and whatever is stored as a preference."""
        generation = self._vault.generation
        if generation != self._generation:
            self._ids = tuple(
                memory.id
                for memory in self._vault.memories.scan(MemoryFilter(include_closed=False))
                if memory.trust is Trust.SELF
                and (
                    memory.kind is Kind.PREFERENCE
                    or (memory.kind is not Kind.DOCUMENT and states_preference(memory.text))
                )
            )
            self._generation = generation
        return self._ids


def _speaks_of_taste(memory: Memory) -> bool:
    return memory.kind is Kind.PREFERENCE or (memory.kind is not Kind.DOCUMENT and states_preference(memory.text))
