"""The connection of the decoding path of the client for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
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
from ..core.prefetch import Prefetch
from ..core.results import SessionClosed
from ..core.session_record import SessionRecord
from .address import Endpoint
from .aio_connection import Connection
from .link_base import CONNECT_SECONDS, IDLE_LOOK_SECONDS, LinkBase

if TYPE_CHECKING:
    from ..core.tokens import TokenIDs


class AsyncDecodingLink(LinkBase):
    """The connection of the decoding path, and the task that makes it again."""

    def __init__(
        self, endpoint: Endpoint, limits: DecodingLimits | None, engine: str | None = None
    ) -> None:
        super().__init__(endpoint, limits, engine)
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._attempted = asyncio.Event()
        self._look: asyncio.TimerHandle | None = None
        self._changed: set[asyncio.Future[None]] = set()

    # Calls.

    def ensure_corpus(self, params: dict[str, Any]) -> None:
        self.core.ensure_corpus(params)
        with contextlib.suppress(RuntimeError):
            # Outside of an event loop the first call starts it.
            self._start()
            self._pump()

    async def open(self, sessions: list[NewSession], wait: float) -> list[SessionRecord]:
        records = self.core.add_sessions(sessions)
        self._start()
        self._pump()
        until = time.monotonic() + wait
        await self._first_attempt(until)

        def is_over() -> bool:
            return self._connection is None or all(record.is_settled for record in records)

        await self._until(is_over, until)
        return records

    async def step(
        self, steps: list[Step], wait: float, bounds: BatchBounds = NO_BOUNDS
    ) -> list[Draft]:
        call = self.tell(steps, bounds)
        await self.wait_for(call, wait)
        return call.drafts

    def tell(self, steps: list[Step], bounds: BatchBounds = NO_BOUNDS) -> DraftCall:
        """Sends steps without waiting for their answer."""
        call = self.core.begin_step(steps, self._can_send(), bounds)
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
        await self._until(lambda: self.core.is_flushed, time.monotonic() + timeout)
        return self.core.is_flushed

    async def close(self, timeout: float) -> bool:
        self.core.close_sessions()
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
        """Waits for a change that answers, or the end of the connection, bring about."""
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
        """Sends postponed lines, as far as they go."""
        while self._can_send():
            lines = self.core.outgoing(time.monotonic())
            if not lines:
                break
            self._send(lines)
        if self.core.has_work:
            self._look_later()

    def _look_later(self) -> None:
        """Has postponed lines looked at soon: some wait for a time, and not for an answer."""
        if self._look is None and not self._closed:
            loop = asyncio.get_running_loop()
            self._look = loop.call_later(IDLE_LOOK_SECONDS, self._look_now)

    def _look_now(self) -> None:
        self._look = None
        if self._connection is not None:
            self._pump()

    def received(self, connection: Connection, data: bytes) -> None:
        if connection is not self._connection:
            return
        try:
            self.core.receive(data, time.monotonic())
        except MalformedAnswer as error:
            self.lost(connection, error)
            return
        if (refusal := self._refusal()) is not None:
            self.lost(connection, refusal)
            return
        if self.core.is_ready:
            self._backoff.reset()
        if self.core.has_work:
            self._pump()
        self._note_change()

    def drained(self, connection: Connection) -> None:
        if connection is self._connection:
            self._pump()

    def lost(self, connection: Connection, error: Exception) -> None:
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
                    Connection.to(self._endpoint, self), CONNECT_SECONDS
                )
            except (OSError, asyncio.TimeoutError) as error:
                self._connect_failed(error)
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
