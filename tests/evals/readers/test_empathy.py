"""Empathic Conversations, as each year's shared task wrote its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeperso.errors import DataInvalid
from edgeperso.evals.readers import read_empathy


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_turns_are_put_in_order_and_given_their_article(empathy: Any) -> None:
    first, second = read_empathy(*empathy.files)
    assert (first.id, second.id) == ("7", "9")
    assert [turn.id for turn in first.turns] == ["7:0", "7:1", "7:2", "7:10"]
    assert [turn.speaker for turn in first.turns] == ["1", "2", "1", "1"]
    assert first.turns[0].text.startswith('"Sad", turn 0')
    assert first.turns[0].ratings == {"empathy": 4.0, "emotion": 3.6667, "emotional_polarity": 2.0}
    assert first.article is not None
    assert first.article.startswith("A flood")
    assert next(read_empathy(empathy.files[0])).article is None


def test_2023_is_separated_by_tabs(tmp_path: Path) -> None:
    turns = write(
        tmp_path / "WASSA23_conv_level_with_labels_train.tsv",
        "conversation_id\tturn_id\ttext\tEmotionalPolarity\tEmotion\tEmpathy\tspeaker_number\tarticle_id\tspeaker_id\tessay_id",
        "2\t1\tIt's a shame, really\t1.6667\t1.0\tunknown\t2\t35.0\t30\t1",
        "2\t0\tWhat did you think?\t1.0\t0.3333\t1.0\t1\t35.0\t68\t1",
    )
    articles = write(tmp_path / "articles_adobe_AMT.csv", "article_id,text", '35,"A storm, at sea"')
    (conversation,) = read_empathy(turns, articles)
    assert conversation.article == "A storm, at sea"
    assert [(turn.speaker, turn.text) for turn in conversation.turns] == [
        ("1", "What did you think?"),
        ("2", "It's a shame, really"),
    ]
    assert conversation.turns[1].ratings == {"emotion": 1.0, "emotional_polarity": 1.6667}


def test_2023_without_ratings(tmp_path: Path) -> None:
    turns = write(
        tmp_path / "WASSA23_conv_level_dev.tsv",
        "conversation_id\tturn_id\ttext\tspeaker_number\tarticle_id\tspeaker_id\tessay_id",
        "462\t13\tHow do you know?\t2\t18.0\t68.0\t961.0",
    )
    (conversation,) = read_empathy(turns)
    assert conversation.turns[0].ratings == {}


@pytest.mark.parametrize("speaker", ["speaker", "speaker_id"])
def test_2024_has_backslashes_before_quotes(tmp_path: Path, speaker: str) -> None:
    turns = write(
        tmp_path / "trac2_CONVT_train.csv",
        f'id,article_id,conversation_id,turn_id,"{speaker}","text",person_id_1,person_id_2,Emotion,EmotionalPolarity,Empathy',
        r'1,35,1,0,"Person 1","He said \"no\", then left",p1,p2,1.0,2.0,0.3333',
    )
    (conversation,) = read_empathy(turns)
    assert conversation.turns[0].text == 'He said "no", then left'
    assert conversation.turns[0].speaker == "Person 1"


def test_a_backslash_elsewhere_is_a_backslash(tmp_path: Path) -> None:
    turns = write(tmp_path / "t.csv", "conversation_id,turn_id,speaker,text", r'1,0,A,"C:\new ""x"""')
    assert next(read_empathy(turns)).turns[0].text == 'C:\\new "x"'


def test_what_is_wrong_is_named_by_its_line(tmp_path: Path) -> None:
    header = "conversation_id,turn_id,speaker,text,Empathy"
    good = "1,0,A,hello,1.0"
    with pytest.raises(DataInvalid, match=r"t\.csv: the header has no column turn_id"):
        list(read_empathy(write(tmp_path / "t.csv", "conversation_id,speaker,text", "1,A,hello")))
    with pytest.raises(DataInvalid, match=r"t\.csv: line 3 \(id 1:1\), field Empathy is not a finite number"):
        list(read_empathy(write(tmp_path / "t.csv", header, good, "1,1,B,bye,lots")))
    with pytest.raises(DataInvalid, match=r"line 3 \(id 1\), field turn_id is not a whole number"):
        list(read_empathy(write(tmp_path / "t.csv", header, good, "1,first,B,bye,1")))
    with pytest.raises(DataInvalid, match=r"line 3 is not a row of 5 columns"):
        list(read_empathy(write(tmp_path / "t.csv", header, good, "1,1,B,well, bye,1")))
    with pytest.raises(DataInvalid, match=r"line 3 \(id 1:1\), field speaker is not a text that says something"):
        list(read_empathy(write(tmp_path / "t.csv", header, good, "1,1,,bye,1")))


def test_a_cell_too_large_for_a_table(tmp_path: Path) -> None:
    turns = write(tmp_path / "t.csv", "conversation_id,turn_id,speaker,text", "1,0,A," + "x" * 200_000)
    with pytest.raises(DataInvalid, match="line 2 is not a row of a table"):
        list(read_empathy(turns))
    with pytest.raises(DataInvalid, match="the header is not a row of a table"):
        list(read_empathy(write(tmp_path / "t.csv", "x" * 200_000)))


@pytest.mark.shared
def test_the_data_set(shared_data: Path) -> None:
    folder = shared_data / "empathic_conversations"
    conversations = list(read_empathy(folder / "turns.csv", folder / "articles.json"))
    assert len(conversations) == 58
    turns = [turn for conversation in conversations for turn in conversation.turns]
    assert len(turns) == len({turn.id for turn in turns}) == 1386
    assert all(len(turn.ratings) == 3 for turn in turns)
    assert all(conversation.article for conversation in conversations)
