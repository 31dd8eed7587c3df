"""From token bytes to text pieces: whole characters only, and never a part of a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

__all__ = ["PieceStream"]


class PieceStream:
    """Takes token bytes as they come, gives back text that is final.

    A character split over tokens waits until it is whole; bytes that can never be UTF-8 become U+FFFD. Text that may
    be the beginning of a stop string is held back until it can't be. The first stop string to be complete wins, the
    longest one where several are complete at the same character; it and all that follows are dropped. What comes out
    does not depend on where the tokens' borders lie.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._stop = tuple(stop)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self.stopped = False

    def push(self, data: bytes) -> str:
        """The text that ``data`` makes final; empty where it has to wait, or after a stop."""
        if self.stopped:
            return ""
        known = len(self._held)
        self._held += self._decoder.decode(data)
        for end in range(known + 1, len(self._held) + 1):
            found = [stop for stop in self._stop if self._held.endswith(stop, 0, end)]
            if found:
                self.stopped = True
                final, self._held = self._held[: end - max(map(len, found))], ""
                return final
        return self._release(len(self._held) - self._waiting())

    def finish(self) -> str:
        """What was held back and turned out to be no stop string. Half a character at the end is dropped."""
        return self._release(len(self._held))

    def _release(self, count: int) -> str:
        final, self._held = self._held[:count], self._held[count:]
        return final

    def _waiting(self) -> int:
        """Length of the longest end of the text that a stop string begins with."""
        longest = 0
        for stop in self._stop:
            for length in range(min(len(stop) - 1, len(self._held)), longest, -1):
                if self._held.endswith(stop[:length]):
                    longest = length
                    break
        return longest
