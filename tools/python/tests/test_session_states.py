"""The table of session states: every cell, and sessions that meet whatever may happen to them."""

from __future__ import annotations

import random

import pytest
from played import PlayedService

from reprise.core.decoding import DecodingCore
from reprise.core.draft_call import DraftCall
from reprise.core.options import NewSession, Step
from reprise.core.session_record import SessionRecord
from reprise.core.session_states import Action, Event, ImpossibleEvent, State, transition

#: The next state: a row an event, a column a state. "·" is impossible; the letters behind a state's
#: name are the action.
GRID = """
                  WAITING DISCARDING REFUSED REJECTED WITHDRAWING INSERTING OPENING OPEN STEPPING SAVING CLOSING DONE
DISCARD_SENT      DISCARDING · · WITHDRAWING · · · · · · · ·
OPEN_SENT         OPENING · · · · · · · · · · ·
STEP_SENT         · · · · · · · STEPPING · · · ·
INSERT_SENT       INSERTING · INSERTING · · · · SAVING · · · ·
CLOSE_SENT        · · · · · · · CLOSING · · · ·
DISCARD_ANSWERED  · WAITING · · REJECTED · · · · · · ·
OPENED            · · · · · · OPEN · · · · ·
NAME_TAKEN        · · · · · · WAITING/RENAME · · · · ·
OPEN_POSTPONED    · · · · · · WAITING · · · · ·
OPEN_REFUSED      · · · · · · REFUSED · · · · ·
STEPPED           · · · · · · · · OPEN/ACKNOWLEDGE · · ·
STEP_FAILED       · · · · · · · · OPEN/TAKE_BACK · · ·
TOKENS_REJECTED   · · · · · · · · REJECTED/LEAVE · · ·
LEASE_ENDED       · WAITING/EXTEND_PROMPT · · · · · · WAITING/EXTEND_PROMPT · · ·
INSERT_ANSWERED   · · · · · WAITING · · · OPEN · ·
CLOSE_FAILED      · · · · · · · · · · OPEN ·
LOST              WAITING WAITING WAITING REJECTED REJECTED WAITING WAITING/LEAVE WAITING/LEAVE WAITING/LEAVE WAITING/LEAVE WAITING/LEAVE ·
WITHDRAWN         WAITING DISCARDING REFUSED REJECTED WITHDRAWING INSERTING WAITING/LEAVE WAITING/LEAVE WAITING/LEAVE SAVING CLOSING ·
ENDED             DONE/RELEASE DONE/RELEASE DONE/RELEASE DONE/RELEASE DONE/RELEASE · DONE/RELEASE DONE/RELEASE · · DONE/RELEASE ·
"""  # noqa: E501


def cells() -> list[tuple[Event, State, str]]:
    header, *rows = [line.split() for line in GRID.strip().splitlines()]
    states = [State[name] for name in header]
    return [
        (Event[name], state, cell)
        for name, *row in rows
        for state, cell in zip(states, row, strict=True)
    ]


def test_the_grid_has_every_cell() -> None:
    found = [(event, state) for event, state, _ in cells()]
    assert len(found) == len(set(found)) == len(Event) * len(State)


@pytest.mark.parametrize(("event", "state", "cell"), cells())
def test_a_cell_has_the_outcome_of_the_grid(event: Event, state: State, cell: str) -> None:
    if cell == "·":
        with pytest.raises(ImpossibleEvent, match=f"{event.name} .* {state.name}") as caught:
            transition(state, event)
        assert (caught.value.event, caught.value.state) == (event, state)
        return
    name, _, action = cell.partition("/")
    assert transition(state, event) == (State[name], Action[action or "NONE"])


def record(state: State) -> SessionRecord:
    made = SessionRecord(NewSession("demo", [1, 2], name="a"))
    made.state = state
    made.output.extend([3, 4, 5, 6])
    made.acked, made.sent = 2, 3
    return made


def test_an_impossible_event_changes_nothing() -> None:
    made = record(State.OPEN)
    with pytest.raises(ImpossibleEvent):
        made.apply(Event.OPENED)
    assert (made.state, made.generation, made.sent) == (State.OPEN, 0, 3)


def test_actions_change_the_record() -> None:
    stepped, failed = record(State.STEPPING), record(State.STEPPING)
    stepped.apply(Event.STEPPED)
    assert (stepped.acked, stepped.sent) == (3, 3)
    failed.apply(Event.STEP_FAILED)
    assert (failed.acked, failed.sent) == (2, 2)
    for state, was_open, close_was_sent in (
        (State.OPENING, False, False),
        (State.STEPPING, True, False),
        (State.CLOSING, True, True),
    ):
        left = record(state)
        left.apply(Event.LOST)
        assert left.left is not None
        assert (left.left.name, left.left.acked) == ("a", 2)
        assert (left.left.was_open, left.left.close_was_sent) == (was_open, close_was_sent)
        assert left.wire_name.startswith("a~1.")
        assert (left.sent, left.acked, left.sent_before) == (0, 0, 3)
    ended = record(State.STEPPING)
    ended.apply(Event.LEASE_ENDED)
    assert (list(ended.prompt), list(ended.output)) == ([1, 2, 3, 4], [5, 6])
    assert (ended.left, ended.generation) == (None, 1)
    done = record(State.OPEN)
    done.apply(Event.ENDED)
    assert (done.is_done, done.tokens, done.generation) == (True, 0, 1)


class Chance:
    """A client whose lines, answers and service meet at random."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.core = DecodingCore()
        self.played = PlayedService(self.core)
        self.played.vocabulary = 1000
        self.is_connected = False
        self.number = 0
        self.calls: list[DraftCall] = []

    def name(self) -> str:
        return self.random.choice("abc")

    def add(self) -> None:
        name = self.name()
        if name not in self.core.records:
            share = self.random.choice(["live", "live", "close", "never"])
            identifier = self.random.choice([None, None, f"id-{self.number}"])
            new = NewSession("demo", [1], name=name, share=share, sequence_id=identifier)  # type: ignore[arg-type]
            self.core.add_sessions([new])

    def step(self) -> None:
        self.number += 1
        token = 5000 if self.random.random() < 0.05 else self.number % 1000
        call = self.core.begin_step([Step(self.name(), [token])], self.is_connected)
        self.calls.append(call)
        self.played.take(call.lines)

    def close(self) -> None:
        self.core.close_session(self.name(), record=self.random.random() < 0.8)

    def private(self) -> None:
        self.core.make_private(self.name())

    def truncate(self) -> None:
        self.core.truncate_session(self.name(), self.random.randint(0, 5))

    def late(self) -> None:
        for call in self.calls:
            self.core.give_up_waiting(call)

    def send(self) -> None:
        self.played.now += self.random.choice([0.0, 0.1, 1.0])
        if self.is_connected:
            self.played.take(self.core.outgoing(self.played.now))

    def answer(self) -> None:
        """Delivers some of the answers, in order."""
        count = self.random.randint(0, len(self.played.answers))
        later = self.played.answers[count:]
        del self.played.answers[count:]
        self.played.deliver()
        self.played.answers = later

    def lose(self) -> None:
        if self.is_connected and self.random.random() < 0.3:
            self.is_connected = False
            self.played.lose()

    def restart(self) -> None:
        if not self.is_connected:
            self.played.restart()

    def find(self) -> None:
        if not self.is_connected:
            self.is_connected = True
            self.played.now += 1
            self.played.take(self.core.connected(self.played.now))

    def end_lease(self) -> None:
        if self.played.open and self.random.random() < 0.3:
            session = self.played.open.pop(self.random.choice(sorted(self.played.open)))
            if session["share"] != "never":
                self.played.history.append(session["output"])

    def refuse(self) -> None:
        method = self.random.choice(["session.open", "session.close", "session.step"])
        kind = self.random.choice(["busy", "conflict", "storage_full", "invalid_params"])
        self.played.refuse = {method: self.played.error(kind)} if self.random.random() < 0.3 else {}

    def run(self, count: int) -> None:
        actions = [
            *(self.add, self.step, self.step, self.step, self.send, self.send, self.send),
            *(self.answer, self.answer, self.answer, self.find, self.find, self.close),
            *(self.private, self.truncate, self.late, self.lose, self.restart),
            *(self.end_lease, self.refuse),
        ]
        for _ in range(count):
            self.random.choice(actions)()
            assert self.core.kept_tokens == sum(r.tokens for r in self.core.records.values())
            assert not any(known.is_done for known in self.core.records.values())
        # All comes to an end.
        self.played.refuse = {}
        self.played.vocabulary = 2**31
        self.find()
        self.core.close_sessions()
        for _ in range(60):
            self.played.now += 61
            self.played.deliver()
            self.played.take(self.core.outgoing(self.played.now))
        assert self.core.is_flushed
        assert self.core.records == {}
        assert self.core.kept_tokens == 0


@pytest.mark.parametrize("seed", range(20))
def test_nothing_that_happens_is_impossible(seed: int) -> None:
    for part in range(10):
        Chance(10 * seed + part).run(120)
