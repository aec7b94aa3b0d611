"""Sessions of an engine's batch: what engines share in turning requests into drafts.

An engine hands over its whole batch, once a step. All of it goes to the service in one line, and
one line comes back: waking up costs more than the work.

**Being absent is no end.** A request that a step does not hold may be preempted, waiting for
another pipeline stage, or not scheduled this time. It ends when the engine says so (`finish`), or
when no step has held it for `idle` seconds; in both cases its output is recorded. One that comes
back later goes on in a session whose prompt is what was recorded, so that nothing is in the
history twice. Whatever this process does not get to is ended by the service when the lease ends.

**A drafter never stops an engine.** Nothing here raises: what goes wrong is an empty draft, and
one line in the log.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..client import Client, Session
from ..options import DraftOptions, Step
from ..results import EMPTY_DRAFT, Draft
from .settings import EngineSettings

if TYPE_CHECKING:
    from ..tokens import TokenIDs

logger = logging.getLogger("reprise")

#: Seconds between looks for requests that nobody asks for any more.
SWEEP_SECONDS = 5.0
#: Seconds for which the length of a request that was closed for being idle is remembered.
REMEMBERED_SECONDS = 3600.0


@dataclasses.dataclass(slots=True)
class Row:
    """A request's place in a step."""

    key: str
    """The engine's name for it."""
    tokens: TokenIDs
    """All of its tokens that are final: the prompt, then the output."""
    prompt_tokens: int
    """How many of them are prompt."""
    max_tokens: int
    """The longest draft that the engine can take now."""


@dataclasses.dataclass(slots=True)
class _Request:
    session: Session | None
    """None when it was closed for being idle."""
    known: int
    """Tokens that the session has; further ones are what a step accepts."""
    last: int
    """The last of them. It tells a request from a new one that was given the same name."""
    seen: float

    def goes_on_with(self, tokens: TokenIDs) -> bool:
        return self.known <= len(tokens) and (
            self.known == 0 or int(tokens[self.known - 1]) == self.last
        )


class BatchDrafter:
    """Drafts for the requests of one engine process. It is used by one thread."""

    def __init__(
        self,
        client: Client,
        corpus: str,
        *,
        options: DraftOptions,
        settings: EngineSettings | None = None,
        vocabulary: int | None = None,
    ) -> None:
        """
        Args:
            corpus: It is made where it isn't there, as soon as the service is.
            options: What drafts are wanted; `max_tokens` is each row's own.
            vocabulary: Tokens from here on are cut off drafts. Looking one up that the model does
                not have would end the process on a GPU, and a corpus may be another model's.
        """
        self.client = client
        self.corpus = corpus
        self.settings = settings or EngineSettings()
        self._vocabulary = vocabulary
        self._requests: dict[str, _Request] = {}
        self._next_sweep = 0.0
        self._was_connected: bool | None = None
        self._failures: set[str] = set()
        # Almost every step of a request wants the same.
        self._options = functools.lru_cache(maxsize=256)(
            lambda max_tokens: dataclasses.replace(options, max_tokens=max_tokens)
        )
        client.ensure_corpus(corpus)
        atexit.register(self.close)

    @property
    def open_requests(self) -> int:
        """Requests whose session is not closed."""
        return sum(request.session is not None for request in self._requests.values())

    def step(self, rows: Sequence[Row]) -> list[Draft]:
        """One decoding step: tells what joined each row since its last step, and asks for drafts.

        Returns:
            A draft a row, in order, empty where there is none.
        """
        try:
            return self._step(rows)
        except Exception as error:
            self._report(error)
            return [EMPTY_DRAFT] * len(rows)

    def finish(self, keys: Iterable[str], texts: Mapping[str, TokenIDs] | None = None) -> None:
        """Requests that the engine says have ended. Their outputs are recorded.

        Args:
            texts: All tokens of those whose last ones no step has told.
        """
        try:
            for key in keys:
                self._end(key, None if texts is None else texts.get(key))
        except Exception as error:
            self._report(error)

    def close(self) -> None:
        """Ends everything; what was accepted is recorded."""
        atexit.unregister(self.close)
        self._requests.clear()
        self.client.close()

    def _step(self, rows: Sequence[Row]) -> list[Draft]:
        now = time.monotonic()
        self._sweep(now)
        requests = self._begin(rows)
        steps: list[Step] = []
        for row, request in zip(rows, requests, strict=True):
            assert request.session is not None
            accept = row.tokens[request.known :]
            steps.append(Step(request.session.name, accept, self._options(max(row.max_tokens, 0))))
            request.known = len(row.tokens)
            request.last = int(row.tokens[-1]) if request.known else -1
            request.seen = now
        drafts = self.client.step(steps, deadline=self.settings.deadline)
        self._report_connection()
        if self._vocabulary is None:
            return drafts
        return [within_vocabulary(draft, self._vocabulary) for draft in drafts]

    def _begin(self, rows: Sequence[Row]) -> list[_Request]:
        """The rows' requests, with sessions opened for those that have none."""
        new: list[tuple[Row, int]] = []
        for row in rows:
            request = self._requests.get(row.key)
            if request is not None and not request.goes_on_with(row.tokens):
                self._end(row.key)
                request = None
            if request is None:
                new.append((row, row.prompt_tokens))
            elif request.session is None:
                new.append((row, request.known))
        for place, (row, known) in enumerate(new):
            # Lines are answered in the order in which they are sent, so whoever waits for the
            # last has waited for all.
            is_last = place == len(new) - 1
            session = self.client.open_session(
                self.corpus,
                row.tokens[:known],
                share=self.settings.share,
                deadline=self.settings.open_deadline if is_last else 0.0,
            )
            last = int(row.tokens[known - 1]) if known else -1
            self._requests[row.key] = _Request(session, known, last, 0.0)
        return [self._requests[row.key] for row in rows]

    def _end(self, key: str, text: TokenIDs | None = None) -> None:
        request = self._requests.pop(key, None)
        if request is None or request.session is None:
            return
        if text is None or not request.goes_on_with(text):
            request.session.close()
        else:
            request.session.close(text[request.known :])

    def _sweep(self, now: float) -> None:
        if now < self._next_sweep:
            return
        self._next_sweep = now + SWEEP_SECONDS
        for key, request in list(self._requests.items()):
            idle = now - request.seen
            if request.session is not None and idle > self.settings.idle:
                request.session.close()
                request.session = None
            elif request.session is None and idle > self.settings.idle + REMEMBERED_SECONDS:
                del self._requests[key]

    def _report(self, error: Exception) -> None:
        kind = type(error).__name__
        if kind not in self._failures:
            self._failures.add(kind)
            logger.error("reprise: a step had no drafts; said once for %s", kind, exc_info=error)

    def _report_connection(self) -> None:
        is_connected = self.client.is_connected
        if is_connected == self._was_connected:
            return
        if is_connected:
            logger.info("reprise: drafting from corpus %s", self.corpus)
        else:
            logger.warning(
                "reprise: no service (%s); decoding goes on without drafts until it is there",
                self.client.last_error or "the connection was lost",
            )
        self._was_connected = is_connected


def make_drafter(
    corpus: str, *, options: DraftOptions, settings: EngineSettings, vocabulary: int | None
) -> BatchDrafter | None:
    """A drafter at the address that `REPRISE_SOCKET` says. None where that is no address, or its
    access token cannot be read."""
    try:
        client = Client()
    except (OSError, ValueError) as error:
        logger.error("reprise: decoding goes on without drafts: %s", error)
        return None
    return BatchDrafter(client, corpus, options=options, settings=settings, vocabulary=vocabulary)


def within_vocabulary(draft: Draft, vocabulary: int) -> Draft:
    """The draft up to its first token that the model does not have. Parents stand before their
    children, so what is left is whole."""
    if not draft.tokens or max(draft.tokens) < vocabulary:
        return draft
    end = next(place for place, token in enumerate(draft.tokens) if token >= vocabulary)
    return dataclasses.replace(
        draft,
        tokens=draft.tokens[:end],
        parents=draft.parents[:end],
        probs=draft.probs[:end],
        counts=draft.counts[:end],
        score=sum(draft.probs[:end]),
    )
