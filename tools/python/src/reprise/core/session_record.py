"""All that is known of one session: its text, its state, and how much of it the service has."""

from __future__ import annotations

import dataclasses
import uuid
from array import array
from typing import TYPE_CHECKING

from .errors import RepriseError
from .session_states import (
    OPEN_STATES,
    REFUSED_STATES,
    SETTLED_STATES,
    Action,
    Event,
    State,
    transition,
)
from .tokens import token_array

if TYPE_CHECKING:
    from .options import NewSession
    from .results import SessionClosed

#: Characters of a session's own name that are part of each of its later names: the service takes
#: 128 bytes.
NAME_CHARACTERS_KEPT = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Left:
    """An earlier name of a session. The service may still hold a session of that name."""

    name: str
    was_open: bool
    """The service had answered that it was open."""
    close_was_sent: bool
    """It was to be closed and recorded."""
    acked: int
    """Tokens of the output that the service said it has."""
    connected_at: float


class SessionRecord:
    """All that is known of one session."""

    __slots__ = (
        "acked",
        "closing",
        "connected_at",
        "corpus",
        "error",
        "failures",
        "generation",
        "group",
        "left",
        "may_record",
        "name",
        "not_before",
        "output",
        "parent",
        "prompt",
        "result",
        "sent",
        "sent_before",
        "sequence_id",
        "share",
        "state",
        "ttl_s",
        "vocabulary",
        "wire_name",
    )

    def __init__(self, new: NewSession) -> None:
        """
        Raises:
            ValueError, TypeError: The prompt is no list of token ids.
        """
        self.name = new.name if new.name is not None else f"py-{uuid.uuid4().hex}"
        self.corpus = new.corpus
        self.prompt = token_array(new.prompt)
        self.output: array[int] = array("i")
        self.share = new.share
        self.ttl_s = new.ttl_s
        self.vocabulary = new.vocabulary
        self.parent = new.parent
        self.group = new.group
        self.sequence_id = new.sequence_id
        #: Changed by `apply` alone.
        self.state = State.WAITING
        #: The name on the service, another one each time the session is opened.
        self.wire_name = self.name
        self.generation = 0
        #: Tokens of `output` that were sent under `wire_name`, and that the service said it has.
        #: They differ while a step is under way.
        self.sent = 0
        self.acked = 0
        #: Tokens of `output` that were sent under an earlier name.
        self.sent_before = 0
        #: When the connection was made on which the session was opened.
        self.connected_at = 0.0
        #: The name that is to be discarded before the session is opened again.
        self.left: Left | None = None
        #: The caller has closed it, or it went past a bound. It takes no more tokens.
        self.closing = False
        #: The output may still become history when the session closes.
        self.may_record = True
        self.result: SessionClosed | None = None
        #: The last error that the service answered.
        self.error: RepriseError | None = None
        self.failures = 0
        #: Nothing is sent for it before.
        self.not_before = 0.0

    def apply(self, event: Event) -> None:
        """Changes the state as the table says, and carries out the table's action.

        Raises:
            ImpossibleEvent: The event cannot happen in this state.
        """
        before = self.state
        self.state, action = transition(before, event)
        if action is Action.NONE:
            return
        if action is Action.ACKNOWLEDGE:
            self.acked = self.sent
        elif action is Action.TAKE_BACK:
            self.sent = self.acked
        elif action is Action.LEAVE:
            self.left = Left(
                self.wire_name,
                was_open=before is not State.OPENING,
                close_was_sent=before is State.CLOSING,
                acked=self.acked,
                connected_at=self.connected_at,
            )
            self._rename()
        elif action is Action.RENAME:
            self._rename()
        elif action is Action.EXTEND_PROMPT:
            self._extend_prompt()
        elif action is Action.RELEASE:
            self.prompt, self.output = array("i"), array("i")
            # Answers that still come are about nothing.
            self.generation += 1

    def _rename(self) -> None:
        self.generation += 1
        kept = self.name[:NAME_CHARACTERS_KEPT]
        self.wire_name = f"{kept}~{self.generation}.{uuid.uuid4().hex[:8]}"
        self.sent_before = max(self.sent_before, self.sent)
        self.sent = self.acked = 0

    def _extend_prompt(self) -> None:
        recorded = self.acked if self.left is None else self.left.acked
        if self.sequence_id is None and self.share != "never":
            self.prompt.extend(self.output[:recorded])
            del self.output[:recorded]
        self.left = None
        self._rename()
        # Nothing of the rest is sent a second time.
        self.sent_before = 0

    @property
    def tokens(self) -> int:
        return len(self.prompt) + len(self.output)

    @property
    def text(self) -> array[int]:
        """Its prompt and output, in O(n). It is empty once the session is done."""
        return self.prompt + self.output

    def tail(self, count: int) -> array[int]:
        """The last tokens of its text, in O(count)."""
        missing = count - len(self.output)
        if missing <= 0:
            return self.output[len(self.output) - count :]
        return self.prompt[max(len(self.prompt) - missing, 0) :] + self.output

    @property
    def is_kept(self) -> bool:
        """True if its output is to become history when it is closed."""
        is_shared = self.share != "never" or self.sequence_id is not None
        return self.may_record and is_shared and len(self.output) > 0

    @property
    def is_open(self) -> bool:
        """True if the service answers its steps."""
        return self.state in OPEN_STATES

    @property
    def is_refused(self) -> bool:
        """True if the service does not take it."""
        return self.state in REFUSED_STATES

    @property
    def is_done(self) -> bool:
        return self.state is State.DONE

    @property
    def is_settled(self) -> bool:
        """True if the caller that opened it has nothing more to wait for."""
        return self.state in SETTLED_STATES
