"""The search finds what it must: a privacy test that can't fail proves nothing."""

from __future__ import annotations

import base64
import json
import urllib.parse
from types import SimpleNamespace

import numpy as np
import pytest

WORD = "qxvbtrmwkzjdgcpfhnqtxbvr"
KEY = bytes(range(7, 39))


@pytest.mark.parametrize(
    "wrap",
    [
        str.encode,
        lambda text: text.upper().encode(),
        lambda text: text[2:-5].encode(),
        lambda text: text.encode("utf-16"),
        lambda text: ("\0" + text).encode("utf-16-be"),
        lambda text: text.encode().hex().encode(),
        lambda text: text.encode().hex().upper().encode(),
        lambda text: base64.b64encode(text.encode()),
        lambda text: base64.b64encode(b"a" + text.encode()),
        lambda text: base64.urlsafe_b64encode(b"ab" + text.encode() + b"c"),
        lambda text: json.dumps({"é": f"“{text}”\n"}).encode(),
        lambda text: urllib.parse.quote(f"ü {text}/").encode(),
    ],
)
@pytest.mark.parametrize("before", [0, 1, 5, 8, 13])
def test_a_word_is_found(search: SimpleNamespace, wrap: object, before: int) -> None:
    needles = search.Needles()
    needles.add("another", search.text_forms("bcdfghjkmnpqrtvwxzbcdfgh"))
    needles.add("word", search.text_forms(WORD))
    noise = np.random.default_rng(1).bytes(1000)
    assert needles.found_in(noise[:before] + wrap(WORD) + noise) == {"word"}  # type: ignore[operator]
    assert needles.found_in(noise + noise[:before] + wrap(WORD)) == {"word"}  # type: ignore[operator]


def test_what_is_not_there_is_not_found(search: SimpleNamespace) -> None:
    needles = search.Needles()
    needles.add("word", search.text_forms(WORD))
    needles.add("key", search.byte_forms(KEY))
    assert needles.found_in(np.random.default_rng(2).bytes(1 << 20)) == set()
    assert needles.found_in(WORD[:15].encode() + b" " + WORD[15:].encode() + KEY[:15] + bytes(9)) == set()


def test_part_of_a_vector_is_found_in_every_form(search: SimpleNamespace) -> None:
    generator = np.random.default_rng(3)
    vector = generator.standard_normal(384).astype("<f4")
    vector /= np.linalg.norm(vector)
    needles = search.Needles()
    needles.add("vector", search.vector_forms(vector))
    half = vector.astype("<f2")
    for form in (vector, half, half.astype("<f4"), np.round(vector * 127 / np.abs(vector).max()).astype("i1")):
        assert needles.found_in(b"abc" + form.tobytes()[64:96] + bytes(99)) == {"vector"}
    assert needles.found_in(bytes(4096)) == set()
    assert needles.found_in(vector[::-1].tobytes()) == set()
