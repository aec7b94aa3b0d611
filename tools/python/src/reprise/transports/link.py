"""The connections of the blocking client."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..core.decoding import DecodingCore
from ..core.errors import (
    Closed,
    DeadlineExceeded,
    Disconnected,
    MalformedAnswer,
    RepriseError,
    Unavailable,
)
from ..core.options import DecodingLimits, DraftOptions, Step
from ..core.records import DraftCall, SessionRecord
from ..core.results import (
    Draft,
    SessionClosed,
)
from ..core.wire import LineReader, request_line
from .address import Endpoint
from .backoff import Backoff

if TYPE_CHECKING:
    from ..core.tokens import TokenIDs

#: Bytes that are read at once.
READ_BYTES = 1 << 18
#: Seconds that one attempt of the background thread to connect may take.
CONNECT_SECONDS = 2.0
#: Seconds between looks at what is deferred, where nothing arrives.
IDLE_LOOK_SECONDS = 0.02
#: `select` takes no descriptors beyond this, and `poll` no fractions of a millisecond.
SELECT_DESCRIPTORS = 1024


def wait_readable(descriptor: int, seconds: float) -> bool:
    """Whether something can be read within so many seconds, to some tens of microseconds."""
    if descriptor < SELECT_DESCRIPTORS:
        return bool(select.select([descriptor], [], [], max(seconds, 0.0))[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    # Python rounds up, and an early end is nearer to the deadline than a late one.
    return bool(poll.poll(int(max(seconds, 0.0) * 1000)))


class CallLink:
    """The connection of ordinary calls, one at a time."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._reader = LineReader()
        self._last_id = 0
        self._closed = False

    def call(self, method: str, params: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        until = time.monotonic() + timeout
        if not self._lock.acquire(timeout=max(timeout, 0.0)):
            raise DeadlineExceeded(f"{method}: other calls took all of the {timeout} s")
        try:
            if self._closed:
                raise Closed("the client was closed")
            is_fresh = self._socket is None
            connection = self._connect(until)
            if not is_fresh and self._has_ended(connection):
                # It was closed while it was idle, so nothing of this call can be lost with it.
                self._end()
                connection = self._connect(until)
            return self._exchange(connection, method, params, until)
        finally:
            self._lock.release()

    def _has_ended(self, connection: socket.socket) -> bool:
        """Between calls nothing is awaited, so whatever can be read is an end, or as good."""
        return wait_readable(connection.fileno(), 0.0)

    def _connect(self, until: float) -> socket.socket:
        if self._socket is not None:
            return self._socket
        try:
            connection = self._endpoint.connect(max(until - time.monotonic(), 0.001))
        except OSError as error:
            raise Unavailable(
                f"there is no service at {self._endpoint.address}: {error}"
            ) from error
        self._socket = connection
        self._reader = LineReader()
        if self._endpoint.token is not None:
            params = {"token": self._endpoint.token}
            try:
                self._exchange(connection, "server.authenticate", params, until)
            except RepriseError:
                self._end()
                raise
        return connection

    def _exchange(
        self, connection: socket.socket, method: str, params: Mapping[str, Any], until: float
    ) -> dict[str, Any]:
        self._last_id += 1
        line = request_line(self._last_id, method, params)
        try:
            connection.settimeout(max(until - time.monotonic(), 0.001))
            connection.sendall(line)
            while True:
                connection.settimeout(max(until - time.monotonic(), 0.001))
                data = connection.recv(READ_BYTES)
                if not data:
                    raise ConnectionResetError("the service closed the connection")
                for identifier, result, error in self._reader.feed(data):
                    if identifier != self._last_id and not (identifier is None and error):
                        raise MalformedAnswer(f"the answer is to {identifier}, not to this call")
                    if error is not None:
                        raise error
                    return dict(result)
        except TimeoutError as error:
            # Its answer may still come, and must not be taken for that of a later call.
            self._end()
            raise DeadlineExceeded(f"{method}: no answer in time") from error
        except OSError as error:
            self._end()
            raise Disconnected(f"{method}: the connection was lost: {error}") from error
        except MalformedAnswer:
            self._end()
            raise

    def _end(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._end()

    def abandon(self) -> None:
        """Lets go of a connection that another process goes on with."""
        if self._socket is not None:
            os.close(self._socket.detach())
            self._socket = None


class DecodingLink:
    """The connection of the decoding path, and the thread that makes it again.

    `_lock` guards the core and the socket, and is never held while anything is waited for. Whoever
    waits for answers holds `_reading`, so that no answer arrives between a look at what is there
    and the wait for more.
    """

    def __init__(
        self, endpoint: Endpoint, limits: DecodingLimits | None, engine: str | None = None
    ) -> None:
        self._endpoint = endpoint
        self.core = DecodingCore(endpoint.token, limits, engine)
        self.last_error: Exception | None = None
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._socket: socket.socket | None = None
        self._unsent = bytearray()
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        #: Set when the first attempt to connect has ended.
        self._attempted = threading.Event()
        self._closed = False

    # Calls.

    def ensure_corpus(self, params: dict[str, Any]) -> None:
        with self._lock:
            self.core.ensure_corpus(params)
            self._start()
            self._pump()
            self._wake.set()

    def open(self, corpus: str, prompt: TokenIDs, wait: float, **options: Any) -> SessionRecord:
        until = time.monotonic() + wait
        with self._lock:
            record = self.core.add_session(corpus, prompt, **options)
            self._start()
            self._pump()
        self._attempted.wait(max(wait, 0.0))
        self._wait(until, lambda: record.is_settled or self._socket is None)
        return record

    def step(self, steps: list[Step], wait: float) -> list[Draft]:
        until = time.monotonic() + wait
        with self._lock:
            if self.core.awaits_answers:
                self._receive()
            call = self.core.begin_step(steps, self._can_send())
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
                if not self.core.has_work and not self.core.awaits_answers:
                    return True
                self._start()
                self._wake.set()
            if time.monotonic() >= until:
                return False
            self._wait(until, lambda: not self.core.awaits_answers)
            time.sleep(0.001)

    def close(self, timeout: float) -> bool:
        with self._lock:
            for name in list(self.core.records):
                self.core.close_session(name)
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
                    # The socket may be closed meanwhile by who finds it broken.
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
        """Sends what can be sent at once. The rest follows before anything else."""
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
        """Takes what has arrived."""
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
        """Sends what is deferred, as far as it goes."""
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
        backoff = Backoff()
        while not self._closed:
            if self._socket is None:
                if not self._reconnect():
                    self._attempted.set()
                    self._wake.wait(0)
                    self._sleep(backoff.next())
                    continue
                self._attempted.set()
            with self._lock:
                self._pump()
                if self.core.is_ready:
                    backoff.reset()
                if self.core.is_refused:
                    self._lose(self.core.refusal or Disconnected("the service refused"))
                    refused = True
                else:
                    refused = False
                connection, has_work = self._socket, self.core.has_work
            if refused:
                self._sleep(backoff.next())
            elif connection is not None and not has_work:
                self._wake.wait()
                self._wake.clear()
            elif connection is not None:
                self._look(connection)

    def _sleep(self, seconds: float) -> None:
        """Waits, but not when the client was closed. Steps do not cut it short."""
        until = time.monotonic() + seconds
        while not self._closed and (rest := until - time.monotonic()) > 0:
            time.sleep(min(rest, 0.05))

    def _look(self, connection: socket.socket) -> None:
        """Waits for answers to what is deferred, without being in the way of steps."""
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
            self.last_error = error
            self.core.counters.connect_failures += 1
            return False
        with self._lock:
            if self._closed:
                connection.close()
                return False
            self._socket = connection
            self._send(self.core.connected(time.monotonic()))
        return True
