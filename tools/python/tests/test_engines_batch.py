"""What engines share: requests in a batch, told apart, and what of them becomes history."""

from __future__ import annotations

import logging
import types
from collections.abc import Iterator
from typing import Any

import pytest
from played import PlayedLink, played_client

from reprise import DraftOptions
from reprise.core.drafts import Draft
from reprise.core.options import NO_BOUNDS, BatchBounds
from reprise.engines import batch
from reprise.engines.batch import BatchDrafter
from reprise.engines.rows import OutputEnd, Row
from reprise.engines.settings import EngineSettings

DRAFTED = [7]


class Engine:
    """A drafter over a service that is played, and the rows of its steps."""

    def __init__(self, **options: Any) -> None:
        self.client, self.link = played_client(**options)
        self.drafter = BatchDrafter(self.client, "demo", options=DraftOptions(), vocabulary=1000)

    @property
    def history(self) -> list[list[int]]:
        return self.link.service.history

    def step(self, **rows: tuple[list[Any], list[Any]]) -> dict[str, list[int]]:
        """One step; a row is a prompt and the output behind it."""
        return self.step_rows(
            *(Row(key, prompt + output, len(prompt), 8) for key, (prompt, output) in rows.items())
        )

    def step_rows(self, *rows: Row) -> dict[str, list[int]]:
        drafts = self.drafter.step(rows)
        return {row.key: draft.tokens for row, draft in zip(rows, drafts, strict=True)}


@pytest.fixture
def engine(caplog: pytest.LogCaptureFixture) -> Iterator[Engine]:
    caplog.set_level(logging.INFO, logger="reprise")
    engine = Engine()
    yield engine
    engine.drafter.close()


NO_IDS = [-1, 2**31 - 1, 2**40, 1000, 1.5, "x", None]


@pytest.mark.parametrize("bad", NO_IDS)
def test_a_row_with_an_id_that_is_none_costs_its_neighbours_nothing(
    engine: Engine, caplog: pytest.LogCaptureFixture, bad: Any
) -> None:
    """A row with -1 made the step raise when all rows' tokens were counted as told: no row had a
    draft, and the neighbours' tokens of that step were never sent. Their record was text that no
    model wrote. Ids are looked at row by row now, and only what was taken counts."""
    assert engine.step(a=([1, 2, 3], [4]), b=([1], [9])) == {"a": DRAFTED, "b": DRAFTED}
    assert engine.step(a=([1, 2, 3], [4, 5, 6]), b=([1], [9, 8]))["a"] == DRAFTED
    drafts = engine.step(a=([1, 2, 3], [4, 5, 6, 11, 12]), b=([1], [9, 8, bad]))
    assert drafts == {"a": DRAFTED, "b": []}
    # It stays so, although what was a placeholder has an id now.
    drafts = engine.step(a=([1, 2, 3], [4, 5, 6, 11, 12, 13]), b=([1], [9, 8, 7, 6]))
    assert drafts == {"a": DRAFTED, "b": []}
    engine.drafter.finish(["a", "b"])
    assert engine.history == [[4, 5, 6, 11, 12, 13]]
    assert engine.client.counters.unrecorded_rows == 2
    assert caplog.text.count("request b has no drafts and is not recorded") == 1
    # The key is free again.
    assert engine.step(b=([1], [3])) == {"b": DRAFTED}


@pytest.mark.parametrize("bad", NO_IDS)
def test_a_prompt_with_an_id_that_is_none_is_that_requests_alone(engine: Engine, bad: Any) -> None:
    """Such a prompt made every step raise while its request lived."""
    for length in (1, 2, 3):
        drafts = engine.step(a=([1], [5] * length), b=([1, bad, 2], [6] * length))
        assert drafts == {"a": DRAFTED, "b": []}
    engine.drafter.finish(["a", "b"])
    assert engine.history == [[5, 5, 5]]


def test_new_requests_are_opened_in_one_exchange(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A send for each new row, all but the last with a deadline that had passed, was how a cold
    batch began."""
    opened: list[int] = []
    original = engine.link.open

    def open_sessions(sessions: Any, wait: float) -> Any:
        opened.append(len(sessions))
        return original(sessions, wait)

    monkeypatch.setattr(engine.link, "open", open_sessions)
    assert engine.step(a=([1], [5]), b=([2, -1], [6]), c=([3], [7])) == {
        "a": DRAFTED,
        "b": [],
        "c": DRAFTED,
    }
    engine.step(a=([1], [5, 6]), c=([3], [7, 8]))
    assert opened == [2]


def test_ids_of_numpy_are_ids(engine: Engine) -> None:
    np = pytest.importorskip("numpy")
    for kind in (np.int32, np.int64, np.uint16):
        text = np.array([1, 2, 3, 4], dtype=kind)
        key = kind.__name__
        assert engine.step_rows(Row(key, text, 2, 8), Row("list", list(text), 2, 8)) == {
            key: DRAFTED,
            "list": DRAFTED,
        }
        engine.drafter.finish([key, "list"])
    assert engine.history == [[3, 4]] * 6
    wrong = np.array([1.0, 2.0])
    assert engine.step_rows(Row("float", wrong, 1, 8)) == {"float": []}


def test_an_error_in_one_row_is_that_rows_alone(engine: Engine) -> None:
    class Broken(list[int]):
        def __getitem__(self, place: Any) -> Any:
            raise RuntimeError("broken by the test")

    drafts = engine.step_rows(Row("a", [1, 2], 1, 8), Row("b", Broken([1, 2]), 1, 8))
    assert drafts == {"a": DRAFTED, "b": []}


def test_a_key_that_stands_twice_in_a_step_is_the_first_rows(engine: Engine) -> None:
    rows = [Row("a", [1, 2], 1, 8), Row("a", [1, 5], 1, 8)]
    assert [draft.tokens for draft in engine.drafter.step(rows)] == [DRAFTED, []]
    engine.drafter.finish(["a"])
    assert engine.history == [[2]]


def test_what_follows_under_the_same_key_is_another_request(engine: Engine) -> None:
    """The next prompt under one key was taken for the output of the request before, if it was
    longer and had one token in common. Now the prompt's length and what is known must agree."""
    engine.step(r=([1, 2, 3], [4, 5]))
    (first,) = engine.link.core.records
    assert engine.step(r=([1, 2, 3, 4, 5, 70, 71, 72], [73])) == {"r": DRAFTED}
    assert engine.history == [[4, 5]]
    (session,) = engine.link.service.open.values()
    assert session["prompt"] == [1, 2, 3, 4, 5, 70, 71, 72]
    # The service has indexed its beginning already.
    assert session["parent"] == first
    engine.drafter.finish(["r"])
    assert engine.history == [[4, 5], [73]]
    # After an end that was told it is the same.
    engine.step(r=([1, 2, 3, 4, 5, 70, 71, 72, 73, 8], [9]))
    (session,) = engine.link.service.open.values()
    assert "parent" in session


@pytest.mark.parametrize(
    "second",
    [
        ([9, 2, 3], [4, 5, 6]),
        ([1, 2, 9], [4, 5, 6, 7]),
        ([1, 2, 3, 4], [5]),
        ([1, 2], [3, 4, 5, 6]),
    ],
)
@pytest.mark.parametrize("steps_between", [0, 40])
def test_another_prompt_is_another_request(
    engine: Engine, second: tuple[list[int], list[int]], steps_between: int
) -> None:
    for _ in range(2):
        engine.step(r=([1, 2, 3], [4, 5]))
    for _ in range(steps_between):
        engine.step(other=([8], []))
    engine.step(r=second)
    assert engine.history == [[4, 5]]
    engine.drafter.finish(["r"])
    assert engine.history == [[4, 5], second[1]]


def test_another_request_with_a_long_prompt_that_ends_alike(engine: Engine) -> None:
    """All but the first token is the same, further back than is compared at each step."""
    same = list(range(300))
    for _ in range(2):
        engine.step(r=([1, *same], [4, 5]))
    for _ in range(40):
        engine.step(other=([8], []))
    engine.step(r=([2, *same], [4, 5, 6]))
    engine.drafter.finish(["r"])
    assert engine.history == [[4, 5], [4, 5, 6]]


def test_what_was_taken_back_is_no_history(engine: Engine) -> None:
    """An engine drops what a pass under way had sampled when it preempts the request: 10 tokens,
    then 8, then 12. The two were recorded, and so was the whole output a second time."""
    prompt, output = [1, 2], list(range(10, 20))
    assert engine.step(r=(prompt, output)) == {"r": DRAFTED}
    assert engine.step(r=(prompt, output[:8])) == {"r": DRAFTED}
    final = [*output[:8], 30, 31, 32, 33]
    engine.step(r=(prompt, final))
    engine.drafter.finish(["r"])
    assert engine.history == [final]
    assert engine.client.counters.truncated_tokens == 2


def test_what_was_dropped_by_a_preemption_before_the_end_is_no_history(engine: Engine) -> None:
    """Nothing tells what became of the newest pass of a request that ends while it waits."""
    engine.step(r=([1, 2], [10]))
    engine.step(r=([1, 2], [10, 11, 12]))
    engine.step(other=([8], [3]))
    engine.drafter.finish(["r", "other"])
    assert engine.history == [[10], [3]]


def test_what_was_taken_back_may_be_replaced_before_anyone_sees_it(engine: Engine) -> None:
    engine.step(r=([1, 2], [10, 11, 12]))
    engine.step(r=([1, 2], [10, 11, 90, 91]))
    engine.drafter.finish(["r"])
    assert engine.history == [[10, 11, 90, 91]]


def test_nothing_past_an_outputs_end_is_recorded(engine: Engine) -> None:
    """A pass that verifies a draft accepts tokens behind the one that ends the output. They were
    recorded: up to 41 % of a history of short answers."""
    ids = OutputEnd(ids=frozenset([50]))
    engine.step_rows(Row("ids", [1, 10], 1, 8, ids))
    assert engine.step_rows(Row("ids", [1, 10, 11, 50, 12, 13], 1, 8, ids)) == {"ids": []}
    bound = OutputEnd(max_tokens=3)
    assert engine.step_rows(Row("bound", [1, 10], 1, 8, bound)) == {"bound": DRAFTED}
    engine.step_rows(Row("bound", [1, 10, 11, 12, 13], 1, 8, bound))
    both = OutputEnd(max_tokens=3, ids=frozenset([50]))
    engine.step_rows(Row("both", [1, 10, 11, 12, 50], 1, 8, both))
    engine.drafter.finish(["ids", "bound", "both"])
    assert engine.history == [[10, 11, 50], [10, 11, 12], [10, 11, 12]]


def test_an_end_that_is_passed_was_none(engine: Engine) -> None:
    end = OutputEnd(ids=frozenset([50]))
    engine.step_rows(Row("a", [1, 10, 50, 11], 1, 8, end))
    engine.step_rows(Row("a", [1, 10, 50, 11, 12], 1, 8, end))
    engine.drafter.finish(["a"])
    assert engine.history == [[10, 50, 11, 12]]


@pytest.mark.parametrize("is_known", [True, False])
def test_an_end_that_no_token_tells_is_asked_for_when_the_request_has_ended(
    engine: Engine, is_known: bool
) -> None:
    asked: list[list[int]] = []

    def excess(output: Any) -> int | None:
        asked.append(list(output))
        return 2 if is_known else None

    end = OutputEnd(excess=excess)
    engine.step_rows(Row("a", [1, 10, 11], 1, 8, end))
    engine.step_rows(Row("a", [1, 10, 11, 12, 13, 14], 1, 8, end))
    engine.drafter.finish(["a"])
    assert asked == [[10, 11, 12, 13, 14]]
    # Where it is not known, the newest pass is not believed.
    assert engine.history == [[10, 11, 12] if is_known else [10, 11]]


def test_the_cost_of_verification_is_that_of_the_whole_batch() -> None:
    client, link = played_client()
    settings = EngineSettings(verify_cost=0.002)
    drafter = BatchDrafter(client, "demo", options=DraftOptions(), settings=settings)
    asked: list[tuple[Any, BatchBounds]] = []
    original = link.step

    def step(steps: Any, wait: float, bounds: BatchBounds = NO_BOUNDS) -> list[Draft]:
        asked.append((steps, bounds))
        return original(steps, wait, bounds)

    link.step = step  # type: ignore[method-assign]
    # The second row has no session: its request is spoiled.
    drafter.step([Row("a", [1, 2], 1, 8), Row("b", [1, -1], 1, 8), Row("c", [3, 4], 1, 8)])
    ((steps, bounds),) = asked
    assert bounds == BatchBounds(verify_cost=0.002, batch=3)
    assert [step.options.policy for step in steps] == ["estimate"] * len(steps)
    assert len(steps) == 2
    drafter.close()


def test_a_draft_leaves_what_the_output_may_still_have(engine: Engine) -> None:
    wanted: list[Any] = []
    original = engine.link.step

    def step(steps: Any, wait: float, bounds: BatchBounds = NO_BOUNDS) -> list[Draft]:
        wanted.extend(step.options.max_tokens for step in steps)
        return original(steps, wait, bounds)

    engine.link.step = step  # type: ignore[method-assign]
    for length in range(2, 7):
        text = [1, *range(10, 10 + length)]
        engine.step_rows(Row("a", text, 1, 3, OutputEnd(max_tokens=6)))
    assert wanted == [3, 2, 1, 0, 0]


@pytest.mark.parametrize(
    ("final", "recorded"),
    [
        ([10, 11, 12, 13], [10, 11, 12, 13]),
        ([10, 11, 12], [10, 11, 12]),
        ([10, 11], [10, 11]),
        ([10, 90], [10, 90]),
        ([], []),
    ],
)
def test_the_final_text_is_what_is_recorded(
    engine: Engine, final: list[int], recorded: list[int]
) -> None:
    engine.step(a=([1, 2], [10, 11, 12]))
    engine.drafter.finish(["a"], {"a": Row("a", [1, 2, *final], 2, 8)})
    assert engine.history == ([recorded] if recorded else [])


def test_a_final_text_that_is_none_is_not_recorded(engine: Engine) -> None:
    for number, text in enumerate(([1, 2, 10, -1], [3, 4, 10, 11])):
        engine.step(**{f"r{number}": ([1, 2], [10])})
        engine.drafter.finish([f"r{number}"], {f"r{number}": Row("", text, 2, 8)})
    assert engine.history == []
    assert engine.client.counters.unrecorded_rows == 2


def test_a_request_that_is_idle_is_recorded_as_far_as_it_was_confirmed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = types.SimpleNamespace(now=1000.0)
    monkeypatch.setattr(batch, "time", types.SimpleNamespace(monotonic=lambda: clock.now))
    end = OutputEnd(ids=frozenset([50]))
    engine.step_rows(Row("a", [1, 10], 1, 8), Row("b", [1, 20, 50, 21], 1, 8, end))
    engine.step_rows(Row("a", [1, 10, 11, 12], 1, 8))
    clock.now += 61
    engine.step(other=([1], []))
    assert sorted(engine.history) == [[10], [20, 50]]
    # It comes back without what the engine had dropped.
    engine.step(a=([1], [10, 13, 14]))
    engine.drafter.finish(["a"])
    assert sorted(engine.history) == [[10], [13, 14], [20, 50]]


def test_what_was_recorded_and_then_taken_back_is_not_recorded_twice(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = types.SimpleNamespace(now=1000.0)
    monkeypatch.setattr(batch, "time", types.SimpleNamespace(monotonic=lambda: clock.now))
    engine.step(a=([1], [10, 11]))
    engine.step(a=([1], [10, 11, 12]))
    clock.now += 61
    engine.step(other=([1], []))
    assert engine.history == [[10, 11]]
    assert engine.step(a=([1], [10, 30])) == {"a": []}
    engine.drafter.finish(["a"])
    assert engine.step(a=([1], [10, 30])) == {"a": DRAFTED}
    engine.drafter.finish(["a"])
    assert engine.history == [[10, 11], [10, 30]]


def test_closing_a_drafter_records_what_was_confirmed(engine: Engine) -> None:
    engine.step(a=([1], [10, 11]))
    engine.step(a=([1], [10, 11, 12, 13]))
    engine.drafter.close()
    assert engine.history == [[10, 11]]


def test_a_request_that_went_past_a_bound_stays_without_drafts() -> None:
    from reprise.core.options import DecodingLimits

    engine = Engine(limits=DecodingLimits(session_tokens=5))
    engine.step(a=([1, 2], [3, 4]))
    for length in (2, 4, 6):
        assert engine.step(a=([1, 2], [3, 4, *range(10, 10 + length)])) == {"a": []}
    engine.drafter.finish(["a"])
    # What the service had of it.
    assert engine.history == [[3, 4]]
    assert engine.client.counters.opened_sessions == 1
    engine.drafter.close()


def test_a_connection_that_is_lost_does_not_change_what_is_recorded(engine: Engine) -> None:
    link: PlayedLink = engine.link
    engine.step(a=([1], [10, 11, 12]), b=([1], [20]))
    link.lose()
    assert engine.step(a=([1], [10, 11]), b=([1], [20, 21])) == {"a": [], "b": []}
    engine.drafter.finish(["b"])
    link.connect()
    assert engine.step(a=([1], [10, 11, 30])) == {"a": DRAFTED}
    engine.drafter.finish(["a"])
    assert sorted(engine.history) == [[10, 11, 30], [20, 21]]
