"""The decoding path without I/O, against a service that is played line by line."""

from __future__ import annotations

from typing import Any

import pytest
from played import DRAFT, PlayedService, add

from reprise.core.decoding import DecodingCore
from reprise.core.errors import InvalidParams, MalformedAnswer
from reprise.core.options import DecodingLimits, DraftOptions, NewSession, Step
from reprise.core.session_states import State
from reprise.core.stepping import CLOSE_ATTEMPTS_MAX
from reprise.core.wire import EVENT_LOOP_LINE_BYTES


def test_a_step_tells_what_was_accepted_and_brings_a_draft(
    core: DecodingCore, played: PlayedService
) -> None:
    add(core)
    played.settle()
    assert played.step(Step("a", [3, 4])) == [[7]]
    assert played.open["a"]["prompt"] == [1, 2]
    assert played.open["a"]["output"] == [3, 4]


def test_tokens_of_a_late_step_are_not_sent_again(
    core: DecodingCore, played: PlayedService
) -> None:
    add(core)
    played.settle()
    late = core.begin_step([Step("a", [3])])
    played.take(late.lines)
    core.give_up_waiting(late)
    # Its answer is not there: what follows waits, so that nothing overtakes it.
    assert core.begin_step([Step("a", [4])]).lines == b""
    assert core.counters.empty_because_late == 1
    played.deliver()
    assert core.counters.late_answers == 1
    assert late.drafts[0].tokens == []
    played.step(Step("a", [5]))
    assert played.open["a"]["output"] == [3, 4, 5]


@pytest.mark.parametrize("was_carried_out", [False, True])
def test_a_step_that_was_lost_with_its_connection_is_applied_once(
    core: DecodingCore, played: PlayedService, was_carried_out: bool
) -> None:
    add(core)
    played.settle()
    played.step(Step("a", [3]))
    call = core.begin_step([Step("a", [4])])
    if was_carried_out:
        played.take(call.lines)
    played.lose()
    core.begin_step([Step("a", [5])])
    played.connect()
    (session,) = played.open.values()
    assert session["output"] == [3, 4, 5]
    assert played.history == []
    assert core.counters.reopened_sessions == 1
    assert core.counters.resent_tokens == 2
    core.close_session("a", [6])
    played.settle()
    assert played.history == [[3, 4, 5, 6]]


@pytest.mark.parametrize("was_carried_out", [False, True])
def test_a_close_whose_answer_was_lost_is_recorded_once(
    core: DecodingCore, played: PlayedService, was_carried_out: bool
) -> None:
    record = add(core)
    played.settle()
    played.step(Step("a", [3]))
    core.close_session("a", [4])
    played.take(core.outgoing(played.now))  # catches up
    played.deliver()
    close = core.outgoing(played.now)
    assert b"session.close" in close
    if was_carried_out:
        played.take(close)
    played.lose()
    played.connect()
    assert played.history == [[3, 4]]
    assert record.is_done
    assert core.counters.recorded_tokens == 2
    assert core.kept_tokens == 0


def test_a_close_that_a_killed_service_lost_is_recorded_by_the_next(
    core: DecodingCore, played: PlayedService
) -> None:
    add(core)
    played.settle()
    played.step(Step("a", [3]))
    core.close_session("a")
    assert b"session.close" in core.outgoing(played.now)
    played.lose()
    played.now += 10
    played.restart()
    played.now += 10
    played.connect()
    assert played.history == [[3]]


def test_an_open_session_is_whole_again_after_the_service_was_killed(
    core: DecodingCore, played: PlayedService
) -> None:
    add(core)
    played.settle()
    played.step(Step("a", [3]))
    played.lose()
    played.restart()
    played.connect()
    core.close_session("a", [4])
    played.settle()
    assert played.history == [[3, 4]]


def test_a_sequence_id_makes_it_exactly_once_over_a_restart(
    core: DecodingCore, played: PlayedService
) -> None:
    add(core, share="never", sequence_id="one")
    played.settle()
    played.step(Step("a", [3]))
    core.close_session("a", [4])
    while b"sequence.insert" not in (lines := core.outgoing(played.now)):
        played.take(lines)
        played.deliver()
    played.take(lines)  # It is on disk, and nobody is told.
    played.lose()
    played.restart()
    played.connect()
    assert played.history == [[3, 4]]
    assert played.ids == {"one": [3, 4]}
    # The lead-in of what a session would have recorded.
    assert played.prompts == {"one": [1, 2]}


def test_an_id_is_in_the_history_before_its_live_session_leaves_it(
    core: DecodingCore, played: PlayedService
) -> None:
    add(core, sequence_id="one")
    played.settle()
    core.close_session("a", [3])
    played.settle()
    assert played.methods[-2:] == ["sequence.insert", "session.close"]
    assert played.history == [[3]]
    assert played.open == {}


def test_what_an_ended_lease_recorded_becomes_prompt(
    core: DecodingCore, played: PlayedService
) -> None:
    add(core)
    played.settle()
    played.step(Step("a", [3]))
    played.history.append(played.open.pop("a")["output"])  # the lease ends
    assert played.step(Step("a", [4])) == [[]]
    played.settle()
    (session,) = played.open.values()
    assert (session["prompt"], session["output"]) == ([1, 2, 3], [4])
    core.close_session("a")
    played.settle()
    assert played.history == [[3], [4]]


def test_what_a_lease_recorded_that_ended_without_a_connection_becomes_prompt(
    core: DecodingCore, played: PlayedService
) -> None:
    """The name under which the service had it was left with the connection, and with it the number
    of tokens that the service had: all of the output was sent again, and recorded twice."""
    add(core)
    played.settle()
    played.step(Step("a", [3]))
    played.lose()
    core.begin_step([Step("a", [4])])
    played.history.append(played.open.pop("a")["output"])  # the lease ends
    played.connect()
    (session,) = played.open.values()
    assert (session["prompt"], session["output"]) == ([1, 2, 3], [4])
    core.close_session("a")
    played.settle()
    assert played.history == [[3], [4]]


def test_a_session_closed_while_the_service_is_down_is_recorded_later(core: DecodingCore) -> None:
    record = add(core)
    core.begin_step([Step("a", [3])])
    core.close_session("a", [4])
    assert core.counters.empty_because_down == 1
    played = PlayedService(core)
    played.connect()
    assert played.history == [[3, 4]]
    assert record.result is not None
    assert record.result.recorded_tokens == 2


def test_a_session_that_is_not_to_be_recorded_leaves_nothing(
    core: DecodingCore, played: PlayedService
) -> None:
    add(core)
    played.settle()
    played.step(Step("a", [3]))
    core.close_session("a", record=False)
    played.settle()
    assert (played.history, played.open) == ([], {})


def test_a_private_session_leaves_the_history_and_goes_on(
    core: DecodingCore, played: PlayedService
) -> None:
    add(core)
    played.settle()
    played.step(Step("a", [3]))
    late = core.begin_step([Step("a", [4])])
    played.take(late.lines)
    record = core.make_private("a")
    assert record is not None
    played.deliver()
    # What the old session on the service has says nothing about the new one.
    assert (record.sent, record.acked) == (0, 0)
    played.settle()
    (session,) = played.open.values()
    assert (session["share"], session["output"]) == ("never", [3, 4])
    core.close_session("a")
    played.settle()
    assert played.history == []


def test_a_name_that_is_taken_is_changed(core: DecodingCore, played: PlayedService) -> None:
    played.open["a"] = {"output": [], "share": "live"}
    record = add(core)
    played.settle()
    assert record.state is State.OPEN
    assert record.wire_name != "a"


def test_a_refused_session_has_empty_drafts_and_is_still_recorded(
    core: DecodingCore, played: PlayedService
) -> None:
    played.refuse["session.open"] = played.error("limit_exceeded", limit="sessions")
    record = add(core)
    played.settle()
    assert record.is_refused
    assert core.last_refusal is record.error
    assert played.step(Step("a", [3])) == [[]]
    assert (core.counters.empty_because_refused, core.counters.empty_because_down) == (1, 0)
    core.close_session("a")
    played.settle()
    assert played.history == [[3]]


def test_a_close_that_the_service_refuses_is_tried_again_and_given_up(
    core: DecodingCore, played: PlayedService
) -> None:
    played.refuse["session.close"] = played.error("storage_full")
    record = add(core)
    played.settle()
    core.close_session("a", [3])
    for _ in range(CLOSE_ATTEMPTS_MAX + 1):
        played.settle()
        played.now += 1
    assert record.is_done
    assert played.methods.count("session.close") == CLOSE_ATTEMPTS_MAX
    assert core.counters.dropped_tokens == 1


def test_busy_says_when_to_try_again(core: DecodingCore, played: PlayedService) -> None:
    played.refuse["session.close"] = played.error("busy", retry_after_ms=2000)
    add(core)
    played.settle()
    core.close_session("a", [3])
    played.settle()
    played.refuse.clear()
    played.now += 1.9
    assert core.outgoing(played.now) == b""
    played.now += 0.2
    played.settle()
    assert played.history == [[3]]


def test_a_refused_line_applies_nothing_and_is_sent_again(
    core: DecodingCore, played: PlayedService
) -> None:
    add(core)
    played.settle()
    played.refuse["session.step"] = played.error("busy", retry_after_ms=1)
    assert played.step(Step("a", [3])) == [[]]
    played.refuse.clear()
    played.step(Step("a", [4]))
    assert played.open["a"]["output"] == [3, 4]


def test_a_long_backlog_goes_out_in_lines_that_stay_in_order(
    core: DecodingCore, played: PlayedService
) -> None:
    add(core)
    tokens = [2**31 - 2] * (3 * core.catch_up_tokens_max + 1)
    core.begin_step([Step("a", tokens[:-1])])
    core.begin_step([Step("a", tokens[-1:])])
    while lines := core.outgoing(played.now):
        assert all(len(line) < EVENT_LOOP_LINE_BYTES for line in lines.splitlines())
        played.take(lines)
        played.deliver()
    assert played.open["a"]["output"] == tokens
    assert not core.has_work


def test_a_large_step_is_cut_into_lines_that_stay_in_order(
    core: DecodingCore, played: PlayedService
) -> None:
    names = [f"{'n' * 100}{number}" for number in range(1500)]
    for name in names:
        add(core, name)
    played.settle()
    call = core.begin_step([Step(name, [5]) for name in names])
    lines = call.lines.splitlines()
    assert len(lines) > 1
    assert all(len(line) < EVENT_LOOP_LINE_BYTES for line in lines)
    played.take(call.lines)
    played.deliver()
    assert all(draft.tokens == [7] for draft in call.drafts)


def test_lines_are_as_long_as_the_service_says(core: DecodingCore) -> None:
    """Lines of up to 64 KiB were sent where the service reads 16 KiB at once, and hands longer ones
    to a thread behind which all else waits."""
    played = PlayedService(core)
    played.info["event_loop_line_bytes"] = 2000
    played.connect()
    names = [f"session-{number}" for number in range(100)]
    for name in names:
        add(core, name)
    played.settle()
    for accept in ([5], [2**31 - 2] * 50):
        call = core.begin_step([Step(name, accept) for name in names])
        lines = call.lines.splitlines(keepends=True)
        assert all(len(line) <= 2000 for line in lines)
        # And hardly shorter than that.
        assert len(lines) <= 2 * len(call.lines) / 2000
        played.take(call.lines)
        played.deliver()
        assert all(draft.tokens == [7] for draft in call.drafts)
    core.begin_step([Step(names[0], [2**31 - 2] * 1000)])
    while lines_later := core.outgoing(played.now):
        assert all(len(line) < 2000 for line in lines_later.splitlines())
        played.take(lines_later)
        played.deliver()
    assert len(played.open[names[0]]["output"]) == 1 + 50 + 1000
    # A service that does not say is taken for one of 16 KiB.
    played.lose()
    del played.info["event_loop_line_bytes"]
    played.connect()
    assert core.catch_up_tokens_max > 1000


@pytest.mark.parametrize("is_whole_line", [False, True])
def test_tokens_that_a_service_never_takes_are_that_sessions_alone(
    core: DecodingCore, played: PlayedService, is_whole_line: bool
) -> None:
    """A token beyond a corpus's vocabulary was sent again every half second, for ever."""
    for name in ("a", "b"):
        add(core, name)
    played.settle()
    if is_whole_line:
        wrong = played.error("invalid_params", member="params.steps[1].accept[0]")
        played.refuse["session.step"] = wrong
        assert played.step(Step("a", [3]), Step("b", [5000])) == [[], []]
        played.refuse.clear()
        played.now += 1
        played.settle()
    else:
        played.vocabulary = 1000
        assert played.step(Step("a", [3]), Step("b", [5000])) == [[7], []]
    played.settle()
    assert isinstance(core.last_refusal, InvalidParams)
    assert not core.has_work
    assert played.step(Step("a", [4]), Step("b", [6])) == [[7], []]
    for name in ("a", "b"):
        core.close_session(name)
    played.settle()
    assert played.history == [[3, 4]]
    assert (played.open, core.kept_tokens) == ({}, 0)
    assert core.counters.empty_because_refused == 1


def test_what_became_of_steps_is_reported(core: DecodingCore, played: PlayedService) -> None:
    core = DecodingCore(engine="test")
    played = PlayedService(core)
    played.connect()
    add(core)
    played.settle()
    for second in range(25):
        played.now += 1
        core.outgoing(played.now)
        late = core.begin_step([Step("a", [3])])
        if second == 5:
            core.give_up_waiting(late)
        played.take(late.lines)
        played.deliver()
        core.counters.unrecorded_rows += second == 6
    first, second_report = played.reports
    assert first == {"engine": "test", "steps": 12, "late": 1, "unrecorded": 1}
    assert second_report == {"engine": "test", "steps": 10}


def test_a_service_that_knows_no_reports_gets_no_more(
    core: DecodingCore, played: PlayedService
) -> None:
    played.refuse["client.report"] = played.error("method_not_found")
    add(core)
    played.settle()
    for _ in range(50):
        played.now += 5
        core.outgoing(played.now)
        assert played.step(Step("a", [3])) == [[7]]
    assert played.methods.count("client.report") == 1
    played.lose()
    played.connect()
    for _ in range(5):
        played.now += 5
        core.outgoing(played.now)
        played.step(Step("a", [3]))
    # Another service may.
    assert played.methods.count("client.report") == 2


@pytest.mark.parametrize("name", ["a/b", "", ".a", "-a", "a" * 65, "ä", "a b"])
def test_a_name_that_no_corpus_has_is_refused_at_once(core: DecodingCore, name: str) -> None:
    for call in (
        lambda: core.add_sessions([NewSession(name, [1])]),
        lambda: core.ensure_corpus({"corpus": name}),
        lambda: core.begin_speculate(name, [[1]], DraftOptions()),
    ):
        with pytest.raises(ValueError, match="no name of a corpus"):
            call()
    core.ensure_corpus({"corpus": "_Aa1.b-" + "c" * 57})


def test_bounds_of_a_session(played: PlayedService) -> None:
    core = DecodingCore(limits=DecodingLimits(session_tokens=5))
    played = PlayedService(core)
    played.connect()
    add(core)
    played.settle()
    played.step(Step("a", [3, 4, 5]))
    assert core.counters.dropped_sessions == 0
    assert played.step(Step("a", [6])) == [[]]
    assert (core.counters.dropped_sessions, core.counters.dropped_tokens) == (1, 1)
    played.settle()
    # What the service had of it is recorded.
    assert played.history == [[3, 4, 5]]
    assert core.kept_tokens == 0


def test_bounds_of_all_sessions_while_the_service_is_down() -> None:
    core = DecodingCore(limits=DecodingLimits(tokens=8))
    add(core, "a")
    add(core, "b")
    core.begin_step([Step("a", [3, 4, 5, 6])])
    assert core.kept_tokens == 8
    core.begin_step([Step("b", [3])])
    assert "b" not in core.records
    assert core.counters.dropped_tokens == 1
    assert core.kept_tokens == 6
    assert add(DecodingCore(limits=DecodingLimits(sessions=0))).is_done


def test_sessions_are_begun_all_or_none(core: DecodingCore, played: PlayedService) -> None:
    add(core)
    for second in (
        NewSession("demo", [1], name="a"),
        NewSession("demo", [1], name="b"),
        NewSession("demo", [-1]),
        NewSession("a/b", [1]),
    ):
        with pytest.raises(ValueError, match=r"open already|token ids|no name"):
            core.add_sessions([NewSession("demo", [1], name="b"), second])
        assert list(core.records) == ["a"]
    assert len(core.add_sessions([NewSession("demo", [1]), NewSession("demo", [1])])) == 2
    lines = core.outgoing(played.now)
    assert lines.count(b"session.open") == 3


def test_argument_errors_change_nothing(core: DecodingCore, played: PlayedService) -> None:
    add(core)
    played.settle()
    for wrong in ([-1], [2**31 - 1], [2**40]):
        with pytest.raises(ValueError, match="token ids"):
            core.begin_step([Step("a", [3]), Step("a", wrong)])
    with pytest.raises(TypeError):
        core.begin_step([Step("a", ["x"])])
    with pytest.raises(ValueError, match="open already"):
        add(core)
    with pytest.raises(ValueError, match="share"):
        add(core, "b", share="sometimes")
    for options in ({"max_tokens": -1}, {"min_probability": 1.5}, {"max_factor": -1.0}):
        with pytest.raises(ValueError, match="expected"):
            DraftOptions(**options)
    assert played.open["a"]["output"] == []


@pytest.mark.parametrize(
    "change",
    [
        {"parents": [0]},
        {"parents": [-2]},
        {"parents": []},
        {"tokens": [-1]},
        {"probs": None},
        {"tokens": None},
    ],
)
def test_a_draft_that_leads_astray_ends_the_connection(
    core: DecodingCore, played: PlayedService, change: dict[str, Any]
) -> None:
    add(core)
    played.settle()
    call = core.begin_step([Step("a", [3])])
    played.take(call.lines)
    played.answers[0]["result"]["drafts"] = [{**DRAFT, **change}]
    with pytest.raises(MalformedAnswer):
        played.deliver()
    core.disconnected()
    assert call.drafts[0].tokens == []
    assert core.counters.malformed_answers == 1


def test_answers_to_nothing_are_thrown_away(core: DecodingCore, played: PlayedService) -> None:
    core.receive(b'{"jsonrpc":"2.0","id":9999,"result":{}}\n', played.now)
    core.receive(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700}}\n', played.now)
    assert core.counters.unknown_answers == 2


def test_a_corpus_is_made_before_sessions_over_it_are_opened(core: DecodingCore) -> None:
    core.ensure_corpus({"corpus": "demo"})
    add(core)
    played = PlayedService(core)
    played.refuse["corpus.create"] = played.error("corpus_exists")
    played.connect()
    assert played.methods == ["server.info", "corpus.create", "session.open"]
    assert core.corpora.error("demo") is not None
    assert not core.has_work
