"""`SuffixDecodingCache` as ArcticInference has it, over a history that lasts and is shared.

Code that was written for `arctic_inference.suffix_decoding` runs with

    from reprise.compat import SuffixDecodingCache

What is the same: the constructor, the properties, the methods, what they check and raise, and the
drafts. What differs, and why:

- The history is the corpus's: what other workers write, and wrote before the last restart, is
  drafted from too.
- `max_cached_requests` bounds the corpus (as its retention, where this cache is what makes it) and
  the names in `cached_requests`. A response that leaves because of it is not removed one by one.
- `evict_cached_response` removes the response from the shared history: at once while the request is
  active, in the background afterwards. With access tokens that needs the right to admin; without
  it the name leaves, and the response stays until the corpus's retention removes it.
- Without `max_spec_tokens` a draft may have `max_tree_depth` tokens. The original fails there.
- The whole context is tried as a match, and not all but its first token.
- A context that is not the end of what the request has (its prompt and responses) costs a session
  of its own, so some 0.3 ms. It is counted as a part of the request's history while it is asked.
- A service that is slow or gone makes drafts empty, and never raises or waits. What was added
  meanwhile is sent later (`reprise.core.decoding`).
- Token ids are 0…2147483646. A request with an id that is none, such as the -1 of a placeholder,
  has empty drafts until it is stopped, and is not recorded; others are as they were.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import os
import queue
import ssl
import threading
import uuid
from array import array
from collections.abc import Hashable, KeysView
from typing import TYPE_CHECKING, Any

from ..core.errors import RepriseError
from ..core.options import NO_DRAFT, DraftOptions, Step
from ..core.results import Draft, Retention
from ..core.tokens import token_array
from ..transports.client import Client, Session

try:
    import numpy as np
except ImportError:  # then nobody gives arrays of it
    np = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from ..core.tokens import TokenIDs
    from ..transports.address import Address

_log = logging.getLogger("reprise")

#: What a corpus can be made with.
_DEPTH_RANGE = (2, 127)
_RETENTION_SEQUENCES_MIN = 8
#: What the service takes at most.
_DRAFT_TOKENS_MAX = 1024
_FACTOR_MAX = 1e6
#: Seconds that a request waits for its prompt to be indexed; then it goes on without.
_OPEN_SECONDS = 0.05
#: Responses that wait to be removed at most; beyond that their names alone leave.
_EVICTIONS_MAX = 1 << 16
#: Seconds that removing waits for a response to be recorded first.
_RECORDED_SECONDS = 60.0


@dataclasses.dataclass
class SuffixDecodingDraft:
    """Token `i` follows token `parents[i]`, or the context's end where that is -1. `probs` are
    estimated, `score` is their sum, and `match_len` tokens of the context were matched."""

    token_ids: list[int] = dataclasses.field(default_factory=list)
    parents: list[int] = dataclasses.field(default_factory=list)
    probs: list[float] = dataclasses.field(default_factory=list)
    score: float = 0.0
    match_len: int = 0

    @staticmethod
    def from_draft(draft: Draft) -> SuffixDecodingDraft:
        return SuffixDecodingDraft(
            list(draft.tokens),
            list(draft.parents),
            [float(probability) for probability in draft.probs],
            draft.score,
            draft.match_length,
        )


@dataclasses.dataclass(slots=True)
class _Request:
    """An active request."""

    session: Session | None
    """None where it had a token id that is none."""
    text: array[int]
    """Its prompt and responses, to tell whether a context is its end."""
    added: array[int] = dataclasses.field(default_factory=lambda: array("i"))
    """Responses that the service was not told of yet."""


@dataclasses.dataclass(slots=True)
class _Response:
    """A cached response, by the id that it has in the corpus."""

    sequence_id: str
    session: Session


class SuffixDecodingCache:
    """See the module. It may be used from one thread, as the original."""

    def __init__(
        self,
        max_tree_depth: int = 64,
        max_cached_requests: int = -1,
        *,
        corpus: str | None = None,
        address: str | os.PathLike[str] | Address | None = None,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        deadline: float = 0.002,
        client: Client | None = None,
    ) -> None:
        """
        Args:
            max_tree_depth: Tokens in the longest pattern that is counted.
            max_cached_requests: Responses that are kept; -1 for all, 0 for none.
            corpus: The history's name; `REPRISE_CORPUS`, or "default", where it is not given.
            address, token, tls, deadline: What a `Client` is made with.
            client: One that is there already.

        Raises:
            ValueError: `max_cached_requests` is too large, or no address is given.
        """
        if max_cached_requests > 0x7FFFFFFF:
            raise ValueError("max_cached_requests must be at most 2^31")
        self._max_tree_depth = max_tree_depth
        self._max_cached_requests = max_cached_requests
        self._corpus = corpus or os.environ.get("REPRISE_CORPUS") or "default"
        self._client = client or Client(
            address, token=token, tls=tls, deadline=deadline, open_deadline=_OPEN_SECONDS
        )
        low, high = _DEPTH_RANGE
        self._depth = min(max(max_tree_depth, low), high)
        retention = None
        if max_cached_requests > 0:
            retention = Retention(sequences=max(max_cached_requests, _RETENTION_SEQUENCES_MIN))
        self._client.ensure_corpus(self._corpus, depth=self._depth, retention=retention)
        self._active: dict[Hashable, _Request] = {}
        self._cached: dict[Hashable, _Response] = {}
        self._ids = (f"{uuid.uuid4().hex}-{number}" for number in itertools.count())
        self._remover = _Remover(self._client, self._corpus)
        self._is_unrecorded_told = False

    @property
    def client(self) -> Client:
        """The client beneath; its `counters` tell what became of the drafts."""
        return self._client

    @property
    def _global_tree(self) -> _GlobalTree:
        """What the original's simulator reaches for."""
        return _GlobalTree(self._client, self._corpus)

    @property
    def max_tree_depth(self) -> int:
        return self._max_tree_depth

    @property
    def max_cached_requests(self) -> int:
        return self._max_cached_requests

    @property
    def active_requests(self) -> KeysView[Hashable]:
        """Requests that were started and not stopped."""
        return self._active.keys()

    @property
    def cached_requests(self) -> KeysView[Hashable]:
        """Requests of this cache whose responses are in the history."""
        return self._cached.keys()

    def start_request(self, req_id: Hashable, prompt_token_ids: TokenIDs) -> None:
        """Begins a request. What is cached under its name is evicted, and the oldest cached ones
        where there would be too many.

        Raises:
            ValueError: It is active already, or the prompt is no array that can be used.
        """
        if req_id in self._active:
            raise ValueError(f"Request '{req_id}' is already active")
        _validate_ndarray(prompt_token_ids)
        is_cached = self._max_cached_requests != 0
        if is_cached and req_id in self._cached:
            self.evict_cached_response(req_id)
        try:
            prompt = token_array(prompt_token_ids)
        except ValueError as error:
            self._active[req_id] = _Request(None, array("i"))
            self._note_unrecorded(req_id, error)
            return
        sequence_id = next(self._ids)
        session = self._client.open_session(
            self._corpus,
            prompt,
            share="live" if is_cached else "never",
            sequence_id=sequence_id if is_cached else None,
        )
        self._active[req_id] = _Request(session, prompt)
        if is_cached:
            self._cached[req_id] = _Response(sequence_id, session)
            if 0 < self._max_cached_requests < len(self._cached):
                # The corpus's retention has its text leave.
                del self._cached[next(iter(self._cached))]

    def stop_request(self, req_id: Hashable) -> None:
        """Ends a request. Its response stays in the history.

        Raises:
            ValueError: It is not active.
        """
        request = self._request(req_id)
        del self._active[req_id]
        if request.session is not None:
            request.session.close(request.added)

    def add_active_response(self, req_id: Hashable, token_ids: TokenIDs) -> None:
        """Adds to a request's response. From now on all requests are drafted from it.

        Raises:
            ValueError: It is not active, or the tokens are no array that can be used.
        """
        request = self._request(req_id)
        _validate_ndarray(token_ids)
        try:
            tokens = token_array(token_ids)
        except ValueError as error:
            self._spoil(req_id, request, error)
            return
        if request.session is None:
            return
        request.text.extend(tokens)
        # It is told with the next drafts that are asked for, before them: one exchange a step.
        request.added.extend(tokens)

    def evict_cached_response(self, req_id: Hashable) -> None:
        """Removes a request's response from the history.

        Raises:
            ValueError: It is not cached.
        """
        if req_id not in self._cached:
            raise ValueError(f"Request '{req_id}' is not cached")
        response = self._cached.pop(req_id)
        active = self._active.get(req_id)
        if active is not None and active.session is response.session:
            self._client.make_private(response.session.name, wait=self._client.open_deadline)
        else:
            self._remover.remove(response)

    def speculate(
        self,
        req_id: Hashable,
        context: TokenIDs,
        max_spec_tokens: int | None = None,
        max_spec_factor: float = 1.0,
        max_spec_offset: float = 0.0,
        min_token_prob: float = 0.1,
        use_tree_spec: bool = False,
    ) -> SuffixDecodingDraft:
        """Drafts what follows a context, from the request's prompt and response and the history.

        Args:
            context: Mostly the end of the request's prompt and response.
            max_spec_tokens: Tokens at most; `max_tree_depth` where it is not given.
            max_spec_factor, max_spec_offset: At a match of length m, at most
                m · factor + offset tokens.
            min_token_prob: Tokens that are less probable are not drafted.
            use_tree_spec: Whether the draft is a tree.

        Raises:
            ValueError: The request is not active, or the context is no array that can be used.
        """
        request = self._request(req_id)
        _validate_ndarray(context)
        if max_spec_tokens is None:
            max_spec_tokens = self._max_tree_depth
        options = DraftOptions(
            max_tokens=min(max(max_spec_tokens, 0), _DRAFT_TOKENS_MAX),
            max_factor=min(max(max_spec_factor, 0.0), _FACTOR_MAX),
            # The original rounds so that 0.1 · 30 makes 3.
            max_offset=min(max(max_spec_offset + 1e-6, -_FACTOR_MAX), _FACTOR_MAX),
            min_probability=min(max(min_token_prob, 0.0), 1.0),
            tree=bool(use_tree_spec),
        )
        if request.session is None:
            self._client.counters.unrecorded_rows += 1
            return SuffixDecodingDraft()
        try:
            tail = token_array(context[-self._depth :] if len(context) else context)
        except ValueError:
            # It follows nothing that a history has.
            return SuffixDecodingDraft()
        is_end = request.text[-self._depth :] == tail
        told = self._told(request, options if is_end and min_token_prob <= 1 else NO_DRAFT)
        if is_end:
            return SuffixDecodingDraft.from_draft(told)
        if min_token_prob > 1:
            return SuffixDecodingDraft()
        return SuffixDecodingDraft.from_draft(self._speculate_elsewhere(request, tail, options))

    def _told(self, request: _Request, options: DraftOptions) -> Draft:
        """Tells the service of all that was added, and asks for one request's draft, in one line.
        What is not told now for want of a service is told later."""
        steps = [
            Step(other.session.name, other.added, NO_DRAFT)
            for other in self._active.values()
            if other.session is not None and other.added and other is not request
        ]
        assert request.session is not None
        steps.append(Step(request.session.name, request.added, options))
        drafts = self._client.step(steps)
        for other in self._active.values():
            if other.added:
                other.added = array("i")
        return drafts[-1]

    def _speculate_elsewhere(
        self, request: _Request, context: array[int], options: DraftOptions
    ) -> Draft:
        """A draft after a context that is not where the request stands: a session of its own
        begins with what the request has, and leaves nothing behind."""
        session = self._client.open_session(self._corpus, request.text, share="never")
        draft = session.step(context, options)
        session.close(record=False)
        return draft

    def _spoil(self, req_id: Hashable, request: _Request, error: ValueError) -> None:
        """Has a request be neither drafted nor recorded until it is stopped."""
        session, request.session = request.session, None
        request.added = array("i")
        if session is not None:
            cached = self._cached.get(req_id)
            if cached is not None and cached.session is session:
                del self._cached[req_id]
            session.close(record=False)
        self._note_unrecorded(req_id, error)

    def _note_unrecorded(self, req_id: Hashable, error: ValueError) -> None:
        self._client.counters.unrecorded_rows += 1
        if not self._is_unrecorded_told:
            self._is_unrecorded_told = True
            _log.warning(
                "request %r has no drafts and is not recorded: %s; said once", req_id, error
            )

    def _request(self, req_id: Hashable) -> _Request:
        request = self._active.get(req_id)
        if request is None:
            raise ValueError(f"Request '{req_id}' is not active")
        return request

    def flush(self, timeout: float = 30.0) -> bool:
        """Waits until all stopped requests are recorded, and all evicted ones removed. Returns
        whether it came to that in time."""
        return self._client.flush(timeout) and self._remover.flush(timeout)

    def close(self) -> None:
        """Ends the client; active requests are recorded."""
        self._client.close()


@dataclasses.dataclass(frozen=True, slots=True)
class _GlobalTree:
    """The shared history, as far as the original's simulator looks into it. As ordinary calls do,
    these raise where there is no service."""

    client: Client
    corpus: str

    def check_integrity(self) -> str:
        """What is damaged; empty where all is well."""
        return "; ".join(self.client.corpus_stats(self.corpus).damage)

    def estimate_memory(self) -> int:
        """Bytes that the service keeps in memory."""
        return self.client.corpus_stats(self.corpus).bytes_in_memory


class _Remover:
    """Removes responses from a corpus on a thread of its own: it takes the service milliseconds and
    more, and many at once little longer than one."""

    def __init__(self, client: Client, corpus: str) -> None:
        self._client = client
        self._corpus = corpus
        self._waiting: queue.Queue[_Response] = queue.Queue(_EVICTIONS_MAX)
        self._thread: threading.Thread | None = None
        self._idle = threading.Condition()
        self._count = 0

    def remove(self, response: _Response) -> None:
        with self._idle:
            if self._thread is None or not self._thread.is_alive():
                # After a fork there is none either.
                self._thread = threading.Thread(
                    target=self._run, name="reprise-evictions", daemon=True
                )
                self._thread.start()
            try:
                self._waiting.put_nowait(response)
                self._count += 1
            except queue.Full:
                _log.warning("too many evictions wait; a response stays in the history")

    def flush(self, timeout: float) -> bool:
        with self._idle:
            return self._idle.wait_for(lambda: self._count == 0, timeout)

    def _run(self) -> None:
        while True:
            responses = [self._waiting.get()]
            # Nobody else takes from the queue, so what it has is there.
            responses += [self._waiting.get() for _ in range(self._waiting.qsize())]
            try:
                # What is not recorded yet cannot be removed.
                if not all(response.session.is_done for response in responses):
                    self._client.flush(_RECORDED_SECONDS)
                ids = [response.sequence_id for response in responses]
                self._client.forget(self._corpus, ids)
            except RepriseError as error:
                _log.warning("%d evicted responses stay in the history: %s", len(responses), error)
            with self._idle:
                self._count -= len(responses)
                self._idle.notify_all()


def _validate_ndarray(tokens: Any) -> None:
    """The checks of the original, which takes arrays without copying them."""
    if np is None or not isinstance(tokens, np.ndarray):
        return
    if tokens.ndim != 1:
        raise ValueError(f"ndarray input must have ndim=1, got ndim={tokens.ndim}")
    if tokens.dtype != np.int32:
        raise ValueError(f"ndarray input must have dtype=int32, got dtype={tokens.dtype.name}")
    if not tokens.flags["C_CONTIGUOUS"]:
        raise ValueError("ndarray input must be contiguous")
