"""The text of an HTML mail, as a reader sees it: no scripts, no styles, and nothing that was hidden from sight."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Final

__all__ = ["MAX_HTML_CHARS", "html_to_text"]

MAX_HTML_CHARS: Final = 262_144
"""What lies beyond is cut: the parser takes quadratic time on hostile markup."""

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
_SPACES: Final = re.compile(r"[ \t\r\n\f]+")
_MAX_DEPTH: Final = 2_000


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._lines: list[str] = []
        self._line: list[str] = []
        self._open: list[tuple[str, bool]] = []
        self._unseen = 0
        self._quotes = 0
        self._pre = 0

    def text(self) -> str:
        self._break()
        return "\n".join(self._lines)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            self._break()
            return
        if tag in _BLOCKS or tag == "li":
            self._break(paragraph=tag != "li" and tag != "tr" and tag != "div")
        if tag in _VOID:
            return
        if len(self._open) < _MAX_DEPTH:
            unseen = tag in _DROPPED or _is_unseen(attrs)
            self._open.append((tag, unseen))
            self._unseen += unseen
            self._quotes += tag == "blockquote"
            self._pre += tag == "pre"
        if tag == "li":
            self._line.append("- ")
        elif tag in {"td", "th"} and self._line:
            self._line.append(" ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _BLOCKS or tag == "li":
            self._break(paragraph=tag in {"p", "blockquote", "ul", "ol", "table"})
        if not any(name == tag for name, _ in self._open[-50:]):
            return
        while self._open:
            name, unseen = self._open.pop()
            self._unseen -= unseen
            self._quotes -= name == "blockquote"
            self._pre -= name == "pre"
            if name == tag:
                return

    def handle_data(self, data: str) -> None:
        if self._unseen:
            return
        if self._pre:
            first, *rest = data.split("\n")
            self._line.append(first)
            for part in rest:
                self._break()
                self._line.append(part)
        else:
            self._line.append(_SPACES.sub(" ", data))

    def _break(self, *, paragraph: bool = False) -> None:
        joined = "".join(self._line)
        self._line = []
        line = joined.rstrip() if self._pre else " ".join(joined.split())
        mark = "> " if self._quotes else ""
        if line:
            self._lines.append(mark + line)
        if (paragraph or not line) and self._lines and self._lines[-1].strip("> "):
            self._lines.append(mark.strip())


def _is_unseen(attrs: list[tuple[str, str | None]]) -> bool:
    return any(
        name == "hidden" or (name == "style" and value is not None and bool(_UNSEEN.search(value)))
        for name, value in attrs
    )


def html_to_text(html: str) -> str:
    """The visible text of ``html``: blocks on lines of their own, list items as ``- ``, quoted blocks as ``> ``."""
    parser = _Text()
    parser.feed(html[:MAX_HTML_CHARS])
    parser.close()
    return parser.text()
