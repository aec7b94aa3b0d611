"""Responses that leave a corpus, in the background."""

from __future__ import annotations

import dataclasses
import logging
import queue
import threading

from ..core.errors import RepriseError
from ..transports.client import Client, Session

_log = logging.getLogger("reprise")

#: Responses that wait to be removed at most; beyond that their names alone leave.
EVICTIONS_MAX = 1 << 16
#: Seconds that removing waits for a response to be recorded first.
RECORDED_SECONDS = 60.0


@dataclasses.dataclass(slots=True)
class Response:
    """A cached response, by the id that it has in the corpus."""

    sequence_id: str
    session: Session


class Remover:
    """Removes responses from a corpus on a thread of its own: a removal takes the service
    milliseconds and more, and many at once little longer than one."""

    def __init__(self, client: Client, corpus: str) -> None:
        self._client = client
        self._corpus = corpus
        self._waiting: queue.Queue[Response] = queue.Queue(EVICTIONS_MAX)
        self._thread: threading.Thread | None = None
        self._idle = threading.Condition()
        self._count = 0

    def remove(self, response: Response) -> None:
        with self._idle:
            if self._thread is None or not self._thread.is_alive():
                # After a fork there is no thread either.
                self._thread = threading.Thread(
                    target=self._run, name="reprise-evictions", daemon=True
                )
                self._thread.start()
            try:
                self._waiting.put_nowait(response)
                self._count += 1
            except queue.Full:
                _log.warning("too many evictions wait; a response stays in the history")

    def flush(self, timeout: float) -> bool:
        with self._idle:
            return self._idle.wait_for(lambda: self._count == 0, timeout)

    def _run(self) -> None:
        while True:
            responses = [self._waiting.get()]
            # No other thread takes from the queue, so its responses are there.
            responses += [self._waiting.get() for _ in range(self._waiting.qsize())]
            try:
                # A response that is not recorded yet cannot be removed.
                if not all(response.session.is_done for response in responses):
                    self._client.flush(RECORDED_SECONDS)
                ids = [response.sequence_id for response in responses]
                self._client.forget(self._corpus, ids)
            except RepriseError as error:
                _log.warning("%d evicted responses stay in the history: %s", len(responses), error)
            with self._idle:
                self._count -= len(responses)
                self._idle.notify_all()
