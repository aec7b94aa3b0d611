"""The client for asyncio."""

from __future__ import annotations

import os
import ssl
import time
from array import array
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from ..core import calls
from ..core.counters import Counters
from ..core.errors import (
    RepriseError,
)
from ..core.options import (
    DEFAULT_OPTIONS,
    NO_DRAFT,
    DecodingLimits,
    DraftOptions,
    Share,
    Step,
    steps_of,
)
from ..core.prefetch import Prefetch
from ..core.records import DraftCall, SessionRecord, State
from ..core.results import (
    Corpus,
    CorpusStats,
    Draft,
    Forgotten,
    Health,
    Inserted,
    Merged,
    Retention,
    ServerInfo,
    SessionClosed,
    Snapshot,
)
from ..core.tokens import token_array
from .address import Address, Endpoint, reduction
from .aio_link import AsyncCallLink, AsyncDecodingLink

if TYPE_CHECKING:
    from ..core.tokens import TokenIDs

T = TypeVar("T")


class AsyncClient:
    """A connection to a Reprise service, for asyncio: `reprise.Client` with `await`.

    It belongs to the event loop that first uses it, and to one process. Any number of tasks may
    share it; what they ask is under way together.

    `Session.prefetch` hides the wait for drafts: while the model verifies one, it asks for what
    may follow (see `reprise.core.prefetch`).
    """

    def __init__(
        self,
        address: str | os.PathLike[str] | Address | None = None,
        *,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        timeout: float = 30.0,
        long_timeout: float = 3600.0,
        deadline: float = 0.002,
        open_deadline: float = 1.0,
        limits: DecodingLimits | None = None,
        engine: str | None = None,
    ) -> None:
        """Makes a client; the arguments are those of `reprise.Client`."""
        self._endpoint = Endpoint.of(address, token, tls)
        self._token = token
        self._limits = limits
        self._engine = engine
        self.timeout = timeout
        self.long_timeout = long_timeout
        self.deadline = deadline
        self.open_deadline = open_deadline
        self._calls = AsyncCallLink(self._endpoint)
        self._decoding = AsyncDecodingLink(self._endpoint, limits, engine)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy is a client of the same service, with connections of its own and no sessions. The
        token travels only if it was given as an argument."""
        return reduction(self)

    async def close(self, timeout: float = 1.0) -> bool:
        """Ends the client. Open sessions are closed and recorded; see `Client.close`."""
        flushed = await self._decoding.close(timeout)
        self._calls.close()
        return flushed

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    # Ordinary calls. `Client` says more about each.

    async def call(
        self, method: str, params: Mapping[str, Any] | None = None, timeout: float | None = None
    ) -> dict[str, Any]:
        return await self._run(calls.any_call(method, params or {}), timeout)

    async def _run(self, call: calls.Call[T], timeout: float | None) -> T:
        if timeout is None:
            timeout = self.long_timeout if call.is_long else self.timeout
        return call.read(await self._calls.call(call.method, call.params, timeout))

    async def server_info(self, *, timeout: float | None = None) -> ServerInfo:
        return await self._run(calls.server_info(), timeout)

    async def metrics(self, *, timeout: float | None = None) -> str:
        return await self._run(calls.metrics(), timeout)

    async def report(
        self,
        *,
        engine: str | None = None,
        steps: int = 0,
        missed: Mapping[str, int] | None = None,
        timeout: float | None = None,
    ) -> str:
        return await self._run(calls.report(engine, steps, missed or {}), timeout)

    async def is_live(self, *, timeout: float | None = None) -> Health:
        return await self._run(calls.is_live(), timeout)

    async def is_ready(self, *, timeout: float | None = None) -> Health:
        return await self._run(calls.is_ready(), timeout)

    async def create_corpus(
        self,
        corpus: str,
        *,
        tokenizer: str | None = None,
        depth: int = 64,
        retention: Retention | None = None,
        durability_ms: int | None = None,
        vocabulary: int | None = None,
        timeout: float | None = None,
    ) -> Corpus:
        call = calls.create_corpus(corpus, tokenizer, depth, retention, durability_ms, vocabulary)
        return await self._run(call, timeout)

    async def corpora(self, *, timeout: float | None = None) -> list[CorpusStats]:
        return await self._run(calls.corpora(), timeout)

    async def corpus_stats(self, corpus: str, *, timeout: float | None = None) -> CorpusStats:
        return await self._run(calls.corpus_stats(corpus), timeout)

    async def drop_corpus(self, corpus: str, *, timeout: float | None = None) -> bool:
        return await self._run(calls.drop_corpus(corpus), timeout)

    async def merge_corpus(self, source: str, into: str, *, timeout: float | None = None) -> Merged:
        return await self._run(calls.merge_corpus(source, into), timeout)

    async def insert(
        self,
        corpus: str,
        sequences: Iterable[calls.Output | TokenIDs],
        *,
        tokenizer: str | None = None,
        timeout: float | None = None,
    ) -> Inserted:
        return await self._run(calls.insert(corpus, sequences, tokenizer), timeout)

    async def forget(
        self, corpus: str, ids: Sequence[str], *, timeout: float | None = None
    ) -> Forgotten:
        return await self._run(calls.forget(corpus, ids), timeout)

    async def create_snapshot(
        self, corpus: str, name: str | None = None, *, timeout: float | None = None
    ) -> Snapshot:
        return await self._run(calls.create_snapshot(corpus, name), timeout)

    async def snapshots(
        self, corpus: str | None = None, *, timeout: float | None = None
    ) -> list[Snapshot]:
        return await self._run(calls.snapshots(corpus), timeout)

    async def verify_snapshot(
        self, snapshot: str | None = None, *, path: str | None = None, timeout: float | None = None
    ) -> Snapshot:
        return await self._run(calls.verify_snapshot(snapshot, path), timeout)

    async def delete_snapshot(self, snapshot: str, *, timeout: float | None = None) -> bool:
        return await self._run(calls.delete_snapshot(snapshot), timeout)

    async def restore_snapshot(
        self,
        corpus: str,
        snapshot: str | None = None,
        *,
        path: str | None = None,
        replace: bool = False,
        timeout: float | None = None,
    ) -> CorpusStats:
        return await self._run(calls.restore_snapshot(corpus, snapshot, path, replace), timeout)

    # The decoding path.

    def ensure_corpus(
        self,
        corpus: str,
        *,
        tokenizer: str | None = None,
        depth: int = 64,
        retention: Retention | None = None,
        durability_ms: int | None = None,
        vocabulary: int | None = None,
    ) -> None:
        """Has a corpus made before sessions over it are opened, as soon as the service is there;
        does not wait, and does not fail. One that stands with other settings is used as it is."""
        call = calls.create_corpus(corpus, tokenizer, depth, retention, durability_ms, vocabulary)
        self._decoding.ensure_corpus(call.params)

    @property
    def counters(self) -> Counters:
        return self._decoding.core.counters

    @property
    def address(self) -> str:
        """Where the service listens: a socket's path, or host:port."""
        return str(self._endpoint.address)

    @property
    def is_connected(self) -> bool:
        return self._decoding.core.is_ready

    @property
    def last_error(self) -> Exception | None:
        return self._decoding.last_error

    @property
    def last_refusal(self) -> RepriseError | None:
        """Why the service would not open a session, the last time that it would not."""
        return self._decoding.core.last_refusal

    async def open_session(
        self,
        corpus: str,
        prompt: TokenIDs,
        *,
        name: str | None = None,
        parent: AsyncSession | str | None = None,
        share: Share = "live",
        ttl_s: int | None = None,
        vocabulary: int | None = None,
        sequence_id: str | None = None,
        deadline: float | None = None,
    ) -> AsyncSession:
        record = await self._decoding.open(
            corpus,
            prompt,
            self.open_deadline if deadline is None else deadline,
            name=name,
            parent=parent.name if isinstance(parent, AsyncSession) else parent,
            share=share,
            ttl_s=ttl_s,
            vocabulary=vocabulary,
            sequence_id=sequence_id,
        )
        return AsyncSession(self, record)

    async def step(
        self,
        steps: Mapping[str, TokenIDs] | Iterable[Step],
        options: DraftOptions | None = None,
        *,
        deadline: float | None = None,
    ) -> list[Draft]:
        wait = self.deadline if deadline is None else deadline
        return await self._decoding.step(steps_of(steps, options), wait)

    async def close_session(
        self,
        session: str,
        accept: TokenIDs = (),
        *,
        record: bool = True,
        wait: float = 0.0,
    ) -> SessionClosed | None:
        return await self._decoding.close_session(session, accept, record, wait)

    async def speculate(
        self,
        corpus: str,
        contexts: Sequence[TokenIDs],
        options: DraftOptions = DEFAULT_OPTIONS,
        *,
        deadline: float | None = None,
    ) -> list[Draft]:
        wait = self.deadline if deadline is None else deadline
        return await self._decoding.speculate(corpus, contexts, options, wait)

    async def make_private(self, session: str, *, wait: float = 0.0) -> None:
        await self._decoding.make_private(session, wait)

    def truncate_session(self, session: str, tokens: int) -> None:
        """Has the text of an open session, its prompt and output, end after so many tokens: the
        model, or its engine, has taken the rest back. What was taken back leaves the history.

        The session is opened anew for that, and its drafts are empty until it is. What an ended
        lease has recorded stays.
        """
        self._decoding.truncate_session(session, tokens)

    async def flush(self, timeout: float = 30.0) -> bool:
        return await self._decoding.flush(timeout)


class AsyncSession:
    """One request being decoded; see `reprise.Session`."""

    __slots__ = ("_client", "_prefetch", "_record", "_told")

    def __init__(self, client: AsyncClient, record: SessionRecord) -> None:
        self._client = client
        self._record = record
        self._prefetch: Prefetch | None = None
        #: A step that was sent without waiting for its answer.
        self._told: DraftCall | None = None

    @property
    def name(self) -> str:
        return self._record.name

    @property
    def is_open(self) -> bool:
        return self._record.state is State.OPEN

    @property
    def text(self) -> array[int]:
        """Its prompt and output so far, a copy; empty once it is done."""
        return self._record.text

    def tail(self, count: int) -> array[int]:
        """The last `count` tokens of `text`, in O(count)."""
        return self._record.tail(count)

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more tokens: it was closed, or went past a bound of the client."""
        return self._record.closing or self._record.is_done

    def truncate(self, tokens: int) -> None:
        """Has its text end after so many tokens; see `AsyncClient.truncate_session`."""
        self._client.truncate_session(self.name, tokens)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a session belongs to its client and process; open one where it is used")

    @property
    def is_done(self) -> bool:
        return self._record.is_done

    @property
    def error(self) -> RepriseError | None:
        return self._record.error

    async def step(
        self,
        accept: TokenIDs = (),
        options: DraftOptions | None = None,
        *,
        deadline: float | None = None,
    ) -> Draft:
        """Tells what joined the output, and asks for what may follow.

        Where `prefetch` has guessed what joined it, the draft is there already.
        """
        link = self._client._decoding
        wait = self._client.deadline if deadline is None else deadline
        until = time.monotonic() + wait
        guess, self._prefetch = self._prefetch, None
        if guess is not None:
            tokens = token_array(accept)
            draft = guess.draft_after(self._record, tokens) if tokens else None
            link.core.give_up_waiting(guess.call, is_speculation=True)
            if draft is not None:
                self._told = link.tell(Step(self.name, tokens, NO_DRAFT))
                link.core.counters.prefetch_hits += 1
                return draft
        if self._told is not None:
            # A session has one step under way; mostly this one has long been answered.
            await link.wait_for(self._told, until - time.monotonic())
            self._told = None
        return (await link.step([Step(self.name, accept, options)], until - time.monotonic()))[0]

    def prefetch(self, draft: Draft, options: DraftOptions = DEFAULT_OPTIONS) -> None:
        """Asks for the draft after this one, in case the model accepts all of it.

        Call it when the model begins to verify `draft`; it does not wait. The next step uses what
        came if the guess came true, and throws it away otherwise.
        """
        link = self._client._decoding
        if self._prefetch is not None:
            link.core.give_up_waiting(self._prefetch.call, is_speculation=True)
        self._prefetch = link.prefetch(self._record, draft, options)

    async def close(
        self, accept: TokenIDs = (), *, record: bool = True, wait: float = 0.0
    ) -> SessionClosed | None:
        return await self._client.close_session(self.name, accept, record=record, wait=wait)

    async def __aenter__(self) -> AsyncSession:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
