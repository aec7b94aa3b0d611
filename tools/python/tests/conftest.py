"""Services for tests: real ones, and ones that do what no real one should."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
if os.environ.get("REPRISE_TEST_PLAIN"):
    # As if they were not installed.
    sys.modules["orjson"] = sys.modules["numpy"] = None  # type: ignore[assignment]

from played import PlayedService
from service import Service

from reprise.core.decoding import DecodingCore


@pytest.fixture
def service() -> Iterator[Service]:
    """A real service. Without a binary the test fails; a skipped test would go unnoticed."""
    with Service() as running:
        yield running


@pytest.fixture
def core() -> DecodingCore:
    return DecodingCore()


@pytest.fixture
def played(core: DecodingCore) -> PlayedService:
    service = PlayedService(core)
    service.connect()
    return service


class FakeService:
    """A socket where `answer` decides what is sent to each chunk that arrives.

    It returns the bytes to send, or None to hang up. Bytes without a newline are half an answer.
    """

    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self._answer = answer
        self._directory = tempfile.TemporaryDirectory(prefix="reprise-fake-")
        self.path = str(Path(self._directory.name) / "fake.sock")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen()
        self._connections: list[socket.socket] = []
        self.connected = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            self.connected.release()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            while data := connection.recv(1 << 16):
                reply = self._answer(data)
                if reply is None:
                    connection.shutdown(socket.SHUT_RDWR)
                    return
                connection.sendall(reply)
        except OSError:
            return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for connection in self._connections:
            connection.close()
        self._directory.cleanup()


@pytest.fixture
def fake() -> Iterator[Callable[[Callable[[bytes], bytes | None]], FakeService]]:
    made: list[FakeService] = []

    def make(answer: Callable[[bytes], bytes | None]) -> FakeService:
        made.append(FakeService(answer))
        return made[-1]

    yield make
    for one in made:
        one.close()
