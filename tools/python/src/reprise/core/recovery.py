"""Sessions without any I/O: how they are opened, catch up, close, and survive a service's end.

`reprise.core.decoding` says by what rules.
"""

from __future__ import annotations

import uuid
from array import array
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .errors import (
    Busy,
    Conflict,
    InvalidParams,
    MalformedAnswer,
    RepriseError,
    ServiceError,
    SessionNotFound,
)
from .exchange import Exchange, Phase
from .names import corpus_checked
from .options import NO_DRAFT, DecodingLimits, DraftOptions, Share
from .records import CorpusRecord, DraftCall, Entry, SessionRecord, Stale, State
from .results import Draft, SessionClosed
from .tokens import jsonable, token_array

if TYPE_CHECKING:
    from .tokens import TokenIDs

#: Bytes of deferred lines that are handed out at once.
OUTGOING_BYTES_MAX = 1 << 18
#: Answers that may be awaited at once.
PENDING_MAX = 1024
#: Attempts to have a closed session recorded, where the service answers with an error.
CLOSE_ATTEMPTS_MAX = 8
#: Seconds until the next of these, where the service does not say.
RETRY_SECONDS = 0.5
#: Names of closed sessions that are remembered for `parent`.
PARENTS_MAX = 256


class SessionKeeper(Exchange):
    """What is known of sessions, and what is to be sent for them that no step sends."""

    def __init__(self, token: str | None, limits: DecodingLimits | None) -> None:
        super().__init__(token)
        self.records: dict[str, SessionRecord] = {}
        self.limits = limits or DecodingLimits()
        #: Why the service would not open a session, the last time that it would not.
        self.last_refusal: RepriseError | None = None
        #: Records for which something is to be done that no step does.
        self._busy: dict[SessionRecord, None] = {}
        self._long_opens = 0
        self._kept_tokens = 0
        self._corpora: dict[str, CorpusRecord] = {}
        self._parents: OrderedDict[str, str] = OrderedDict()

    @property
    def has_work(self) -> bool:
        """Whether lines are to be sent, or answers awaited, that no step takes care of."""
        return (
            self._phase is Phase.GREETING
            or bool(self._busy)
            or any(
                corpus.state is not CorpusRecord.State.SETTLED for corpus in self._corpora.values()
            )
        )

    @property
    def kept_tokens(self) -> int:
        """Tokens in prompts and outputs that are kept."""
        return self._kept_tokens

    def disconnected(self) -> None:
        """Forgets what was under way. Sessions will be opened anew."""
        if self._phase is Phase.DOWN:
            return
        self._phase = Phase.DOWN
        calls, self._calls = self._calls, {}
        self._pending.clear()
        self._long_opens = 0
        for corpus in self._corpora.values():
            corpus.state = CorpusRecord.State.WANTED
        for record in self.records.values():
            self._lose(record)
        for call, drafts in calls.values():
            if not call.is_late:
                self.counters.empty_because_lost += drafts
            call.answered(drafts)

    def _lose(self, record: SessionRecord) -> None:
        record.in_flight = False
        record.not_before = 0.0
        record.refused = False
        if record.is_on_service:
            self._leave_stale(record)
        record.state = State.UNOPENED
        self._busy[record] = None

    def _leave_stale(self, record: SessionRecord) -> None:
        record.stale.append(
            Stale(
                record.wire_name,
                was_open=record.state is not State.OPENING,
                close_was_sent=record.state is State.CLOSING,
                connected_at=self._connected_at,
            )
        )
        self._renew(record)

    def _renew(self, record: SessionRecord) -> None:
        """Makes ready to open the session under another name."""
        record.state = State.UNOPENED
        record.is_on_service = False
        record.generation += 1
        record.wire_name = f"{record.name[:100]}~{record.generation}.{uuid.uuid4().hex[:8]}"
        record.sent_before = max(record.sent_before, record.sent)
        record.sent = record.acked = 0
        record.in_flight = False
        self._busy[record] = None

    def ensure_corpus(self, params: Mapping[str, Any]) -> None:
        """Has a corpus made before sessions over it are opened, on each connection. One that stands
        with other settings is taken as it is.

        Raises:
            ValueError: It is no name of a corpus.
        """
        self._corpora[corpus_checked(params["corpus"])] = CorpusRecord(dict(params))

    @property
    def ensured(self) -> list[dict[str, Any]]:
        """What `ensure_corpus` was called with."""
        return [corpus.params for corpus in self._corpora.values()]

    def _create(self, corpus: CorpusRecord) -> bytes:
        corpus.state = CorpusRecord.State.CREATING

        def on_answer(result: Any, error: RepriseError | None) -> None:
            corpus.state = CorpusRecord.State.SETTLED
            corpus.error = error

        return self._request("corpus.create", corpus.params, on_answer)

    def corpus_error(self, corpus: str) -> RepriseError | None:
        """Why a corpus could not be made, or stands with other settings."""
        known = self._corpora.get(corpus)
        return None if known is None else known.error

    @staticmethod
    def _is_settled(corpus: CorpusRecord) -> bool:
        return corpus.state is CorpusRecord.State.SETTLED

    def _is_awaited(self, corpus: str) -> bool:
        known = self._corpora.get(corpus)
        return known is not None and not self._is_settled(known)

    def add_session(
        self,
        corpus: str,
        prompt: TokenIDs,
        *,
        name: str | None = None,
        parent: str | None = None,
        share: Share = "live",
        ttl_s: int | None = None,
        vocabulary: int | None = None,
        sequence_id: str | None = None,
    ) -> SessionRecord:
        """Begins a session. `outgoing` opens it.

        Raises:
            ValueError: The name is that of a session which is not closed, or an argument is none
                that the service takes.
        """
        corpus_checked(corpus)
        if name is None:
            name = f"py-{uuid.uuid4().hex}"
        if name in self.records:
            raise ValueError(f"session {name!r} is open already")
        if share not in ("live", "close", "never"):
            raise ValueError(f"share is {share!r}, expected 'live', 'close' or 'never'")
        record = SessionRecord(
            name,
            corpus,
            token_array(prompt),
            share=share,
            ttl_s=ttl_s,
            vocabulary=vocabulary,
            parent=parent,
            sequence_id=sequence_id,
        )
        if len(self.records) >= self.limits.sessions or self._is_past_bounds(record, record.tokens):
            record.prompt = array("i")
            record.state = State.DONE
            self.counters.dropped_sessions += 1
            return record
        self._kept_tokens += record.tokens
        self.records[name] = record
        self._busy[record] = None
        return record

    def _is_past_bounds(self, record: SessionRecord, added: int) -> bool:
        return (
            record.tokens > self.limits.session_tokens
            or self._kept_tokens + added > self.limits.tokens
        )

    def close_session(
        self, name: str, accept: TokenIDs = (), *, record: bool = True
    ) -> SessionRecord | None:
        """Ends a session. `outgoing` has its output recorded. None where there is none."""
        tokens = token_array(accept)
        known = self.records.get(name)
        if known is None or known.closing:
            self.counters.dropped_tokens += len(tokens)
            return None
        if not self._accept(known, tokens):
            return known
        known.closing = True
        # One that the service rejected is not recorded in any case.
        known.is_recorded = known.is_recorded and record
        self._busy[known] = None
        return known

    def make_private(self, name: str) -> SessionRecord | None:
        """Has the output of a session leave the shared history, and nothing join it any more. It
        goes on with its own history; until it is open anew, its drafts are empty."""
        record = self.records.get(name)
        if record is not None and record.share != "never":
            record.share = "never"
            record.sequence_id = None
            if record.state in (State.OPENING, State.OPEN):
                self._leave_stale(record)
                self._changed(record)
        return record

    def truncate_session(self, name: str, tokens: int) -> SessionRecord | None:
        """Has the text of an open session, its prompt and output, end after so many tokens. What
        stands behind leaves the history. The session is opened anew for that if the service may
        have it; until then its drafts are empty. None where there is no such session.

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
        if record.sent > kept and record.state in (State.OPENING, State.OPEN):
            self._leave_stale(record)
            self._changed(record)
        record.sent_before = min(record.sent_before, kept)
        return record

    def _accept(self, record: SessionRecord, tokens: array[int]) -> bool:
        """Adds to a session's output. False where that went past a bound."""
        record.output.extend(tokens)
        if self._is_past_bounds(record, len(tokens)):
            self._let_go(record, len(tokens))
            return False
        self._kept_tokens += len(tokens)
        return True

    def _let_go(self, record: SessionRecord, unkept: int) -> None:
        self.counters.dropped_sessions += 1
        kept = record.sent if record.state is State.OPEN else 0
        self.counters.dropped_tokens += len(record.output) - kept
        self._kept_tokens -= len(record.output) - unkept - kept
        del record.output[kept:]
        if record.state is State.OPEN:
            # What the service has of it is worth recording.
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
        record.state = State.DONE
        self._kept_tokens -= record.tokens
        record.prompt, record.output = array("i"), array("i")
        self.records.pop(record.name, None)
        self._busy.pop(record, None)
        self._parents[record.name] = record.wire_name
        if len(self._parents) > PARENTS_MAX:
            self._parents.popitem(last=False)
        self._changed(record)

    def _give_up(self, record: SessionRecord, error: RepriseError) -> None:
        """Has no way to make the output history."""
        record.error = error
        self.counters.dropped_tokens += len(record.output)
        self._finish(record)

    @staticmethod
    def _changed(record: SessionRecord) -> None:
        if record.on_change is not None:
            record.on_change()

    def _entry(self, place: int, record: SessionRecord, total: int, options: DraftOptions) -> Entry:
        accept = record.output[record.sent : total]
        self.counters.resent_tokens += max(0, min(total, record.sent_before) - record.sent)
        record.in_flight = True
        record.sent = total
        params = {"session": record.wire_name, "accept": jsonable(accept), **options.params}
        return Entry(place, record, record.generation, total, params)

    def _on_step(
        self, call: DraftCall, entries: list[Entry], result: Any, error: RepriseError | None
    ) -> None:
        for entry in entries:
            if entry.is_current:
                entry.record.in_flight = False
        if error is not None:
            self.counters.step_errors += len(entries)
            for place, entry in enumerate(entries):
                if not entry.is_current:
                    continue
                if len(entries) == 1 or _names_step(error, place):
                    self._on_failed_step(entry.record, error)
                else:
                    self._on_refused_step(entry.record, error)
            return
        drafts = result.get("drafts")
        if not isinstance(drafts, list) or len(drafts) != len(entries):
            raise MalformedAnswer("the answer has not one draft for each step")
        for entry, draft in zip(entries, drafts, strict=True):
            if not isinstance(draft, dict):
                raise MalformedAnswer("a draft is no object")
            if (failure := draft.get("error")) is not None:
                self.counters.step_errors += 1
                if entry.is_current:
                    self._on_failed_step(entry.record, ServiceError.from_wire(failure))
                continue
            if entry.is_current:
                entry.record.acked = entry.total
                entry.record.failures = 0
            if call.is_late:
                self.counters.late_answers += 1
            else:
                self._take(call, entry.place, draft)

    def _take(self, call: DraftCall, place: int, draft: Any) -> None:
        call.drafts[place] = taken = Draft.from_wire(draft)
        self.counters.drafts += 1
        self.counters.empty_drafts += not taken.tokens

    def _on_refused_step(self, record: SessionRecord, error: RepriseError) -> None:
        """Nothing of a line was carried out: its tokens are to be sent again."""
        record.sent = record.acked
        self._wait(record, error)
        if record.failures > CLOSE_ATTEMPTS_MAX and record.closing:
            self._give_up(record, error)

    def _on_failed_step(self, record: SessionRecord, error: RepriseError) -> None:
        if isinstance(error, SessionNotFound):
            self._go_on_after_lease(record)
        elif isinstance(error, InvalidParams):
            self._reject(record, error)
        else:
            self._on_refused_step(record, error)

    def _reject(self, record: SessionRecord, error: RepriseError) -> None:
        """The service will never take what was accepted, such as a token beyond the corpus's
        vocabulary. The session leaves the history, and is not opened again."""
        record.error = self.last_refusal = error
        record.refused = True
        record.is_recorded = False
        self.counters.refused_sessions += 1
        self.counters.dropped_tokens += len(record.output)
        if record.state is State.OPEN:
            self._leave_stale(record)
        self._changed(record)

    def _go_on_after_lease(self, record: SessionRecord) -> None:
        """The service has recorded what it had, which becomes prompt."""
        if record.sequence_id is None and record.share != "never":
            record.prompt.extend(record.output[: record.acked])
            del record.output[: record.acked]
        record.sent_before = 0
        record.sent = 0
        self._renew(record)

    def _wait(self, record: SessionRecord, error: RepriseError) -> None:
        record.failures += 1
        record.error = error
        seconds = RETRY_SECONDS
        if isinstance(error, Busy):
            after = error.data.get("retry_after_ms")
            if isinstance(after, (int, float)):
                seconds = min(max(after / 1000, 0.001), 60.0)
        record.not_before = self._now + seconds

    def outgoing(self, now: float) -> bytes:
        """The next lines of it; ask again when these are sent, or something was received."""
        self._now = now
        if self._phase is not Phase.READY:
            return b""
        lines = [
            self._create(corpus)
            for corpus in self._corpora.values()
            if corpus.state is CorpusRecord.State.WANTED
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

    def _advance(self, record: SessionRecord) -> bytes:
        if record.state is State.OPEN:
            return self._advance_open(record)
        if record.state is not State.UNOPENED:
            return b""
        if record.stale:
            return self._discard(record)
        if self._is_awaited(record.corpus):
            return b""
        if record.closing:
            return self._insert(record)
        if record.refused:
            del self._busy[record]
            return b""
        return self._open(record)

    def _advance_open(self, record: SessionRecord) -> bytes:
        if record.in_flight:
            return b""
        if record.closing and (record.is_inserted or not record.is_kept):
            # It leaves the history, where an insert has what is to be kept.
            self._leave_stale(record)
            return self._discard(record)
        if len(record.output) > record.sent:
            total = min(len(record.output), record.sent + self.catch_up_tokens_max)
            return self._catch_up(record, total)
        if record.closing and record.sequence_id is not None:
            return self._insert(record)
        if record.closing:
            record.state = State.CLOSING
            return self._request(
                "session.close",
                {"session": record.wire_name},
                lambda result, error: self._on_closed(record, result, error),
            )
        del self._busy[record]
        return b""

    def _catch_up(self, record: SessionRecord, total: int) -> bytes:
        entry = self._entry(0, record, total, NO_DRAFT)

        def on_answer(result: Any, error: RepriseError | None) -> None:
            # The draft is empty, and no caller has asked for it.
            drafts, empty = self.counters.drafts, self.counters.empty_drafts
            self._on_step(DraftCall(1), [entry], result, error)
            self.counters.drafts, self.counters.empty_drafts = drafts, empty

        return self._request("session.step", {"steps": [entry.params]}, on_answer)

    def _open(self, record: SessionRecord) -> bytes:
        is_long = len(record.prompt) > self.catch_up_tokens_max
        if is_long and self._long_opens > 0:
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
        if record.parent is not None and record.generation == 0:
            params["parent"] = self._parents.get(record.parent, record.parent)
        record.state = State.OPENING
        record.is_on_service = True
        self._long_opens += is_long

        def on_answer(result: Any, error: RepriseError | None) -> None:
            self._long_opens -= is_long
            self._on_opened(record, error)

        return self._request("session.open", params, on_answer)

    def _on_opened(self, record: SessionRecord, error: RepriseError | None) -> None:
        if error is None:
            record.state = State.OPEN
            record.failures = 0
            if record.generation == 0:
                self.counters.opened_sessions += 1
            else:
                self.counters.reopened_sessions += 1
        elif isinstance(error, Conflict):
            # Somebody else has the name.
            self._renew(record)
        elif isinstance(error, Busy):
            record.state = State.UNOPENED
            record.is_on_service = False
            self._wait(record, error)
        else:
            record.state = State.UNOPENED
            record.is_on_service = False
            record.refused = True
            record.error = error
            self.last_refusal = error
            self.counters.refused_sessions += 1
        self._changed(record)

    def _discard(self, record: SessionRecord) -> bytes:
        record.state = State.DISCARDING
        stale = record.stale[-1]
        return self._request(
            "session.close",
            {"session": stale.name, "record": False},
            lambda result, error: self._on_discarded(record, stale, error),
        )

    def _on_discarded(
        self, record: SessionRecord, stale: Stale, error: RepriseError | None
    ) -> None:
        record.state = State.UNOPENED
        if isinstance(error, Busy):
            self._wait(record, error)
            return
        record.stale.remove(stale)
        if (
            isinstance(error, SessionNotFound)
            and stale.was_open
            and self._is_same_service(stale.connected_at)
        ):
            if stale.close_was_sent:
                self._finish(record, SessionClosed(len(record.output), None))
            else:
                self._go_on_after_lease(record)

    def _on_closed(self, record: SessionRecord, result: Any, error: RepriseError | None) -> None:
        if error is None:
            self._finish(record, SessionClosed.from_wire(result))
        elif isinstance(error, SessionNotFound):
            # Its lease ended just before, which recorded the same.
            self._finish(record, SessionClosed(len(record.output), None))
        else:
            # Nothing was recorded, and it is still open.
            record.state = State.OPEN
            self._wait(record, error)
            if record.failures >= CLOSE_ATTEMPTS_MAX:
                self._give_up(record, error)

    def _insert(self, record: SessionRecord) -> bytes:
        """Makes the output history under its id. A session that is open stays so meanwhile: what it
        shares is in drafts until the insert is, without a gap."""
        if record.is_inserted or not record.is_kept:
            self._finish(record, record.result or SessionClosed(0, None))
            return b""
        if record.sequence_id is None:
            # An id makes it repeatable.
            record.sequence_id = f"reprise-client-{uuid.uuid4().hex}"
        record.state = State.INSERTING
        return self._request(
            "sequence.insert",
            {
                "corpus": record.corpus,
                "sequences": [{"id": record.sequence_id, "tokens": jsonable(record.output)}],
            },
            lambda result, error: self._on_inserted(record, result, error),
        )

    def _on_inserted(self, record: SessionRecord, result: Any, error: RepriseError | None) -> None:
        if error is None:
            order = result.get("last_order")
            record.is_inserted = True
            record.result = SessionClosed(len(record.output), order)
            record.state = State.OPEN if record.is_on_service else State.UNOPENED
            return
        record.state = State.OPEN if record.is_on_service else State.UNOPENED
        self._wait(record, error)
        is_final = (
            isinstance(error, (Conflict, InvalidParams)) or record.failures >= CLOSE_ATTEMPTS_MAX
        )
        if is_final:
            self._give_up(record, error)


def _names_step(error: RepriseError, place: int) -> bool:
    """Whether the service says that this step of a line is the wrong one."""
    return str(error.data.get("member", "")).startswith(f"params.steps[{place}]")
