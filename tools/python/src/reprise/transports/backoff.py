"""How long to wait before the next attempt to connect."""

from __future__ import annotations

import random


class Backoff:
    """Doubles with each failure, with jitter, so that many workers do not come back at once."""

    __slots__ = ("_failures", "_first", "_last")

    def __init__(self, first: float = 0.02, last: float = 2.0) -> None:
        self._first = first
        self._last = last
        self._failures = 0

    def reset(self) -> None:
        self._failures = 0

    def next(self) -> float:
        """Seconds: between half of the present bound and all of it."""
        bound = min(self._last, self._first * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return bound * random.uniform(0.5, 1.0)
