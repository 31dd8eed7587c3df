"""Mailboxes: each word once, under who wrote it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from edgeperso.importers import ImportReport
from edgeperso.importers.html_text import html_to_text
from edgeperso.importers.quoting import own_words
from edgeperso.types import Kind, Record, Trust

if TYPE_CHECKING:
    from conftest import FakeVault

Load = Callable[..., tuple[list[Record], ImportReport]]
ANN, ME = "Ann Example <ann@x.example>", "Me Myself <me@y.example>"


def mail(body: str, *headers: str, sender: str = ANN, subject: str = "Boat", number: int = 1) -> str:
    head = [
        f"From: {sender}", "To: someone@z.example", f"Subject: {subject}", f"Message-ID: <m{number}@x.example>",
        f"Date: Tue, 12 Mar 2024 10:{number:02d}:00 +0100", *headers,
    ]  # fmt: skip
    return "From x@y Tue Mar 12 10:00:00 2024\n" + "\n".join(head) + f"\n\n{body}\n\n"


def test_a_mail(load: Load) -> None:
    records, report = load("in.mbox", mail("The boat is blue."))
    assert len(records) == 1
    one = records[0]
    assert (one.text, one.title, one.author, one.locator) == (
        "The boat is blue.",
        "Boat",
        "Ann Example",
        "m1@x.example",
    )
    assert (one.kind, one.trust, one.source, one.occurred_ms) == (Kind.MAIL, Trust.OTHER, "in.mbox", 1_710_234_060_000)
    assert report.added == 1


def test_a_conversation_is_one_thread_in_the_order_of_its_dates(load: Load) -> None:
    box = (
        mail("third", "References: <m1@x.example> <m2@x.example>", number=3, subject="Re: Boat")
        + mail("second", "In-Reply-To: <m1@x.example>", number=2, subject="Re: Boat")
        + mail("first", number=1)
        + mail("other", number=4, subject="Tree")
        + mail("no references", number=5, subject="AW: boat")
    )
    records, _ = load("in.mbox", box)
    thread = sorted((one for one in records if one.thread == "m1@x.example"), key=lambda one: one.position)
    assert [one.text for one in thread] == ["first", "second", "third", "no references"]


def test_who_the_person_is(load: Load, vault: FakeVault) -> None:
    box = mail("mine", sender=ME) + mail("theirs", number=2)
    by_text = lambda records: {one.text: one.trust for one in records}  # noqa: E731
    assert by_text(load("a.mbox", box)[0]) == {"mine": Trust.OTHER, "theirs": Trust.OTHER}
    assert by_text(load("b.mbox", box, own_addresses=["ME@y.example"])[0])["mine"] is Trust.SELF
    vault.attributes["email"] = "old@y.example, me@y.example"
    assert by_text(load("c.mbox", box)[0]) == {"mine": Trust.SELF, "theirs": Trust.OTHER}


def test_the_person_is_whom_every_mail_concerns(load: Load) -> None:
    box = "".join(
        mail(f"n{number}", "Cc: me@y.example", sender=f"a{number}@q.example", number=number) for number in range(1, 6)
    )
    records, _ = load("in.mbox", box.replace("To: someone@z.example\n", "") + mail("mine", sender=ME, number=9))
    assert {one.text for one in records if one.trust is Trust.SELF} == {"mine"}


def test_the_sender_of_sent_mail_is_the_person(load: Load) -> None:
    box = mail("one", sender=ME) + mail("two", sender=ME, number=2)
    assert {one.trust for one in load("Sent.mbox", box)[0]} == {Trust.SELF}
    labelled = mail("one", "X-Gmail-Labels: Sent,Important", sender=ME) + mail("two", "X-Gmail-Labels: Inbox", number=2)
    assert {one.text: one.trust.value for one in load("all.mbox", labelled)[0]} == {"one": "self", "two": "other"}


@pytest.mark.parametrize(
    "forged",
    [
        mail("obey", "Delivered-To: me@y.example", sender=ME),
        mail("obey", "Authentication-Results: mx; spf=fail", sender=ME),
        mail("obey", f"From: {ANN}", sender=ME),
        mail("obey", sender="me@y.example <ann@x.example>"),
        mail("obey", sender="me@y.example, ann@x.example"),
        mail("obey", sender="<me@y.example> <ann@x.example>"),
        mail("obey", sender='"me@y.example" ann@x.example'),
    ],
)
def test_a_claimed_sender_is_not_trusted(load: Load, forged: str) -> None:
    records, _ = load("in.mbox", forged, own_addresses=["me@y.example"])
    assert [(one.text, one.trust) for one in records] == [("obey", Trust.OTHER)]


REPLIES = [
    "Yes, at nine.\n\nOn Tue, 12 Mar 2024 at 10:00, Ann <ann@x.example> wrote:\n> Shall we sail?\n> > Or not?\n",
    "Yes, at nine.\n\nOn Tue, 12 Mar 2024 at 10:00, Ann Very Long Name\n<ann@x.example> wrote:\n\n> Shall we sail?\n",
    "> Shall we sail?\n\nYes, at nine.\n",
    "Am 12.03.2024 um 10:00 schrieb Ann:\n> Shall we sail?\nYes, at nine.\n",
    "Yes, at nine.\n\nOn 12 March 2024 at 10:00, Ann <ann@x.example> wrote:\nShall we sail?\n",
    "Yes, at nine.\n\n-----Original Message-----\nFrom: Ann\nSent: today\nTo: me\nSubject: x\n\nShall we sail?\n",
    "Yes, at nine.\n\n________________________\nFrom: Ann <ann@x.example>\nSent: Tuesday\nTo: me\n\nShall we sail?\n",
    "Yes, at nine.\n\n-- \nMe Myself\n+32 0 00\n",
    "Yes, at nine.\n\nSent from my iPhone\n",
]


@pytest.mark.parametrize("body", REPLIES)
def test_nobodys_words_are_stored_twice(load: Load, body: str) -> None:
    records, _ = load("in.mbox", mail(body))
    text = "\n".join(one.text for one in records)
    assert "Yes, at nine." in text
    assert not any(word in text for word in ("sail", "wrote", "schrieb", "Myself", "iPhone", "Sent:"))


@pytest.mark.parametrize(
    "text",
    [
        "On Monday my sister wrote:\n\nsomething lovely.",
        "From: the heart.\nThat is all.",
        "Three things:\n- one\n- two",
        "a -- b\n\n--\n" + "long text\n" * 30 + "end",
        "| a | b |\n| c | d |",
    ],
)
def test_own_words_that_look_like_quotes_stay(text: str) -> None:
    assert own_words(text).own == text


def test_forwarded_words_are_somebody_elses(load: Load) -> None:
    body = (
        "Look.\n\n---------- Forwarded message ---------\nFrom: Bob <b@x.example>\nDate: x\nTo: me\n\nThe key is red.\n"
    )
    records, _ = load("in.mbox", mail(body, sender=ME), own_addresses=["me@y.example"])
    assert [(one.text, one.author, one.trust) for one in records] == [
        ("Look.", "Me Myself", Trust.SELF), ("The key is red.", "", Trust.OTHER),
    ]  # fmt: skip


def test_encoded_words_and_charsets(load: Load) -> None:
    body = "Gr=FC=DFe"
    box = mail(
        body, "Content-Type: text/plain; charset=iso-8859-1", "Content-Transfer-Encoding: quoted-printable",
        sender="=?utf-8?q?J=C3=B6rg?= <j@x.example>", subject="=?utf-8?b?w5xiZXI=?= =?iso-8859-1?q?_M=FCll?=",
    )  # fmt: skip
    records, _ = load("in.mbox", box)
    assert [(one.text, one.author, one.title) for one in records] == [("Grüße", "Jörg", "Über Müll")]


def test_parts(load: Load) -> None:
    body = (
        '--b\nContent-Type: multipart/alternative; boundary="c"\n\n--c\nContent-Type: text/plain\n\nplain\n--c\n'
        "Content-Type: text/html\n\n<p>rich</p>\n--c--\n--b\nContent-Type: application/pdf\n"
        "Content-Disposition: attachment\n\nJVBERi0=\n--b\nContent-Type: text/plain\n"
        "Content-Disposition: attachment; filename=a.txt\n\nattached\n--b--\n"
    )
    records, report = load("in.mbox", mail(body, 'Content-Type: multipart/mixed; boundary="b"'))
    assert [one.text for one in records] == ["plain"]
    assert report.attachments == 2


def test_html_only(load: Load) -> None:
    html = (
        "<html><head><title>t</title><style>p{}</style></head><body><script>evil()</script><p>Hello&nbsp;<b>you</b>,</p>"
        "<ul><li>one<li>two</ul><div style='display:none'>obey</div><p style='font-size:0px'>hid</p><p hidden>den</p>"
        "<br>bye<blockquote>old words</blockquote></body></html>"
    )
    records, _ = load("in.mbox", mail(html, "Content-Type: text/html"))
    assert [one.text for one in records] == ["Hello you,\n\n- one\n- two\n\nbye"]


def test_html_quotes_are_marked() -> None:
    assert "> old" in html_to_text("<p>new</p><blockquote><p>old</p></blockquote>")


def test_flowed_lines_are_joined(load: Load) -> None:
    records, _ = load("in.mbox", mail("One line \nthat goes on.\nAnother.", "Content-Type: text/plain; format=flowed"))
    assert records[0].text == "One line that goes on.\nAnother."


def test_lines_that_begin_with_from(load: Load) -> None:
    records, _ = load("in.mbox", mail("Dear,\n\nFrom here on it rains.\n\n>From June on too.") + mail("two", number=2))
    assert "From here on it rains.\n\nFrom June on too." in records[0].text
    assert records[-1].text == "two"


@pytest.mark.parametrize(
    "broken",
    [
        "From x@y Tue Mar 12 10:00:00 2024\nnot a header\n\nbody\n\n",
        "From x@y Tue Mar 12 10:00:00 2024\nFrom: \nDate: yesterday-ish\nSubject:\n\nbody\n\n",
        "From x@y Tue Mar 12 10:00:00 2024\nFrom: =?foo?x?bar?= <>\nDate: 99 Foo 20245 99:99\n\nbody\n\n",
        mail("body", "Content-Type: text/plain; charset=nonsense"),
        mail("body", "Content-Type: text/plain; charset=zlib"),
        mail("body", "Content-Type: /////;;;=;"),
        mail("body", "Content-Type: multipart/mixed"),
        mail("body", "Content-Transfer-Encoding: base128"),
        mail("body", subject="x" * 100_000),
        mail("body", "Received: " + "(" * 10_000),
        mail("body", sender="," * 50_000),
        mail("body", "References: " + "<a" * 50_000),
    ],
)
def test_broken_headers_survive(load: Load, broken: str) -> None:
    records, report = load("in.mbox", broken + mail("good", number=2))
    assert [one.text.removeprefix("not a header\n\n") for one in records] == ["body", "good"]
    assert report.files_imported == 1


def test_raw_bytes_in_headers(load: Load) -> None:
    records, _ = load("in.mbox", mail("body", subject="Grüße").encode("latin-1"))
    assert records[0].title == "Grüße"


def test_mailboxes_without_a_suffix_are_known(load: Load) -> None:
    assert [one.text for one in load("Inbox", mail("hello"))[0]] == ["hello"]


def test_a_long_mail_is_split(load: Load) -> None:
    records, _ = load("in.mbox", mail("\n\n".join(f"Thought {n}. " + "word " * 80 for n in range(9))))
    assert len(records) == 9
    assert [one.position for one in records] == sorted({one.position for one in records})
