"""Rows of vLLM's batch whose requests have no names."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Tokens at a row's end by which its name is found: no corpus keeps longer patterns.
NAMING_TOKENS = 128


@dataclasses.dataclass(slots=True)
class Named:
    """A request that is known by its text."""

    name: str
    prompt_tokens: int
    """Tokens that it had before its first step."""
    seen: float


class RowNames:
    """The names of requests by their rows' texts, where the engine does not tell names.

    A row goes on with the request whose text is the one that the row held before this step: as
    long, and with the same last `NAMING_TOKENS` tokens. Two requests may be taken for each other
    only if they agree in that, and then it makes no difference to the history, which counts no
    pattern that is longer. In one step a request is at most one row, so the samples of one prompt
    stay apart.
    """

    def __init__(self, keep: float) -> None:
        """
        Args:
            keep: Seconds for which a request that no step holds is remembered.
        """
        self._keep = keep
        self._count = 0
        self._waiting: dict[tuple[int, bytes], list[Named]] = {}
        self._next_sweep = 0.0

    def of(self, texts: Sequence[tuple[NDArray[np.int32], int]]) -> list[Named]:
        """Names rows: each has its tokens, and the number of them that this step added."""
        now = time.monotonic()
        self._sweep(now)
        names = [self._name(_end_of(tokens[: len(tokens) - added])) for tokens, added in texts]
        for named, (tokens, _) in zip(names, texts, strict=True):
            named.seen = now
            self._waiting.setdefault(_end_of(tokens), []).append(named)
        return names

    def _name(self, end: tuple[int, bytes]) -> Named:
        waiting = self._waiting.get(end)
        if waiting:
            named = waiting.pop()
            if not waiting:
                del self._waiting[end]
            return named
        self._count += 1
        return Named(f"row-{self._count}", prompt_tokens=end[0], seen=0.0)

    def _sweep(self, now: float) -> None:
        if now < self._next_sweep:
            return
        self._next_sweep = now + max(self._keep / 4, 1.0)
        for end, waiting in list(self._waiting.items()):
            left = [named for named in waiting if now - named.seen <= self._keep]
            if left:
                self._waiting[end] = left
            else:
                del self._waiting[end]


def _end_of(tokens: NDArray[np.int32]) -> tuple[int, bytes]:
    return len(tokens), tokens[-NAMING_TOKENS:].tobytes()
