"""The connection of ordinary calls without any I/O: requests under way, and their answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .errors import DeadlineExceeded, Disconnected, MalformedAnswer, RepriseError, Unavailable
from .wire import LineReader, request_line


class CallExchange:
    """Requests of one connection after the other. An id is never used twice, so that a late answer
    is not taken for that of a later call."""

    def __init__(self) -> None:
        self._reader = LineReader()
        self._last_id = 0
        self._pending: set[int] = set()

    def connected(self) -> None:
        """Begins on a new connection."""
        self._reader = LineReader()
        self._pending.clear()

    def begin(self, method: str, params: Mapping[str, Any]) -> tuple[int, bytes]:
        """A request's id, and its line."""
        self._last_id += 1
        self._pending.add(self._last_id)
        return self._last_id, request_line(self._last_id, method, params)

    def give_up(self, identifier: int) -> None:
        """Has the answer to a request passed over."""
        self._pending.discard(identifier)

    def receive(self, data: bytes) -> Iterator[tuple[int, Any, RepriseError | None]]:
        """The id, result and error of each answer that is complete and awaited.

        Raises:
            RepriseError: The service could not read a line, or its answer cannot be understood. The
                connection is of no use any more.
        """
        for identifier, result, error in self._reader.feed(data):
            if identifier is None:
                raise error or MalformedAnswer("an answer has no id")
            if identifier in self._pending:
                self._pending.discard(identifier)
                yield identifier, result, error


def unavailable(address: object, error: OSError) -> Unavailable:
    return Unavailable(f"there is no service at {address}: {error}")


def late(method: str) -> DeadlineExceeded:
    return DeadlineExceeded(f"{method}: no answer in time")


def lost(method: str, error: object) -> Disconnected:
    return Disconnected(f"{method}: the connection was lost: {error}")
