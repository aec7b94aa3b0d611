"""The client for asyncio."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from ..core import calls
from ..core.draft_call import DraftCall
from ..core.drafts import Draft
from ..core.options import (
    DEFAULT_OPTIONS,
    NO_DRAFT,
    BatchBounds,
    DraftOptions,
    NewSession,
    Share,
    Step,
    VerifyCost,
    steps_of,
)
from ..core.prefetch import Prefetch
from ..core.results import SessionClosed
from ..core.session_record import SessionRecord
from ..core.tokens import token_array
from .aio_call_link import AsyncCallLink
from .aio_decoding_link import AsyncDecodingLink
from .client_base import ClientBase, SessionBase, name_of
from .methods import described

if TYPE_CHECKING:
    from ..core.tokens import TokenIDs

P = ParamSpec("P")
T = TypeVar("T")


def _awaited(
    build: Callable[P, calls.Call[T]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    """A method that carries a call out, and is awaited for its result."""

    async def carry_out(client: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        call = build(*args, **kwargs)
        timeout = client._timeout_of(call)
        return call.read(await client._calls.call(call.method, call.params, timeout))

    return described(carry_out, build)


class AsyncClient(ClientBase):
    """A connection to a Reprise service, for asyncio: `reprise.Client` with `await`.

    It belongs to the event loop that first uses it, and to one process. Any number of tasks may
    share it; their calls are under way together.

    `AsyncSession.prefetch` hides the wait for drafts: while the model verifies one, it asks for
    what may follow (see `reprise.core.prefetch`).
    """

    _decoding: AsyncDecodingLink

    def _make_links(self) -> None:
        self._calls = AsyncCallLink(self._endpoint)
        self._decoding = AsyncDecodingLink(self._endpoint, self._limits, self._engine)

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

    # Ordinary calls.

    call = _awaited(calls.call)
    server_info = _awaited(calls.server_info)
    metrics = _awaited(calls.metrics)
    report = _awaited(calls.report)
    is_live = _awaited(calls.is_live)
    is_ready = _awaited(calls.is_ready)
    create_corpus = _awaited(calls.create_corpus)
    corpora = _awaited(calls.corpora)
    corpus_stats = _awaited(calls.corpus_stats)
    drop_corpus = _awaited(calls.drop_corpus)
    merge_corpus = _awaited(calls.merge_corpus)
    insert = _awaited(calls.insert)
    forget = _awaited(calls.forget)
    create_snapshot = _awaited(calls.create_snapshot)
    snapshots = _awaited(calls.snapshots)
    verify_snapshot = _awaited(calls.verify_snapshot)
    delete_snapshot = _awaited(calls.delete_snapshot)
    restore_snapshot = _awaited(calls.restore_snapshot)

    # The decoding path. `Client` describes each.

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
        group: str | None = None,
        deadline: float | None = None,
    ) -> AsyncSession:
        """Begins a request to be decoded; see `Client.open_session`."""
        new = NewSession(
            corpus, prompt, name, name_of(parent), share, ttl_s, vocabulary, sequence_id, group
        )
        return (await self.open_sessions([new], deadline=deadline))[0]

    async def open_sessions(
        self, sessions: Iterable[NewSession], *, deadline: float | None = None
    ) -> list[AsyncSession]:
        """Begins any number of requests to be decoded; see `Client.open_sessions`."""
        wait = self.open_deadline if deadline is None else deadline
        records = await self._decoding.open(list(sessions), wait)
        return [AsyncSession(self, record) for record in records]

    async def step(
        self,
        steps: Mapping[str, TokenIDs] | Iterable[Step],
        options: DraftOptions | None = None,
        *,
        budget: int | None = None,
        verify_cost: VerifyCost | None = None,
        batch: int | None = None,
        deadline: float | None = None,
    ) -> list[Draft]:
        """One decoding step of any number of sessions; see `Client.step`."""
        wait = self.deadline if deadline is None else deadline
        bounds = BatchBounds(budget, verify_cost, batch)
        return await self._decoding.step(steps_of(steps, options), wait, bounds)

    async def close_session(
        self,
        session: str,
        accept: TokenIDs = (),
        *,
        record: bool = True,
        wait: float = 0.0,
    ) -> SessionClosed | None:
        """Ends a session, and has its output recorded; see `Client.close_session`."""
        return await self._decoding.close_session(session, accept, record, wait)

    async def speculate(
        self,
        corpus: str,
        contexts: Sequence[TokenIDs],
        options: DraftOptions = DEFAULT_OPTIONS,
        *,
        vocabulary: int | None = None,
        deadline: float | None = None,
    ) -> list[Draft]:
        """Drafts what follows each of several contexts; see `Client.speculate`."""
        wait = self.deadline if deadline is None else deadline
        return await self._decoding.speculate(corpus, contexts, options.within(vocabulary), wait)

    async def make_private(self, session: str, *, wait: float = 0.0) -> None:
        """Has the output of a session leave the shared history; see `Client.make_private`."""
        await self._decoding.make_private(session, wait)

    async def flush(self, timeout: float = 30.0) -> bool:
        """Waits until nothing is postponed; see `Client.flush`."""
        return await self._decoding.flush(timeout)


class AsyncSession(SessionBase[AsyncClient]):
    """One request during its decoding; see `reprise.Session`."""

    __slots__ = ("_prefetch", "_told")

    def __init__(self, client: AsyncClient, record: SessionRecord) -> None:
        super().__init__(client, record)
        self._prefetch: Prefetch | None = None
        #: A step that was sent without waiting for its answer.
        self._told: DraftCall | None = None

    async def step(
        self,
        accept: TokenIDs = (),
        options: DraftOptions | None = None,
        *,
        deadline: float | None = None,
    ) -> Draft:
        """Tells the tokens that joined the output, and asks for what may follow.

        Where `prefetch` has guessed these tokens, the draft is there already.
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
                self._told = link.tell([Step(self.name, tokens, NO_DRAFT)])
                link.core.counters.prefetch_hits += 1
                return draft
        if self._told is not None:
            # A session has one step under way; mostly this one has long been answered.
            await link.wait_for(self._told, until - time.monotonic())
            self._told = None
        return (await link.step([Step(self.name, accept, options)], until - time.monotonic()))[0]

    def prefetch(self, draft: Draft, options: DraftOptions = DEFAULT_OPTIONS) -> None:
        """Asks for the draft after this one, in case the model accepts all of it.

        Call it when the model begins to verify `draft`; it does not wait. The next step uses the
        answer if the guess came true, and throws it away otherwise.
        """
        link = self._client._decoding
        if self._prefetch is not None:
            link.core.give_up_waiting(self._prefetch.call, is_speculation=True)
        self._prefetch = link.prefetch(self._record, draft, options)

    async def close(
        self, accept: TokenIDs = (), *, record: bool = True, wait: float = 0.0
    ) -> SessionClosed | None:
        """Ends the session; see `Client.close_session`."""
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
