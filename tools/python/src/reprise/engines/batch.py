"""Sessions of an engine's batch: what engines share in turning requests into drafts.

An engine hands over its whole batch, once a step. All of it goes to the service in one line, and
one line comes back: a wake-up costs more than the work.

**Being absent is no end.** A request that a step does not hold may be preempted, waiting for
another pipeline stage, or not scheduled this time. It ends when the engine says so (`finish`), or
when no step has held it for `idle` seconds. One that comes back later goes on in a session whose
prompt is the recorded text, so that nothing is in the history twice. The service ends the sessions
that this process does not end, when their leases end.

**Only what a request wrote is history.** A row is the same request as before if its key and its
prompt's length are, and its text begins with the prompt that is known; otherwise it is another
request (`Request.relation_of`). Where a row lacks tokens that were told, the engine has taken them
back, and they leave its session too. Tokens past the output's end are not told at all
(`OutputEnd`). A request that ends by being idle, or while it waits, is recorded without its newest
pass, unless the end is known to be in that: nothing has confirmed it.

**One row costs no other row anything.** A row with a wrong token id (-1 of a placeholder, one
beyond the vocabulary) gets an empty draft, and its request is neither drafted nor recorded
until it ends.

**A drafter never stops an engine.** Nothing here raises: a failure is an empty draft, and one line
in the log.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools
import time
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

from ..core.drafts import EMPTY_DRAFT, Draft
from ..core.options import NO_DRAFT, DraftOptions, NewSession, Step
from ..transports.client import Client, Session
from .notices import Notices, log
from .requests import Relation, Request, TokenCheck
from .rows import OutputEnd, Row
from .settings import EngineSettings

__all__ = ["BatchDrafter", "OutputEnd", "Row", "make_drafter"]

#: Seconds between looks for requests that no step holds any more.
SWEEP_SECONDS = 5.0
#: Seconds for which a request that was closed for being idle is remembered.
REMEMBERED_SECONDS = 3600.0
#: Keys of ended requests whose sessions are remembered as parents of later ones.
PARENTS_MAX = 256


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
            corpus: It is created where it does not exist, as soon as the service is there.
            options: The drafts that are wanted; `max_tokens` is each row's own.
            vocabulary: Tokens from here on are cut off drafts, and spoil a request that has them.
                A look-up of one that the model does not have would end the process on a GPU, and a
                corpus may be another model's.

        Raises:
            ValueError: No corpus can have this name.
        """
        self.client = client
        self.corpus = corpus
        self.settings = settings or EngineSettings()
        options = self.settings.drafting(options)
        self._vocabulary = vocabulary
        self._check = TokenCheck(vocabulary)
        self._requests: dict[str, Request] = {}
        #: A conversation's next prompt may come under the key of the last one, and begin with its
        #: text, which the service need not index again.
        self._ended: OrderedDict[str, str] = OrderedDict()
        #: The number of the last step that is over.
        self._last_step = 0
        self._next_sweep = 0.0
        self._failures: set[str] = set()
        # Almost every step of a request wants the same.
        self._options = functools.lru_cache(maxsize=256)(
            lambda max_tokens: dataclasses.replace(options, max_tokens=max_tokens)
        )
        client.ensure_corpus(corpus)
        self._notices = Notices(client, corpus)
        atexit.register(self.close)

    @property
    def open_requests(self) -> int:
        """Requests whose session is not closed."""
        return sum(request.session is not None for request in self._requests.values())

    def __contains__(self, key: str) -> bool:
        """True if a request is known; it may be idle."""
        return key in self._requests

    def step(self, rows: Sequence[Row]) -> list[Draft]:
        """One decoding step: tells the tokens that joined each row since its last step, and asks
        for drafts.

        Returns:
            A draft a row, in order, empty where there is none.
        """
        try:
            return self._step(rows)
        except Exception as error:
            self._report(error)
            return [EMPTY_DRAFT] * len(rows)
        finally:
            self._last_step += 1

    def finish(self, keys: Iterable[str], final: Mapping[str, Row] | None = None) -> None:
        """Ends the requests that the engine says have ended. Their outputs are recorded.

        Args:
            final: The rows of those whose text the engine knows at their end. That text is
                recorded: further tokens that a step told are taken back.
        """
        for key in keys:
            try:
                self._end(key, None if final is None else final.get(key))
            except Exception as error:
                self._report(error)

    def close(self) -> None:
        """Ends everything. The confirmed text is recorded."""
        atexit.unregister(self.close)
        for request in self._requests.values():
            request.close_confirmed()
        self._requests.clear()
        self.client.close()

    # A step.

    def _step(self, rows: Sequence[Row]) -> list[Draft]:
        now = time.monotonic()
        self._sweep(now)
        found = self._find(rows)
        places: list[int] = []
        steps: list[Step] = []
        for place, (row, request) in enumerate(zip(rows, found, strict=True)):
            request.seen = now
            if request.session is None:
                self._count_unrecorded()
                continue
            try:
                steps.append(self._told(row, request, request.session))
            except Exception as error:
                self._spoil(row.key, request, error)
                continue
            places.append(place)
        drafts = [EMPTY_DRAFT] * len(rows)
        try:
            answered = self.client.step(
                steps,
                verify_cost=self.settings.verify_cost,
                batch=max(1, len(rows)),
                deadline=self.settings.deadline,
            )
        except Exception as error:
            # The part that was taken is not known, so none of it can be recorded.
            for place in places:
                self._spoil(rows[place].key, found[place], error)
            raise
        for place, step, draft in zip(places, steps, answered, strict=True):
            request = found[place]
            request.newest = len(step.accept)
            request.known += request.newest
            request.length = len(rows[place].tokens)
            request.step = self._last_step + 1
            drafts[place] = draft
        self._notices.look(now)
        return [draft.within(self._vocabulary) for draft in drafts]

    def _find(self, rows: Sequence[Row]) -> list[Request]:
        """The rows' requests, with sessions opened for those that have none."""
        # A key that stands twice in a step is the first row's.
        first: dict[str, Row] = {}
        for row in rows:
            first.setdefault(row.key, row)
        new: list[tuple[str, Request, array[int]]] = []
        for row in first.values():
            if self._is_new(row):
                request = self._begin(row)
                try:
                    new.append((row.key, request, self._check(row.tokens[: request.known])))
                except Exception as error:
                    self._spoil(row.key, request, error)
        if new:
            self._open(new)
        return [
            self._requests[row.key]
            if row is first[row.key]
            else Request(None, 0, 0, is_spoiled=True)
            for row in rows
        ]

    def _is_new(self, row: Row) -> bool:
        """True if a session is to be opened for a row. Where its key was another request's, that
        one is ended; text that was taken back of its own is taken back."""
        request = self._requests.get(row.key)
        if request is None:
            return True
        try:
            if request.session is not None and request.session.is_closed:
                raise ValueError("its text went past a bound of the client (DecodingLimits)")
            relation = request.relation_of(row, self._check, self._last_step)
            if relation is Relation.TAKEN_BACK:
                request.take_back(row, self._check)
        except Exception as error:
            self._spoil(row.key, request, error)
            return False
        if relation is Relation.OTHER:
            self._end(row.key)
            return True
        return request.session is None and not request.is_spoiled

    def _begin(self, row: Row) -> Request:
        """A row's request, before it has a session: a new one, or one that was idle."""
        idle = self._requests.get(row.key)
        known = row.prompt_tokens if idle is None else idle.known
        begun = self._requests[row.key] = Request(None, row.prompt_tokens, known)
        return begun

    def _open(self, new: Sequence[tuple[str, Request, array[int]]]) -> None:
        """Opens sessions for requests with their prompts, in one exchange."""
        sessions = [
            NewSession(
                self.corpus,
                prompt,
                parent=self._ended.pop(key, None),
                share=self.settings.share,
                vocabulary=self._vocabulary,
            )
            for key, _, prompt in new
        ]
        try:
            opened = self.client.open_sessions(sessions, deadline=self.settings.open_deadline)
        except Exception as error:
            for key, request, _ in new:
                self._spoil(key, request, error)
            return
        for (_, request, prompt), session in zip(new, opened, strict=True):
            request.known = request.length = len(prompt)
            request.session = session

    def _told(self, row: Row, request: Request, session: Session) -> Step:
        """The tokens that joined a row's output since its last step, up to the output's end."""
        tokens = self._check(row.tokens[request.known :])
        request.end = row.end
        # The text of an earlier step goes on behind it, so no end was there.
        old = max(request.length - request.known, 0)
        newest = tokens[old:]
        before = request.known + old - request.prompt_tokens
        end = row.end.of(newest, before) if newest else None
        limit = max(row.max_tokens, 0)
        request.has_ended = end is not None
        if end is not None:
            return Step(session.name, tokens[: old + end], NO_DRAFT)
        if row.end.max_tokens is not None:
            # The last token that the output may have is the model's own.
            limit = max(min(limit, row.end.max_tokens - before - len(newest) - 1), 0)
        return Step(session.name, tokens, self._options(limit))

    # Ends.

    def _end(self, key: str, final: Row | None = None) -> None:
        request = self._requests.pop(key, None)
        if request is None or request.session is None:
            return
        self._ended[key] = request.session.name
        if len(self._ended) > PARENTS_MAX:
            self._ended.popitem(last=False)
        try:
            request.close(final, self._check, self._last_step)
        except Exception as error:
            self._spoil(key, request, error)

    def _sweep(self, now: float) -> None:
        if now < self._next_sweep:
            return
        self._next_sweep = now + SWEEP_SECONDS
        for key, request in list(self._requests.items()):
            idle = now - request.seen
            if request.session is not None and idle > self.settings.idle:
                request.close_confirmed()
            elif request.session is None and idle > self.settings.idle + REMEMBERED_SECONDS:
                del self._requests[key]

    # Failures.

    def _spoil(self, key: str, request: Request, error: Exception) -> None:
        """Has a request be neither drafted nor recorded until it ends."""
        session, request.session = request.session, None
        request.is_spoiled = True
        self._count_unrecorded()
        self._notices.once(
            "unrecorded",
            "reprise: request %s has no drafts and is not recorded: %s; said once, "
            "counters.unrecorded_rows counts the steps of such requests",
            key,
            error,
        )
        if session is not None:
            session.close(record=False)

    def _count_unrecorded(self) -> None:
        self.client.counters.unrecorded_rows += 1

    def _report(self, error: Exception) -> None:
        kind = type(error).__name__
        if kind not in self._failures:
            self._failures.add(kind)
            log.error("reprise: a step had no drafts; said once for %s", kind, exc_info=error)


def make_drafter(
    corpus: str,
    *,
    engine: str,
    options: DraftOptions,
    settings: EngineSettings,
    vocabulary: int | None,
) -> BatchDrafter | None:
    """A drafter at the address in `REPRISE_SOCKET`. None where that is no address, its access token
    cannot be read, or no corpus can have this name."""
    try:
        client = Client(engine=engine)
        return BatchDrafter(
            client, corpus, options=options, settings=settings, vocabulary=vocabulary
        )
    except (OSError, ValueError) as error:
        log.error("reprise: decoding goes on without drafts: %s", error)
        return None
