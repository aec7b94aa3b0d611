"""The client's report on its steps, which the service's metrics show."""

from __future__ import annotations

from typing import Any

from .counters import Counters

#: Seconds between two reports at least.
REPORT_SECONDS = 10.0


class Reporter:
    """Sums up what was counted since the last report. A report is sent beside a step, and waits
    for nothing."""

    __slots__ = ("_before", "_counters", "_engine", "_next", "is_taken")

    def __init__(self, counters: Counters, engine: str | None) -> None:
        self._counters = counters
        self._engine = engine
        self._before = counters.snapshot()
        self._next = 0.0
        #: True if the service of this connection takes reports; older ones do not know them.
        self.is_taken = True

    def due(self, now: float) -> dict[str, Any] | None:
        """The parameters of a report, if it is time for one and there is something to tell."""
        if now < self._next or not self.is_taken:
            return None
        is_first, self._next = self._next == 0.0, now + REPORT_SECONDS
        if is_first:
            return None
        counters, before = self._counters.snapshot(), self._before
        self._before = counters
        unrecorded = counters.unrecorded_rows - before.unrecorded_rows
        refused = counters.empty_because_refused - before.empty_because_refused
        counts = {
            # The client is not asked for drafts of rows that are not recorded.
            "steps": counters.steps - before.steps + unrecorded,
            "late": counters.missed_because_late - before.missed_because_late,
            "down": counters.missed_because_down - before.missed_because_down,
            "refused": refused + counters.step_errors - before.step_errors,
            "empty": counters.empty_drafts - before.empty_drafts,
            "unrecorded": unrecorded,
        }
        told: dict[str, Any] = {name: count for name, count in counts.items() if count > 0}
        if not told:
            return None
        return told if self._engine is None else {"engine": self._engine, **told}
