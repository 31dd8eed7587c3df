from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeperso.index import Analyzer


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    return Analyzer()


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("The dogs were running", ["dog", "run"]),
        ("Ann’s flat, Ann's keys", ["ann", "flat", "ann", "key"]),
        ("May 2023", ["may", "2023"]),
        ("ＦＵＬＬ width Ｃafé", ["full", "width", "café"]),
        ("snake_case e-mail", ["snake", "case", "e", "mail"]),
        ("", []),
        ("?! …", []),
    ],
)
def test_terms(analyzer: Analyzer, text: str, terms: list[str]) -> None:
    assert analyzer.terms(text) == terms


def test_each_language_has_its_stems(analyzer: Analyzer) -> None:
    assert analyzer.terms("Häuser", "de") == analyzer.terms("Haus", "de")
    assert analyzer.terms("Häuser", "en") != analyzer.terms("Haus", "en")
    assert analyzer.terms("houses", "xx") == analyzer.terms("houses", "en") == analyzer.terms("houses", "")


def test_a_question_finds_the_words_of_every_language_there_is(analyzer: Analyzer) -> None:
    terms = analyzer.query_terms("Häuser houses", ["de", "en", ""])
    assert set(terms) >= {*analyzer.terms("Haus", "de"), *analyzer.terms("house", "en")}
    assert len(terms) == len(set(terms))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("What did Ann say?", ["ann"]),
        ("Will Will come?", ["will"]),
        ("what did ann say", ["say", "ann"]),
        ("Where did Jean-Luc go", ["jean", "luc"]),
    ],
)
def test_names_are_capitalized_or_anything(analyzer: Analyzer, text: str, names: list[str]) -> None:
    assert set(analyzer.names(text)) == set(names) - {"will"}


@given(st.text(max_size=200))
def test_any_text_gives_terms_that_a_question_finds(text: str) -> None:
    analyzer = Analyzer()
    assert set(analyzer.terms(text)) == set(analyzer.query_terms(text, ["en"]))
    assert all(terms for terms in analyzer.terms(text))
