"""`SuffixDecodingCache` as ArcticInference has it, over a history that lasts and is shared.

Code that was written for `arctic_inference.suffix_decoding` runs with

    from reprise.compat import SuffixDecodingCache

The constructor, the properties, the methods, their checks and errors, and the drafts are the same.
These differ:

- The history is the corpus's: drafts come also from the outputs of other workers, and from those
  before the last restart.
- `max_cached_requests` bounds the corpus (as its retention, where this cache creates it) and the
  names in `cached_requests`. A response that leaves because of it is not removed one by one.
- `evict_cached_response` removes the response from the shared history: at once while the request is
  active, in the background afterwards. With access tokens that needs the right to admin; without
  it the name leaves, and the response stays until the corpus's retention removes it.
- With `policy="estimate"`, or `REPRISE_POLICY=estimate` in the environment, tokens are drafted that
  are accepted with a probability of `min_token_prob` at least; factor and offset are not used.
- Without `max_spec_tokens` a draft may have `max_tree_depth` tokens. The original fails there.
- The whole context is tried as a match, and not all but its first token.
- A context that is not the end of the request's text (its prompt and responses) costs a session of
  its own, some 0.3 ms. It counts as a part of the request's history while it is asked.
- A service that is slow or gone makes drafts empty; nothing raises or waits for it. Responses that
  were added meanwhile are sent later (`reprise.core.decoding`).
- Token ids are 0…2147483646. A request with a wrong id, such as the -1 of a placeholder, has empty
  drafts until it is stopped, and is not recorded; other requests are not affected.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import os
import ssl
import uuid
from array import array
from collections.abc import Hashable, KeysView
from typing import TYPE_CHECKING, Any

from ..core._constants import (
    DEPTH,
    LIMITS,
    MAX_FACTOR,
    MAX_OFFSET,
    MIN_PROBABILITY,
    RETENTION_SEQUENCES,
)
from ..core.drafts import Draft
from ..core.options import NO_DRAFT, DraftOptions, Step, known_policy
from ..core.results import Retention
from ..core.tokens import token_array
from ..transports.client import Client, Session
from .draft import SuffixDecodingDraft
from .eviction import Remover, Response

try:
    import numpy as np
except ImportError:  # then nobody gives arrays of it
    np = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from ..core.options import Policy
    from ..core.tokens import TokenIDs
    from ..transports.address import Address

_log = logging.getLogger("reprise")

#: Tokens of draft that the service takes at most.
_DRAFT_TOKENS_MAX = LIMITS["max_tokens"]
#: Seconds that a request waits for its prompt to be indexed; then it goes on without.
_OPEN_SECONDS = 0.05


@dataclasses.dataclass(slots=True)
class _Request:
    """An active request."""

    session: Session | None
    """None where it had a token id that is none."""
    text: array[int]
    """Its prompt and responses, to tell whether a context is its end."""
    added: array[int] = dataclasses.field(default_factory=lambda: array("i"))
    """Responses that the service was not told of yet."""


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
        policy: Policy | None = None,
    ) -> None:
        """
        Args:
            max_tree_depth: Tokens in the longest pattern that is counted.
            max_cached_requests: Responses that are kept; -1 for all, 0 for none.
            corpus: The history's name; `REPRISE_CORPUS`, or "default", where it is not given.
            address, token, tls, deadline: What a `Client` is made with.
            client: One that is there already.
            policy: The drafting policy; `REPRISE_POLICY`, or "suffixdecoding", where it is not
                given.

        Raises:
            ValueError: `max_cached_requests` is too large, no address is given, or the policy is
                not known.
        """
        if max_cached_requests > 0x7FFFFFFF:
            raise ValueError("max_cached_requests must be at most 2^31")
        self._max_tree_depth = max_tree_depth
        self._max_cached_requests = max_cached_requests
        self._corpus = corpus or os.environ.get("REPRISE_CORPUS") or "default"
        self._policy = DraftOptions(policy=policy or _environment_policy()).policy
        self._client = client or Client(
            address, token=token, tls=tls, deadline=deadline, open_deadline=_OPEN_SECONDS
        )
        self._depth = DEPTH.clamp(max_tree_depth)
        retention = None
        if max_cached_requests > 0:
            retention = Retention(sequences=RETENTION_SEQUENCES.clamp(max_cached_requests))
        self._client.ensure_corpus(self._corpus, depth=self._depth, retention=retention)
        self._active: dict[Hashable, _Request] = {}
        self._cached: dict[Hashable, Response] = {}
        self._ids = (f"{uuid.uuid4().hex}-{number}" for number in itertools.count())
        self._remover = Remover(self._client, self._corpus)
        self._is_unrecorded_told = False

    @property
    def client(self) -> Client:
        """The client beneath; its `counters` tell what became of the drafts."""
        return self._client

    @property
    def _global_tree(self) -> _GlobalTree:
        """The global tree, by the name that the original's simulator reads."""
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
            self._cached[req_id] = Response(sequence_id, session)
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
            use_tree_spec: True for a draft that is a tree.

        Raises:
            ValueError: The request is not active, or the context is no array that can be used.
        """
        request = self._request(req_id)
        _validate_ndarray(context)
        if max_spec_tokens is None:
            max_spec_tokens = self._max_tree_depth
        options = DraftOptions(
            policy=self._policy,
            max_tokens=min(max(max_spec_tokens, 0), _DRAFT_TOKENS_MAX),
            max_factor=MAX_FACTOR.clamp(max_spec_factor),
            # The original rounds so that 0.1 · 30 makes 3.
            max_offset=MAX_OFFSET.clamp(max_spec_offset + 1e-6),
            min_probability=MIN_PROBABILITY.clamp(min_token_prob),
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
        True if that happened in time."""
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
        """The damage that was found, in words; empty if there is none."""
        return "; ".join(self.client.corpus_stats(self.corpus).damage)

    def estimate_memory(self) -> int:
        """Bytes that the service keeps in memory."""
        return self.client.corpus_stats(self.corpus).bytes_in_memory


def _environment_policy() -> Policy:
    name = os.environ.get("REPRISE_POLICY") or "suffixdecoding"
    policy = known_policy(name)
    if policy is None:
        _log.warning(
            "reprise: REPRISE_POLICY is %r, expected suffixdecoding or estimate; it is ignored",
            name,
        )
    return policy or "suffixdecoding"


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
