"""Bytes to text: what a file's encoding is, and its lines in bounded memory."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator
from typing import Final

from charset_normalizer import from_bytes

from edgeperso.importers.report import Reason
from edgeperso.importers.source import FileRejected, SourceFile

__all__ = ["MAX_LINE_CHARS", "decode_loosely", "encoding_of", "looks_binary", "refuse_binary", "text_lines"]

MAX_LINE_CHARS: Final = 65_536
"""A longer line is handed on in parts, cut between words where there is a space."""

_CHUNK: Final = 1 << 20
_SAMPLE_BYTES: Final = 131_072
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROLS: Final = bytes(set(range(32)) - {7, 8, 9, 10, 11, 12, 13, 27}) + b"\x7f"
_LEADS: Final = bytes(range(0xC2, 0xF5))
_REPLACEMENT: Final = "\ufffd".encode()
_NOT_CHARSETS: Final = frozenset({"punycode", "idna", "unicode_escape", "raw_unicode_escape", "undefined"})
_GUESSES: Final = [
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "koi8_r", "mac_roman", "cp437",
    "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr",
]  # fmt: skip


def looks_binary(head: bytes) -> bool:
    """Whether the first bytes of a file are no text in any encoding known here."""
    if any(head.startswith(mark) for mark, _ in _BOMS) or _utf16_without_mark(head):
        return False
    if b"\x00" in head:
        return True
    return len(head) > 0 and (len(head) - len(head.translate(None, _CONTROLS))) / len(head) > 0.02


def refuse_binary(file: SourceFile) -> None:
    """
    Raises:
        FileRejected: the first bytes are no text.
    """
    if looks_binary(file.head):
        raise FileRejected(Reason.BINARY)


def encoding_of(file: SourceFile, check: Callable[[], None]) -> str:
    """The codec to read ``file`` with: a byte-order mark's, UTF-8 if it is valid or nearly so, else a guess.

    Reads the whole file once to see whether it is UTF-8.

    Raises:
        FileRejected: binary, or no encoding fits.
    """
    for mark, codec in _BOMS:
        if file.head.startswith(mark):
            return codec
    if unmarked := _utf16_without_mark(file.head):
        return unmarked
    broken, multibyte, controls, size, sample = _survey(file, check)
    if size and controls / size > 0.02:
        raise FileRejected(Reason.BINARY)
    if broken == 0 or multibyte >= 20 * broken:
        return "utf-8"
    best = from_bytes(sample, cp_isolation=_GUESSES, chunk_size=2_048, steps=16).best()
    if best is None:
        raise FileRejected(Reason.NOT_UTF8_GUESS_FAILED)
    return best.encoding


def _survey(file: SourceFile, check: Callable[[], None]) -> tuple[int, int, int, int, bytes]:
    """Broken UTF-8 sequences, valid ones of several bytes, control bytes, size, and a sample where it is not UTF-8."""
    broken = multibyte = controls = size = 0
    sample = b""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    with file.open() as stream:
        more = True
        while more:
            check()
            chunk = stream.read(_CHUNK)
            more = bool(chunk)
            size += len(chunk)
            controls += len(chunk) - len(chunk.translate(None, _CONTROLS))
            marks = 0
            if not chunk.isascii() or decoder.getstate()[0]:
                marks = max(decoder.decode(chunk, not more).count("\ufffd") - chunk.count(_REPLACEMENT), 0)
                multibyte += len(chunk) - len(chunk.translate(None, _LEADS)) - marks
            broken += marks
            if marks and not sample:
                sample = chunk
    return broken, multibyte, controls, size, _sample(sample or file.head)


def _sample(chunk: bytes) -> bytes:
    """The part of ``chunk`` around its first byte beyond ASCII, begun and ended at line or word borders."""
    first = next((index for index, byte in enumerate(chunk) if byte > 0x7F), 0)
    begin = chunk.rfind(b"\n", 0, first) + 1
    return chunk[begin : begin + _SAMPLE_BYTES]


def _utf16_without_mark(head: bytes) -> str | None:
    """UTF-16 of mostly Latin text: a NUL in nearly every second byte, and only there."""
    if len(head) < 4 or b"\x00" not in head:
        return None
    half = len(head) // 2
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if odd > 0.7 * half and even < 0.02 * half:
        return "utf-16-le"
    if even > 0.7 * half and odd < 0.02 * half:
        return "utf-16-be"
    return None


def text_lines(file: SourceFile, encoding: str, check: Callable[[], None]) -> Iterator[str]:
    """The file's lines without their ends, undecodable bytes as U+FFFD; see `MAX_LINE_CHARS`."""
    with file.open() as raw, io.TextIOWrapper(raw, encoding=encoding, errors="replace", newline=None) as stream:
        carried = ""
        while part := stream.readline(MAX_LINE_CHARS - len(carried)):
            check()
            line = carried + part
            carried = ""
            if line.endswith("\n") or len(line) < MAX_LINE_CHARS:
                yield line.rstrip("\n")
                continue
            cut = max(line.rfind(" ", MAX_LINE_CHARS // 2), line.rfind("\t", MAX_LINE_CHARS // 2)) + 1
            if cut:
                carried = line[cut:]
                line = line[:cut]
            yield line
        if carried:
            yield carried


def decode_loosely(data: bytes, charset: str | None) -> str:
    """Bytes whose declared charset may be wrong or unknown: as declared, else UTF-8, else Windows-1252."""
    for codec in (charset, "utf-8"):
        if not codec or codec.lower().replace("-", "_") in _NOT_CHARSETS:
            continue
        try:
            return data.decode(codec)
        except (LookupError, ValueError):
            continue
    return data.decode("cp1252", "replace")
