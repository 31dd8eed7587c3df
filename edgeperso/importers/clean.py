"""Text as it is stored: one form for each character, and nothing in it that a reader can't see.

Zero-width and direction-control characters, Unicode tags and runs of variation selectors can carry orders that a
person never sees but a model reads. They go; what ordinary writing needs of them (joiners in emoji and in Persian or
Indic words, an emoji's variation selector, the tags of a flag) stays.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

__all__ = ["clean", "one_line"]

_LINE_ENDS: Final = re.compile("\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_FLAG_TAGS: Final = "(?<=\U0001f3f4)([\U000e0030-\U000e0039\U000e0061-\U000e007a]{2,6}\U000e007f)"
_HIDDEN: Final = re.compile(
    _FLAG_TAGS + "|[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e00ff\U000e01f0-\U000e0fff]"
)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_SELECTORS: Final = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_EXTRA_SELECTOR: Final = re.compile(
    f"(?<=[{_SELECTORS}\\s\u200c\u200d])[{_SELECTORS}]+|^[{_SELECTORS}]+"
    "|(?<![\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])[\U000e0100-\U000e01ef]+"
)
_LONE_JOINER: Final = re.compile("(?<![^\x00-\x7f\\s\u200c\u200d])[\u200c\u200d]+|[\u200c\u200d]+(?![^\x00-\x7f\\s])")
_BLANKS: Final = re.compile(r"\n{3,}")


def clean(text: str) -> str:
    """``text`` in NFC, with ``\\n`` line ends, without invisible control characters and trailing spaces.

    At most one blank line stands in a row, none at either end; spaces before the first word stay. Cleaning twice
    changes nothing more. Lone surrogates become U+FFFD.
    """
    text = _LINE_ENDS.sub("\n", text)
    if not text.isascii():
        text = unicodedata.normalize("NFC", _SURROGATE.sub("\ufffd", text))
        text = _HIDDEN.sub(lambda match: match.group(1) or "", text)
        for pattern in (_EXTRA_SELECTOR, _LONE_JOINER):
            text = pattern.sub("", text)
        text = unicodedata.normalize("NFC", text)
    else:
        text = _HIDDEN.sub("", text)
    text = "\n".join(line.rstrip() for line in text.split("\n"))
    return _BLANKS.sub("\n\n", text).strip("\n")


def one_line(text: str, limit: int = 200) -> str:
    """``text`` cleaned, on one line, at most ``limit`` characters: for titles and names."""
    line = " ".join(clean(text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
