"""The blocking client."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from ..core import calls
from ..core.drafts import Draft
from ..core.options import (
    DEFAULT_OPTIONS,
    BatchBounds,
    DraftOptions,
    NewSession,
    Share,
    Step,
    VerifyCost,
    steps_of,
)
from ..core.results import SessionClosed
from .call_link import CallLink
from .client_base import ClientBase, SessionBase, name_of
from .decoding_link import DecodingLink
from .methods import described

if TYPE_CHECKING:
    from ..core.tokens import TokenIDs

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(build: Callable[P, calls.Call[T]]) -> Callable[Concatenate[Client, P], T]:
    """A method that carries a call out and waits for its result."""

    def carry_out(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        call = build(*args, **kwargs)
        return call.read(client._calls.call(call.method, call.params, client._timeout_of(call)))

    return described(carry_out, build)


class Client(ClientBase):
    """A connection to a Reprise service, for code that blocks.

    There are two kinds of calls. *Ordinary* ones (`create_corpus`, `insert`, `corpus_stats`, …)
    raise a `RepriseError` when something is wrong, and may take `timeout` seconds. Those of the
    *decoding path* (`open_session`, `step`, `close_session`, `speculate`) never raise an error of
    the service: a draft that is not there within the deadline, or cannot be asked for, is an empty
    draft, and `counters` tells why. A thread of the client reconnects, opens the sessions again and
    sends the tokens that were accepted meanwhile (see `reprise.core.decoding`).

    It may be used from any number of threads. Each kind of calls has one connection: ordinary
    calls wait for each other; steps of several threads are under way together, but a batch in one
    step is cheaper. After a fork the child has connections of its own, and none of its parent's
    sessions.

        client = Client("/run/reprise.sock")
        client.create_corpus("qwen3-coder")
        with client.open_session("qwen3-coder", prompt) as session:
            draft = session.step()
            while accepted := model.verify(draft):
                draft = session.step(accepted)
    """

    _decoding: DecodingLink

    def _make_links(self) -> None:
        self._calls = CallLink(self._endpoint)
        self._decoding = DecodingLink(self._endpoint, self._limits, self._engine)
        _clients.add(self)

    def _after_fork(self) -> None:
        """The parent goes on with its connections; this process gets others."""
        self._calls.abandon()
        self._decoding.abandon()
        corpora = self._decoding.core.corpora.params
        self._make_links()
        for params in corpora:
            self._decoding.core.ensure_corpus(params)

    def close(self, timeout: float = 1.0) -> bool:
        """Ends the client. Open sessions are closed and recorded.

        Returns:
            True if the service had answered within `timeout` that all of it is recorded. The rest
            is lost; of named sessions that are open on the service, it records what it has when the
            lease ends.
        """
        flushed = self._decoding.close(timeout)
        self._calls.close()
        return flushed

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Ordinary calls.

    call = _blocking(calls.call)
    server_info = _blocking(calls.server_info)
    metrics = _blocking(calls.metrics)
    report = _blocking(calls.report)
    is_live = _blocking(calls.is_live)
    is_ready = _blocking(calls.is_ready)
    create_corpus = _blocking(calls.create_corpus)
    corpora = _blocking(calls.corpora)
    corpus_stats = _blocking(calls.corpus_stats)
    drop_corpus = _blocking(calls.drop_corpus)
    merge_corpus = _blocking(calls.merge_corpus)
    insert = _blocking(calls.insert)
    forget = _blocking(calls.forget)
    create_snapshot = _blocking(calls.create_snapshot)
    snapshots = _blocking(calls.snapshots)
    verify_snapshot = _blocking(calls.verify_snapshot)
    delete_snapshot = _blocking(calls.delete_snapshot)
    restore_snapshot = _blocking(calls.restore_snapshot)

    # The decoding path.

    def open_session(
        self,
        corpus: str,
        prompt: TokenIDs,
        *,
        name: str | None = None,
        parent: Session | str | None = None,
        share: Share = "live",
        ttl_s: int | None = None,
        vocabulary: int | None = None,
        sequence_id: str | None = None,
        group: str | None = None,
        deadline: float | None = None,
    ) -> Session:
        """Begins a request to be decoded. It waits until the service has indexed the prompt, but
        no longer than `deadline`, and not at all for a service that is known to be down.

        Args:
            name: The session's name on the service; one is chosen where it is not given.
            parent: A closed session whose prompt and output begin this prompt.
            share: When its tokens join the shared history: "live", as they are accepted; "close",
                when it closes; "never".
            ttl_s: Seconds without a call after which the service ends it.
            vocabulary: Ids of the model's tokens are below it, and so are those of all drafts.
            sequence_id: Has the output recorded under this id when the session closes, exactly
                once whatever happens, if `share` is "never" (see `reprise.core.decoding`).
            group: The group that the output will belong to, and whose newest outputs are drafted
                from: the samples of one prompt, or the epochs of one task.

        Raises:
            ValueError: An argument is wrong, or a session of that name is open already.
        """
        new = NewSession(
            corpus, prompt, name, name_of(parent), share, ttl_s, vocabulary, sequence_id, group
        )
        return self.open_sessions([new], deadline=deadline)[0]

    def open_sessions(
        self, sessions: Iterable[NewSession], *, deadline: float | None = None
    ) -> list[Session]:
        """Begins any number of requests to be decoded, in one exchange.

        Args:
            deadline: Seconds to wait until all prompts are indexed.

        Raises:
            ValueError: An argument is wrong, or a session of that name is open already. None was
                begun.
        """
        wait = self.open_deadline if deadline is None else deadline
        records = self._decoding.open(list(sessions), wait)
        return [Session(self, record) for record in records]

    def step(
        self,
        steps: Mapping[str, TokenIDs] | Iterable[Step],
        options: DraftOptions | None = None,
        *,
        budget: int | None = None,
        verify_cost: VerifyCost | None = None,
        batch: int | None = None,
        deadline: float | None = None,
    ) -> list[Draft]:
        """One decoding step of any number of sessions, in one exchange.

        Args:
            steps: The tokens that joined each session's output, by its name; or a list of `Step`s.
            options: The drafts that are wanted, where a step does not say.
            budget: The most tokens of all drafts together: those with the highest probabilities are
                drafted, so that a batch verifies what is most worth it.
            verify_cost: The cost of verifying drafted tokens, from which the number of drafted
                tokens follows: the one that makes the expected time a token least. A number is the
                time of one more token as a fraction of a step without drafts; a list of
                (tokens, time) has measured times of steps. `min_probability` of the options does
                not apply then.
            batch: The sequences of the batch, if it has some that are in no step here.
            deadline: Seconds to wait for them.

        Returns:
            The drafts, in the same order. A draft that is not there in time is empty.

        Raises:
            ValueError, TypeError: Something is no list of token ids, or a bound is out of its
                range. Nothing was accepted then.
        """
        wait = self.deadline if deadline is None else deadline
        bounds = BatchBounds(budget, verify_cost, batch)
        return self._decoding.step(steps_of(steps, options), wait, bounds)

    def close_session(
        self,
        session: str,
        accept: TokenIDs = (),
        *,
        record: bool = True,
        wait: float = 0.0,
    ) -> SessionClosed | None:
        """Ends a session, and has its output recorded. That goes on in the background.

        Args:
            accept: Tokens that joined its output since the last step.
            record: False has the output leave the shared history again.
            wait: Seconds to wait until the service says that it is on disk.

        Returns:
            The service's answer, if it came within `wait`.
        """
        return self._decoding.close_session(session, accept, record, wait)

    def speculate(
        self,
        corpus: str,
        contexts: Sequence[TokenIDs],
        options: DraftOptions = DEFAULT_OPTIONS,
        *,
        vocabulary: int | None = None,
        deadline: float | None = None,
    ) -> list[Draft]:
        """Drafts what follows each of several contexts, from the shared history alone.

        Args:
            options: The drafts that are wanted.
            vocabulary: Drafted ids are below it; that of `options` where it is not given.
            deadline: Seconds to wait for them.
        """
        wait = self.deadline if deadline is None else deadline
        return self._decoding.speculate(corpus, contexts, options.within(vocabulary), wait)

    def make_private(self, session: str, *, wait: float = 0.0) -> None:
        """Has the output of an open session leave the shared history, and nothing join it any more.

        Args:
            wait: Seconds to wait until the service has done it. Until then its drafts are empty.
        """
        self._decoding.make_private(session, wait)

    def flush(self, timeout: float = 30.0) -> bool:
        """Waits until nothing is postponed: all sessions are open on the service, and all that were
        closed are recorded.

        Returns:
            True if nothing is postponed at the end of `timeout` at the latest.
        """
        return self._decoding.flush(timeout)


class Session(SessionBase[Client]):
    """One request being decoded. As a context manager it is closed, and recorded, at the end."""

    __slots__ = ()

    def step(
        self,
        accept: TokenIDs = (),
        options: DraftOptions | None = None,
        *,
        deadline: float | None = None,
    ) -> Draft:
        """Tells the tokens that joined the output since the last step, accepted ones and the
        model's own, and asks for what may follow."""
        return self._client.step([Step(self.name, accept, options)], deadline=deadline)[0]

    def close(
        self, accept: TokenIDs = (), *, record: bool = True, wait: float = 0.0
    ) -> SessionClosed | None:
        """Ends the session; see `Client.close_session`."""
        return self._client.close_session(self.name, accept, record=record, wait=wait)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


_clients: weakref.WeakSet[Client] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for client in list(_clients):
        client._after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
