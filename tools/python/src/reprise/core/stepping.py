"""Steps without any I/O: a session's part of a line, and what the answer means for the session."""

from __future__ import annotations

from array import array
from typing import Any

from .draft_call import DraftCall, Entry
from .drafts import Draft
from .errors import InvalidParams, MalformedAnswer, RepriseError, ServiceError, SessionNotFound
from .options import DraftOptions
from .session_record import SessionRecord
from .session_states import Event
from .sessions import SessionKeeper
from .tokens import jsonable

#: Attempts to have a closed session recorded, where the service answers with an error.
CLOSE_ATTEMPTS_MAX = 8


class SessionStepper(SessionKeeper):
    """Steps of the sessions that are open."""

    def _entry(
        self, place: int, record: SessionRecord, accept: array[int], options: DraftOptions
    ) -> Entry:
        """A session's part of a line.

        Args:
            accept: The tokens of its output that follow those that were sent.
        """
        total = record.sent + len(accept)
        if record.sent_before > record.sent:
            self.counters.resent_tokens += min(total, record.sent_before) - record.sent
        record.apply(Event.STEP_SENT)
        record.sent = total
        params = {"session": record.wire_name, "accept": jsonable(accept), **options.params}
        return Entry(place, record, record.generation, params)

    def _on_step(
        self, call: DraftCall, entries: list[Entry], result: Any, error: RepriseError | None
    ) -> None:
        """Takes the answer to a line.

        Raises:
            MalformedAnswer: It has not one draft for each entry.
        """
        if error is not None:
            self._on_failed_line(entries, error)
            return
        drafts = result.get("drafts")
        if not isinstance(drafts, list) or len(drafts) != len(entries):
            raise MalformedAnswer("the answer has not one draft for each step")
        for entry, draft in zip(entries, drafts, strict=True):
            if not isinstance(draft, dict):
                raise MalformedAnswer("a draft is not an object")
            record = entry.record
            is_current = record.generation == entry.generation
            if (failure := draft.get("error")) is not None:
                self.counters.step_errors += 1
                if is_current:
                    self._on_failed_step(record, ServiceError.from_wire(failure))
                continue
            if is_current:
                record.apply(Event.STEPPED)
                record.failures = 0
            if call.is_late:
                self.counters.late_answers += 1
            else:
                self._take(call, entry.place, draft)

    def _take(self, call: DraftCall, place: int, draft: Any) -> None:
        call.drafts[place] = taken = Draft.from_wire(draft)
        counters = self.counters
        counters.drafts += 1
        if not taken.tokens:
            counters.empty_drafts += 1

    def _on_failed_line(self, entries: list[Entry], error: RepriseError) -> None:
        """Nothing of a line was carried out."""
        self.counters.step_errors += len(entries)
        for place, entry in enumerate(entries):
            if entry.record.generation != entry.generation:
                continue
            if len(entries) == 1 or _names_step(error, place):
                self._on_failed_step(entry.record, error)
            else:
                self._on_postponed_step(entry.record, error)

    def _on_failed_step(self, record: SessionRecord, error: RepriseError) -> None:
        if isinstance(error, SessionNotFound):
            self._happened(record, Event.LEASE_ENDED)
        elif isinstance(error, InvalidParams):
            self._reject(record, error)
        else:
            self._on_postponed_step(record, error)

    def _on_postponed_step(self, record: SessionRecord, error: RepriseError) -> None:
        """Its tokens are sent again with the next line."""
        record.apply(Event.STEP_FAILED)
        self._wait(record, error)
        if record.failures > CLOSE_ATTEMPTS_MAX and record.closing:
            self._give_up(record, error)

    def _reject(self, record: SessionRecord, error: RepriseError) -> None:
        """The service will never take the accepted tokens, such as one beyond the corpus's
        vocabulary. The session leaves the history, and is not opened again."""
        record.error = self.last_refusal = error
        record.may_record = False
        self.counters.refused_sessions += 1
        self.counters.dropped_tokens += len(record.output)
        self._happened(record, Event.TOKENS_REJECTED)


def _names_step(error: RepriseError, place: int) -> bool:
    """True if the service says that this step of a line is the wrong one."""
    return str(error.data.get("member", "")).startswith(f"params.steps[{place}]")
