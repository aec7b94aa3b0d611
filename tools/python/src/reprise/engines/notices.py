"""Log lines for the operator: few, each when it is useful, and none for a step.

The lines go to the engine's own log where it has one (`use_logger`), else to the logger `reprise`,
which gets a handler where the process has configured none.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..core.counters import Counters
    from ..transports.client import Client

#: Seconds over which steps without a draft are counted.
PERIOD_SECONDS = 60.0
#: The part of a period's steps that may have no draft without a word.
MISSED_PART = 0.1
#: Steps in a period below which nothing is said about it.
STEPS_MIN = 20

log: logging.LoggerAdapter[Any] = logging.LoggerAdapter(logging.getLogger("reprise"), {})


def use_logger(logger: logging.Logger) -> None:
    """Sends the lines of all integrations in this process to an engine's own logger."""
    log.logger = logger


def show_lines() -> None:
    """Gives the logger `reprise` a handler where no logger above it has one: Python alone would
    show warnings only."""
    logger = logging.getLogger("reprise")
    if log.logger is logger and not logger.hasHandlers():
        logger.addHandler(_LastHandler(sys.stderr))
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)


class _LastHandler(logging.StreamHandler[Any]):
    """Writes where the root logger has no handler; a process may configure one later."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.setFormatter(logging.Formatter("%(levelname)s %(asctime)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if not logging.getLogger().handlers:
            super().emit(record)


class Notices:
    """The lines about one client that drafts from one corpus. `look` is called after each step,
    and costs some comparisons."""

    def __init__(self, client: Client, corpus: str) -> None:
        self._client = client
        self._corpus = corpus
        self._is_connected: bool | None = None
        self._is_drafting_told = False
        self._is_refusal_told = False
        self._told: set[str] = set()
        self._begin = 0.0
        self._before: Counters = client.counters.snapshot()

    def look(self, now: float) -> None:
        """Tells what has changed since the last call; `now` is `time.monotonic()`."""
        client = self._client
        is_connected = client.is_connected
        if is_connected is not self._is_connected:
            self._connection_changed(is_connected)
        if not self._is_drafting_told and client.counters.opened_sessions > 0:
            self._is_drafting_told = True
            log.info("reprise: drafting from corpus %s at %s", self._corpus, client.address)
        if not self._is_refusal_told and client.last_refusal is not None:
            self._is_refusal_told = True
            log.warning(
                "reprise: the service at %s opens no session over corpus %s: %s",
                client.address,
                self._corpus,
                client.last_refusal,
            )
        if now - self._begin >= PERIOD_SECONDS:
            self._period_ended(now)

    def once(self, kind: str, message: str, *arguments: object) -> None:
        """A warning that is told once for each `kind`."""
        if kind not in self._told:
            self._told.add(kind)
            log.warning(message, *arguments)

    def _connection_changed(self, is_connected: bool) -> None:
        client = self._client
        if not is_connected:
            log.warning(
                "reprise: no service at %s (%s); decoding goes on without drafts until it is there",
                client.address,
                client.last_error or "the connection was lost",
            )
        elif self._is_connected is False and self._is_drafting_told:
            log.info("reprise: the service at %s is there again", client.address)
        self._is_connected = is_connected

    def _period_ended(self, now: float) -> None:
        counters, before = self._client.counters.snapshot(), self._before
        self._before = counters
        is_first, self._begin = self._begin == 0.0, now
        steps = counters.steps - before.steps
        if is_first or steps < STEPS_MIN:
            return
        reasons = {
            "late": counters.missed_because_late - before.missed_because_late,
            "down": counters.missed_because_down - before.missed_because_down,
            "refused": counters.empty_because_refused - before.empty_because_refused,
            "failed": counters.step_errors - before.step_errors,
        }
        missed = sum(reasons.values())
        if missed <= MISSED_PART * steps:
            return
        reason = max(reasons, key=lambda name: reasons[name])
        self.once(
            f"missed {reason}",
            "reprise: %d of the last minute's %d steps had no draft, mostly because %s",
            missed,
            steps,
            _REASONS[reason].format(address=self._client.address),
        )


_REASONS = {
    "late": "the answer came after the deadline; REPRISE_DEADLINE_MS sets it",
    "down": "no service answered at {address}; REPRISE_SOCKET sets the address",
    "refused": "the service refused the session; REPRISE_CORPUS names the corpus, and "
    "REPRISE_TOKEN_FILE the access token",
    "failed": "the service answered with an error; its log tells more",
}
