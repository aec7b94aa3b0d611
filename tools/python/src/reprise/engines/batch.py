"""Sessions of an engine's batch: what engines share in turning requests into drafts.

An engine hands over its whole batch, once a step. All of it goes to the service in one line, and
one line comes back: waking up costs more than the work.

**Being absent is no end.** A request that a step does not hold may be preempted, waiting for
another pipeline stage, or not scheduled this time. It ends when the engine says so (`finish`), or
when no step has held it for `idle` seconds. One that comes back later goes on in a session whose
prompt is what was recorded, so that nothing is in the history twice. Whatever this process does not
get to is ended by the service when the lease ends.

**Only what a request wrote is history.** A row is the same request as before if its key and its
prompt's length are, and its text begins with the prompt that is known; otherwise it is another
request (`_relation`). Where a row lacks tokens that were told, the engine has taken them back, and
so does its session. Tokens past the output's end are not told at all (`OutputEnd`). A request that
ends by being idle, or while it waits, is recorded without its newest pass, unless the end is known
to be in that: nothing has confirmed it.

**One row costs no other row anything.** A row with a token id that is none (-1 of a placeholder,
one beyond the vocabulary) gets an empty draft, and its request is neither drafted nor recorded
until it ends.

**A drafter never stops an engine.** Nothing here raises: what goes wrong is an empty draft, and
one line in the log.
"""

from __future__ import annotations

import atexit
import dataclasses
import enum
import functools
import hashlib
import time
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..core.options import NO_DRAFT, DraftOptions, Step
from ..core.results import EMPTY_DRAFT, Draft
from ..core.tokens import TOKEN_MAX, token_array
from ..transports.client import Client, Session
from .notices import Notices, log
from .rows import UNKNOWN_END, OutputEnd, Row, RowText
from .settings import EngineSettings

if TYPE_CHECKING:
    from ..core.tokens import TokenIDs

__all__ = ["BatchDrafter", "OutputEnd", "Row", "make_drafter", "within_vocabulary"]

#: Seconds between looks for requests that nobody asks for any more.
SWEEP_SECONDS = 5.0
#: Seconds for which a request that was closed for being idle is remembered.
REMEMBERED_SECONDS = 3600.0
#: Tokens before the new ones that are compared at each step: no corpus counts longer patterns, so
#: texts that agree in them leave the same history.
COMPARED_TOKENS = 128
#: Steps that a row may miss without being compared whole when it comes back: a pipeline's stages
#: take turns, and comparing is O(n).
MISSED_STEPS = 16
#: Keys of ended requests whose sessions are remembered as parents of later ones.
PARENTS_MAX = 256
#: Last tokens of an output that `OutputEnd.excess` is given.
EXCESS_TOKENS = 64


class _Relation(enum.Enum):
    """What a row is to the request that has its key."""

    SAME = enum.auto()
    TAKEN_BACK = enum.auto()
    """The same, but some of what was told is not in it any more."""
    OTHER = enum.auto()
    """Another request with the same key."""


@dataclasses.dataclass(slots=True)
class _Request:
    session: Session | None
    """None where it was closed for being idle, or is not recorded."""
    prompt_tokens: int
    known: int
    """Tokens that the session has; further ones are what a step accepts."""
    is_spoiled: bool = False
    """It had a token id that is none. It has no session until it ends."""
    length: int = 0
    """The row's tokens in its last step; more than `known` where its output had ended."""
    newest: int = 0
    """Tokens told by its last step, which no later step has confirmed."""
    has_ended: bool = False
    """The end of its output was among the tokens of its last step."""
    step: int = -1
    """The number of its last step."""
    seen: float = 0.0
    digests: tuple[bytes, bytes] = (b"", b"")
    """Of the prompt and of the known text, once the session is closed and keeps neither."""
    end: OutputEnd = UNKNOWN_END


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
            vocabulary: Tokens from here on are cut off drafts, and spoil a request that has them.
                Looking one up that the model does not have would end the process on a GPU, and a
                corpus may be another model's.

        Raises:
            ValueError: `corpus` is no corpus's name.
        """
        self.client = client
        self.corpus = corpus
        self.settings = settings or EngineSettings()
        self._vocabulary = vocabulary
        self._token_max = TOKEN_MAX if vocabulary is None else min(vocabulary - 1, TOKEN_MAX)
        self._requests: dict[str, _Request] = {}
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
        """Whether a request is known, though it may be idle."""
        return key in self._requests

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
        finally:
            self._last_step += 1

    def finish(self, keys: Iterable[str], final: Mapping[str, Row] | None = None) -> None:
        """Requests that the engine says have ended. Their outputs are recorded.

        Args:
            final: The rows of those whose text the engine knows at their end. That text is what is
                recorded: further tokens that a step told are taken back.
        """
        for key in keys:
            try:
                self._end(key, None if final is None else final.get(key))
            except Exception as error:
                self._report(error)

    def close(self) -> None:
        """Ends everything. What was confirmed is recorded."""
        atexit.unregister(self.close)
        for request in self._requests.values():
            if request.session is not None:
                self._close_confirmed(request, request.session)
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
            answered = self.client.step(steps, deadline=self.settings.deadline)
        except Exception as error:
            # What was taken of it is not known, so none of it can be recorded.
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
        if self._vocabulary is None:
            return drafts
        return [within_vocabulary(draft, self._vocabulary) for draft in drafts]

    def _find(self, rows: Sequence[Row]) -> list[_Request]:
        """The rows' requests, with sessions opened for those that have none."""
        # A key that stands twice in a step is the first row's.
        first: dict[str, Row] = {}
        for row in rows:
            first.setdefault(row.key, row)
        new: list[tuple[Row, _Request, array[int]]] = []
        for row in first.values():
            if self._is_new(row):
                request = self._begin(row)
                try:
                    prompt = self._checked(row.tokens[: request.known])
                except Exception as error:
                    self._spoil(row.key, request, error)
                else:
                    new.append((row, request, prompt))
        for place, (row, request, prompt) in enumerate(new):
            # Lines are answered in the order in which they are sent: the last open session means
            # that all are open.
            is_last = place == len(new) - 1
            deadline = self.settings.open_deadline if is_last else 0.0
            try:
                self._open(row, request, prompt, deadline)
            except Exception as error:
                self._spoil(row.key, request, error)
        return [
            self._requests[row.key]
            if row is first[row.key]
            else _Request(None, 0, 0, is_spoiled=True)
            for row in rows
        ]

    def _is_new(self, row: Row) -> bool:
        """Whether a session is to be opened for a row. Where its key was another request's, that
        one is ended; what was taken back of its own is taken back."""
        request = self._requests.get(row.key)
        if request is None:
            return True
        try:
            if request.session is not None and request.session.is_closed:
                raise ValueError("its text went past a bound of the client (DecodingLimits)")
            relation = self._relation(row, request)
            if relation is _Relation.TAKEN_BACK:
                self._take_back(row, request)
                relation = _Relation.SAME
        except Exception as error:
            self._spoil(row.key, request, error)
            return False
        if relation is _Relation.OTHER:
            return True
        return request.session is None and not request.is_spoiled

    def _relation(self, row: Row, request: _Request) -> _Relation:
        length, known = len(row.tokens), request.known
        if row.prompt_tokens != request.prompt_tokens:
            return _Relation.OTHER
        if request.is_spoiled:
            return _Relation.SAME
        session = request.session
        if session is None:
            prompt, text = request.digests
            if _digest(self._checked(row.tokens[: row.prompt_tokens])) != prompt:
                return _Relation.OTHER
            if length < known or _digest(self._checked(row.tokens[:known])) != text:
                raise ValueError("it was idle, and what was recorded then has been taken back")
            return _Relation.SAME
        if length >= known and request.step >= self._last_step - MISSED_STEPS:
            begin = max(known - COMPARED_TOKENS, 0)
            if _bytes(row.tokens[begin:known]) == session.tail(known - begin).tobytes():
                return _Relation.SAME
        agreed = _agreed(session.text, self._checked(row.tokens[:known]))
        if agreed < min(request.prompt_tokens, known):
            return _Relation.OTHER
        return _Relation.SAME if agreed == known else _Relation.TAKEN_BACK

    def _take_back(self, row: Row, request: _Request) -> None:
        assert request.session is not None
        agreed = _agreed(request.session.text, self._checked(row.tokens[: request.known]))
        request.session.truncate(agreed)
        request.known = request.length = agreed
        request.newest, request.has_ended = 0, False

    def _begin(self, row: Row) -> _Request:
        """A row's request, before it has a session: a new one, or one that was idle."""
        request = self._requests.get(row.key)
        if request is not None and self._relation(row, request) is _Relation.OTHER:
            self._end(row.key)
            request = None
        known = row.prompt_tokens if request is None else request.known
        begun = self._requests[row.key] = _Request(None, row.prompt_tokens, known)
        return begun

    def _open(self, row: Row, request: _Request, prompt: array[int], deadline: float) -> None:
        request.known = request.length = len(prompt)
        request.session = self.client.open_session(
            self.corpus,
            prompt,
            parent=self._ended.pop(row.key, None),
            share=self.settings.share,
            vocabulary=self._vocabulary,
            deadline=deadline,
        )

    def _told(self, row: Row, request: _Request, session: Session) -> Step:
        """What joined a row's output since its last step, up to the output's end."""
        tokens = self._checked(row.tokens[request.known :])
        request.end = row.end
        # What an earlier step held goes on behind it, so no end was there.
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

    def _checked(self, tokens: TokenIDs) -> array[int]:
        """Copies token ids.

        Raises:
            ValueError, TypeError: One of them is none.
        """
        checked = token_array(tokens)
        if checked and max(checked) > self._token_max:
            raise ValueError(f"a token id is {max(checked)}, expected at most {self._token_max}")
        return checked

    # Ends.

    def _end(self, key: str, final: Row | None = None) -> None:
        request = self._requests.pop(key, None)
        if request is None or request.session is None:
            return
        session = request.session
        self._ended[key] = session.name
        if len(self._ended) > PARENTS_MAX:
            self._ended.popitem(last=False)
        accept = array("i")
        try:
            if final is not None and final.prompt_tokens == request.prompt_tokens:
                accept = self._final(request, session, final.tokens)
            elif (excess := self._excess(request, session)) > 0:
                session.truncate(request.known - excess)
        except Exception as error:
            self._spoil(key, request, error)
        else:
            session.close(accept)

    def _excess(self, request: _Request, session: Session) -> int:
        """How many of the told tokens are not believed at an end without a final text."""
        if request.has_ended:
            return 0
        if request.step != self._last_step:
            # It was not in the last step, so it may have been preempted before it ended, and its
            # newest pass dropped.
            return request.newest
        if request.end.excess is None:
            return 0
        output = session.text[request.prompt_tokens :]
        excess = request.end.excess(output[-EXCESS_TOKENS:])
        return request.newest if excess is None else excess

    def _final(self, request: _Request, session: Session, text: RowText) -> array[int]:
        """What joins the output at its end. What is not in the final text is taken back."""
        if len(text) >= request.known:
            begin = max(request.known - COMPARED_TOKENS, 0)
            if _bytes(text[begin : request.known]) == session.tail(request.known - begin).tobytes():
                return self._checked(text[request.known :])
        agreed = _agreed(session.text, self._checked(text[: request.known]))
        if agreed < min(request.prompt_tokens, request.known):
            raise ValueError("its final text does not begin with its prompt")
        accept = self._checked(text[agreed:])
        session.truncate(agreed)
        return accept

    def _close_confirmed(self, request: _Request, session: Session) -> None:
        """Closes the session of a request whose end the engine has not told."""
        if request.newest > 0 and not request.has_ended:
            request.known -= request.newest
            session.truncate(request.known)
        text = session.text
        request.digests = _digest(text[: request.prompt_tokens]), _digest(text)
        request.length, request.newest = request.known, 0
        request.session = None
        session.close()

    def _sweep(self, now: float) -> None:
        if now < self._next_sweep:
            return
        self._next_sweep = now + SWEEP_SECONDS
        for key, request in list(self._requests.items()):
            idle = now - request.seen
            if request.session is not None and idle > self.settings.idle:
                self._close_confirmed(request, request.session)
            elif request.session is None and idle > self.settings.idle + REMEMBERED_SECONDS:
                del self._requests[key]

    # What goes wrong.

    def _spoil(self, key: str, request: _Request, error: Exception) -> None:
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
    """A drafter at the address that `REPRISE_SOCKET` says. None where that is no address, its
    access token cannot be read, or `corpus` is no corpus's name."""
    try:
        client = Client(engine=engine)
        return BatchDrafter(
            client, corpus, options=options, settings=settings, vocabulary=vocabulary
        )
    except (OSError, ValueError) as error:
        log.error("reprise: decoding goes on without drafts: %s", error)
        return None


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


def _bytes(tokens: Any) -> bytes:
    """The tokens as `array("i")` has them."""
    if getattr(tokens, "itemsize", 0) != 4:
        tokens = token_array(tokens)
    data: bytes = tokens.tobytes()
    return data


def _digest(tokens: array[int]) -> bytes:
    return hashlib.blake2b(tokens.tobytes(), digest_size=16).digest()


def _agreed(one: array[int], other: array[int]) -> int:
    """The length of the longest beginning that two texts have in common, in O(n)."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low
