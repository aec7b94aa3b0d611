"""The decoding path without any I/O: the sessions of a client, and the lines under way.

Both clients drive one `DecodingCore`. They hand it what arrives (`connected`, `receive`,
`disconnected`), send what it gives them (`begin_step`, `outgoing`), and wait as they like; nothing
here waits. No error of a service is raised here, except `MalformedAnswer`.

**Nothing accepted is lost, and nothing is applied twice.** The record of a session holds its prompt
and its whole output until the service says that the output is history.

- *A step times out.* Its tokens are under way in a line that was sent, and are not sent again: the
  service begins requests in the order in which they came. Until its answer comes, further tokens
  of that session wait in the record, so that the applied tokens are always known (`acked`).
- *The connection is lost.* The part of the sent lines that arrived is not known. So the session is
  closed with `record` false, which takes all of it out of the history again, and is opened anew
  under another name (a line of the old connection that is still being read cannot reach it), with
  the same prompt; then it accepts its whole output.
- *A close was sent, its answer is lost.* The close with `record` false says: it finds the session,
  so nothing was recorded, or it does not, so all was.
- *A lease ends.* The service records what it has. The session goes on in a new one whose prompt
  holds what was recorded, so that this stays in the history once. If the lease ends while there is
  no connection, the service may have recorded tokens of a step whose answer was lost; these are
  then in the history twice.
- *The service was started anew* (told from its age). The old process recorded all of its open
  sessions after SIGTERM, and nothing after `kill -9`; which of the two is not known. The client
  then rather has the beginning of an output in the history twice than not at all. Where that
  matters, use share "never" with a `sequence_id`: then the output is written under an id, which
  makes it repeatable, and is in the history exactly once, whatever happens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._constants import Method
from .draft_call import DraftCall, Entry
from .errors import Busy, MalformedAnswer, RepriseError
from .exchange import PENDING_MAX
from .names import corpus_checked
from .options import (
    DEFAULT_OPTIONS,
    NO_BOUNDS,
    BatchBounds,
    DecodingLimits,
    DraftOptions,
    Step,
)
from .recovery import SessionRecovery
from .reports import Reporter
from .session_states import State
from .tokens import jsonable, token_array
from .wire import STEP_BYTES_MAX, encode

if TYPE_CHECKING:
    from .tokens import TokenIDs


class DecodingCore(SessionRecovery):
    """The decoding path of one client. It is not thread-safe.

    `now` is always `time.monotonic()`. It is an argument, so that tests can choose it.
    """

    def __init__(
        self,
        token: str | None = None,
        limits: DecodingLimits | None = None,
        engine: str | None = None,
    ) -> None:
        super().__init__(token, limits)
        self._reporter = Reporter(self.counters, engine)
        self._late_speculations = 0

    def connected(self, now: float) -> bytes:
        self._reporter.is_taken = True
        return super().connected(now)

    def disconnected(self) -> None:
        self._late_speculations = 0
        super().disconnected()

    def begin_step(
        self, steps: Sequence[Step], can_send: bool = True, bounds: BatchBounds = NO_BOUNDS
    ) -> DraftCall:
        """Takes the accepted tokens, and asks for drafts where that can be done now.

        Args:
            steps: One for each session.
            can_send: True if a line can be sent now. Otherwise the tokens wait.
            bounds: The bounds of all drafts together.

        Raises:
            ValueError, TypeError: Something is no list of token ids; nothing was accepted then.
        """
        accepted = [token_array(step.accept) for step in steps]
        call = DraftCall(len(steps))
        counters = self.counters
        counters.steps += len(steps)
        can_send = can_send and self.is_ready and len(self._pending) < PENDING_MAX
        tokens_max = self.catch_up_tokens_max
        entries: list[Entry] = []
        for place, (step, tokens) in enumerate(zip(steps, accepted, strict=True)):
            record = self.records.get(step.session)
            if record is None or record.closing:
                counters.empty_because_down += 1
                counters.dropped_tokens += len(tokens)
                continue
            if not self._accept(record, tokens):
                counters.empty_because_down += 1
                continue
            unsent = len(record.output) - record.sent
            if record.state is State.OPEN and can_send and unsent <= tokens_max:
                # Mostly these are the tokens of this step.
                if unsent != len(tokens):
                    tokens = record.output[record.sent :]
                options = step.options or DEFAULT_OPTIONS
                entries.append(self._entry(place, record, tokens, options))
            elif record.is_refused:
                counters.empty_because_refused += 1
            elif record.state is State.STEPPING:
                counters.empty_because_late += 1
            else:
                counters.empty_because_down += 1
                self._busy[record] = None
        call.lines = self._step_lines(call, entries, bounds)
        if can_send and (report := self._reporter.due(self._now)) is not None:
            call.lines += self._request(Method.CLIENT_REPORT, report, self._on_reported)
        return call

    def _on_reported(self, result: Any, error: RepriseError | None) -> None:
        self._reporter.is_taken = error is None or isinstance(error, Busy)

    def _step_lines(self, call: DraftCall, entries: list[Entry], bounds: BatchBounds) -> bytes:
        """Lines of steps, in order, each read by the service at once."""
        if not entries:
            return b""
        envelope = bounds.params(0, len(entries), len(entries))
        line = self._step_line(call, entries, envelope)
        if len(line) <= self._line_bytes or len(entries) == 1:
            return line
        self._take_line_back(call, entries)
        lines: list[bytes] = []
        empty = STEP_BYTES_MAX + len(encode(envelope))
        begin, size = 0, empty

        def add_line(end: int) -> None:
            share = bounds.params(begin, end, len(entries))
            lines.append(self._step_line(call, entries[begin:end], share))

        for place, entry in enumerate(entries):
            added = len(encode(entry.params)) + 1
            if place > begin and size + added > self._line_bytes:
                add_line(place)
                begin, size = place, empty
            size += added
        add_line(len(entries))
        return b"".join(lines)

    def _step_line(
        self, call: DraftCall, entries: list[Entry], envelope: Mapping[str, Any]
    ) -> bytes:
        def on_answer(result: Any, error: RepriseError | None) -> None:
            self._on_step(call, entries, result, error)

        params = {"steps": [entry.params for entry in entries], **envelope}
        line = self._request(Method.SESSION_STEP, params, on_answer)
        self._calls[self._last_id] = call, len(entries)
        call.sent(len(entries))
        return line

    def _take_line_back(self, call: DraftCall, entries: list[Entry]) -> None:
        """Forgets the last line, which is too long and is not sent."""
        del self._pending[self._last_id], self._calls[self._last_id]
        call.awaited -= 1
        call.missing -= len(entries)

    def begin_speculate(
        self,
        corpus: str,
        contexts: Sequence[TokenIDs],
        options: DraftOptions,
        can_send: bool = True,
    ) -> DraftCall:
        """Asks for drafts from the shared history alone."""
        params = {
            "corpus": corpus_checked(corpus),
            "contexts": [jsonable(token_array(context)) for context in contexts],
            **options.params,
        }
        call = DraftCall(len(contexts))
        self.counters.steps += len(contexts)
        if not can_send or not self.is_ready or len(self._pending) >= PENDING_MAX:
            self.counters.empty_because_down += len(contexts)
            return call
        if self._late_speculations > 0:
            self.counters.empty_because_late += len(contexts)
            return call

        def on_answer(result: Any, error: RepriseError | None) -> None:
            self._on_speculated(call, result, error)

        call.lines = self._request(Method.SPECULATE, params, on_answer)
        call.sent(len(contexts))
        self._calls[self._last_id] = call, len(contexts)
        return call

    def _on_speculated(self, call: DraftCall, result: Any, error: RepriseError | None) -> None:
        if call.is_late:
            self._late_speculations -= 1
            self.counters.late_answers += len(call.drafts)
            return
        if error is not None:
            self.counters.step_errors += len(call.drafts)
            return
        drafts = result.get("drafts")
        if not isinstance(drafts, list) or len(drafts) != len(call.drafts):
            raise MalformedAnswer("the answer has not one draft for each context")
        for place, draft in enumerate(drafts):
            if isinstance(draft, dict) and draft.get("error") is not None:
                self.counters.step_errors += 1
            else:
                self._take(call, place, draft)

    def give_up_waiting(self, call: DraftCall, *, is_speculation: bool = False) -> None:
        """The deadline passed. Answers that come later are known by their ids and thrown away."""
        if call.awaited > 0 and not call.is_late:
            call.is_late = True
            self.counters.timeouts += call.missing
            if is_speculation:
                self._late_speculations += 1
