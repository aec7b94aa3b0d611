"""Drafts that are asked for: the places where they belong, and the lines that ask."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from .drafts import EMPTY_DRAFT, Draft
from .session_record import SessionRecord


class DraftCall:
    """Drafts that are awaited: a place for each that was asked for, empty until it comes."""

    __slots__ = ("awaited", "drafts", "is_late", "lines", "missing", "on_done")

    def __init__(self, count: int) -> None:
        self.drafts: list[Draft] = [EMPTY_DRAFT] * count
        self.awaited = 0
        """Lines that are not answered."""
        self.missing = 0
        """Drafts in these."""
        self.is_late = False
        """The deadline has passed, and the caller does not wait any more."""
        self.lines = b""
        """The lines to be sent for it."""
        self.on_done: Callable[[], None] | None = None

    def sent(self, drafts: int) -> None:
        """Counts a line that asks for `drafts` drafts."""
        self.awaited += 1
        self.missing += drafts

    def answered(self, drafts: int) -> None:
        """Counts the answer to a line that asked for `drafts` drafts."""
        self.awaited -= 1
        self.missing -= drafts
        if self.awaited == 0 and self.on_done is not None:
            self.on_done()


@dataclasses.dataclass(slots=True)
class Entry:
    """One session's part of a line that was sent."""

    place: int
    """The index of its draft in the call."""
    record: SessionRecord
    generation: int
    """The session's when the step was sent. Another one later means that the session has left the
    name under which it was sent."""
    params: dict[str, Any]
