"""Sessions that are truncated, in the decoding path without I/O."""

from __future__ import annotations

import pytest
from played import PlayedService, add

from reprise.core.decoding import DecodingCore
from reprise.core.options import Step


def test_a_truncated_session_loses_what_stands_behind(
    core: DecodingCore, played: PlayedService
) -> None:
    add(core)
    played.settle()
    played.step(Step("a", [3, 4, 5, 6]))
    core.truncate_session("a", 10)
    assert list(played.open) == ["a"]
    core.truncate_session("a", 4)
    played.settle()
    (session,) = played.open.values()
    assert session["output"] == [3, 4]
    assert core.kept_tokens == 4
    played.step(Step("a", [9]))
    core.close_session("a")
    played.settle()
    assert played.history == [[3, 4, 9]]


def test_a_truncated_session_that_closes_is_recorded_without_being_opened(
    core: DecodingCore, played: PlayedService
) -> None:
    add(core)
    played.settle()
    played.step(Step("a", [3, 4, 5, 6]))
    core.truncate_session("a", 3)
    core.close_session("a")
    played.settle()
    assert played.history == [[3]]
    assert played.methods.count("session.open") == 1
    assert core.kept_tokens == 0


@pytest.mark.parametrize("when", ["unsent", "under way", "lost", "late"])
def test_a_session_is_truncated_whatever_is_under_way(
    core: DecodingCore, played: PlayedService, when: str
) -> None:
    add(core)
    played.settle()
    played.step(Step("a", [3]))
    if when == "unsent":
        played.lose()
    call = core.begin_step([Step("a", [4, 5])])
    if when != "unsent":
        played.take(call.lines)
    if when == "lost":
        played.lose()
    if when == "late":
        core.give_up_waiting(call)
    core.truncate_session("a", 4)
    if when in ("unsent", "lost"):
        played.connect()
    played.deliver()
    played.settle()
    played.step(Step("a", [8]))
    core.close_session("a")
    played.settle()
    assert played.history == [[3, 4, 8]]
    assert played.open == {}
    assert core.kept_tokens == 0


def test_what_an_ended_lease_recorded_is_not_truncated(
    core: DecodingCore, played: PlayedService
) -> None:
    add(core)
    played.settle()
    played.step(Step("a", [3, 4]))
    played.history.append(played.open.pop("a")["output"])  # the lease ends
    played.step(Step("a", [5]))
    played.settle()
    core.truncate_session("a", 3)
    core.close_session("a", [6])
    played.settle()
    assert played.history == [[3, 4], [6]]
