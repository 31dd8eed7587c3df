"""Looking for secrets in what a program wrote: texts, keys and vectors, in every form that they might take.

A find is a run of 16 bytes or more of one of a secret's forms, anywhere in the bytes that are searched.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator

import numpy as np

RUN = 16
_WINDOW = 8  # whoever holds 15 bytes in a row holds one whole window that begins at a multiple of 8

_HASH_BITS = 25


def _hash(values: np.ndarray) -> np.ndarray:
    """Multiplicative hashing (Knuth), so that most windows are passed over without a search."""
    return (values * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - _HASH_BITS)


def text_forms(text: str) -> Iterator[bytes]:
    """A text as it might stand somewhere. JSON's and a URL's escapes leave ASCII letters and digits as they are."""
    for variant in {text, text.lower(), text.upper(), text.capitalize()}:
        yield variant.encode("utf-16-le")
        yield variant.encode("utf-16-be")
        yield from byte_forms(variant.encode())


def byte_forms(data: bytes) -> Iterator[bytes]:
    """Bytes as they are, in hex, and in base64 of both alphabets wherever in a longer text they begin."""
    yield data
    yield data.hex().encode()
    yield data.hex().upper().encode()
    for shift in range(3):
        whole = (len(data) + shift) // 3 * 3
        inside = base64.b64encode(bytes(shift) + data[: whole - shift])[-(-shift * 8 // 6) :]
        yield inside
        yield inside.translate(bytes.maketrans(b"+/", b"-_"))


def vector_forms(vector: np.ndarray) -> Iterator[bytes]:
    """An embedding as floats of both widths and as int8 under the two usual scales."""
    single = vector.astype("<f4")
    yield single.tobytes()
    yield single.astype("<f2").tobytes()
    yield single.astype("<f2").astype("<f4").tobytes()
    for scale in (127.0, 127.0 / float(np.abs(single).max())):
        yield np.round(single * scale).astype("i1").tobytes()


class Needles:
    """Secrets by name, and where they are in given bytes."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._forms: list[bytes] = []
        self._table: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self._maybe = np.zeros(1 << _HASH_BITS, dtype=bool)

    def add(self, name: str, forms: Iterable[bytes]) -> None:
        for form in set(forms):
            assert len(form) >= RUN, f"{name} has a form of {len(form)} bytes, too short to be looked for"
            self._names.append(name)
            self._forms.append(form)
        self._table = None

    def found_in(self, data: bytes) -> set[str]:
        """Names of the secrets of which ``data`` holds 16 bytes in a row."""
        windows, owners, places = self._table = self._table or self._windows()
        hay = np.frombuffer(data[: len(data) // _WINDOW * _WINDOW], dtype="<u8")
        likely = np.nonzero(self._maybe[_hash(hay)])[0]
        first = np.searchsorted(windows, hay[likely], "left")
        last = np.searchsorted(windows, hay[likely], "right")
        found: set[str] = set()
        for hit in np.nonzero(last > first)[0]:
            for entry in range(first[hit], last[hit]):
                owner, at = int(owners[entry]), int(likely[hit]) * _WINDOW
                if self._names[owner] not in found and self._is_run(data, at, owner, int(places[entry])):
                    found.add(self._names[owner])
        return found

    def _is_run(self, data: bytes, at: int, owner: int, place: int) -> bool:
        form = self._forms[owner]
        start, end = 0, _WINDOW
        while at + start > 0 and place + start > 0 and data[at + start - 1] == form[place + start - 1]:
            start -= 1
        while at + end < len(data) and place + end < len(form) and data[at + end] == form[place + end]:
            end += 1
        run = form[place + start : place + end]
        return len(run) >= RUN and len(set(run)) > 2  # a stretch of zeros says nothing

    def _windows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All windows of all forms, sorted, each with its form's number and its place in it."""
        values, owners, places = [], [], []
        for number, form in enumerate(self._forms):
            bytes_ = np.frombuffer(form, dtype="u1")
            view = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(bytes_, _WINDOW)).view("<u8")[:, 0]
            values.append(view)
            owners.append(np.full(len(view), number))
            places.append(np.arange(len(view)))
        all_values = np.concatenate(values)
        self._maybe[_hash(all_values)] = True
        order = np.argsort(all_values, kind="stable")
        return all_values[order], np.concatenate(owners)[order], np.concatenate(places)[order]
