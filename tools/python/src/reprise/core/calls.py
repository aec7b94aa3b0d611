"""The protocol's methods as values: what is asked for, and how the answer is read.

Both clients carry the same calls out, each in its way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from .errors import MalformedAnswer
from .results import (
    Corpus,
    CorpusStats,
    Forgotten,
    Grant,
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
    method: str
    params: Json
    read: Callable[[Json], T]
    is_long: bool = False
    """It reads or rewrites whole corpora, which may take minutes."""


@dataclasses.dataclass(frozen=True, slots=True)
class Output:
    """A finished sequence. With an `id`, inserting it again changes nothing."""

    tokens: TokenIDs
    id: str | None = None

    def to_wire(self) -> Json:
        tokens = jsonable(token_array(self.tokens))
        return {"tokens": tokens} if self.id is None else {"id": self.id, "tokens": tokens}


def _given(**params: Any) -> Json:
    """Leaves out what is None."""
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


def any_call(method: str, params: Mapping[str, Any]) -> Call[Json]:
    return Call(method, dict(params), lambda result: result)


def server_info() -> Call[ServerInfo]:
    return Call("server.info", {}, ServerInfo.from_wire)


def authenticate(token: str) -> Call[Grant]:
    return Call("server.authenticate", {"token": token}, Grant.from_wire)


def metrics() -> Call[str]:
    return Call("server.metrics", {}, _text)


#: Why a step had no draft, as `client.report` has it.
MISSED = ("late", "down", "refused", "empty", "unrecorded")


def report(engine: str | None, steps: int, missed: Mapping[str, int]) -> Call[str]:
    if unknown := set(missed) - set(MISSED):
        raise ValueError(f"{sorted(unknown)} are no reasons, expected some of {MISSED}")
    params = _given(engine=engine, steps=steps, **missed)
    return Call("client.report", params, lambda result: str(result.get("client")))


def is_live() -> Call[Health]:
    return Call("health.live", {}, Health.from_wire)


def is_ready() -> Call[Health]:
    return Call("health.ready", {}, Health.from_wire)


def create_corpus(
    corpus: str,
    tokenizer: str | None,
    depth: int,
    retention: Retention | None,
    durability_ms: int | None,
    vocabulary: int | None = None,
) -> Call[Corpus]:
    params = _given(
        corpus=corpus,
        tokenizer=tokenizer,
        depth=depth,
        retention=None if retention is None else retention.to_wire(),
        durability=None if durability_ms is None else "interval",
        durability_ms=durability_ms,
        vocabulary=vocabulary,
    )
    return Call("corpus.create", params, Corpus.from_wire)


def corpora() -> Call[list[CorpusStats]]:
    return Call("corpus.list", {}, _list("corpora", CorpusStats.from_wire))


def corpus_stats(corpus: str) -> Call[CorpusStats]:
    return Call("corpus.stats", {"corpus": corpus}, CorpusStats.from_wire)


def drop_corpus(corpus: str) -> Call[bool]:
    return Call("corpus.drop", {"corpus": corpus, "confirm": corpus}, _flag("dropped"))


def merge_corpus(source: str, into: str) -> Call[Merged]:
    return Call("corpus.merge", {"from": source, "into": into}, Merged.from_wire, is_long=True)


def insert(
    corpus: str, sequences: Iterable[Output | TokenIDs], tokenizer: str | None
) -> Call[Inserted]:
    wired = [
        (sequence if isinstance(sequence, Output) else Output(sequence)).to_wire()
        for sequence in sequences
    ]
    params = _given(corpus=corpus, sequences=wired, tokenizer=tokenizer)
    return Call("sequence.insert", params, Inserted.from_wire)


def forget(corpus: str, ids: Sequence[str]) -> Call[Forgotten]:
    params = {"corpus": corpus, "ids": list(ids)}
    return Call("sequence.forget", params, Forgotten.from_wire, is_long=True)


def create_snapshot(corpus: str, name: str | None) -> Call[Snapshot]:
    params = _given(corpus=corpus, name=name)
    return Call("snapshot.create", params, Snapshot.from_wire, is_long=True)


def snapshots(corpus: str | None) -> Call[list[Snapshot]]:
    read = _list("snapshots", Snapshot.from_wire)
    return Call("snapshot.list", _given(corpus=corpus), read, is_long=True)


def verify_snapshot(snapshot: str | None, path: str | None) -> Call[Snapshot]:
    params = _given(snapshot=snapshot, path=path)
    return Call("snapshot.verify", params, Snapshot.from_wire, is_long=True)


def delete_snapshot(snapshot: str) -> Call[bool]:
    return Call("snapshot.delete", {"snapshot": snapshot}, _flag("deleted"), is_long=True)


def restore_snapshot(
    corpus: str, snapshot: str | None, path: str | None, replace: bool
) -> Call[CorpusStats]:
    params = _given(corpus=corpus, snapshot=snapshot, path=path, replace=replace or None)
    return Call("snapshot.restore", params, CorpusStats.from_wire, is_long=True)
