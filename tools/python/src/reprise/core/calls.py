"""The methods of the protocol as values: the request, and how its answer is read.

Both clients have these functions as methods: the blocking client waits for the answer and returns
it, that of asyncio returns it to `await` (`Client`, `AsyncClient`). So each method is described
here, once. `timeout` is in seconds; where it is not given, the client's own is used.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from ._constants import DEPTH, LEAD_IN, MISSED, Method
from .errors import MalformedAnswer
from .results import (
    Corpus,
    CorpusStats,
    Forgotten,
    Health,
    Inserted,
    Merged,
    Retention,
    ServerInfo,
    Snapshot,
)
from .tokens import jsonable, token_array

if TYPE_CHECKING:
    from .tokens import TokenIDs

T = TypeVar("T")
Json: TypeAlias = "dict[str, Any]"


@dataclasses.dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request, and how its answer is read."""

    method: str
    params: Json
    read: Callable[[Json], T]
    timeout: float | None = None
    """Seconds that it may take, where the caller says."""
    is_long: bool = False
    """It reads or rewrites whole corpora, which may take minutes."""


@dataclasses.dataclass(frozen=True, slots=True)
class Output:
    """A finished sequence. With an `id`, inserting it again changes nothing."""

    tokens: TokenIDs
    id: str | None = None
    prompt: TokenIDs = ()
    """What it answers, or the end of that: the corpus keeps the last `lead_in` tokens of it."""
    group: str | None = None
    """The group that it belongs to; sessions that name the group draft from its newest outputs."""

    def to_wire(self) -> Json:
        # No corpus keeps more of the prompt.
        lead_in = token_array(self.prompt[-LEAD_IN.maximum :])
        return _given(
            id=self.id,
            group=self.group,
            prompt=jsonable(lead_in) if lead_in else None,
            tokens=jsonable(token_array(self.tokens)),
        )


def _given(**params: Any) -> Json:
    """The parameters that are not None."""
    return {name: value for name, value in params.items() if value is not None}


def _flag(name: str) -> Callable[[Json], bool]:
    return lambda result: bool(result.get(name))


def _list(name: str, read: Callable[[Json], T]) -> Callable[[Json], list[T]]:
    def read_list(result: Json) -> list[T]:
        values = result.get(name)
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            raise MalformedAnswer(f'"{name}" of the answer is no list of objects')
        return [read(value) for value in values]

    return read_list


def _text(result: Json) -> str:
    text = result.get("text")
    if not isinstance(text, str):
        raise MalformedAnswer('"text" of the answer is no text')
    return text


def call(
    method: str, params: Mapping[str, Any] | None = None, timeout: float | None = None
) -> Call[Json]:
    """Any method of the protocol by its name, with its result as it is."""
    return Call(method, dict(params or {}), lambda result: result, timeout)


def server_info(*, timeout: float | None = None) -> Call[ServerInfo]:
    """The version and the limits of the service."""
    return Call(Method.SERVER_INFO, {}, ServerInfo.from_wire, timeout)


def metrics(*, timeout: float | None = None) -> Call[str]:
    """The metrics of the service in Prometheus's text format."""
    return Call(Method.SERVER_METRICS, {}, _text, timeout)


def report(
    *,
    engine: str | None = None,
    steps: int = 0,
    missed: Mapping[str, int] | None = None,
    timeout: float | None = None,
) -> Call[str]:
    """Tells the service what became of this client's steps since its last report, for its metrics.

    Args:
        engine: The client's kind, such as "vllm"; an access token's name comes first.
        steps: Steps in which a draft was wanted.
        missed: The number of these without a draft, by reason: "late", "down", "refused", "empty",
            "unrecorded".

    Returns:
        The name under which they are counted.
    """
    missed = missed or {}
    if unknown := set(missed) - set(MISSED):
        raise ValueError(f"{sorted(unknown)} are no reasons, expected some of {MISSED}")
    params = _given(engine=engine, steps=steps, **missed)
    return Call(Method.CLIENT_REPORT, params, lambda result: str(result.get("client")), timeout)


def is_live(*, timeout: float | None = None) -> Call[Health]:
    """The health of the process: it is alive and answers."""
    return Call(Method.HEALTH_LIVE, {}, Health.from_wire, timeout)


def is_ready(*, timeout: float | None = None) -> Call[Health]:
    """The health of the service: it can carry out calls."""
    return Call(Method.HEALTH_READY, {}, Health.from_wire, timeout)


def create_corpus(
    corpus: str,
    *,
    tokenizer: str | None = None,
    depth: int = DEPTH.default,
    retention: Retention | None = None,
    durability_ms: int | None = None,
    vocabulary: int | None = None,
    lead_in: int = LEAD_IN.default,
    end_ids: TokenIDs = (),
    timeout: float | None = None,
) -> Call[Corpus]:
    """Creates a corpus, or finds the one that exists with the same settings.

    Args:
        tokenizer: Inserts that name another tokenizer are refused.
        depth: The longest pattern whose count is kept, in tokens.
        retention: How much history is kept; all where it is not given.
        durability_ms: Milliseconds after which acknowledged changes are on disk (durability
            "interval"); None has them on disk before they are acknowledged (durability "commit").
        vocabulary: Token ids are below it, others are refused and never drafted.
        lead_in: How many of a prompt's last tokens are kept before its output; 0 keeps none.
        end_ids: The token ids with which outputs end, at most 8: nothing after one is kept, or
            drafted.

    Raises:
        CorpusExists: It exists with other settings.
    """
    params = _given(
        corpus=corpus,
        tokenizer=tokenizer,
        depth=depth,
        retention=None if retention is None else retention.to_wire(),
        durability=None if durability_ms is None else "interval",
        durability_ms=durability_ms,
        vocabulary=vocabulary,
        lead_in=lead_in,
        end_ids=jsonable(token_array(end_ids)) or None,
    )
    return Call(Method.CORPUS_CREATE, params, Corpus.from_wire, timeout)


def corpora(*, timeout: float | None = None) -> Call[list[CorpusStats]]:
    """The statistics of all corpora."""
    return Call(Method.CORPUS_LIST, {}, _list("corpora", CorpusStats.from_wire), timeout)


def corpus_stats(corpus: str, *, timeout: float | None = None) -> Call[CorpusStats]:
    """The statistics of a corpus."""
    return Call(Method.CORPUS_STATS, {"corpus": corpus}, CorpusStats.from_wire, timeout)


def drop_corpus(corpus: str, *, timeout: float | None = None) -> Call[bool]:
    """Removes a corpus and its file, for good."""
    params = {"corpus": corpus, "confirm": corpus}
    return Call(Method.CORPUS_DROP, params, _flag("dropped"), timeout)


def merge_corpus(source: str, into: str, *, timeout: float | None = None) -> Call[Merged]:
    """Adds the sequences of one corpus to another, all or none."""
    params = {"from": source, "into": into}
    return Call(Method.CORPUS_MERGE, params, Merged.from_wire, timeout, is_long=True)


def insert(
    corpus: str,
    sequences: Iterable[Output | TokenIDs],
    *,
    tokenizer: str | None = None,
    timeout: float | None = None,
) -> Call[Inserted]:
    """Adds finished sequences: token ids, or `Output`s with an id or a prompt."""
    wired = [
        (sequence if isinstance(sequence, Output) else Output(sequence)).to_wire()
        for sequence in sequences
    ]
    params = _given(corpus=corpus, sequences=wired, tokenizer=tokenizer)
    return Call(Method.SEQUENCE_INSERT, params, Inserted.from_wire, timeout)


def forget(corpus: str, ids: Sequence[str], *, timeout: float | None = None) -> Call[Forgotten]:
    """Removes sequences for good. Older snapshots, which the answer names, still hold them."""
    params = {"corpus": corpus, "ids": list(ids)}
    return Call(Method.SEQUENCE_FORGET, params, Forgotten.from_wire, timeout, is_long=True)


def create_snapshot(
    corpus: str, name: str | None = None, *, timeout: float | None = None
) -> Call[Snapshot]:
    """Writes a snapshot of a corpus; the service chooses a name where none is given."""
    params = _given(corpus=corpus, name=name)
    return Call(Method.SNAPSHOT_CREATE, params, Snapshot.from_wire, timeout, is_long=True)


def snapshots(corpus: str | None = None, *, timeout: float | None = None) -> Call[list[Snapshot]]:
    """The snapshots of a corpus, or of all."""
    read = _list("snapshots", Snapshot.from_wire)
    return Call(Method.SNAPSHOT_LIST, _given(corpus=corpus), read, timeout, is_long=True)


def verify_snapshot(
    snapshot: str | None = None, *, path: str | None = None, timeout: float | None = None
) -> Call[Snapshot]:
    """Reads a whole snapshot of the store, or in a file that the service may read."""
    params = _given(snapshot=snapshot, path=path)
    return Call(Method.SNAPSHOT_VERIFY, params, Snapshot.from_wire, timeout, is_long=True)


def delete_snapshot(snapshot: str, *, timeout: float | None = None) -> Call[bool]:
    """Deletes a snapshot."""
    params = {"snapshot": snapshot}
    return Call(Method.SNAPSHOT_DELETE, params, _flag("deleted"), timeout, is_long=True)


def restore_snapshot(
    corpus: str,
    snapshot: str | None = None,
    *,
    path: str | None = None,
    replace: bool = False,
    timeout: float | None = None,
) -> Call[CorpusStats]:
    """Verifies a snapshot and makes a whole corpus of it, or none."""
    params = _given(corpus=corpus, snapshot=snapshot, path=path, replace=replace or None)
    return Call(Method.SNAPSHOT_RESTORE, params, CorpusStats.from_wire, timeout, is_long=True)
