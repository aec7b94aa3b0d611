"""The connection of the blocking client's ordinary calls."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

from ..core._constants import Method
from ..core.call_exchange import CallExchange, late, lost, unavailable
from ..core.errors import Closed, DeadlineExceeded, RepriseError
from .address import Endpoint
from .sockets import READ_BYTES, wait_readable


class CallLink:
    """One connection, over which calls go one at a time."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._exchange = CallExchange()
        self._closed = False

    def call(self, method: str, params: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        """Carries a call out, and returns its result.

        Raises:
            RepriseError: The service answered an error, or no answer came.
        """
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
            return self._ask(connection, method, params, until)
        finally:
            self._lock.release()

    def _has_ended(self, connection: socket.socket) -> bool:
        """True if something can be read: between calls nothing is awaited, so it is an end, or an
        answer to nothing."""
        return wait_readable(connection.fileno(), 0.0)

    def _connect(self, until: float) -> socket.socket:
        if self._socket is not None:
            return self._socket
        try:
            connection = self._endpoint.connect(max(until - time.monotonic(), 0.001))
        except OSError as error:
            raise unavailable(self._endpoint.address, error) from error
        self._socket = connection
        self._exchange.connected()
        if self._endpoint.token is not None:
            params = {"token": self._endpoint.token}
            try:
                self._ask(connection, Method.SERVER_AUTHENTICATE, params, until)
            except RepriseError:
                self._end()
                raise
        return connection

    def _ask(
        self, connection: socket.socket, method: str, params: Mapping[str, Any], until: float
    ) -> dict[str, Any]:
        identifier, line = self._exchange.begin(method, params)
        try:
            connection.settimeout(max(until - time.monotonic(), 0.001))
            connection.sendall(line)
            answer: tuple[Any, RepriseError | None] | None = None
            while answer is None:
                connection.settimeout(max(until - time.monotonic(), 0.001))
                data = connection.recv(READ_BYTES)
                if not data:
                    raise ConnectionResetError("the service closed the connection")
                for answered, result, failure in self._exchange.receive(data):
                    if answered == identifier:
                        answer = result, failure
        except TimeoutError as error:
            # Its answer may still come, and must not be taken for that of a later call.
            self._end()
            raise late(method) from error
        except OSError as error:
            self._end()
            raise lost(method, error) from error
        except RepriseError:
            self._end()
            raise
        result, failure = answer
        if failure is not None:
            raise failure
        return dict(result)

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
