"""The client for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from . import calls
from .address import Address, Endpoint, prepare_tcp
from .backoff import Backoff
from .client import CONNECT_SECONDS, IDLE_LOOK_SECONDS
from .counters import Counters
from .decoding import DecodingCore
from .errors import (
    Closed,
    DeadlineExceeded,
    Disconnected,
    MalformedAnswer,
    RepriseError,
    Unavailable,
)
from .options import DEFAULT_OPTIONS, NO_DRAFT, DecodingLimits, DraftOptions, Share, Step, steps_of
from .prefetch import Prefetch
from .records import DraftCall, SessionRecord, State
from .results import (
    Corpus,
    CorpusStats,
    Draft,
    Forgotten,
    Health,
    Inserted,
    Merged,
    Retention,
    ServerInfo,
    SessionClosed,
    Snapshot,
)
from .tokens import token_array
from .wire import LineReader, request_line

if TYPE_CHECKING:
    from .tokens import TokenIDs

T = TypeVar("T")


class AsyncClient:
    """A connection to a Reprise service, for asyncio: `reprise.Client` with `await`.

    It belongs to the event loop that first uses it, and to one process. Any number of tasks may
    share it; what they ask is under way together.

    `Session.prefetch` hides the wait for drafts: while the model verifies one, it asks for what
    may follow (see `reprise.prefetch`).
    """

    def __init__(
        self,
        address: str | os.PathLike[str] | Address | None = None,
        *,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        timeout: float = 30.0,
        long_timeout: float = 3600.0,
        deadline: float = 0.002,
        open_deadline: float = 1.0,
        limits: DecodingLimits | None = None,
    ) -> None:
        """Makes a client; the arguments are those of `reprise.Client`."""
        self._endpoint = Endpoint.of(address, token, tls)
        self.timeout = timeout
        self.long_timeout = long_timeout
        self.deadline = deadline
        self.open_deadline = open_deadline
        self._calls = _CallLink(self._endpoint)
        self._decoding = _DecodingLink(self._endpoint, limits)

    async def close(self, timeout: float = 1.0) -> bool:
        """Ends the client. Open sessions are closed and recorded; see `Client.close`."""
        flushed = await self._decoding.close(timeout)
        self._calls.close()
        return flushed

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    # Ordinary calls. `Client` says more about each.

    async def call(
        self, method: str, params: Mapping[str, Any] | None = None, timeout: float | None = None
    ) -> dict[str, Any]:
        return await self._run(calls.any_call(method, params or {}), timeout)

    async def _run(self, call: calls.Call[T], timeout: float | None) -> T:
        if timeout is None:
            timeout = self.long_timeout if call.is_long else self.timeout
        return call.read(await self._calls.call(call.method, call.params, timeout))

    async def server_info(self, *, timeout: float | None = None) -> ServerInfo:
        return await self._run(calls.server_info(), timeout)

    async def metrics(self, *, timeout: float | None = None) -> str:
        return await self._run(calls.metrics(), timeout)

    async def is_live(self, *, timeout: float | None = None) -> Health:
        return await self._run(calls.is_live(), timeout)

    async def is_ready(self, *, timeout: float | None = None) -> Health:
        return await self._run(calls.is_ready(), timeout)

    async def create_corpus(
        self,
        corpus: str,
        *,
        tokenizer: str | None = None,
        depth: int = 64,
        retention: Retention | None = None,
        durability_ms: int | None = None,
        timeout: float | None = None,
    ) -> Corpus:
        call = calls.create_corpus(corpus, tokenizer, depth, retention, durability_ms)
        return await self._run(call, timeout)

    async def corpora(self, *, timeout: float | None = None) -> list[CorpusStats]:
        return await self._run(calls.corpora(), timeout)

    async def corpus_stats(self, corpus: str, *, timeout: float | None = None) -> CorpusStats:
        return await self._run(calls.corpus_stats(corpus), timeout)

    async def drop_corpus(self, corpus: str, *, timeout: float | None = None) -> bool:
        return await self._run(calls.drop_corpus(corpus), timeout)

    async def merge_corpus(self, source: str, into: str, *, timeout: float | None = None) -> Merged:
        return await self._run(calls.merge_corpus(source, into), timeout)

    async def insert(
        self,
        corpus: str,
        sequences: Iterable[calls.Output | TokenIDs],
        *,
        tokenizer: str | None = None,
        timeout: float | None = None,
    ) -> Inserted:
        return await self._run(calls.insert(corpus, sequences, tokenizer), timeout)

    async def forget(
        self, corpus: str, ids: Sequence[str], *, timeout: float | None = None
    ) -> Forgotten:
        return await self._run(calls.forget(corpus, ids), timeout)

    async def create_snapshot(
        self, corpus: str, name: str | None = None, *, timeout: float | None = None
    ) -> Snapshot:
        return await self._run(calls.create_snapshot(corpus, name), timeout)

    async def snapshots(
        self, corpus: str | None = None, *, timeout: float | None = None
    ) -> list[Snapshot]:
        return await self._run(calls.snapshots(corpus), timeout)

    async def verify_snapshot(
        self, snapshot: str | None = None, *, path: str | None = None, timeout: float | None = None
    ) -> Snapshot:
        return await self._run(calls.verify_snapshot(snapshot, path), timeout)

    async def delete_snapshot(self, snapshot: str, *, timeout: float | None = None) -> bool:
        return await self._run(calls.delete_snapshot(snapshot), timeout)

    async def restore_snapshot(
        self,
        corpus: str,
        snapshot: str | None = None,
        *,
        path: str | None = None,
        replace: bool = False,
        timeout: float | None = None,
    ) -> CorpusStats:
        return await self._run(calls.restore_snapshot(corpus, snapshot, path, replace), timeout)

    # The decoding path.

    def ensure_corpus(
        self,
        corpus: str,
        *,
        tokenizer: str | None = None,
        depth: int = 64,
        retention: Retention | None = None,
        durability_ms: int | None = None,
    ) -> None:
        """Has a corpus made before sessions over it are opened, as soon as the service is there;
        does not wait, and does not fail. One that stands with other settings is used as it is."""
        call = calls.create_corpus(corpus, tokenizer, depth, retention, durability_ms)
        self._decoding.ensure_corpus(call.params)

    @property
    def counters(self) -> Counters:
        return self._decoding.core.counters

    @property
    def is_connected(self) -> bool:
        return self._decoding.core.is_ready

    @property
    def last_error(self) -> Exception | None:
        return self._decoding.last_error

    async def open_session(
        self,
        corpus: str,
        prompt: TokenIDs,
        *,
        name: str | None = None,
        parent: AsyncSession | str | None = None,
        share: Share = "live",
        ttl_s: int | None = None,
        sequence_id: str | None = None,
        deadline: float | None = None,
    ) -> AsyncSession:
        record = await self._decoding.open(
            corpus,
            prompt,
            self.open_deadline if deadline is None else deadline,
            name=name,
            parent=parent.name if isinstance(parent, AsyncSession) else parent,
            share=share,
            ttl_s=ttl_s,
            sequence_id=sequence_id,
        )
        return AsyncSession(self, record)

    async def step(
        self,
        steps: Mapping[str, TokenIDs] | Iterable[Step],
        options: DraftOptions | None = None,
        *,
        deadline: float | None = None,
    ) -> list[Draft]:
        wait = self.deadline if deadline is None else deadline
        return await self._decoding.step(steps_of(steps, options), wait)

    async def close_session(
        self,
        session: str,
        accept: TokenIDs = (),
        *,
        record: bool = True,
        wait: float = 0.0,
    ) -> SessionClosed | None:
        return await self._decoding.close_session(session, accept, record, wait)

    async def speculate(
        self,
        corpus: str,
        contexts: Sequence[TokenIDs],
        options: DraftOptions = DEFAULT_OPTIONS,
        *,
        deadline: float | None = None,
    ) -> list[Draft]:
        wait = self.deadline if deadline is None else deadline
        return await self._decoding.speculate(corpus, contexts, options, wait)

    async def make_private(self, session: str, *, wait: float = 0.0) -> None:
        await self._decoding.make_private(session, wait)

    async def flush(self, timeout: float = 30.0) -> bool:
        return await self._decoding.flush(timeout)


class AsyncSession:
    """One request being decoded; see `reprise.Session`."""

    __slots__ = ("_client", "_prefetch", "_record", "_told")

    def __init__(self, client: AsyncClient, record: SessionRecord) -> None:
        self._client = client
        self._record = record
        self._prefetch: Prefetch | None = None
        #: A step that was sent without waiting for its answer.
        self._told: DraftCall | None = None

    @property
    def name(self) -> str:
        return self._record.name

    @property
    def is_open(self) -> bool:
        return self._record.state is State.OPEN

    @property
    def is_done(self) -> bool:
        return self._record.is_done

    @property
    def error(self) -> RepriseError | None:
        return self._record.error

    async def step(
        self,
        accept: TokenIDs = (),
        options: DraftOptions | None = None,
        *,
        deadline: float | None = None,
    ) -> Draft:
        """Tells what joined the output, and asks for what may follow.

        Where `prefetch` has guessed what joined it, the draft is there already.
        """
        link = self._client._decoding
        wait = self._client.deadline if deadline is None else deadline
        until = time.monotonic() + wait
        guess, self._prefetch = self._prefetch, None
        if guess is not None:
            tokens = token_array(accept)
            draft = guess.draft_after(self._record, tokens) if tokens else None
            link.core.give_up_waiting(guess.call, is_speculation=True)
            if draft is not None:
                self._told = link.tell(Step(self.name, tokens, NO_DRAFT))
                link.core.counters.prefetch_hits += 1
                return draft
        if self._told is not None:
            # A session has one step under way; mostly this one has long been answered.
            await link.wait_for(self._told, until - time.monotonic())
            self._told = None
        return (await link.step([Step(self.name, accept, options)], until - time.monotonic()))[0]

    def prefetch(self, draft: Draft, options: DraftOptions = DEFAULT_OPTIONS) -> None:
        """Asks for the draft after this one, in case the model accepts all of it.

        Call it when the model begins to verify `draft`; it does not wait. The next step uses what
        came if the guess came true, and throws it away otherwise.
        """
        link = self._client._decoding
        if self._prefetch is not None:
            link.core.give_up_waiting(self._prefetch.call, is_speculation=True)
        self._prefetch = link.prefetch(self._record, draft, options)

    async def close(
        self, accept: TokenIDs = (), *, record: bool = True, wait: float = 0.0
    ) -> SessionClosed | None:
        return await self._client.close_session(self.name, accept, record=record, wait=wait)

    async def __aenter__(self) -> AsyncSession:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


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


class _CallLink:
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


class _DecodingLink:
    """The connection of the decoding path, and the task that makes it again."""

    def __init__(self, endpoint: Endpoint, limits: DecodingLimits | None) -> None:
        self._endpoint = endpoint
        self.core = DecodingCore(endpoint.token, limits)
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
