"""The results of calls: one frozen dataclass a result, read by `reprise.core.decoder`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from .decoder import Result


@dataclasses.dataclass(frozen=True, slots=True)
class ServerInfo(Result):
    name: str
    version: str
    protocol: int
    limits: Mapping[str, int]
    event_loop_line_bytes: int
    """The longest line, in bytes, that an event loop of the service parses. Longer ones are parsed
    by another thread."""
    uptime_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Grant(Result):
    """The holder of an access token, and the rights that the token gives."""

    name: str
    rights: tuple[str, ...]
    corpora: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Health(Result):
    """The health of a service: `ok`, or the conditions that it waits for."""

    ok: bool
    awaited: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Retention(Result):
    """The amount of history that a corpus keeps. A bound that is None does not apply."""

    tokens: int | None = None
    sequences: int | None = None
    age_s: int | None = None

    def to_wire(self) -> dict[str, int]:
        return {name: value for name, value in dataclasses.asdict(self).items() if value}


@dataclasses.dataclass(frozen=True, slots=True)
class Corpus(Result):
    """The settings of a corpus, which never change."""

    corpus: str
    tokenizer: str | None
    depth: int
    retention: Retention
    durability: str
    durability_ms: int | None
    vocabulary: int | None
    """Token ids of the corpus are below it; None has no bound."""
    lead_in: int
    """Tokens of a prompt that are kept before its output."""
    end_ids: tuple[int, ...]
    """The token ids with which outputs end."""


@dataclasses.dataclass(frozen=True, slots=True)
class CorpusStats(Result):
    corpus: str
    tokenizer: str | None
    depth: int
    sequences: int
    tokens: int
    lead_in_tokens: int
    """Those of `tokens` that were ends of prompts."""
    open_tokens: int
    """Tokens of open sessions that are drafted from and not on disk yet."""
    bytes_on_disk: int
    bytes_in_memory: int
    bytes_per_token: float
    segments: int
    segments_waiting: int
    """Segments that are to be merged when there is memory for it."""
    sessions: int
    oldest: int | None
    """Order number of the oldest sequence."""
    newest: int | None
    retention: Retention
    durability: str
    durability_ms: int | None
    vocabulary: int | None
    """Token ids of the corpus are below it; None has no bound."""
    lead_in: int
    """Tokens of a prompt that are kept before its output."""
    end_ids: tuple[int, ...]
    """The token ids with which outputs end."""
    unsaved_sequences: int
    damage: tuple[str, ...]

    @property
    def output_tokens(self) -> int:
        """Tokens of outputs, without the ends of prompts before them."""
        return self.tokens - self.lead_in_tokens


@dataclasses.dataclass(frozen=True, slots=True)
class Merged(Result):
    sequences: int
    tokens: int
    duplicates: int
    conflicts: int


@dataclasses.dataclass(frozen=True, slots=True)
class Inserted(Result):
    inserted: int
    duplicates: int
    tokens: int
    last_order: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Forgotten(Result):
    forgotten: int
    tokens: int
    missing: int
    older_snapshots: tuple[str, ...]
    """Snapshots that still hold the forgotten sequences."""


@dataclasses.dataclass(frozen=True, slots=True)
class SessionOpened(Result):
    session: str
    prompt_tokens: int
    reused_tokens: int
    """Tokens of the prompt that the parent had indexed already."""


@dataclasses.dataclass(frozen=True, slots=True)
class SessionClosed(Result):
    recorded_tokens: int
    order: int | None
    unrecorded_reason: str | None = None
    """The reason why nothing was recorded: "record" (the caller asked for that), "share" (the
    session was "never" to share), "empty", "read_only", or "retention" (longer than all that the
    corpus keeps)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot(Result):
    snapshot: str
    corpus: str
    sequences: int
    tokens: int
    bytes: int
    digest: str
    created_s: int
