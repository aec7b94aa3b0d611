"""The sessions of a client without any I/O: how callers begin, change and end them, and the bounds
on what is kept of them. `reprise.core.decoding` tells the rules.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ._constants import SHARES
from .corpora import WantedCorpora
from .errors import Busy, RepriseError
from .exchange import Exchange
from .names import corpus_checked
from .options import DecodingLimits, NewSession
from .results import SessionClosed
from .session_record import SessionRecord
from .session_states import Event
from .tokens import token_array

if TYPE_CHECKING:
    from .tokens import TokenIDs

#: Seconds until something is tried again, where the service does not say.
RETRY_SECONDS = 0.5
#: The bounds of what a busy service may say, in seconds.
RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 0.001, 60.0
#: Names of closed sessions that are remembered for `parent`.
PARENTS_MAX = 256


class SessionKeeper(Exchange):
    """The records of all sessions that are not done."""

    def __init__(self, token: str | None, limits: DecodingLimits | None) -> None:
        super().__init__(token)
        self.records: dict[str, SessionRecord] = {}
        self.limits = limits or DecodingLimits()
        self.corpora = WantedCorpora()
        #: The reason why the service did not open a session, of the last time that it did not.
        self.last_refusal: RepriseError | None = None
        #: Records for which a line is to be sent that is no step of a caller.
        self._busy: dict[SessionRecord, None] = {}
        self._kept_tokens = 0
        #: By a closed session's name, the name that the service knows it by.
        self._parents: OrderedDict[str, str] = OrderedDict()

    @property
    def kept_tokens(self) -> int:
        """Tokens in the prompts and outputs that are kept."""
        return self._kept_tokens

    def ensure_corpus(self, params: Mapping[str, Any]) -> None:
        """Has a corpus created before sessions over it are opened, on each connection. One that
        exists with other settings is used as it is.

        Raises:
            ValueError: No corpus can have this name.
        """
        self.corpora.add(params)

    def add_sessions(self, sessions: Iterable[NewSession]) -> list[SessionRecord]:
        """Begins sessions. `outgoing` opens them.

        Raises:
            ValueError: A name is that of a session which is not closed, or an argument is wrong. No
                session was begun.
        """
        new = [self._checked(session) for session in sessions]
        names = {record.name for record in new}
        if len(names) < len(new) or not names.isdisjoint(self.records):
            taken = [record.name for record in new if record.name in self.records]
            raise ValueError(f"session {(taken or [new[-1].name])[0]!r} is open already")
        for record in new:
            self._begin(record)
        return new

    @staticmethod
    def _checked(session: NewSession) -> SessionRecord:
        corpus_checked(session.corpus)
        if session.share not in SHARES:
            raise ValueError(f"share is {session.share!r}, expected 'live', 'close' or 'never'")
        return SessionRecord(session)

    def _begin(self, record: SessionRecord) -> None:
        if len(self.records) >= self.limits.sessions or self._is_past_bounds(record, record.tokens):
            record.apply(Event.ENDED)
            self.counters.dropped_sessions += 1
            return
        self._kept_tokens += record.tokens
        self.records[record.name] = record
        self._busy[record] = None

    def _is_past_bounds(self, record: SessionRecord, added: int) -> bool:
        limits = self.limits
        return (
            # Each step asks for each session, so the property `tokens` is spared.
            len(record.prompt) + len(record.output) > limits.session_tokens
            or self._kept_tokens + added > limits.tokens
        )

    def close_session(
        self, name: str, accept: TokenIDs = (), *, record: bool = True
    ) -> SessionRecord | None:
        """Ends a session. `outgoing` has its output recorded. None where there is no such session.

        Args:
            record: False has the output leave the history.
        """
        tokens = token_array(accept)
        known = self.records.get(name)
        if known is None or known.closing:
            self.counters.dropped_tokens += len(tokens)
            return None
        if not self._accept(known, tokens):
            return known
        known.closing = True
        # The output of a rejected session is not recorded in any case.
        known.may_record = known.may_record and record
        self._busy[known] = None
        return known

    def close_sessions(self) -> None:
        """Ends all sessions."""
        for name in list(self.records):
            self.close_session(name)

    def make_private(self, name: str) -> SessionRecord | None:
        """Has the output of a session leave the shared history, and nothing join it any more. It
        goes on with its own history; until it is open anew, its drafts are empty."""
        record = self.records.get(name)
        if record is not None and record.share != "never":
            record.share = "never"
            record.sequence_id = None
            self._happened(record, Event.WITHDRAWN)
        return record

    def truncate_session(self, name: str, tokens: int) -> SessionRecord | None:
        """Has the text of an open session, its prompt and output, end after `tokens` tokens. The
        rest leaves the history. The session is opened anew for that if the service may have some of
        the rest; until then its drafts are empty. None where there is no such session.

        What an ended lease has recorded stays.
        """
        record = self.records.get(name)
        if record is None or record.closing:
            return None
        kept = max(tokens - len(record.prompt), 0)
        dropped = len(record.output) - kept
        if dropped <= 0:
            return record
        del record.output[kept:]
        self._kept_tokens -= dropped
        self.counters.truncated_tokens += dropped
        if record.sent > kept:
            self._happened(record, Event.WITHDRAWN)
        record.sent_before = min(record.sent_before, kept)
        return record

    # What callers and answers bring about.

    def _happened(self, record: SessionRecord, event: Event) -> None:
        """Applies an event after which lines may be to be sent."""
        record.apply(event)
        self._busy[record] = None

    def _accept(self, record: SessionRecord, tokens: array[int]) -> bool:
        """Adds to a session's output. False where it went past a bound."""
        record.output.extend(tokens)
        if self._is_past_bounds(record, len(tokens)):
            self._drop(record, len(tokens))
            return False
        self._kept_tokens += len(tokens)
        return True

    def _drop(self, record: SessionRecord, uncounted: int) -> None:
        """Ends a session that went past a bound. What the service has of it is recorded.

        Args:
            uncounted: Tokens of its output that are not counted as kept yet.
        """
        self.counters.dropped_sessions += 1
        kept = record.sent if record.is_open else 0
        self.counters.dropped_tokens += len(record.output) - kept
        self._kept_tokens -= len(record.output) - uncounted - kept
        del record.output[kept:]
        if record.is_open:
            record.closing = True
            self._busy[record] = None
        else:
            self._finish(record)

    def _finish(self, record: SessionRecord, result: SessionClosed | None = None) -> None:
        if result is not None:
            record.result = result
            if result.recorded_tokens > 0:
                self.counters.recorded_sequences += 1
                self.counters.recorded_tokens += result.recorded_tokens
        self._kept_tokens -= record.tokens
        self.records.pop(record.name, None)
        self._busy.pop(record, None)
        self._parents[record.name] = record.wire_name
        if len(self._parents) > PARENTS_MAX:
            self._parents.popitem(last=False)
        record.apply(Event.ENDED)

    def _give_up(self, record: SessionRecord, error: RepriseError) -> None:
        """Ends a session whose output cannot become history."""
        record.error = error
        self.counters.dropped_tokens += len(record.output)
        self._finish(record)

    def _wait(self, record: SessionRecord, error: RepriseError) -> None:
        """Has nothing sent for a session for a while."""
        record.failures += 1
        record.error = error
        seconds = RETRY_SECONDS
        if isinstance(error, Busy):
            after = error.data.get("retry_after_ms")
            if isinstance(after, (int, float)):
                seconds = min(max(after / 1000, RETRY_SECONDS_MIN), RETRY_SECONDS_MAX)
        record.not_before = self._now + seconds
