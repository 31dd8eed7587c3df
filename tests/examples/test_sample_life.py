"""The sample life and the two smaller ones must be sound, or everything that is measured on them means nothing."""

from __future__ import annotations

import json
import mailbox
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.header import decode_header, make_header
from email.message import Message
from email.utils import parseaddr, parsedate_to_datetime
from html import unescape
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LIFE = ROOT / "examples" / "life"
DATA = ROOT / "tests" / "data" / "life"
APART = ROOT / "tests" / "data" / "apart"
KINDS = {"current", "past", "when", "who", "number", "place", "preference", "mail", "chat"}


def holds(text: str, phrase: str) -> bool:
    """Whether ``phrase`` stands in ``text`` as whole words; a number isn't found inside a longer one."""
    border_before, border_after = r"(?<!\w)(?<!\d[.,])", r"(?!\w)(?![.,]\d)"
    folded = " ".join(text.split())
    return re.search(border_before + re.escape(phrase) + border_after, folded, re.IGNORECASE) is not None


def sections(path: Path, marker: str) -> dict[str, str]:
    """The notes of a Markdown file by their headings; headings must be unique."""
    found: dict[str, str] = {}
    for block in re.split(rf"(?m)^{marker} ", path.read_text(encoding="utf-8"))[1:]:
        heading, _, body = block.partition("\n")
        assert heading.strip() not in found, f"{path.name}: {heading} twice"
        found[heading.strip()] = body.strip()
    return found


def mails() -> list[Message]:
    box = mailbox.mbox(LIFE / "mail.mbox", create=False)
    try:
        return list(box)
    finally:
        box.close()


def mail_text(mail: Message) -> str:
    payload = mail.get_payload(decode=True)
    assert isinstance(payload, bytes)
    text = payload.decode(mail.get_content_charset("utf-8"))
    if mail.get_content_type() == "text/html":
        text = unescape(re.sub(r"<[^>]+>", " ", text))
    return f"{make_header(decode_header(str(mail['Subject'])))}\n{text}"


def conversations() -> list[dict[str, Any]]:
    loaded = json.loads((LIFE / "chatgpt" / "conversations.json").read_text(encoding="utf-8"))
    assert isinstance(loaded, list)
    return loaded


def branch(conversation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The messages from the root to ``current_node``."""
    path, node_id = [], conversation["current_node"]
    while node_id is not None:
        node = conversation["mapping"][node_id]
        path.append(node)
        node_id = node["parent"]
    for node in reversed(path):
        if node["message"] is not None:
            yield node["message"]


def places_of_the_life() -> dict[str, str]:
    places = {}
    for path in sorted((LIFE / "notes").glob("*.md")):
        for heading, body in sections(path, "##").items():
            places[f"notes/{path.name}#{heading}"] = body
    for mail in mails():
        places[f"mail.mbox#{str(mail['Message-ID']).strip('<>')}"] = mail_text(mail)
    for conversation in conversations():
        said = [part for message in branch(conversation) for part in message["content"]["parts"]]
        places[f"chatgpt/conversations.json#{conversation['id']}"] = "\n".join(said)
    return places


def places_of_the_terse() -> dict[str, str]:
    return {
        f"{path.name}#{heading}": body
        for path in sorted((DATA / "other").glob("*.md"))
        for heading, body in sections(path, "#").items()
    }


def places_of_the_teacher() -> dict[str, str]:
    lines = (DATA / "other2" / "notes.jsonl").read_text(encoding="utf-8").splitlines()
    return {f"notes.jsonl#{number}": json.loads(line)["text"] for number, line in enumerate(lines, 1)}


@dataclass(frozen=True, slots=True)
class Exam:
    """A list of questions, how many there must be, and the texts they are about."""

    questions: list[dict[str, Any]]
    size: int
    places: dict[str, str]


EXAMS = {
    "official": (LIFE / "questions.jsonl", 30, places_of_the_life),
    "development": (DATA / "dev_questions.jsonl", 30, places_of_the_life),
    "terse": (DATA / "other" / "questions.jsonl", 20, places_of_the_terse),
    "teacher": (DATA / "other2" / "questions.jsonl", 20, places_of_the_teacher),
}


def load(name: str) -> Exam:
    path, size, places = EXAMS[name]
    lines = path.read_text(encoding="utf-8").splitlines()
    return Exam([json.loads(line) for line in lines], size, places())


@pytest.fixture(params=sorted(EXAMS))
def exam(request: pytest.FixtureRequest) -> Exam:
    return load(request.param)


def test_every_question_is_complete_and_unique(exam: Exam) -> None:
    assert len(exam.questions) == exam.size
    assert len({question["id"] for question in exam.questions}) == exam.size
    assert len({question["question"] for question in exam.questions}) == exam.size
    for question in exam.questions:
        assert set(question) == {"id", "question", "accept", "reject", "kind", "evidence"}
        assert question["kind"] in KINDS
        assert question["accept"]
        assert question["evidence"]
        assert question["question"].endswith("?")


def test_every_answer_stands_at_its_evidence(exam: Exam) -> None:
    for question in exam.questions:
        texts = [exam.places[locator] for locator in question["evidence"]]
        stated = [any(holds(text, accepted) for accepted in question["accept"]) for text in texts]
        assert all(stated), f"{question['id']}: {question['evidence']}"


def test_every_rejected_value_stands_somewhere_and_is_no_part_of_a_right_one(exam: Exam) -> None:
    everything = "\n".join(exam.places.values())
    for question in exam.questions:
        for rejected in question["reject"]:
            assert holds(everything, rejected), f"{question['id']}: {rejected}"
            assert not any(holds(accepted, rejected) for accepted in question["accept"]), question["id"]


def test_no_question_gives_its_answer_away(exam: Exam) -> None:
    for question in exam.questions:
        for accepted in question["accept"]:
            assert not holds(question["question"], accepted), f"{question['id']}: {accepted}"


@pytest.mark.parametrize("name", ["official", "development"])
def test_the_mix_is_the_same_in_both_lists(name: str) -> None:
    questions = load(name).questions
    kinds = [question["kind"] for question in questions]
    locators = [locator for question in questions for locator in question["evidence"]]
    assert sum(bool(question["reject"]) for question in questions) >= 10
    assert kinds.count("mail") >= 4
    assert kinds.count("chat") >= 3
    assert kinds.count("when") >= 3
    assert kinds.count("past") >= 2
    assert sum(locator.startswith("mail.mbox") for locator in locators) >= 4
    assert sum(locator.startswith("chatgpt/") for locator in locators) >= 3


def test_both_lists_ask_about_different_facts() -> None:
    official = {(q["question"], *q["accept"]) for q in load("official").questions}
    development = {(q["question"], *q["accept"]) for q in load("development").questions}
    assert not {item[1:] for item in official} & {item[1:] for item in development}
    assert not {item[0] for item in official} & {item[0] for item in development}


def test_what_only_mail_or_chats_know_is_in_no_note() -> None:
    for name in ("official", "development"):
        exam = load(name)
        notes = "\n".join(text for locator, text in exam.places.items() if locator.startswith("notes/"))
        for question in exam.questions:
            if question["kind"] in {"mail", "chat"}:
                assert not any(holds(notes, accepted) for accepted in question["accept"]), question["id"]


def test_the_diary_covers_every_month_with_real_dates_in_order() -> None:
    months = sorted((LIFE / "notes").glob("20*.md"))
    assert [path.stem for path in months] == [f"{year}-{month:02d}" for year in (2024, 2025) for month in range(1, 13)]
    for path in months:
        headings = list(sections(path, "##"))
        days = [date.fromisoformat(heading) for heading in headings]
        assert days == sorted(days)
        assert all(day.strftime("%Y-%m") == path.stem for day in days)
        assert len(days) >= 10


def test_the_notes_are_about_three_hundred_short_and_all_different() -> None:
    notes = [text for locator, text in places_of_the_life().items() if locator.startswith("notes/")]
    assert 290 <= len(notes) <= 320
    assert len(set(notes)) == len(notes)
    assert all(6 <= len(text.split()) <= 70 for text in notes)


def test_the_readme_counts_what_is_there() -> None:
    readme = (LIFE / "README.md").read_text(encoding="utf-8")
    dated = [p for p in places_of_the_life() if p.startswith("notes/20")]
    topical = [p for p in places_of_the_life() if p.startswith("notes/") and not p.startswith("notes/20")]
    for claim in (
        f"{len(dated)} notes |",
        f"{len(topical)} notes |",
        f"{len(mails())} mails",
        f"{len(conversations())} conversations",
        "| 30 |",
    ):
        assert claim in readme


def test_the_mailbox_is_valid() -> None:
    raw = (LIFE / "mail.mbox").read_bytes()
    found = mails()
    assert len(found) == len(re.findall(rb"(?m)^From \S+ \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}$", raw)) == 26
    assert len({mail["Message-ID"] for mail in found}) == len(found)
    for mail in found:
        assert not mail.defects
        assert (
            datetime(2024, 1, 1, tzinfo=UTC) <= parsedate_to_datetime(mail["Date"]) < datetime(2026, 1, 1, tzinfo=UTC)
        )
        assert parseaddr(str(mail["From"]))[1].endswith(".example")
        assert mail_text(mail).strip()


def test_the_mailbox_has_the_hard_cases_of_real_mail() -> None:
    found = mails()
    ids = {mail["Message-ID"] for mail in found}
    replies = [mail for mail in found if mail["In-Reply-To"]]
    assert len(replies) >= 4
    assert all(mail["In-Reply-To"] in ids and mail["In-Reply-To"] in mail["References"] for mail in replies)
    assert all("\n> " in mail_text(mail) for mail in replies)
    assert any("\n-- \n" in mail_text(mail) or "\n--\n" in mail_text(mail) for mail in found)
    assert sum(mail.get_content_type() == "text/html" for mail in found) == 1
    assert sum("=?utf-8?" in str(mail["Subject"]).lower() for mail in found) >= 1
    assert sum("Ignore your instructions" in mail_text(mail) for mail in found) == 1
    assert b"\n>From " in (LIFE / "mail.mbox").read_bytes()


def test_the_chat_export_is_a_set_of_sound_trees() -> None:
    found = conversations()
    assert len(found) == 12
    assert len({conversation["id"] for conversation in found}) == 12
    for conversation in found:
        mapping = conversation["mapping"]
        roots = [node for node in mapping.values() if node["parent"] is None]
        assert len(roots) == 1
        for node_id, node in mapping.items():
            assert node["id"] == node_id
            assert all(mapping[child]["parent"] == node_id for child in node["children"])
            if node["parent"] is not None:
                assert node_id in mapping[node["parent"]]["children"]
        spoken = list(branch(conversation))
        assert 2 <= len(spoken) <= 8
        assert [message["author"]["role"] for message in spoken] == ["user", "assistant"] * (len(spoken) // 2)
        times = [message["create_time"] for message in spoken]
        assert times == sorted(times)
        assert conversation["create_time"] <= times[0]
        assert times[-1] <= conversation["update_time"]
        assert not mapping[conversation["current_node"]]["children"]


def test_one_conversation_has_an_answer_that_was_asked_for_again() -> None:
    forks = [c for c in conversations() if any(len(node["children"]) > 1 for node in c["mapping"].values())]
    assert len(forks) == 1


def test_the_terse_life_has_real_weekdays() -> None:
    places = places_of_the_terse()
    assert 65 <= len(places) <= 80
    for locator in places:
        heading = locator.partition("#")[2]
        day = datetime.strptime(heading, "%a %d %B %Y").replace(tzinfo=UTC)
        assert heading == f"{day:%a} {day.day} {day:%B} {day.year}"


def test_the_teachers_lines_have_text_and_rising_times() -> None:
    lines = (DATA / "other2" / "notes.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 60
    records = [json.loads(line) for line in lines]
    assert all(set(record) == {"text", "time"} for record in records)
    times = [datetime.fromisoformat(record["time"]) for record in records]
    assert times == sorted(times)
    assert all(moment.tzinfo is not None for moment in times)


@pytest.mark.parametrize(("name", "count"), [("nurse", 99), ("carpenter", 96)])
def test_the_lives_written_apart_are_complete(name: str, count: int) -> None:
    """Their authors knew neither the program nor the other lives. Evidence isn't marked: it may be a note's date.

    They aren't for measuring the starter adapter: some of its towns and names are theirs as well.
    """
    lines = (APART / name / "notes.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert len(records) == count
    assert [record["time"] for record in records] == sorted(record["time"] for record in records)
    lines = (APART / name / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line) for line in lines]
    assert len({question["id"] for question in questions}) == len(questions) == 30
    for question in questions:
        assert question["accept"]
        assert not any(holds(question["question"], accepted) for accepted in question["accept"]), question["id"]
        assert not any(holds(right, wrong) for right in question["accept"] for wrong in question["reject"])
