"""The requests of an engine's batch: whether a row is one that is known, and what of it ends as
history.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from array import array
from typing import TYPE_CHECKING, Any

from ..core.tokens import TOKEN_MAX, token_array
from ..transports.client import Session
from .rows import UNKNOWN_END, OutputEnd, Row, RowText

if TYPE_CHECKING:
    from ..core.tokens import TokenIDs

#: Tokens before the new ones that are compared at each step: no corpus counts longer patterns, so
#: texts that agree in them leave the same history.
COMPARED_TOKENS = 128
#: Steps that a row may miss without being compared whole when it comes back: a pipeline's stages
#: take turns, and comparing is O(n).
MISSED_STEPS = 16
#: Last tokens of an output that `OutputEnd.excess` is given.
EXCESS_TOKENS = 64


class Relation(enum.Enum):
    """The relation of a row to the request that has its key."""

    SAME = enum.auto()
    TAKEN_BACK = enum.auto()
    """The same, but some of the told tokens are not in it any more."""
    OTHER = enum.auto()
    """Another request with the same key."""


class TokenCheck:
    """The token ids that a model has."""

    def __init__(self, vocabulary: int | None) -> None:
        self._token_max = TOKEN_MAX if vocabulary is None else min(vocabulary - 1, TOKEN_MAX)

    def __call__(self, tokens: TokenIDs) -> array[int]:
        """Copies token ids.

        Raises:
            ValueError, TypeError: One of them is not an id of the model.
        """
        checked = token_array(tokens)
        if checked and max(checked) > self._token_max:
            raise ValueError(f"a token id is {max(checked)}, expected at most {self._token_max}")
        return checked


@dataclasses.dataclass(slots=True)
class Request:
    """A request of the engine, and what its session was told of it."""

    session: Session | None
    """None where it was closed for being idle, or is not recorded."""
    prompt_tokens: int
    known: int
    """Tokens that the session has; further ones are those that a step accepts."""
    is_spoiled: bool = False
    """It had a token id that the model does not have. It has no session until it ends."""
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
    """Digests of the prompt and of the known text, once the session is closed and keeps neither."""
    end: OutputEnd = UNKNOWN_END

    def relation_of(self, row: Row, check: TokenCheck, last_step: int) -> Relation:
        """The relation of a row that has this request's key.

        Raises:
            ValueError, TypeError: The row cannot be told: it has a wrong id, or what was recorded
                of it has been taken back.
        """
        length, known = len(row.tokens), self.known
        if row.prompt_tokens != self.prompt_tokens:
            return Relation.OTHER
        if self.is_spoiled:
            return Relation.SAME
        session = self.session
        if session is None:
            prompt, text = self.digests
            if _digest(check(row.tokens[: row.prompt_tokens])) != prompt:
                return Relation.OTHER
            if length < known or _digest(check(row.tokens[:known])) != text:
                raise ValueError("it was idle, and what was recorded then has been taken back")
            return Relation.SAME
        if length >= known and self.step >= last_step - MISSED_STEPS:
            begin = max(known - COMPARED_TOKENS, 0)
            if _bytes(row.tokens[begin:known]) == session.tail(known - begin).tobytes():
                return Relation.SAME
        agreed = _agreed(session.text, check(row.tokens[:known]))
        if agreed < min(self.prompt_tokens, known):
            return Relation.OTHER
        return Relation.SAME if agreed == known else Relation.TAKEN_BACK

    def take_back(self, row: Row, check: TokenCheck) -> None:
        """Has the session end where its text and the row's part."""
        assert self.session is not None
        agreed = _agreed(self.session.text, check(row.tokens[: self.known]))
        self.session.truncate(agreed)
        self.known = self.length = agreed
        self.newest, self.has_ended = 0, False

    def close(self, final: Row | None, check: TokenCheck, last_step: int) -> None:
        """Closes the session of a request that the engine says has ended.

        Args:
            final: Its text at its end, where the engine knows that.

        Raises:
            ValueError, TypeError: The final text cannot be its. The session is not closed then.
        """
        session = self.session
        assert session is not None
        accept = array("i")
        if final is not None and final.prompt_tokens == self.prompt_tokens:
            accept = self._final(session, final.tokens, check)
        elif (excess := self._excess(session, last_step)) > 0:
            session.truncate(self.known - excess)
        session.close(accept)

    def _excess(self, session: Session, last_step: int) -> int:
        """The number of told tokens that are not believed at an end without a final text."""
        if self.has_ended:
            return 0
        if self.step != last_step:
            # It was not in the last step, so it may have been preempted before it ended, and its
            # newest pass dropped.
            return self.newest
        if self.end.excess is None:
            return 0
        output = session.text[self.prompt_tokens :]
        excess = self.end.excess(output[-EXCESS_TOKENS:])
        return self.newest if excess is None else excess

    def _final(self, session: Session, text: RowText, check: TokenCheck) -> array[int]:
        """The tokens that join the output at its end. Those that are not in the final text are
        taken back."""
        if len(text) >= self.known:
            begin = max(self.known - COMPARED_TOKENS, 0)
            if _bytes(text[begin : self.known]) == session.tail(self.known - begin).tobytes():
                return check(text[self.known :])
        agreed = _agreed(session.text, check(text[: self.known]))
        if agreed < min(self.prompt_tokens, self.known):
            raise ValueError("its final text does not begin with its prompt")
        accept = check(text[agreed:])
        session.truncate(agreed)
        return accept

    def close_confirmed(self) -> None:
        """Closes the session, if there is one, of a request whose end the engine has not told. Its
        newest pass is taken back, and it may come back later."""
        session = self.session
        if session is None:
            return
        if self.newest > 0 and not self.has_ended:
            self.known -= self.newest
            session.truncate(self.known)
        text = session.text
        self.digests = _digest(text[: self.prompt_tokens]), _digest(text)
        self.length, self.newest = self.known, 0
        self.session = None
        session.close()


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
