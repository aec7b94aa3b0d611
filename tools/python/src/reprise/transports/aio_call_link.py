"""The connection of ordinary calls of the client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from ..core._constants import Method
from ..core.call_exchange import CallExchange, late, lost, unavailable
from ..core.errors import Closed, RepriseError
from .address import Endpoint
from .aio_connection import Connection


class AsyncCallLink:
    """One connection; any number of calls may be under way."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()
        self._exchange = CallExchange()
        self._pending: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._closed = False

    async def call(self, method: str, params: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        """Carries a call out, and returns its result.

        Raises:
            RepriseError: The service answered an error, or no answer came.
        """
        if self._closed:
            raise Closed("the client was closed")
        try:
            return await asyncio.wait_for(self._call(method, params), timeout)
        except asyncio.TimeoutError as error:
            raise late(method) from error

    async def _call(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        async with self._connecting:
            if self._connection is None:
                await self._open()
        return await self._ask(method, params)

    async def _open(self) -> None:
        try:
            self._exchange.connected()
            self._connection = await Connection.to(self._endpoint, self)
        except OSError as error:
            raise unavailable(self._endpoint.address, error) from error
        if self._endpoint.token is not None:
            try:
                await self._ask(Method.SERVER_AUTHENTICATE, {"token": self._endpoint.token})
            except RepriseError as error:
                self._end(error)
                raise

    async def _ask(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        if self._connection is None:
            raise lost(method, "before it was sent")
        identifier, line = self._exchange.begin(method, params)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._pending[identifier] = answer
        self._connection.send(line)
        try:
            return await answer
        finally:
            self._pending.pop(identifier, None)
            self._exchange.give_up(identifier)

    def received(self, connection: Connection, data: bytes) -> None:
        if connection is not self._connection:
            return
        try:
            for identifier, result, error in self._exchange.receive(data):
                answer = self._pending[identifier]
                if answer.done():
                    continue
                if error is not None:
                    answer.set_exception(error)
                else:
                    answer.set_result(result)
        except RepriseError as error:
            self._end(error)

    def drained(self, connection: Connection) -> None:
        pass

    def lost(self, connection: Connection, error: Exception) -> None:
        if connection is self._connection:
            self._end(lost("a call", error))

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
