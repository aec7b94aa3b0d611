"""The states of a session, the events that change them, and one table of what follows.

A state tells where a session stands with the service. What the caller wants of it (to go on, to
close it, to have it recorded) is not a state: any state may have it, and it decides which line is
sent next (`reprise.core.recovery`).

A session is in one of three places. It is *on the service* under its name of this connection, it is
*not on the service*, or it is *done*. When the service loses a session, or may have more of it than
it should, the name is left (`Action.LEAVE`), the session found under it is discarded, and the text
is sent again under another name. So a late answer never meets the session that it was about.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import NamedTuple


class State(enum.IntEnum):
    """Where a session stands with the service."""

    # Not on the service.
    WAITING = 0
    """Nothing is under way. It is opened next, or inserted if it was closed; what an earlier
    connection left is discarded first."""
    DISCARDING = 1
    """The close, without a record, of what an earlier connection left is under way."""
    REFUSED = 2
    """The service did not open it. It waits for the next connection, or to be closed."""
    REJECTED = 3
    """The service will never take its tokens. It waits to be closed, and is not recorded."""
    WITHDRAWING = 4
    """The same, while what was left on the service is discarded."""
    INSERTING = 5
    """It was closed, and its output is inserted as a finished sequence."""
    # On the service.
    OPENING = 6
    OPEN = 7
    STEPPING = 8
    """It is open, and one step is under way."""
    SAVING = 9
    """It was closed and is still open, while its output is inserted under its id: what it shares
    stays in drafts until the insert is there."""
    CLOSING = 10
    # Neither.
    DONE = 11
    """The output is history, or given up. The text is released."""


class Event(enum.IntEnum):
    """An event in the life of a session."""

    # The client sends a line.
    DISCARD_SENT = 0
    OPEN_SENT = 1
    STEP_SENT = 2
    INSERT_SENT = 3
    CLOSE_SENT = 4
    # The service answers.
    DISCARD_ANSWERED = 5
    OPENED = 6
    NAME_TAKEN = 7
    """Another session has the name."""
    OPEN_POSTPONED = 8
    """The service is busy."""
    OPEN_REFUSED = 9
    STEPPED = 10
    STEP_FAILED = 11
    """Nothing of the step was applied."""
    TOKENS_REJECTED = 12
    """The service will never take what was accepted."""
    LEASE_ENDED = 13
    """The service had ended the session, and recorded what it had."""
    INSERT_ANSWERED = 14
    CLOSE_FAILED = 15
    # The connection.
    LOST = 16
    # The caller, or the client itself.
    WITHDRAWN = 17
    """What the service has of it must leave the history: text was taken back, it became private, or
    it was closed without a record."""
    ENDED = 18
    """Nothing is left to do: the output is history, or given up."""


class Action(enum.IntEnum):
    """The effect of an event on the session's record, besides the change of state."""

    NONE = 0
    ACKNOWLEDGE = 1
    """The service has all tokens that were sent."""
    TAKE_BACK = 2
    """The tokens that were sent last are to be sent again."""
    LEAVE = 3
    """The name is left for a new one. What the service may have under it is remembered."""
    RENAME = 4
    """The name is left for a new one. The service has nothing of the session under it."""
    EXTEND_PROMPT = 5
    """What the service recorded of the output becomes prompt, and the name is left."""
    RELEASE = 6
    """The text is released."""


class Transition(NamedTuple):
    state: State
    action: Action = Action.NONE


class ImpossibleEvent(RuntimeError):
    """An event that cannot happen in a session's state: a mistake of this client."""

    def __init__(self, event: Event, state: State) -> None:
        super().__init__(f"{event.name} cannot happen to a session that is {state.name}")
        self.event = event
        self.state = state


_to = Transition
#: The transitions. An event that a state is not listed for is impossible in it.
TRANSITIONS: Mapping[Event, Mapping[State, Transition]] = {
    Event.DISCARD_SENT: {
        State.WAITING: _to(State.DISCARDING),
        State.REJECTED: _to(State.WITHDRAWING),
    },
    Event.OPEN_SENT: {State.WAITING: _to(State.OPENING)},
    Event.STEP_SENT: {State.OPEN: _to(State.STEPPING)},
    Event.INSERT_SENT: {
        State.WAITING: _to(State.INSERTING),
        State.REFUSED: _to(State.INSERTING),
        State.OPEN: _to(State.SAVING),
    },
    Event.CLOSE_SENT: {State.OPEN: _to(State.CLOSING)},
    Event.DISCARD_ANSWERED: {
        State.DISCARDING: _to(State.WAITING),
        State.WITHDRAWING: _to(State.REJECTED),
    },
    Event.OPENED: {State.OPENING: _to(State.OPEN)},
    Event.NAME_TAKEN: {State.OPENING: _to(State.WAITING, Action.RENAME)},
    Event.OPEN_POSTPONED: {State.OPENING: _to(State.WAITING)},
    Event.OPEN_REFUSED: {State.OPENING: _to(State.REFUSED)},
    Event.STEPPED: {State.STEPPING: _to(State.OPEN, Action.ACKNOWLEDGE)},
    Event.STEP_FAILED: {State.STEPPING: _to(State.OPEN, Action.TAKE_BACK)},
    Event.TOKENS_REJECTED: {State.STEPPING: _to(State.REJECTED, Action.LEAVE)},
    Event.LEASE_ENDED: {
        State.STEPPING: _to(State.WAITING, Action.EXTEND_PROMPT),
        # The discard has not found it.
        State.DISCARDING: _to(State.WAITING, Action.EXTEND_PROMPT),
    },
    Event.INSERT_ANSWERED: {
        State.INSERTING: _to(State.WAITING),
        State.SAVING: _to(State.OPEN),
    },
    Event.CLOSE_FAILED: {State.CLOSING: _to(State.OPEN)},
    Event.LOST: {
        State.WAITING: _to(State.WAITING),
        State.DISCARDING: _to(State.WAITING),
        State.REFUSED: _to(State.WAITING),
        State.REJECTED: _to(State.REJECTED),
        State.WITHDRAWING: _to(State.REJECTED),
        State.INSERTING: _to(State.WAITING),
        State.OPENING: _to(State.WAITING, Action.LEAVE),
        State.OPEN: _to(State.WAITING, Action.LEAVE),
        State.STEPPING: _to(State.WAITING, Action.LEAVE),
        State.SAVING: _to(State.WAITING, Action.LEAVE),
        State.CLOSING: _to(State.WAITING, Action.LEAVE),
    },
    Event.WITHDRAWN: {
        # The service has nothing of these.
        State.WAITING: _to(State.WAITING),
        State.DISCARDING: _to(State.DISCARDING),
        State.REFUSED: _to(State.REFUSED),
        State.REJECTED: _to(State.REJECTED),
        State.WITHDRAWING: _to(State.WITHDRAWING),
        # These end anyway.
        State.INSERTING: _to(State.INSERTING),
        State.SAVING: _to(State.SAVING),
        State.CLOSING: _to(State.CLOSING),
        State.OPENING: _to(State.WAITING, Action.LEAVE),
        State.OPEN: _to(State.WAITING, Action.LEAVE),
        State.STEPPING: _to(State.WAITING, Action.LEAVE),
    },
    Event.ENDED: {
        State.WAITING: _to(State.DONE, Action.RELEASE),
        State.DISCARDING: _to(State.DONE, Action.RELEASE),
        State.REFUSED: _to(State.DONE, Action.RELEASE),
        State.REJECTED: _to(State.DONE, Action.RELEASE),
        State.WITHDRAWING: _to(State.DONE, Action.RELEASE),
        State.OPENING: _to(State.DONE, Action.RELEASE),
        State.OPEN: _to(State.DONE, Action.RELEASE),
        State.CLOSING: _to(State.DONE, Action.RELEASE),
    },
}

#: The same as rows of cells, for the step path: a lookup by two small numbers.
_CELLS = tuple(tuple(TRANSITIONS[event].get(state) for state in State) for event in Event)


def transition(state: State, event: Event) -> Transition:
    """The next state and the action for an event in a state, in O(1).

    Raises:
        ImpossibleEvent: It cannot happen in that state.
    """
    cell = _CELLS[event][state]
    if cell is None:
        raise ImpossibleEvent(event, state)
    return cell


#: States in which the service answers steps of the session, at once or after the one under way.
OPEN_STATES = frozenset({State.OPEN, State.STEPPING})
#: States in which the service does not take the session.
REFUSED_STATES = frozenset({State.REFUSED, State.REJECTED, State.WITHDRAWING})
#: States for which the caller that opened the session waits.
SETTLED_STATES = OPEN_STATES | REFUSED_STATES | {State.DONE}
