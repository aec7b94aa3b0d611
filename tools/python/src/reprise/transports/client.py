"""The blocking client."""

from __future__ import annotations

import os
import ssl
import weakref
from array import array
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from ..core import calls
from ..core.counters import Counters
from ..core.errors import (
    RepriseError,
)
from ..core.options import DEFAULT_OPTIONS, DecodingLimits, DraftOptions, Share, Step, steps_of
from ..core.records import SessionRecord, State
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
from .address import Address, Endpoint, reduction
from .link import CallLink, DecodingLink

if TYPE_CHECKING:
    from ..core.tokens import TokenIDs

T = TypeVar("T")


class Client:
    """A connection to a Reprise service, for code that blocks.

    There are two kinds of calls. *Ordinary* ones (`create_corpus`, `insert`, `corpus_stats`, …)
    raise a `RepriseError` when something is wrong, and may take `timeout` seconds. Those of the
    *decoding path* (`open_session`, `step`, `close_session`, `speculate`) never raise what a
    service did or did not do: a draft that is not there within the deadline, or cannot be asked
    for, is an empty draft, and `counters` says why. A thread of the client's own reconnects, opens
    the sessions again and sends what was accepted meanwhile (see `reprise.core.decoding`).

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
        """Makes a client. The first call connects.

        Args:
            address: A Unix socket's path, or "host:port"; `REPRISE_SOCKET` where it is not given.
            token: An access token; else `REPRISE_TOKEN`, or what `REPRISE_TOKEN_FILE` holds.
            tls: What a TCP connection is encrypted with.
            timeout: Seconds that an ordinary call may take.
            long_timeout: The same for operators' calls, which read or rewrite whole corpora.
            deadline: Seconds that a step waits for its drafts.
            open_deadline: Seconds that opening a session waits for its prompt to be indexed.
            limits: How much is kept of sessions.
            engine: What the service's metrics call this client, where its token has no name.
        """
        self._endpoint = Endpoint.of(address, token, tls)
        self._token = token
        self._engine = engine
        self.timeout = timeout
        self.long_timeout = long_timeout
        self.deadline = deadline
        self.open_deadline = open_deadline
        self._limits = limits
        self._calls = CallLink(self._endpoint)
        self._decoding = DecodingLink(self._endpoint, limits, engine)
        _clients.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy is a client of the same service, with connections of its own and no sessions. The
        token travels only if it was given as an argument."""
        return reduction(self)

    def _after_fork(self) -> None:
        """The parent goes on with its connections; this process gets others."""
        self._calls.abandon()
        self._decoding.abandon()
        corpora = self._decoding.core.ensured
        self._calls = CallLink(self._endpoint)
        self._decoding = DecodingLink(self._endpoint, self._limits, self._engine)
        for params in corpora:
            self._decoding.core.ensure_corpus(params)

    def close(self, timeout: float = 1.0) -> bool:
        """Ends the client. Open sessions are closed and recorded.

        Returns:
            Whether the service had answered within `timeout` that all of it is recorded. What was
            not is lost; with named sessions that are open on the service, at the end of the lease
            it records what it has.
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

    def call(
        self, method: str, params: Mapping[str, Any] | None = None, timeout: float | None = None
    ) -> dict[str, Any]:
        """Carries any method of the protocol out, and answers its result as it is."""
        return self._run(calls.any_call(method, params or {}), timeout)

    def _run(self, call: calls.Call[T], timeout: float | None) -> T:
        if timeout is None:
            timeout = self.long_timeout if call.is_long else self.timeout
        return call.read(self._calls.call(call.method, call.params, timeout))

    def server_info(self, *, timeout: float | None = None) -> ServerInfo:
        return self._run(calls.server_info(), timeout)

    def metrics(self, *, timeout: float | None = None) -> str:
        """What the service counts and measures, as Prometheus reads it."""
        return self._run(calls.metrics(), timeout)

    def report(
        self,
        *,
        engine: str | None = None,
        steps: int = 0,
        missed: Mapping[str, int] | None = None,
        timeout: float | None = None,
    ) -> str:
        """Tells the service what became of this client's steps since its last report, for its
        metrics.

        Args:
            engine: The client's kind, such as "vllm"; an access token's name comes first.
            steps: Steps in which a draft was wanted.
            missed: How many of them had none, by why: "late", "down", "refused", "empty",
                "unrecorded".

        Returns:
            The name under which they are counted.
        """
        return self._run(calls.report(engine, steps, missed or {}), timeout)

    def is_live(self, *, timeout: float | None = None) -> Health:
        return self._run(calls.is_live(), timeout)

    def is_ready(self, *, timeout: float | None = None) -> Health:
        return self._run(calls.is_ready(), timeout)

    def create_corpus(
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
        """Makes a corpus, or finds the one that stands with the same settings.

        Args:
            tokenizer: Inserts that name another are refused.
            depth: Longest pattern whose count is kept, in tokens.
            retention: How much history is kept; all where it is not given.
            durability_ms: Milliseconds after which what was answered is on disk (durability
                "interval"); None has it on disk before (durability "commit").
            vocabulary: Token ids are below it, others are refused and never drafted.

        Raises:
            CorpusExists: It stands with other settings.
        """
        call = calls.create_corpus(corpus, tokenizer, depth, retention, durability_ms, vocabulary)
        return self._run(call, timeout)

    def corpora(self, *, timeout: float | None = None) -> list[CorpusStats]:
        return self._run(calls.corpora(), timeout)

    def corpus_stats(self, corpus: str, *, timeout: float | None = None) -> CorpusStats:
        return self._run(calls.corpus_stats(corpus), timeout)

    def drop_corpus(self, corpus: str, *, timeout: float | None = None) -> bool:
        """Removes a corpus and its file, for good."""
        return self._run(calls.drop_corpus(corpus), timeout)

    def merge_corpus(self, source: str, into: str, *, timeout: float | None = None) -> Merged:
        """Adds the sequences of one corpus to another, all or none."""
        return self._run(calls.merge_corpus(source, into), timeout)

    def insert(
        self,
        corpus: str,
        sequences: Iterable[calls.Output | TokenIDs],
        *,
        tokenizer: str | None = None,
        timeout: float | None = None,
    ) -> Inserted:
        """Adds finished sequences: token ids, or `Output`s with an id."""
        return self._run(calls.insert(corpus, sequences, tokenizer), timeout)

    def forget(self, corpus: str, ids: Sequence[str], *, timeout: float | None = None) -> Forgotten:
        """Removes sequences for good. Older snapshots, which the answer names, still hold them."""
        return self._run(calls.forget(corpus, ids), timeout)

    def create_snapshot(
        self, corpus: str, name: str | None = None, *, timeout: float | None = None
    ) -> Snapshot:
        return self._run(calls.create_snapshot(corpus, name), timeout)

    def snapshots(
        self, corpus: str | None = None, *, timeout: float | None = None
    ) -> list[Snapshot]:
        return self._run(calls.snapshots(corpus), timeout)

    def verify_snapshot(
        self, snapshot: str | None = None, *, path: str | None = None, timeout: float | None = None
    ) -> Snapshot:
        """Reads a whole snapshot of the store, or in a file that the service may read."""
        return self._run(calls.verify_snapshot(snapshot, path), timeout)

    def delete_snapshot(self, snapshot: str, *, timeout: float | None = None) -> bool:
        return self._run(calls.delete_snapshot(snapshot), timeout)

    def restore_snapshot(
        self,
        corpus: str,
        snapshot: str | None = None,
        *,
        path: str | None = None,
        replace: bool = False,
        timeout: float | None = None,
    ) -> CorpusStats:
        """Verifies a snapshot and makes a whole corpus of it, or none."""
        return self._run(calls.restore_snapshot(corpus, snapshot, path, replace), timeout)

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
        """What became of the decoding path; it goes on counting, `snapshot()` does not."""
        return self._decoding.core.counters

    @property
    def address(self) -> str:
        """Where the service listens: a socket's path, or host:port."""
        return str(self._endpoint.address)

    @property
    def is_connected(self) -> bool:
        """Whether steps can be sent at the moment."""
        return self._decoding.core.is_ready

    @property
    def last_error(self) -> Exception | None:
        """Why the last attempt to connect failed."""
        return self._decoding.last_error

    @property
    def last_refusal(self) -> RepriseError | None:
        """Why the service would not open a session, the last time that it would not."""
        return self._decoding.core.last_refusal

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
        deadline: float | None = None,
    ) -> Session:
        """Begins a request to be decoded. It waits until the service has indexed the prompt, but
        no longer than `deadline`, and not at all for a service that is known to be down.

        Args:
            name: What the service calls it; one is chosen where it is not given.
            parent: A closed session whose prompt and output begin this prompt.
            share: When its tokens join the shared history: "live", as they are accepted; "close",
                when it closes; "never".
            ttl_s: Seconds without a call after which the service ends it.
            vocabulary: Ids of the model's tokens are below it, and so are those of all drafts.
            sequence_id: Has the output recorded under this id when the session closes, exactly
                once whatever happens, if `share` is "never" (see `reprise.core.decoding`).

        Raises:
            ValueError: An argument is wrong, or a session of that name is open already.
        """
        link = self._decoding
        record = link.open(
            corpus,
            prompt,
            self.open_deadline if deadline is None else deadline,
            name=name,
            parent=parent.name if isinstance(parent, Session) else parent,
            share=share,
            ttl_s=ttl_s,
            vocabulary=vocabulary,
            sequence_id=sequence_id,
        )
        return Session(self, record)

    def step(
        self,
        steps: Mapping[str, TokenIDs] | Iterable[Step],
        options: DraftOptions | None = None,
        *,
        deadline: float | None = None,
    ) -> list[Draft]:
        """One decoding step of any number of sessions, in one exchange.

        Args:
            steps: The tokens that joined each session's output, by its name; or a list of `Step`s.
            options: What drafts are wanted, where a step does not say.
            deadline: Seconds to wait for them.

        Returns:
            The drafts, in the same order. What is not there in time is empty.

        Raises:
            ValueError, TypeError: Something is no list of token ids. Nothing was accepted then.
        """
        wait = self.deadline if deadline is None else deadline
        return self._decoding.step(steps_of(steps, options), wait)

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
            record: False has what had joined the shared history leave it again.
            wait: Seconds to wait until the service says that it is on disk.

        Returns:
            What the service said, if it did within `wait`.
        """
        return self._decoding.close_session(session, accept, record, wait)

    def speculate(
        self,
        corpus: str,
        contexts: Sequence[TokenIDs],
        options: DraftOptions = DEFAULT_OPTIONS,
        *,
        deadline: float | None = None,
    ) -> list[Draft]:
        """Drafts what follows each of several contexts, from the shared history alone."""
        wait = self.deadline if deadline is None else deadline
        return self._decoding.speculate(corpus, contexts, options, wait)

    def make_private(self, session: str, *, wait: float = 0.0) -> None:
        """Has the output of an open session leave the shared history, and nothing join it any more.

        Args:
            wait: Seconds to wait until the service has it so. Until then its drafts are empty.
        """
        self._decoding.make_private(session, wait)

    def truncate_session(self, session: str, tokens: int) -> None:
        """Has the text of an open session, its prompt and output, end after so many tokens: the
        model, or its engine, has taken the rest back. What was taken back leaves the history.

        The session is opened anew for that, and its drafts are empty until it is. What an ended
        lease has recorded stays.
        """
        self._decoding.truncate_session(session, tokens)

    def flush(self, timeout: float = 30.0) -> bool:
        """Waits until nothing is deferred: all sessions stand on the service, and all that were
        closed are recorded.

        Returns:
            Whether it came to that in time.
        """
        return self._decoding.flush(timeout)


class Session:
    """One request being decoded. As a context manager it is closed, and recorded, at the end."""

    __slots__ = ("_client", "_record")

    def __init__(self, client: Client, record: SessionRecord) -> None:
        self._client = client
        self._record = record

    @property
    def name(self) -> str:
        return self._record.name

    @property
    def is_open(self) -> bool:
        """Whether it is open on the service at the moment."""
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
        """Has its text end after so many tokens; see `Client.truncate_session`."""
        self._client.truncate_session(self.name, tokens)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a session belongs to its client and process; open one where it is used")

    @property
    def is_done(self) -> bool:
        """Whether it was closed, and its output is recorded or given up."""
        return self._record.is_done

    @property
    def error(self) -> RepriseError | None:
        """What the service said last against it."""
        return self._record.error

    def step(
        self,
        accept: TokenIDs = (),
        options: DraftOptions | None = None,
        *,
        deadline: float | None = None,
    ) -> Draft:
        """Tells which tokens joined the output since the last step, accepted ones and the model's
        own, and asks for what may follow."""
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
