"""What calls answer: one frozen dataclass a result.

Members that are not known are passed over, so that a newer service may say more. One that is
missing, or of another type, is a `MalformedAnswer`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import MalformedAnswer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_T = TypeVar("_T")


def _member(result: Mapping[str, Any], name: str, kind: type[_T]) -> _T:
    value = result.get(name)
    if kind is float and type(value) is int:
        value = float(value)
    # bool is an int to Python, and not to JSON.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise MalformedAnswer(f'"{name}" of the answer is {value!r}, expected {kind.__name__}')
    return value


def _optional(result: Mapping[str, Any], name: str, kind: type[_T]) -> _T | None:
    return None if result.get(name) is None else _member(result, name, kind)


def _texts(result: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = _member(result, name, list)
    if not all(isinstance(value, str) for value in values):
        raise MalformedAnswer(f'"{name}" of the answer holds something that is no text')
    return tuple(values)


@dataclasses.dataclass(frozen=True, slots=True)
class Draft:
    """Tokens proposed to follow the context: a path or a tree. It is false when it is empty.

    The lists are the draft's own; do not change them.
    """

    tokens: list[int] = dataclasses.field(default_factory=list)
    parents: list[int] = dataclasses.field(default_factory=list)
    """For each token the index of its parent, -1 for the context's end. A parent stands before its
    children."""
    probs: list[float] = dataclasses.field(default_factory=list)
    """Products of count ratios along the path."""
    counts: list[int] = dataclasses.field(default_factory=list)
    score: float = 0.0
    """The sum of `probs`."""
    match_length: int = 0
    """Tokens at the context's end that were found in a history."""
    source: str = "local"
    """The history it was found in: "local", the session's own, or "shared"."""

    def __len__(self) -> int:
        return len(self.tokens)

    def tokens_array(self) -> NDArray[np.int32]:
        """`tokens` for numpy."""
        import numpy as np

        return np.array(self.tokens, dtype=np.int32)

    def parents_array(self) -> NDArray[np.int32]:
        """`parents` for numpy."""
        import numpy as np

        return np.array(self.parents, dtype=np.int32)

    def accepted_by(self, output: list[int]) -> int:
        """How many of this draft's tokens a model accepted that went on with `output`."""
        node, accepted = -1, 0
        for token in output:
            for child in range(node + 1, len(self.tokens)):
                if self.parents[child] == node and self.tokens[child] == token:
                    node, accepted = child, accepted + 1
                    break
            else:
                break
        return accepted

    @staticmethod
    def from_wire(result: Any) -> Draft:
        """A worker walks the tree by its parents, so a lying service must not lead it astray."""
        try:
            tokens, parents = result["tokens"], result["parents"]
            probs, counts = result["probs"], result["counts"]
            draft = Draft(
                tokens,
                parents,
                probs,
                counts,
                float(result["score"]),
                result["match_length"],
                result["source"],
            )
            sound = len(tokens) == len(parents) == len(probs) == len(counts)
            # Most drafts are paths, and lists are compared quickly.
            if parents != _PATH[: len(parents)]:
                for place, parent in enumerate(parents):
                    sound = sound and -1 <= parent < place
            sound = sound and (not tokens or min(tokens) >= 0)
        except (KeyError, TypeError, ValueError) as error:
            raise MalformedAnswer(f"the answer is no draft: {error!r}") from None
        if not sound:
            raise MalformedAnswer("the draft's lists do not fit each other")
        return draft


#: The parents of a path.
_PATH = list(range(-1, 1024))

#: What a step gets when there is nothing to say, or nobody to ask.
EMPTY_DRAFT = Draft()


@dataclasses.dataclass(frozen=True, slots=True)
class ServerInfo:
    name: str
    version: str
    protocol: int
    limits: Mapping[str, int]
    event_loop_line_bytes: int
    """Bytes of the longest line that an event loop of the service reads itself."""
    uptime_s: float

    @staticmethod
    def from_wire(result: Mapping[str, Any]) -> ServerInfo:
        return ServerInfo(
            name=_member(result, "name", str),
            version=_member(result, "version", str),
            protocol=_member(result, "protocol", int),
            limits=_member(result, "limits", dict),
            event_loop_line_bytes=_member(result, "event_loop_line_bytes", int),
            uptime_s=_member(result, "uptime_s", float),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Grant:
    """Whom the access token was made for, and what it allows."""

    name: str
    rights: tuple[str, ...]
    corpora: tuple[str, ...]

    @staticmethod
    def from_wire(result: Mapping[str, Any]) -> Grant:
        return Grant(
            name=_member(result, "name", str),
            rights=_texts(result, "rights"),
            corpora=_texts(result, "corpora"),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Health:
    ok: bool
    awaited: tuple[str, ...]

    @staticmethod
    def from_wire(result: Mapping[str, Any]) -> Health:
        return Health(ok=_member(result, "ok", bool), awaited=_texts(result, "awaited"))


@dataclasses.dataclass(frozen=True, slots=True)
class Retention:
    """How much history a corpus keeps. What is None has no bound."""

    tokens: int | None = None
    sequences: int | None = None
    age_s: int | None = None

    @staticmethod
    def from_wire(result: Mapping[str, Any]) -> Retention:
        return Retention(
            tokens=_optional(result, "tokens", int),
            sequences=_optional(result, "sequences", int),
            age_s=_optional(result, "age_s", int),
        )

    def to_wire(self) -> dict[str, int]:
        return {name: value for name, value in dataclasses.asdict(self).items() if value}


@dataclasses.dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus's settings, which are for life."""

    corpus: str
    tokenizer: str | None
    depth: int
    retention: Retention
    durability: str
    durability_ms: int | None
    vocabulary: int | None
    """Token ids of the corpus are below it; None has no bound."""

    @staticmethod
    def from_wire(result: Mapping[str, Any]) -> Corpus:
        return Corpus(
            corpus=_member(result, "corpus", str),
            tokenizer=_optional(result, "tokenizer", str),
            depth=_member(result, "depth", int),
            retention=Retention.from_wire(_member(result, "retention", dict)),
            durability=_member(result, "durability", str),
            durability_ms=_optional(result, "durability_ms", int),
            vocabulary=_optional(result, "vocabulary", int),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class CorpusStats:
    corpus: str
    tokenizer: str | None
    depth: int
    sequences: int
    tokens: int
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
    unsaved_sequences: int
    damage: tuple[str, ...]

    @staticmethod
    def from_wire(result: Mapping[str, Any]) -> CorpusStats:
        return CorpusStats(
            corpus=_member(result, "corpus", str),
            tokenizer=_optional(result, "tokenizer", str),
            depth=_member(result, "depth", int),
            sequences=_member(result, "sequences", int),
            tokens=_member(result, "tokens", int),
            open_tokens=_member(result, "open_tokens", int),
            bytes_on_disk=_member(result, "bytes_on_disk", int),
            bytes_in_memory=_member(result, "bytes_in_memory", int),
            bytes_per_token=_member(result, "bytes_per_token", float),
            segments=_member(result, "segments", int),
            segments_waiting=_member(result, "segments_waiting", int),
            sessions=_member(result, "sessions", int),
            oldest=_optional(result, "oldest", int),
            newest=_optional(result, "newest", int),
            retention=Retention.from_wire(_member(result, "retention", dict)),
            durability=_member(result, "durability", str),
            durability_ms=_optional(result, "durability_ms", int),
            vocabulary=_optional(result, "vocabulary", int),
            unsaved_sequences=_member(result, "unsaved_sequences", int),
            damage=_texts(result, "damage"),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Merged:
    sequences: int
    tokens: int
    duplicates: int
    conflicts: int

    @staticmethod
    def from_wire(result: Mapping[str, Any]) -> Merged:
        return Merged(
            sequences=_member(result, "sequences", int),
            tokens=_member(result, "tokens", int),
            duplicates=_member(result, "duplicates", int),
            conflicts=_member(result, "conflicts", int),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Inserted:
    inserted: int
    duplicates: int
    tokens: int
    last_order: int | None

    @staticmethod
    def from_wire(result: Mapping[str, Any]) -> Inserted:
        return Inserted(
            inserted=_member(result, "inserted", int),
            duplicates=_member(result, "duplicates", int),
            tokens=_member(result, "tokens", int),
            last_order=_optional(result, "last_order", int),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Forgotten:
    forgotten: int
    tokens: int
    missing: int
    older_snapshots: tuple[str, ...]
    """Snapshots that still hold what they held."""

    @staticmethod
    def from_wire(result: Mapping[str, Any]) -> Forgotten:
        return Forgotten(
            forgotten=_member(result, "forgotten", int),
            tokens=_member(result, "tokens", int),
            missing=_member(result, "missing", int),
            older_snapshots=_texts(result, "older_snapshots"),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class SessionOpened:
    session: str
    prompt_tokens: int
    reused_tokens: int
    """Tokens of the prompt that the parent had indexed already."""

    @staticmethod
    def from_wire(result: Mapping[str, Any]) -> SessionOpened:
        return SessionOpened(
            session=_member(result, "session", str),
            prompt_tokens=_member(result, "prompt_tokens", int),
            reused_tokens=_member(result, "reused_tokens", int),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class SessionClosed:
    recorded_tokens: int
    order: int | None
    unrecorded_reason: str | None = None
    """Why nothing was recorded: "record" (it was not to be), "share" (the session was "never" to
    share), "empty", "read_only", or "retention" (longer than all that the corpus keeps)."""

    @staticmethod
    def from_wire(result: Mapping[str, Any]) -> SessionClosed:
        return SessionClosed(
            recorded_tokens=_member(result, "recorded_tokens", int),
            order=_optional(result, "order", int),
            unrecorded_reason=_optional(result, "unrecorded_reason", str),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    snapshot: str
    corpus: str
    sequences: int
    tokens: int
    bytes: int
    digest: str
    created_s: int

    @staticmethod
    def from_wire(result: Mapping[str, Any]) -> Snapshot:
        return Snapshot(
            snapshot=_member(result, "snapshot", str),
            corpus=_member(result, "corpus", str),
            sequences=_member(result, "sequences", int),
            tokens=_member(result, "tokens", int),
            bytes=_member(result, "bytes", int),
            digest=_member(result, "digest", str),
            created_s=_member(result, "created_s", int),
        )
