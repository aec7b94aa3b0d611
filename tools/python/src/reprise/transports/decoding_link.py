"""The connection of the decoding path of the blocking client."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..core.draft_call import DraftCall
from ..core.drafts import Draft
from ..core.errors import MalformedAnswer
from ..core.options import (
    NO_BOUNDS,
    BatchBounds,
    DecodingLimits,
    DraftOptions,
    NewSession,
    Step,
)
from ..core.results import SessionClosed
from ..core.session_record import SessionRecord
from .address import Endpoint
from .link_base import CONNECT_SECONDS, IDLE_LOOK_SECONDS, LinkBase
from .sockets import READ_BYTES, wait_readable

if TYPE_CHECKING:
    from ..core.tokens import TokenIDs


class DecodingLink(LinkBase):
    """The connection of the decoding path, and the thread that makes it again.

    `_lock` guards the core and the socket, and is never held during a wait. A thread that waits for
    answers holds `_reading`, so that no answer arrives between its look at what is there and its
    wait for more.
    """

    def __init__(
        self, endpoint: Endpoint, limits: DecodingLimits | None, engine: str | None = None
    ) -> None:
        super().__init__(endpoint, limits, engine)
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._socket: socket.socket | None = None
        self._unsent = bytearray()
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        #: Set when the first attempt to connect has ended.
        self._attempted = threading.Event()

    # Calls.

    def ensure_corpus(self, params: dict[str, Any]) -> None:
        with self._lock:
            self.core.ensure_corpus(params)
            self._start()
            self._pump()
            self._wake.set()

    def open(self, sessions: list[NewSession], wait: float) -> list[SessionRecord]:
        until = time.monotonic() + wait
        with self._lock:
            records = self.core.add_sessions(sessions)
            self._start()
            self._pump()
        self._attempted.wait(max(wait, 0.0))

        def is_over() -> bool:
            return self._socket is None or all(record.is_settled for record in records)

        self._wait(until, is_over)
        return records

    def step(self, steps: list[Step], wait: float, bounds: BatchBounds = NO_BOUNDS) -> list[Draft]:
        until = time.monotonic() + wait
        with self._lock:
            if self.core.awaits_answers:
                self._receive()
            call = self.core.begin_step(steps, self._can_send(), bounds)
            self._send(call.lines)
            if self.core.has_work or self._socket is None:
                self._wake.set()
        self._await(call, until)
        return call.drafts

    def speculate(
        self,
        corpus: str,
        contexts: Sequence[TokenIDs],
        options: DraftOptions,
        wait: float,
    ) -> list[Draft]:
        until = time.monotonic() + wait
        with self._lock:
            self._start()
        self._attempted.wait(max(wait, 0.0))
        self._wait(until, lambda: self.core.is_ready or self._socket is None)
        with self._lock:
            if self.core.awaits_answers:
                self._receive()
            call = self.core.begin_speculate(corpus, contexts, options, self._can_send())
            self._send(call.lines)
            if self._socket is None:
                self._wake.set()
        self._await(call, until, is_speculation=True)
        return call.drafts

    def close_session(
        self, session: str, accept: TokenIDs, is_recorded: bool, wait: float
    ) -> SessionClosed | None:
        until = time.monotonic() + wait
        with self._lock:
            record = self.core.close_session(session, accept, record=is_recorded)
            if record is None:
                return None
            self._start()
            self._pump()
            self._wake.set()
        if wait > 0:
            while not record.is_done and time.monotonic() < until:
                self._wait(until, lambda: record.is_done or self._socket is None)
                if not record.is_done:
                    time.sleep(min(IDLE_LOOK_SECONDS, max(until - time.monotonic(), 0.0)))
        return record.result

    def make_private(self, session: str, wait: float) -> None:
        until = time.monotonic() + wait
        with self._lock:
            record = self.core.make_private(session)
            self._pump()
            self._wake.set()
        if record is not None:
            self._wait(until, lambda: record.is_settled or self._socket is None)

    def truncate_session(self, session: str, tokens: int) -> None:
        with self._lock:
            if self.core.truncate_session(session, tokens) is not None:
                self._pump()
                self._wake.set()

    def flush(self, timeout: float) -> bool:
        until = time.monotonic() + timeout
        while True:
            with self._lock:
                if self.core.is_flushed:
                    return True
                self._start()
                self._wake.set()
            if time.monotonic() >= until:
                return False
            self._wait(until, lambda: not self.core.awaits_answers)
            time.sleep(0.001)

    def close(self, timeout: float) -> bool:
        with self._lock:
            self.core.close_sessions()
            self._pump()
        flushed = self.flush(timeout) if self._thread is not None else not self.core.records
        with self._lock:
            self._closed = True
            self._disconnect()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(CONNECT_SECONDS + 1)
        return flushed

    def abandon(self) -> None:
        """Lets go of a connection that another process goes on with."""
        if self._socket is not None:
            os.close(self._socket.detach())
            self._socket = None
        self._closed = True

    # Waiting.

    def _await(self, call: DraftCall, until: float, *, is_speculation: bool = False) -> None:
        if call.awaited == 0:
            return
        self._wait(until, lambda: call.awaited == 0)
        if call.awaited > 0:
            with self._lock:
                self.core.give_up_waiting(call, is_speculation=is_speculation)

    def _wait(self, until: float, is_over: Callable[[], bool]) -> None:
        """Reads answers until it is over, or the deadline has passed, or the connection is lost."""
        while not is_over():
            seconds = until - time.monotonic()
            if seconds <= 0 or not self._reading.acquire(timeout=seconds):
                return
            try:
                if is_over():
                    return
                connection = self._socket
                if connection is None:
                    return
                has_pending = isinstance(connection, ssl.SSLSocket) and connection.pending() > 0
                with contextlib.suppress(ValueError, OSError):
                    # Another thread that finds the socket broken may close it meanwhile.
                    if not has_pending and not wait_readable(
                        connection.fileno(), until - time.monotonic()
                    ):
                        return
                with self._lock:
                    self._receive()
                    self._pump()
            finally:
                self._reading.release()

    # The socket. The lock is held.

    def _can_send(self) -> bool:
        if self._unsent:
            self._send(b"")
        return self._socket is not None and not self._unsent

    def _send(self, data: bytes) -> None:
        """Sends as much as the socket takes at once. The rest follows before anything else."""
        connection = self._socket
        if connection is None:
            return
        if self._unsent:
            self._unsent += data
            data = bytes(self._unsent)
            self._unsent.clear()
        try:
            while data:
                sent = connection.send(data)
                data = data[sent:]
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            self._unsent += data
        except OSError as error:
            self._lose(error)

    def _receive(self) -> None:
        """Takes the bytes that have arrived."""
        connection = self._socket
        if connection is None:
            return
        try:
            while True:
                data = connection.recv(READ_BYTES)
                if not data:
                    raise ConnectionResetError("the service closed the connection")
                self.core.receive(data, time.monotonic())
                if len(data) < READ_BYTES and not isinstance(connection, ssl.SSLSocket):
                    return
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except (OSError, MalformedAnswer) as error:
            self._lose(error)

    def _pump(self) -> None:
        """Sends postponed lines, until none is left or the connection takes no more."""
        while self._socket is not None and self._can_send():
            lines = self.core.outgoing(time.monotonic())
            if not lines:
                return
            self._send(lines)

    def _lose(self, error: Exception) -> None:
        self.last_error = error
        self._disconnect()
        self._wake.set()

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._unsent.clear()
        self.core.disconnected()

    # The thread.

    def _start(self) -> None:
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(
                target=self._keep_connected, name="reprise-client", daemon=True
            )
            self._thread.start()

    def _keep_connected(self) -> None:
        while not self._closed:
            if self._socket is None:
                if not self._reconnect():
                    self._attempted.set()
                    self._wake.wait(0)
                    self._sleep(self._backoff.next())
                    continue
                self._attempted.set()
            with self._lock:
                self._pump()
                if self.core.is_ready:
                    self._backoff.reset()
                if (refusal := self._refusal()) is not None:
                    self._lose(refusal)
                connection, has_work = self._socket, self.core.has_work
            if refusal is not None:
                self._sleep(self._backoff.next())
            elif connection is not None and not has_work:
                self._wake.wait()
                self._wake.clear()
            elif connection is not None:
                self._look(connection)

    def _sleep(self, seconds: float) -> None:
        """Waits, unless the client is closed. Steps do not cut it short."""
        until = time.monotonic() + seconds
        while not self._closed and (rest := until - time.monotonic()) > 0:
            time.sleep(min(rest, 0.05))

    def _look(self, connection: socket.socket) -> None:
        """Waits for answers to postponed lines, without being in the way of steps."""
        with contextlib.suppress(ValueError, OSError):
            wait_readable(connection.fileno(), IDLE_LOOK_SECONDS)
        if self._reading.acquire(blocking=False):
            try:
                with self._lock:
                    self._receive()
            finally:
                self._reading.release()

    def _reconnect(self) -> bool:
        try:
            connection = self._endpoint.connect(CONNECT_SECONDS)
            connection.setblocking(False)
        except (OSError, ValueError) as error:
            self._connect_failed(error)
            return False
        with self._lock:
            if self._closed:
                connection.close()
                return False
            self._socket = connection
            self._send(self.core.connected(time.monotonic()))
        return True
