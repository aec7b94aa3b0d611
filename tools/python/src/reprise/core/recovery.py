"""How sessions are opened, catch up, close, and survive a service's end, without any I/O.

`outgoing` chooses the next line for each session; the answers change its state by the table in
`reprise.core.session_states`. `reprise.core.decoding` tells the rules.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ._constants import Method
from .calls import Output
from .draft_call import DraftCall
from .errors import Busy, Conflict, InvalidParams, RepriseError, SessionNotFound
from .exchange import PENDING_MAX, Phase
from .options import NO_DRAFT, DecodingLimits
from .results import SessionClosed
from .session_record import SessionRecord
from .session_states import Event, State
from .stepping import CLOSE_ATTEMPTS_MAX, SessionStepper
from .tokens import jsonable

#: Bytes of postponed lines that are handed out at once.
OUTGOING_BYTES_MAX = 1 << 18

_Answer: TypeAlias = "Callable[[SessionRecord, Any, RepriseError | None], None]"


class SessionRecovery(SessionStepper):
    """The lines that are to be sent for sessions besides the steps of callers."""

    def __init__(self, token: str | None, limits: DecodingLimits | None) -> None:
        super().__init__(token, limits)
        #: The id of the last request that had a long prompt.
        self._long_open = 0

    @property
    def has_work(self) -> bool:
        """True if lines are to be sent, or answers awaited, besides those of steps."""
        return self._phase is Phase.GREETING or bool(self._busy) or not self.corpora.is_settled

    @property
    def is_flushed(self) -> bool:
        """True if nothing is to be sent, and no answer is awaited."""
        return not self.has_work and not self.awaits_answers

    def disconnected(self) -> None:
        """Forgets what was under way. Sessions will be opened anew."""
        if self._phase is Phase.DOWN:
            return
        self._phase = Phase.DOWN
        calls, self._calls = self._calls, {}
        self._pending.clear()
        self.corpora.lost()
        for record in self.records.values():
            record.not_before = 0.0
            self._happened(record, Event.LOST)
        for call, drafts in calls.values():
            if not call.is_late:
                self.counters.empty_because_lost += drafts
            call.answered(drafts)

    def outgoing(self, now: float) -> bytes:
        """The next lines of it; ask again when these are sent, or something was received."""
        self._now = now
        if self._phase is not Phase.READY:
            return b""
        lines = [
            self._request(Method.CORPUS_CREATE, corpus.params, corpus.answered)
            for corpus in self.corpora.begin()
        ]
        size = 0
        for record in list(self._busy):
            if record.not_before > now:
                continue
            line = self._advance(record)
            if line:
                lines.append(line)
                size += len(line)
            if size >= OUTGOING_BYTES_MAX or len(self._pending) >= PENDING_MAX:
                break
        return b"".join(lines)

    # The next line for one session.

    def _advance(self, record: SessionRecord) -> bytes:
        if record.state is State.OPEN:
            return self._advance_open(record)
        if record.state not in (State.WAITING, State.REFUSED, State.REJECTED):
            # An answer is awaited.
            return b""
        if record.left is not None:
            return self._discard(record)
        if self.corpora.is_awaited(record.corpus):
            return b""
        if record.closing:
            return self._insert(record)
        if record.state is State.WAITING:
            return self._open(record)
        del self._busy[record]
        return b""

    def _advance_open(self, record: SessionRecord) -> bytes:
        if record.closing and not record.is_kept:
            # It leaves the history; if its output is to be there, an insert has brought it.
            self._happened(record, Event.WITHDRAWN)
            return self._discard(record)
        if len(record.output) > record.sent:
            return self._catch_up(record)
        if record.closing:
            return self._close(record) if record.sequence_id is None else self._insert(record)
        del self._busy[record]
        return b""

    def _ask(
        self, record: SessionRecord, method: str, params: Mapping[str, Any], answer: _Answer
    ) -> bytes:
        """A line about a session. Its answer is passed over if the session has left the name under
        which it was sent, or is done."""
        generation = record.generation

        def answered(result: Any, error: RepriseError | None) -> None:
            if record.generation == generation:
                answer(record, result, error)

        return self._request(method, params, answered)

    def _catch_up(self, record: SessionRecord) -> bytes:
        """A step that asks for no draft, with as many tokens as the service reads at once."""
        end = record.sent + self.catch_up_tokens_max
        entry = self._entry(0, record, record.output[record.sent : end], NO_DRAFT)

        def answered(result: Any, error: RepriseError | None) -> None:
            # The draft is empty, and no caller has asked for it.
            drafts, empty = self.counters.drafts, self.counters.empty_drafts
            self._on_step(DraftCall(1), [entry], result, error)
            self.counters.drafts, self.counters.empty_drafts = drafts, empty

        return self._request(Method.SESSION_STEP, {"steps": [entry.params]}, answered)

    def _open(self, record: SessionRecord) -> bytes:
        is_long = len(record.prompt) > self.catch_up_tokens_max
        if is_long and self._long_open in self._pending:
            # A connection's lines wait while the service reads a long one: one at a time leaves
            # room for steps between them.
            return b""
        params: dict[str, Any] = {
            "corpus": record.corpus,
            "session": record.wire_name,
            "prompt": jsonable(record.prompt),
            "share": record.share,
        }
        if record.ttl_s is not None:
            params["ttl_s"] = record.ttl_s
        if record.vocabulary is not None:
            params["vocabulary"] = record.vocabulary
        if record.group is not None:
            params["group"] = record.group
        if record.parent is not None and record.generation == 0:
            params["parent"] = self._parents.get(record.parent, record.parent)
        record.apply(Event.OPEN_SENT)
        record.connected_at = self._connected_at
        line = self._ask(record, Method.SESSION_OPEN, params, self._on_opened)
        if is_long:
            self._long_open = self._last_id
        return line

    def _discard(self, record: SessionRecord) -> bytes:
        """Closes, without a record, what the service may have under the name that was left."""
        assert record.left is not None
        record.apply(Event.DISCARD_SENT)
        params = {"session": record.left.name, "record": False}
        return self._ask(record, Method.SESSION_CLOSE, params, self._on_discarded)

    def _close(self, record: SessionRecord) -> bytes:
        record.apply(Event.CLOSE_SENT)
        params = {"session": record.wire_name}
        return self._ask(record, Method.SESSION_CLOSE, params, self._on_closed)

    def _insert(self, record: SessionRecord) -> bytes:
        """Makes the output of a closed session history under its id."""
        if not record.is_kept:
            self._finish(record, record.result or SessionClosed(0, None))
            return b""
        if record.sequence_id is None:
            # An id makes the insert repeatable.
            record.sequence_id = f"reprise-client-{uuid.uuid4().hex}"
        record.apply(Event.INSERT_SENT)
        sequence = Output(record.output, record.sequence_id, record.prompt, record.group)
        params = {"corpus": record.corpus, "sequences": [sequence.to_wire()]}
        return self._ask(record, Method.SEQUENCE_INSERT, params, self._on_inserted)

    # The answers.

    def _on_opened(self, record: SessionRecord, result: Any, error: RepriseError | None) -> None:
        if error is None:
            self._happened(record, Event.OPENED)
            record.failures = 0
            if record.generation == 0:
                self.counters.opened_sessions += 1
            else:
                self.counters.reopened_sessions += 1
        elif isinstance(error, Conflict):
            self._happened(record, Event.NAME_TAKEN)
        elif isinstance(error, Busy):
            self._happened(record, Event.OPEN_POSTPONED)
            self._wait(record, error)
        else:
            self._happened(record, Event.OPEN_REFUSED)
            record.error = self.last_refusal = error
            self.counters.refused_sessions += 1

    def _on_discarded(self, record: SessionRecord, result: Any, error: RepriseError | None) -> None:
        left = record.left
        assert left is not None
        if isinstance(error, Busy):
            self._happened(record, Event.DISCARD_ANSWERED)
            self._wait(record, error)
            return
        has_ended = (
            isinstance(error, SessionNotFound)
            and left.was_open
            and self._is_same_service(left.connected_at)
        )
        if has_ended and left.close_was_sent:
            # The close was carried out, and its answer was lost.
            self._finish(record, SessionClosed(len(record.output), None))
        elif has_ended and record.state is State.DISCARDING:
            self._happened(record, Event.LEASE_ENDED)
        else:
            record.left = None
            self._happened(record, Event.DISCARD_ANSWERED)

    def _on_closed(self, record: SessionRecord, result: Any, error: RepriseError | None) -> None:
        if error is None:
            self._finish(record, SessionClosed.from_wire(result))
        elif isinstance(error, SessionNotFound):
            # Its lease ended just before, which recorded the same.
            self._finish(record, SessionClosed(len(record.output), None))
        else:
            # Nothing was recorded, and it is still open.
            self._happened(record, Event.CLOSE_FAILED)
            self._try_again(record, error, is_final=False)

    def _on_inserted(self, record: SessionRecord, result: Any, error: RepriseError | None) -> None:
        self._happened(record, Event.INSERT_ANSWERED)
        if error is None:
            record.may_record = False
            record.result = SessionClosed(len(record.output), result.get("last_order"))
        else:
            is_final = isinstance(error, (Conflict, InvalidParams))
            self._try_again(record, error, is_final=is_final)

    def _try_again(self, record: SessionRecord, error: RepriseError, *, is_final: bool) -> None:
        """Has the output of a closed session recorded later, or gives it up."""
        self._wait(record, error)
        if is_final or record.failures >= CLOSE_ATTEMPTS_MAX:
            self._give_up(record, error)
