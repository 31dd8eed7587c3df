"""What reaches the terminal, and in which stream."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeperso.cli import output
from edgeperso.cli.output import Output, ProgressLine, clean, encode


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@given(st.text())
def test_no_control_character_survives(text: str) -> None:
    shown = clean(text)
    assert all(c in "\n\t" or c.isprintable() or ord(c) > 0x9F for c in shown)
    assert "\x1b" not in shown


def test_an_escape_sequence_and_a_bidi_override_are_disarmed() -> None:
    assert clean("a\x1b[2Jb\u202ec\r\nd\re") == "a?[2Jb?c\nd?e"


def test_ordinary_text_of_any_language_stays() -> None:
    text = "Grüße, שלום, 你好, 🙂\tthere\n"
    assert clean(text) == text


@given(st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner, max_size=4)))
def test_json_means_the_same_after_escaping(value: object) -> None:
    line = encode(value)
    assert json.loads(line) == value
    assert "\n" not in line
    assert "\x1b" not in line
    assert "\x9b" not in line


def test_what_is_no_number_is_null_in_json() -> None:
    line = encode({"a": [float("nan"), (1.5, float("-inf"))], "b": {"c": float("inf"), "d": 0, "e": "NaN", "f": True}})
    assert json.loads(line) == {"a": [None, [1.5, None]], "b": {"c": None, "d": 0, "e": "NaN", "f": True}}


def test_json_mode_keeps_stdout_for_the_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(json=True)
    out.answer("text")
    out.rows([("a", "b")])
    out.heading("h")
    out.note("remark")
    out.result({"x": 1})
    captured = capsys.readouterr()
    assert captured.out == '{"x": 1}\n'
    assert captured.err == "remark\n"


def test_rows_are_aligned_and_cleaned(capsys: pytest.CaptureFixture[str]) -> None:
    Output().rows([("a", "long"), ("long", "\x1bb")])
    assert capsys.readouterr().out == "a     long\nlong  ?b\n"


@pytest.mark.parametrize(
    ("variable", "value", "coloured"), [(None, "", True), ("NO_COLOR", "1", False), ("TERM", "dumb", False)]
)
def test_colours_only_on_a_terminal_that_wants_them(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, value: str, coloured: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    if variable:
        monkeypatch.setenv(variable, value)
    assert ("\x1b" in output.paint("text", "red", Terminal())) == coloured
    assert "\x1b" not in output.paint("text", "red", io.StringIO())


def test_a_stream_that_lacks_a_letter_gets_an_escape_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    Output().answer("Grüße")
    assert raw.getvalue() == b"Gr\\xfc\\xdfe\n"


def test_progress_rewrites_one_line_on_a_terminal_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(output, "time", Clock(step_s=1.0))
    with ProgressLine() as progress:
        progress("embed", 1, 4)
        progress("embed", 4, 4)
    assert stream.getvalue() == "\r\x1b[Kembed: 1 of 4 (25 %)\r\x1b[Kembed: 4 of 4 (100 %)\r\x1b[K"


def test_progress_elsewhere_is_a_line_every_few_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "time", Clock(step_s=1.0))
    with ProgressLine() as progress:
        for done in range(1, 8):
            progress("import", done, None)
    assert capsys.readouterr().err == "import: 3\nimport: 6\n"


class Clock:
    """A `time` whose every look is a step later."""

    def __init__(self, step_s: float) -> None:
        self._now = 0.0
        self._step_s = step_s

    def monotonic(self) -> float:
        self._now += self._step_s
        return self._now
