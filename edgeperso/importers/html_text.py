"""The text of an HTML mail, as a reader sees it: no scripts, no styles, and nothing that was hidden from sight.

The markup is read tag by tag, in one pass: the standard library's parser takes quadratic time and more on hostile
input (100,000 times ``<a`` keep it busy for hours).
"""

from __future__ import annotations

import re
from html import unescape
from typing import Final

__all__ = ["MAX_HTML_CHARS", "html_to_text"]

MAX_HTML_CHARS: Final = 2 << 20
"""What lies beyond is cut."""

_DROPPED: Final = frozenset(
    {
        "script",
        "style",
        "head",
        "title",
        "noscript",
        "template",
        "svg",
        "math",
        "iframe",
        "object",
        "select",
        "textarea",
    }
)
_BLOCKS: Final = frozenset(
    {"address", "article", "aside", "blockquote", "center", "dd", "div", "dl", "dt", "fieldset", "figure", "footer",
     "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "main", "nav", "ol", "p", "pre", "section", "table",
     "tr", "ul"}
)  # fmt: skip
_VOID: Final = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)
_UNSEEN: Final = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all|font-size\s*:\s*0(?![.\d]*[1-9])|"
    r"opacity\s*:\s*0(?![.\d]*[1-9])|max-height\s*:\s*0(?![.\d]*[1-9])",
    re.IGNORECASE,
)
_SPACES: Final = re.compile(r"[ \t\r\n\f\xa0]+")
_TAG: Final = re.compile(r"(/?)([a-zA-Z][a-zA-Z0-9:-]{0,30})(?![a-zA-Z0-9:-])")
_STYLE: Final = re.compile(r"""\sstyle\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_HIDDEN: Final = re.compile(r"\shidden(?:[\s=/]|$)", re.IGNORECASE)
_RAW: Final = frozenset({"script", "style"})
_MAX_TAG_CHARS: Final = 4_096
_MAX_DEPTH: Final = 2_000
_CLOSED_BY_FAR: Final = 50
"""An end tag closes an element at most that many levels up; a stray one closes nothing."""


def html_to_text(html: str) -> str:
    """The visible text of ``html``: blocks on lines of their own, list items as ``- ``, quoted blocks as ``> ``."""
    page = _Page()
    first, *segments = _without_comments(html[:MAX_HTML_CHARS]).split("<")
    page.data(first)
    for segment in segments:
        inside, closed, after = _tag_end(segment)
        tag = _TAG.match(inside) if closed else None
        if tag:
            page.tag(tag[2].lower(), bool(tag[1]), inside[tag.end() :][:_MAX_TAG_CHARS])
            page.data(after)
        elif closed and inside[:1] in {"!", "?"}:
            page.data(after)
        else:
            page.data(f"<{segment}")
    return page.text()


def _tag_end(segment: str) -> tuple[str, str, str]:
    """What stands in the tag, ``>``, and what follows; a ``>`` within double quotes doesn't end it."""
    inside, closed, after = segment.partition(">")
    for _ in range(4):
        if inside.count('"') % 2 == 0 or ">" not in after:
            break
        more, closed, after = after.partition(">")
        inside = f"{inside}>{more}"
    return inside, closed, after


def _without_comments(html: str) -> str:
    """A comment that isn't closed hides the rest, as in a browser."""
    kept: list[str] = []
    at = 0
    while (start := html.find("<!--", at)) >= 0:
        kept.append(html[at:start])
        end = html.find("-->", start + 4)
        if end < 0:
            return "".join(kept)
        at = end + 3
    return "".join((*kept, html[at:]))


class _Page:
    """Collects the lines of a page from its tags and the text between them."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._line: list[str] = []
        self._open: list[tuple[str, bool]] = []
        self._unseen = 0
        self._quotes = 0
        self._pre = 0

    def text(self) -> str:
        self._break()
        return "\n".join(self._lines)

    def tag(self, name: str, closing: bool, attributes: str) -> None:
        if self._open and self._open[-1][0] in _RAW and not (closing and name == self._open[-1][0]):
            return
        if closing:
            self._end(name)
            return
        if name == "br":
            self._break()
        elif name in _BLOCKS or name == "li":
            self._break(paragraph=name not in {"li", "tr", "div"})
        if name not in _VOID and len(self._open) < _MAX_DEPTH:
            unseen = name in _DROPPED or _is_unseen(attributes)
            self._open.append((name, unseen))
            self._count(name, unseen, 1)
        if name == "li" and not self._unseen:
            self._line.append("- ")
        elif name in {"td", "th"} and self._line:
            self._line.append(" ")

    def data(self, raw: str) -> None:
        if self._unseen or not raw:
            return
        text = unescape(raw)
        if not self._pre:
            self._line.append(_SPACES.sub(" ", text))
            return
        first, *rest = text.split("\n")
        self._line.append(first)
        for part in rest:
            self._break()
            self._line.append(part)

    def _end(self, name: str) -> None:
        if name in _BLOCKS or name == "li":
            self._break(paragraph=name in {"p", "blockquote", "ul", "ol", "table"})
        if not any(opened == name for opened, _ in self._open[-_CLOSED_BY_FAR:]):
            return
        while self._open:
            opened, unseen = self._open.pop()
            self._count(opened, unseen, -1)
            if opened == name:
                return

    def _count(self, name: str, unseen: bool, step: int) -> None:
        self._unseen += step * unseen
        self._quotes += step * (name == "blockquote")
        self._pre += step * (name == "pre")

    def _break(self, *, paragraph: bool = False) -> None:
        joined = "".join(self._line)
        self._line = []
        line = joined.rstrip() if self._pre else " ".join(joined.split())
        mark = "> " if self._quotes else ""
        if line:
            self._lines.append(mark + line)
        if (paragraph or not line) and self._lines and self._lines[-1].strip("> "):
            self._lines.append(mark.strip())


def _is_unseen(attributes: str) -> bool:
    if _HIDDEN.search(attributes):
        return True
    style = _STYLE.search(attributes)
    return style is not None and bool(_UNSEEN.search(style[1] or style[2] or style[3] or ""))
