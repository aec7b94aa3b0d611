"""What the decoding path knows of its sessions, their corpora, and the lines under way."""

from __future__ import annotations

import dataclasses
import enum
from array import array
from collections.abc import Callable
from typing import Any

from .errors import RepriseError
from .options import Share
from .results import EMPTY_DRAFT, Draft, SessionClosed


class State(enum.Enum):
    UNOPENED = enum.auto()
    """Nothing is under way. There may be sessions of earlier connections to discard first."""
    DISCARDING = enum.auto()
    OPENING = enum.auto()
    OPEN = enum.auto()
    CLOSING = enum.auto()
    INSERTING = enum.auto()
    DONE = enum.auto()
    """The output is history, or given up; the text is let go of."""


@dataclasses.dataclass(slots=True)
class Stale:
    """What may be left on the service of a session whose connection was lost."""

    name: str
    was_open: bool
    """The service had answered that it was open."""
    close_was_sent: bool
    """It was to be closed and recorded."""
    connected_at: float


class SessionRecord:
    """All that is known of one session."""

    __slots__ = (
        "acked",
        "closing",
        "corpus",
        "error",
        "failures",
        "generation",
        "in_flight",
        "is_inserted",
        "is_on_service",
        "is_recorded",
        "name",
        "not_before",
        "on_change",
        "output",
        "parent",
        "prompt",
        "refused",
        "result",
        "sent",
        "sent_before",
        "sequence_id",
        "share",
        "stale",
        "state",
        "ttl_s",
        "vocabulary",
        "wire_name",
    )

    def __init__(
        self,
        name: str,
        corpus: str,
        prompt: array[int],
        *,
        share: Share,
        ttl_s: int | None,
        vocabulary: int | None = None,
        parent: str | None,
        sequence_id: str | None,
    ) -> None:
        self.name = name
        self.corpus = corpus
        self.prompt = prompt
        self.output: array[int] = array("i")
        self.share = share
        self.ttl_s = ttl_s
        self.vocabulary = vocabulary
        self.parent = parent
        self.sequence_id = sequence_id
        self.state = State.UNOPENED
        #: The name it has on the service, another one each time it is opened.
        self.wire_name = name
        self.generation = 0
        #: Tokens of `output` that were sent in this generation, and that the service said it has.
        self.sent = 0
        self.acked = 0
        #: Tokens of `output` that were sent in an earlier one.
        self.sent_before = 0
        self.in_flight = False
        #: The connection may have it open under `wire_name`.
        self.is_on_service = False
        self.stale: list[Stale] = []
        #: The caller has closed it.
        self.closing = False
        self.is_recorded = True
        #: The output is history under `sequence_id`.
        self.is_inserted = False
        self.result: SessionClosed | None = None
        #: The service would not open it, and why.
        self.refused = False
        self.error: RepriseError | None = None
        self.failures = 0
        self.not_before = 0.0
        #: Called when `state` or `refused` changes.
        self.on_change: Callable[[], None] | None = None

    @property
    def tokens(self) -> int:
        return len(self.prompt) + len(self.output)

    @property
    def text(self) -> array[int]:
        """Its prompt and output, in O(n). It is empty once the session is done."""
        return self.prompt + self.output

    def tail(self, count: int) -> array[int]:
        """The last tokens of its text, in O(count)."""
        missing = count - len(self.output)
        if missing <= 0:
            return self.output[len(self.output) - count :]
        return self.prompt[max(len(self.prompt) - missing, 0) :] + self.output

    @property
    def is_kept(self) -> bool:
        """Whether its output is to be history when it is closed."""
        is_shared = self.share != "never" or self.sequence_id is not None
        return self.is_recorded and is_shared and len(self.output) > 0

    @property
    def is_done(self) -> bool:
        return self.state is State.DONE

    @property
    def is_settled(self) -> bool:
        """Nothing more is to be waited for by one who opened it."""
        return self.refused or self.state in (State.OPEN, State.DONE)


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
        """Nobody waits any more."""
        self.lines = b""
        """What is to be sent for it."""
        self.on_done: Callable[[], None] | None = None

    def sent(self, drafts: int) -> None:
        """A line that asks for so many drafts is under way."""
        self.awaited += 1
        self.missing += drafts

    def answered(self, drafts: int) -> None:
        self.awaited -= 1
        self.missing -= drafts
        if self.awaited == 0 and self.on_done is not None:
            self.on_done()


@dataclasses.dataclass(slots=True)
class Entry:
    """One session's part of a line that was sent."""

    place: int
    """Where its draft belongs."""
    record: SessionRecord
    generation: int
    total: int
    """Tokens of the output that the service has when it has carried this out."""
    params: dict[str, Any]

    @property
    def is_current(self) -> bool:
        """The session was not opened anew meanwhile."""
        return self.record.generation == self.generation


@dataclasses.dataclass(slots=True)
class CorpusRecord:
    """A corpus that is made where it is not there."""

    class State(enum.Enum):
        WANTED = enum.auto()
        CREATING = enum.auto()
        SETTLED = enum.auto()

    params: dict[str, Any]
    state: State = State.WANTED
    error: RepriseError | None = None
