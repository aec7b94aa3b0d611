"""A line that says how far it is, on a terminal alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TextIO

from .load import Counts
from .sources import Source

SECONDS_BETWEEN = 0.2


class Progress:
    """Rewrites one line of `stream`, where that is a terminal. Use `say` for others meanwhile."""

    def __init__(self, sources: Sequence[Source], stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._is_shown = self._stream.isatty()
        sizes = [source.bytes_total for source in sources]
        # What comes from a pipe has no end that is known.
        self._total = None if None in sizes else sum(size for size in sizes if size is not None)
        self._done = 0
        self._begin = time.monotonic()
        self._next = 0.0
        self._width = 0

    def show(self, source: Source, counts: Counts) -> None:
        now = time.monotonic()
        if not self._is_shown or now < self._next:
            return
        self._next = now + SECONDS_BETWEEN
        seconds = max(now - self._begin, 1e-3)
        text = f"{counts.outputs:,} outputs, {counts.tokens:,} tokens, "
        text += f"{counts.tokens / seconds:,.0f} a second"
        if self._total:
            part = min((self._done + source.bytes_read) / self._total, 1.0)
            text = f"{part:4.0%}  {text}"
            if part > 0:
                text += f", {_clock(seconds * (1 - part) / part)} to go"
        self._write(text)

    def finish(self, source: Source) -> None:
        self._done += source.bytes_total or 0

    def say(self, text: str) -> None:
        self.clear()
        print(text, file=self._stream)

    def clear(self) -> None:
        if self._width:
            self._write("")
            self._stream.write("\r")

    def _write(self, text: str) -> None:
        self._stream.write("\r" + text.ljust(self._width))
        self._stream.flush()
        self._width = len(text)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
