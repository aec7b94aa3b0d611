"""The decoding path's connection without any I/O: requests under way, and their answers."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ._constants import Method
from .counters import Counters
from .draft_call import DraftCall
from .errors import MalformedAnswer, RepriseError
from .wire import (
    EVENT_LOOP_LINE_BYTES,
    STEP_BYTES_MAX,
    TOKEN_BYTES_MAX,
    LineReader,
    request_line,
)

#: A service's age is told in whole milliseconds.
AGE_SLACK_SECONDS = 0.002
#: Answers that may be awaited at once.
PENDING_MAX = 1024

Handler: TypeAlias = "Callable[[Any, RepriseError | None], None]"


class Phase(enum.Enum):
    DOWN = enum.auto()
    GREETING = enum.auto()
    """The token is presented, and the service asked for its age."""
    READY = enum.auto()
    REFUSED = enum.auto()


class Exchange:
    """The connections to a service, one after the other. The service may be another process each
    time."""

    def __init__(self, token: str | None) -> None:
        self.counters = Counters()
        #: The reason for which the service cannot be used, where it said one.
        self.refusal: RepriseError | None = None
        self._token = token
        self._phase = Phase.DOWN
        self._line_bytes = EVENT_LOOP_LINE_BYTES
        self._reader = LineReader()
        self._last_id = 0
        self._pending: dict[int, Handler] = {}
        #: The call that each line of steps or contexts belongs to, and the drafts it asks for.
        self._calls: dict[int, tuple[DraftCall, int]] = {}
        self._connected_at = 0.0
        self._service_started = 0.0
        self._now = 0.0

    @property
    def is_ready(self) -> bool:
        return self._phase is Phase.READY

    @property
    def is_refused(self) -> bool:
        """True if the service refused the access token; the connection cannot be used."""
        return self._phase is Phase.REFUSED

    @property
    def awaits_answers(self) -> bool:
        return bool(self._pending)

    @property
    def catch_up_tokens_max(self) -> int:
        """Accepted tokens in one line that catches up; the service reads such a line at once."""
        return max((self._line_bytes - STEP_BYTES_MAX) // TOKEN_BYTES_MAX, 1)

    def connected(self, now: float) -> bytes:
        """Begins on a new connection. Returns the first lines."""
        self._connected_at = self._now = now
        self._phase = Phase.GREETING
        self._reader = LineReader()
        self.counters.connects += 1
        if self.counters.connects > 1:
            self.counters.reconnects += 1
        lines = b""
        if self._token is not None:
            lines += self._request(
                Method.SERVER_AUTHENTICATE, {"token": self._token}, self._on_authenticated
            )
        return lines + self._request(Method.SERVER_INFO, {}, self._on_info)

    def _on_authenticated(self, result: Any, error: RepriseError | None) -> None:
        if error is not None:
            self.refusal = error
            self._phase = Phase.REFUSED

    def _on_info(self, result: Any, error: RepriseError | None) -> None:
        uptime = result.get("uptime_s") if error is None else None
        if not isinstance(uptime, (int, float)):
            raise MalformedAnswer("the service does not tell its age")
        # The answer was made a little before, so this is never before the true start.
        self._service_started = self._now - uptime
        line_bytes = result.get("event_loop_line_bytes")
        known = isinstance(line_bytes, int) and line_bytes > 0
        self._line_bytes = line_bytes if known else EVENT_LOOP_LINE_BYTES
        if self._phase is Phase.GREETING:
            self._phase = Phase.READY
            self.refusal = None

    def _is_same_service(self, connected_at: float) -> bool:
        """True if the process of an earlier connection still runs. Only one process has a store
        open, so another one has started after the end of that connection."""
        return self._service_started <= connected_at + AGE_SLACK_SECONDS

    def _request(self, method: str, params: Mapping[str, Any], handler: Handler) -> bytes:
        self._last_id += 1
        self._pending[self._last_id] = handler
        return request_line(self._last_id, method, params)

    def receive(self, data: bytes, now: float) -> None:
        """Takes bytes that arrived.

        Raises:
            MalformedAnswer: An answer could not be read; the connection can no longer be used.
        """
        self._now = now
        try:
            for identifier, result, error in self._reader.feed(data):
                handler = None if identifier is None else self._pending.pop(identifier, None)
                if identifier is None or handler is None:
                    self.counters.unknown_answers += 1
                    continue
                handler(result, error)
                if identifier in self._calls:
                    call, drafts = self._calls.pop(identifier)
                    call.answered(drafts)
        except MalformedAnswer:
            self.counters.malformed_answers += 1
            raise
