"""Counts of the decoding path's results, as numbers to watch."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(slots=True)
class Counters:
    """Counts since the client was created. None of these events raises an exception;
    a program reads the counts instead."""

    steps: int = 0
    """Steps of single sessions that were asked for."""
    drafts: int = 0
    """Drafts that came in time, empty ones among them."""
    empty_drafts: int = 0
    """Those of them without a token: the history had nothing to say."""
    timeouts: int = 0
    """Steps whose draft was not there when their deadline passed."""
    empty_because_down: int = 0
    """Steps that were not sent: no connection, or the session is not open on the service yet."""
    empty_because_late: int = 0
    """Steps that were not sent because an earlier one of the session waits for its answer."""
    empty_because_refused: int = 0
    """Steps that were not sent because the service would not open the session."""
    empty_because_lost: int = 0
    """Steps that were under way when the connection was lost."""
    step_errors: int = 0
    """Steps that the service answered with an error."""
    late_answers: int = 0
    """Answers to steps whose deadline had passed. Their drafts were thrown away."""
    unknown_answers: int = 0
    """Answers to nothing that was asked on this connection. They were thrown away."""
    malformed_answers: int = 0
    """Answers that could not be understood. Each ended its connection."""
    connects: int = 0
    """Connections that were made."""
    reconnects: int = 0
    """The same, but the first."""
    connect_failures: int = 0
    opened_sessions: int = 0
    reopened_sessions: int = 0
    """Sessions that were opened anew after a lost connection or an ended lease."""
    refused_sessions: int = 0
    """Sessions that the service would not open. They have empty drafts."""
    resent_tokens: int = 0
    """Accepted tokens that were sent again to sessions which were opened anew."""
    recorded_sequences: int = 0
    """Closed sessions whose output the service says is history."""
    recorded_tokens: int = 0
    dropped_sessions: int = 0
    """Sessions whose text was let go of because it went past a bound; see `DecodingLimits`."""
    dropped_tokens: int = 0
    """Accepted tokens that will not become history: dropped, or refused by the service."""
    truncated_tokens: int = 0
    """Accepted tokens that were taken back, or stood past the end of an output."""
    unrecorded_rows: int = 0
    """Steps of an engine's requests that are neither drafted nor recorded; see
    `reprise.engines.batch`."""
    prefetches: int = 0
    prefetch_hits: int = 0
    """Steps that were answered by a draft which was there already."""

    @property
    def missed_because_late(self) -> int:
        """Steps without a draft because an answer came too late, or not at all."""
        return self.timeouts + self.empty_because_late

    @property
    def missed_because_down(self) -> int:
        """Steps without a draft because there was no connection, or no session on it yet."""
        return self.empty_because_down + self.empty_because_lost

    def snapshot(self) -> Counters:
        """A copy that no longer changes."""
        return dataclasses.replace(self)

    def as_dict(self) -> dict[str, int]:
        return dataclasses.asdict(self)
