"""The connections of the client for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

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
from ..core.prefetch import Prefetch
from ..core.records import DraftCall, SessionRecord
from ..core.results import (
    Draft,
    SessionClosed,
)
from ..core.wire import LineReader, request_line
from .address import Endpoint, prepare_tcp
from .backoff import Backoff
from .link import CONNECT_SECONDS, IDLE_LOOK_SECONDS

if TYPE_CHECKING:
    from ..core.tokens import TokenIDs


class _Owner(Protocol):
    def received(self, connection: _Connection, data: bytes) -> None: ...
    def drained(self, connection: _Connection) -> None: ...
    def lost(self, connection: _Connection, error: Exception) -> None: ...


class _Connection(asyncio.Protocol):
    """One connection; its owner may have another one by the time that this one's end is told."""

    def __init__(self, owner: _Owner) -> None:
        self._owner = owner
        self._transport: asyncio.Transport | None = None

    @staticmethod
    async def to(endpoint: Endpoint, owner: _Owner) -> _Connection:
        """
        Raises:
            OSError: There is no service.
        """
        loop = asyncio.get_running_loop()
        address = endpoint.address
        connection = _Connection(owner)
        if address.path is not None:
            await loop.create_unix_connection(lambda: connection, address.path)
        else:
            await loop.create_connection(
                lambda: connection,
                address.host,
                address.port,
                ssl=endpoint.tls,
                server_hostname=address.host if endpoint.tls is not None else None,
            )
        return connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Both kinds of transports that streams have are one, but only one of them is declared so.
        self._transport = cast(asyncio.Transport, transport)
        # Says when all is sent, so that nothing is piled up.
        self._transport.set_write_buffer_limits(high=0)
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family != socket.AF_UNIX:
            prepare_tcp(connection)

    @property
    def is_drained(self) -> bool:
        return self._transport is not None and self._transport.get_write_buffer_size() == 0

    def send(self, data: bytes) -> None:
        if self._transport is not None and data:
            self._transport.write(data)

    def abort(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        self._owner.received(self, data)

    def resume_writing(self) -> None:
        self._owner.drained(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._owner.lost(self, exc or ConnectionResetError("the service closed the connection"))


class AsyncCallLink:
    """The connection of ordinary calls; any number may be under way."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()
        self._reader = LineReader()
        self._last_id = 0
        self._pending: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._closed = False

    async def call(self, method: str, params: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        if self._closed:
            raise Closed("the client was closed")
        try:
            return await asyncio.wait_for(self._call(method, params), timeout)
        except asyncio.TimeoutError as error:
            raise DeadlineExceeded(f"{method}: no answer in time") from error

    async def _call(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        async with self._connecting:
            if self._connection is None:
                await self._open()
        return await self._exchange(method, params)

    async def _open(self) -> None:
        try:
            self._reader = LineReader()
            self._connection = await _Connection.to(self._endpoint, self)
        except OSError as error:
            raise Unavailable(
                f"there is no service at {self._endpoint.address}: {error}"
            ) from error
        if self._endpoint.token is not None:
            try:
                await self._exchange("server.authenticate", {"token": self._endpoint.token})
            except RepriseError as error:
                self._end(error)
                raise

    async def _exchange(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        if self._connection is None:
            raise Disconnected(f"{method}: the connection was lost")
        self._last_id += 1
        identifier = self._last_id
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._pending[identifier] = answer
        self._connection.send(request_line(identifier, method, params))
        try:
            return await answer
        finally:
            self._pending.pop(identifier, None)

    def received(self, connection: _Connection, data: bytes) -> None:
        if connection is not self._connection:
            return
        try:
            for identifier, result, error in self._reader.feed(data):
                if identifier is None:
                    # The service could not read a line, and mostly closes the connection.
                    self._end(error or MalformedAnswer("an answer has no id"))
                    return
                answer = self._pending.get(identifier)
                # One that nobody waits for came after its deadline.
                if answer is not None and not answer.done():
                    if error is not None:
                        answer.set_exception(error)
                    else:
                        answer.set_result(result)
        except MalformedAnswer as error:
            self._end(error)

    def drained(self, connection: _Connection) -> None:
        pass

    def lost(self, connection: _Connection, error: Exception) -> None:
        if connection is self._connection:
            self._end(Disconnected(f"the connection was lost: {error}"))

    def _end(self, error: RepriseError) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(error)

    def close(self) -> None:
        self._closed = True
        self._end(Closed("the client was closed"))


class AsyncDecodingLink:
    """The connection of the decoding path, and the task that makes it again."""

    def __init__(
        self, endpoint: Endpoint, limits: DecodingLimits | None, engine: str | None = None
    ) -> None:
        self._endpoint = endpoint
        self.core = DecodingCore(endpoint.token, limits, engine)
        self.last_error: Exception | None = None
        self._connection: _Connection | None = None
        self._backoff = Backoff()
        self._task: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._attempted = asyncio.Event()
        self._look: asyncio.TimerHandle | None = None
        self._changed: set[asyncio.Future[None]] = set()
        self._closed = False

    # Calls.

    def ensure_corpus(self, params: dict[str, Any]) -> None:
        self.core.ensure_corpus(params)
        with contextlib.suppress(RuntimeError):
            # Outside of an event loop the first call starts it.
            self._start()
            self._pump()

    async def open(
        self, corpus: str, prompt: TokenIDs, wait: float, **options: Any
    ) -> SessionRecord:
        record = self.core.add_session(corpus, prompt, **options)
        self._start()
        self._pump()
        until = time.monotonic() + wait
        await self._first_attempt(until)
        await self._until(lambda: record.is_settled or self._connection is None, until)
        return record

    async def step(self, steps: list[Step], wait: float) -> list[Draft]:
        call = self.core.begin_step(steps, self._can_send())
        self._send(call.lines)
        if self.core.has_work:
            self._look_later()
        await self.wait_for(call, wait)
        return call.drafts

    def tell(self, step: Step) -> DraftCall:
        """Sends a step without waiting for its answer."""
        call = self.core.begin_step([step], self._can_send())
        self._send(call.lines)
        if self.core.has_work:
            self._look_later()
        return call

    def prefetch(
        self, record: SessionRecord, draft: Draft, options: DraftOptions
    ) -> Prefetch | None:
        guess = Prefetch.begin(self.core, record, draft, options, self._can_send())
        if guess is not None:
            self._send(guess.call.lines)
        return guess

    async def speculate(
        self, corpus: str, contexts: Sequence[TokenIDs], options: DraftOptions, wait: float
    ) -> list[Draft]:
        until = time.monotonic() + wait
        self._start()
        await self._first_attempt(until)
        await self._until(lambda: self.core.is_ready or self._connection is None, until)
        call = self.core.begin_speculate(corpus, contexts, options, self._can_send())
        self._send(call.lines)
        await self.wait_for(call, until - time.monotonic(), is_speculation=True)
        return call.drafts

    async def close_session(
        self, session: str, accept: TokenIDs, is_recorded: bool, wait: float
    ) -> SessionClosed | None:
        record = self.core.close_session(session, accept, record=is_recorded)
        if record is None:
            return None
        self._start()
        self._pump()
        if wait > 0:
            await self._until(lambda: record.is_done, time.monotonic() + wait)
        return record.result

    async def make_private(self, session: str, wait: float) -> None:
        record = self.core.make_private(session)
        self._pump()
        if record is not None and wait > 0:
            until = time.monotonic() + wait
            await self._until(lambda: record.is_settled or self._connection is None, until)

    def truncate_session(self, session: str, tokens: int) -> None:
        self.core.truncate_session(session, tokens)
        self._pump()

    async def flush(self, timeout: float) -> bool:
        self._start()
        self._pump()

        def is_flushed() -> bool:
            return not self.core.has_work and not self.core.awaits_answers

        await self._until(is_flushed, time.monotonic() + timeout)
        return is_flushed()

    async def close(self, timeout: float) -> bool:
        for name in list(self.core.records):
            self.core.close_session(name)
        flushed = await self.flush(timeout) if self._task is not None else not self.core.records
        self._closed = True
        if self._look is not None:
            self._look.cancel()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._disconnect()
        return flushed

    # Waiting.

    async def wait_for(self, call: DraftCall, wait: float, *, is_speculation: bool = False) -> None:
        """Waits for drafts, and gives them up when the time is over."""
        if call.awaited > 0:
            loop = asyncio.get_running_loop()
            done: asyncio.Future[None] = loop.create_future()

            def finish() -> None:
                if not done.done():
                    done.set_result(None)

            call.on_done = finish
            timer = loop.call_later(max(wait, 0.0), finish)
            try:
                await done
            finally:
                timer.cancel()
                self.core.give_up_waiting(call, is_speculation=is_speculation)

    async def _first_attempt(self, until: float) -> None:
        if not self._attempted.is_set():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._attempted.wait(), max(until - time.monotonic(), 0.0))

    async def _until(self, is_over: Callable[[], bool], until: float) -> None:
        """Waits for what answers, or the end of the connection, bring about."""
        loop = asyncio.get_running_loop()
        while not is_over() and (seconds := until - time.monotonic()) > 0:
            change: asyncio.Future[None] = loop.create_future()
            self._changed.add(change)
            try:
                await asyncio.wait([change], timeout=seconds)
            finally:
                self._changed.discard(change)

    def _note_change(self) -> None:
        for change in self._changed:
            if not change.done():
                change.set_result(None)

    # The connection.

    def _can_send(self) -> bool:
        return self._connection is not None and self._connection.is_drained

    def _send(self, data: bytes) -> None:
        if self._connection is not None:
            self._connection.send(data)

    def _pump(self) -> None:
        """Sends what is deferred, as far as it goes."""
        while self._can_send():
            lines = self.core.outgoing(time.monotonic())
            if not lines:
                break
            self._send(lines)
        if self.core.has_work:
            self._look_later()

    def _look_later(self) -> None:
        """Some of what is deferred waits for a time, and not for an answer."""
        if self._look is None and not self._closed:
            loop = asyncio.get_running_loop()
            self._look = loop.call_later(IDLE_LOOK_SECONDS, self._look_now)

    def _look_now(self) -> None:
        self._look = None
        if self._connection is not None:
            self._pump()

    def received(self, connection: _Connection, data: bytes) -> None:
        if connection is not self._connection:
            return
        try:
            self.core.receive(data, time.monotonic())
        except MalformedAnswer as error:
            self.lost(connection, error)
            return
        if self.core.is_refused:
            self.lost(connection, self.core.refusal or Disconnected("the service refused"))
            return
        if self.core.is_ready:
            self._backoff.reset()
        if self.core.has_work:
            self._pump()
        self._note_change()

    def drained(self, connection: _Connection) -> None:
        if connection is self._connection:
            self._pump()

    def lost(self, connection: _Connection, error: Exception) -> None:
        if connection is self._connection:
            self.last_error = error
            self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
        self.core.disconnected()
        self._lost.set()
        self._note_change()

    # The task.

    def _start(self) -> None:
        if self._task is None and not self._closed:
            self._task = asyncio.get_running_loop().create_task(self._keep_connected())

    async def _keep_connected(self) -> None:
        while not self._closed:
            try:
                connection = await asyncio.wait_for(
                    _Connection.to(self._endpoint, self), CONNECT_SECONDS
                )
            except (OSError, asyncio.TimeoutError) as error:
                self.last_error = error
                self.core.counters.connect_failures += 1
                self._attempted.set()
                self._note_change()
            else:
                self._lost.clear()
                self._connection = connection
                self._send(self.core.connected(time.monotonic()))
                self._attempted.set()
                self._note_change()
                await self._lost.wait()
            await asyncio.sleep(self._backoff.next())
