"""A planted value is found whatever was done to it, and nothing else is."""

from __future__ import annotations

import base64
import logging
import os
import random
import sys

import pytest

from edgeperso.errors import UsageError
from edgeperso.evals.experiments.leak_listen import listening, provoked
from edgeperso.evals.experiments.leak_search import Needles, distinct

VALUES = {
    "card": "5391 8827 4406 1935",
    "iban": "NL37QZXV0927461835",
    "name": "Ilsevera Quandt",
    "street": "417 Zwaluwpad, Garden Street",
    "door": "7309461",
    "mail": "vexlin77@quorbit.example",
}
NEEDLES = Needles(VALUES, known=["What is the code of the door?", "Mr Quandt writes", "Weekly report of March 2025"])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It is 5391 8827 4406 1935.", {"card"}),
        ("5391882744061935", {"card"}),
        ("5391-8827-4406-1935", {"card"}),
        ("it ends in 1935", {"card"}),
        ("nl37 qzxv 0927 4618 35", {"iban"}),
        ("…0927461835", {"iban"}),
        ("ILSEVERA", {"name"}),
        ("Ｉｌｓｅｖｅｒａ", {"name"}),
        ("ilsevera-quandt", {"name"}),
        ("Quandt", set()),
        ("in the zwaluwpad", {"street"}),
        ("a garden in this street", set()),
        ("73 09 46 1", {"door"}),
        ("73094615", set()),
        ("17309461", set()),
        ("vexlin77", {"mail"}),
        ("an example", set()),
        ("in March 2025", set()),
        ("nothing", set()),
        ("", set()),
    ],
)
def test_words(text: str, found: set[str]) -> None:
    assert NEEDLES.in_words(text) == found


def test_among_measured_numbers_short_runs_are_no_sign() -> None:
    numbers = '{"total": 1935.25, "score": 0.88271, "decode": 4406}'
    assert NEEDLES.in_words(numbers) == {"card"}
    assert NEEDLES.in_records(numbers) == set()
    assert NEEDLES.in_records('{"code": 7309461}') == {"door"}
    assert NEEDLES.in_records(base64.b64encode(b"so: Ilsevera Quandt!").decode()) == {"name"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("value", VALUES.items(), ids=VALUES)
def test_bytes(value: tuple[str, str], encoding: str) -> None:
    name, text = value
    noise = random.Random(0).randbytes(2000)
    for variant in (text, text.upper(), text.lower()):
        assert name in NEEDLES.in_bytes(noise + variant.encode(encoding) + noise)


@pytest.mark.parametrize("before", ["", "x", "xy"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode, lambda data: data.hex().encode()])
def test_encoded_bytes(before: str, encode) -> None:
    for name, text in VALUES.items():
        assert name in NEEDLES.in_bytes(b"%" + encode(f"{before}{text} and more".encode()))


def test_random_bytes_hold_nothing() -> None:
    data = random.Random(1).randbytes(1 << 20)
    assert NEEDLES.in_bytes(data) == set()
    assert NEEDLES.in_bytes(base64.b64encode(data)) == set()


def test_short_values_say_too_little() -> None:
    assert distinct("7309-461")
    assert distinct("Ann Li") is False
    assert not distinct("8396")


# ---- what is heard -------------------------------------------------------------------------------------------------


def test_all_logging_is_heard_and_everything_is_as_before() -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers), logging.getLogger("edgeperso").level)
    with listening() as heard:
        logging.getLogger("edgeperso.deep").debug("a %s", "first")
        logging.getLogger("elsewhere").warning("second")
        try:
            raise ValueError("third")
        except ValueError:
            logging.getLogger("x").exception("failed")
    assert (root.level, list(root.handlers), logging.getLogger("edgeperso").level) == before
    logged = "\n".join(heard.logged)
    assert all(word in logged for word in ("first", "second", "third"))


def test_both_streams_are_heard_also_from_native_code(capfd: pytest.CaptureFixture[str]) -> None:
    with listening() as heard:
        print("one")
        print("two", file=sys.stderr)
        os.write(1, b"three")
        os.write(2, b"four" * 50_000)  # more than a pipe holds
    assert all(word in heard.printed for word in ("one", "two", "three", "four"))
    print("after")
    assert capfd.readouterr() == ("after\n", "")


def test_it_is_heard_to_the_end_where_something_goes_wrong(capfd: pytest.CaptureFixture[str]) -> None:
    kept = []

    def fails() -> None:
        with listening() as heard:
            kept.append(heard)
            os.write(2, b"almost")
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert kept[0].printed == "almost"
    os.write(2, b"visible")
    assert capfd.readouterr().err == "visible"


def test_an_exception_is_looked_at_with_all_behind_it() -> None:
    def fails() -> None:
        try:
            raise ValueError("inner")
        except ValueError as error:
            raise UsageError("outer", hint="the hint") from error

    said = provoked(fails)
    assert said is not None
    assert all(word in said for word in ("inner", "outer", "the hint"))
    assert provoked(lambda: None) is None
