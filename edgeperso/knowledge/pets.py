"""Sentences to the animals that live with the person, by name: "our greyhound Juno", "adopted a cat called Tib"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from edgeperso.knowledge.doubt import is_doubtful
from edgeperso.knowledge.slots import is_name
from edgeperso.knowledge.statement import SELF, Statement

__all__ = ["PETS", "pet_statements"]

PETS: Final = {
    "dog": "dog|puppy|pup|greyhound|labrador|terrier|spaniel|collie|poodle|whippet|beagle|dachshund",
    "cat": "cat|kitten|tomcat|tabby",
    "pet": "rabbit|hamster|guinea pig|parrot|budgie|canary|tortoise|horse|pony|pet",
}
"""By attribute, the nouns for such an animal. There may be several: a new one ends no other."""
_BY_NOUN: Final = {noun: attribute for attribute, nouns in PETS.items() for noun in nouns.split("|")}
_PET: Final = re.compile(
    r"\b(?:my|our|(?:got|get|adopted|have|fetched|brought home|took in) an?)(?: [a-z-]+){0,2}? "
    rf"(?P<noun>{'|'.join(_BY_NOUN)})(?:,| is)?(?: (?:called|named))? (?-i:(?P<value>[A-ZÀ-Ö]\w+))",
    re.IGNORECASE,
)


def pet_statements(sentence: str, number: int, year: int) -> Iterator[Statement]:
    """The animals that one sentence, the ``number``th of a text of ``year``, says live with the person."""
    for found in _PET.finditer(sentence):
        if is_name(found["value"]) and not is_doubtful(sentence, found, year):
            yield Statement(SELF, _BY_NOUN[found["noun"].lower()], found["value"], replaces=False, sentence=number)
