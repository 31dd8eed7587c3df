"""The first words of an answer, from the question: "Where do I live now?" → "You live in".

A small model completes a sentence far better than it answers a question: on 24 questions about 20 notes, SmolLM2-135M
answered 5 rightly after "Answer: You" and 16 after a begun answer (six notes in the prompt). English only; a question
that fits no rule gives the empty string, and the model begins by itself.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

__all__ = ["begun_answer"]

_SECOND_PERSON: Final = {
    "i": "you",
    "me": "you",
    "my": "your",
    "mine": "yours",
    "myself": "yourself",
    "we": "you",
    "us": "you",
    "our": "your",
    "ours": "yours",
    "am": "are",
    "i'm": "you're",
    "i've": "you've",
    "i'd": "you'd",
}
_POLITE: Final = re.compile(
    r"^(?:(?:and|so|but|ok|okay|hey|well|please|now)[,\s]+)*"
    r"(?:(?:can|could|would|will) you (?:please )?(?:tell|remind) me|remind me|tell me|do you (?:know|remember)"
    r"|do you happen to know)?[,:\s]*",
    re.IGNORECASE,
)
_WH: Final = re.compile(
    r"^(?P<wh>who(?:se)?|where|when|why|how (?:much|many|often|long|old|tall|far|big)|how|what|which)\b(?P<rest>.*)$",
    re.IGNORECASE,
)
_BE: Final = ("is", "are", "was", "were", "am")
_DO: Final = ("do", "does", "did")
_HAVE_MODAL: Final = ("have", "has", "had", "can", "could", "should", "will", "would", "must", "may")
_NOW: Final = re.compile(
    r"[,\s]+(?:now|nowadays|currently|these days|at the moment|today|right now|at present)$", re.IGNORECASE
)
_FRONTED: Final = re.compile(
    r"\s((?:before|after|during|since|until|instead of|per|last|at the|on [A-Z]|when|while|now that|from|each|every"
    r"|an? (?:hour|day|week|month|year)|in (?:\d{4}|[A-Z][a-z]+(?: \d{4})?|the)"
    r"|for (?:the|my|your|her|his|their|our|breakfast|lunch|dinner|christmas))\b.*)$",
)
_PREPOSITIONS: Final = frozenset(
    ["in", "on", "at", "for", "with", "to", "from", "of", "about", "by", "into", "as", "against"]
)
_DETERMINERS: Final = frozenset({"my", "our", "your", "the", "his", "her", "their", "this", "that"})
_CLAUSE_ENDS: Final = frozenset(
    {*_PREPOSITIONS, *_DETERMINERS, "a", "an", "me", "each", "every", "when", "before", "after"}
)
_LEADING_PREPOSITION: Final = re.compile(
    rf"^(?:{'|'.join(sorted(_PREPOSITIONS))}) (?=(?:which|what|whom|how)\b)", re.IGNORECASE
)
_PLACE_WORDS: Final = {
    "live": "in",
    "stay": "in",
    "work": "at",
    "go": "to",
    "move": "to",
    "travel": "to",
    "fly": "to",
    "meet": "in",
    "study": "at",
    "grow": "in",
}


def begun_answer(question: str) -> str:
    """How an answer to ``question`` would begin, in the second person, without a trailing space; may be empty."""
    text = re.sub(r"\s+", " ", question).strip().rstrip("?!. ").strip()
    text = _POLITE.sub("", text, count=1)
    text = _NOW.sub("", text)
    asked = _WH.match(_LEADING_PREPOSITION.sub("", text))
    if asked is None or len(text) > 200:
        return ""
    wh = asked["wh"].lower()
    stem = _statement(wh, re.sub("^['’]s ", " is ", asked["rest"]).split())
    return stem[:1].upper() + stem[1:] if stem else ""


def _statement(wh: str, words: list[str]) -> str:
    auxiliary = next((i for i, word in enumerate(words) if word.lower() in (*_BE, *_DO, *_HAVE_MODAL)), None)
    if auxiliary is None or auxiliary > 5:
        return _subject_question(wh, words)
    noun, verb, rest = words[:auxiliary], words[auxiliary].lower(), words[auxiliary + 1 :]
    if not rest:
        return ""
    if wh == "how" and noun:
        return ""
    if wh == "who" and noun:
        return _subject_question(wh, words)
    if wh == "whose":
        return ""
    if wh in ("what", "which") and noun:
        return _named_thing(noun, verb, rest)
    if verb in _BE:
        return _be(verb, rest)
    if verb in _DO:
        return _do(wh, verb, rest)
    return _second_person([rest[0], verb, *rest[1:]])


def _be(verb: str, rest: list[str]) -> str:
    """``What is my cat called`` → ``your cat is called``; ``Who is my landlord`` → ``your landlord is``."""
    if rest[0].lower() in ("i", "you", "he", "she", "it", "we", "they"):
        return _second_person([rest[0], verb, *rest[1:]])
    if rest[0].lower() == "there":
        return f"there {verb}"
    tail = next((i for i, word in enumerate(rest) if i and _is_predicate(word)), None)
    if tail is not None:
        front, rest = _front(rest)
        return front + _second_person([*rest[:tail], verb, *rest[tail:]])
    if rest[-1].lower() in _PREPOSITIONS:
        return _second_person([*rest[:-1], verb, rest[-1]])
    return _second_person([*rest, verb])


def _do(wh: str, verb: str, rest: list[str]) -> str:
    subject, action, tail = _split_clause(rest)
    if not action:
        return _subject_question(wh, [_inflect("do", verb), *rest])
    if wh == "what" and action.lower() == "do" and tail[:1] == ["for"]:
        return _second_person([*subject, _inflect("work", verb), "as"])
    said = _inflect(action, verb)
    front, tail = _front(tail)
    if wh == "where" and not (tail and tail[-1].lower() in _PREPOSITIONS):
        place = _PLACE_WORDS.get(action.lower())
        tail = [*tail, place] if place and not tail else tail
    return front + _second_person([*subject, said, *tail])


def _front(words: list[str]) -> tuple[str, list[str]]:
    """What says when or for what, to stand first ("Before Oslo, "), and the words without it."""
    text = " " + " ".join(words)
    found = _FRONTED.search(text)
    if found is None:
        return "", words
    return f"{_second_person(found[1].split())}, ", text[: found.start()].split()


def _named_thing(noun: list[str], verb: str, rest: list[str]) -> str:
    """``Which city do I live in`` → ``the city you live in is``; ``What colour is my bike`` → ``your bike is``."""
    if verb in _BE and rest[0].lower() not in ("i", "you", "he", "she", "we", "they"):
        doing = next((i for i, word in enumerate(rest) if i and word.lower().endswith("ing")), None)
        if rest[-1].lower() in _PREPOSITIONS:
            return _second_person(["the", *noun, *rest[:-1], verb, rest[-1], "is"])
        if doing is None:
            return _second_person(["the", *noun, "of", *rest, verb])
        return _second_person(["the", *noun, *rest[:doing], verb, *rest[doing:], "is"])
    if verb in _DO:
        subject, action, tail = _split_clause(rest)
        if not action:
            return ""
        clause = [*subject, _inflect(action, verb), *tail]
    else:
        clause = [rest[0], verb, *rest[1:]]
    return _second_person(["the", *noun, *clause, "was" if verb in ("did", "was", "were") else "is"])


def _subject_question(wh: str, words: list[str]) -> str:
    """``Who teaches me`` → ``the person who teaches you is``; ``Which bus stops`` → ``the bus that stops is``."""
    if len(words) < 2:
        return ""
    if wh == "who":
        return _second_person(["the", "person", "who", *words, "is"])
    verbs = [i for i, word in enumerate(words[:3]) if word.lower().endswith("s") and _can_be_verb(word)]
    verb = next((i for i in verbs if i), verbs[0] if verbs else None)
    if wh not in ("what", "which") or verb is None:
        return ""
    thing = ["the", *words[:verb], "that"] if verb else ["what"]
    return _second_person([*thing, *words[verb:], "is"])


def _split_clause(words: list[str]) -> tuple[list[str], str, list[str]]:
    """Subject, verb and rest of a clause after do: ``my sister Ines live in`` → my sister Ines · live · in."""
    if words[0].lower() in ("i", "you", "he", "she", "it", "we", "they"):
        at = next((i for i, word in enumerate(words) if i and not _is_adverb(word)), None)
    else:
        start = 2 if words[0].lower() in _DETERMINERS else 1
        end = next((i for i in range(start, len(words)) if words[i].lower() in _CLAUSE_ENDS), len(words))
        verbs = [i for i in range(start, end) if _can_be_verb(words[i])]
        verbs = verbs or [i for i in range(start, len(words)) if _can_be_verb(words[i])][:1]
        # "the young couple pay": nouns that could be verbs stand before the verb; "Ann play chess": after a name, first
        at = verbs[-1 if start == 2 else 0] if verbs else None
    if at is None or at >= len(words):
        return words, "", []
    return words[:at], words[at], words[at + 1 :]


def _is_adverb(word: str) -> bool:
    low = word.lower()
    return low.endswith("ly") or low in ("first", "last", "always", "often", "ever", "never", "still", "also")


def _is_predicate(word: str) -> bool:
    low = word.lower()
    if low in ("due", "allergic", "from"):
        return True
    if low.endswith("ing"):
        return _can_be_verb(low) and low not in ("wedding", "evening", "morning", "building")
    return _is_past_form(low)


def _second_person(words: list[str]) -> str:
    out: list[str] = []
    for word in words:
        said = _SECOND_PERSON.get(word.lower(), word)
        out.append("were" if said == "was" and out and out[-1].lower() == "you" else said)
    text = " ".join(out)
    return re.sub(r"\byou is\b", "you are", text)


def _can_be_verb(word: str) -> bool:
    from lemminflect import getAllLemmas

    return word[:1].islower() and "VERB" in getAllLemmas(word)


def _is_past_form(word: str) -> bool:
    """Whether the word is a past or participle and nothing else: ``kept``, ``called``, not ``set``."""
    from lemminflect import getAllLemmas

    readings = getAllLemmas(word)
    return set(readings) <= {"VERB", "ADJ"} and any(lemma != word for lemma in readings.get("VERB", ()))


@lru_cache(maxsize=512)
def _form(verb: str, tag: str) -> str:
    from lemminflect import getInflection

    forms = getInflection(verb, tag=tag)
    return str(forms[0]) if forms else verb


def _inflect(verb: str, auxiliary: str) -> str:
    """The verb as a statement has it: did + move → moved, does + live → lives."""
    if auxiliary == "did":
        return _form(verb.lower(), "VBD")
    return _form(verb.lower(), "VBZ") if auxiliary == "does" else verb
