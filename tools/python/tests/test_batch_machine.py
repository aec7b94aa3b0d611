"""Engines that do what engines do, at random, against what of it is to be history.

Requests grow, lose what a pass had sampled, wait, come back, overrun their ends, give their names
to others, hold ids that are none; the service goes away and returns. Every token of an output is a
number of its own, so that the history tells which request wrote it, at what place, and how often.

`REPRISE_TEST_EFFORT=full` tries many more; `REPRISE_TEST_SEED` repeats a day's.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import os
import sys
import types
from array import array
from collections.abc import Sequence
from typing import Any

import pytest
from engine_fakes import MODEL_LEN, FakeGroup, fake_vllm_config, np, sampling_params
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from played import PlayedLink, played_client

from reprise import DraftOptions
from reprise.engines import batch, sglang, vllm, vllm_patches, vllm_rows
from reprise.engines.rows import OutputEnd, Row
from reprise.engines.settings import EngineSettings

IS_FULL = os.environ.get("REPRISE_TEST_EFFORT") == "full"
SEED = int(os.environ.get("REPRISE_TEST_SEED") or datetime.date.today().toordinal())
#: Ids of this model. Outputs are numbered from far above those of prompts.
VOCABULARY = 2**31 - 1
FIRST_OUTPUT_TOKEN = 1_000_000
END = 999_999
IDLE = 60.0
KEYS = ("a", "b", "c", "d", "e")


@dataclasses.dataclass(eq=False)
class Request:
    """What an engine knows of a request, and what may be recorded of it."""

    key: str
    prompt: list[int]
    max_tokens: int
    output: list[int] = dataclasses.field(default_factory=list)
    overrun: list[int] = dataclasses.field(default_factory=list)
    """Tokens of the last pass behind the output's end."""
    newest: int = 0
    """Tokens of the last pass, which the engine may still drop."""
    step: int = 0
    """The number of its last step."""
    is_over: bool = False
    """Its output has come to its end; the engine has not told yet."""
    is_ended: bool = False
    is_spoiled: bool = False
    may_lack: bool = False
    """Nothing has confirmed its last pass, or its end was not told."""


class Door:
    """How an engine hands its batch over."""

    #: True if ends are told: the output of a request that ends is then recorded whole.
    tells_ends = True

    def __init__(self, link: PlayedLink) -> None:
        self.link = link

    def step(self, requests: Sequence[Request], passes: dict[str, int]) -> list[list[int]]:
        raise NotImplementedError

    def finish(self, request: Request) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class CoreDoor(Door):
    """The core that all doors share, as one with lists and ends that tokens tell."""

    def __init__(self, link: PlayedLink) -> None:
        super().__init__(link)
        made = batch.make_drafter(
            "demo",
            engine="test",
            options=DraftOptions(),
            settings=EngineSettings(),
            vocabulary=VOCABULARY,
        )
        assert made is not None
        self.drafter = made

    def step(self, requests: Sequence[Request], passes: dict[str, int]) -> list[list[int]]:
        rows = [
            Row(
                request.key,
                request.prompt + request.output + request.overrun,
                len(request.prompt),
                8,
                OutputEnd(request.max_tokens, frozenset([END])),
            )
            for request in requests
        ]
        return [draft.tokens for draft in self.drafter.step(rows)]

    def finish(self, request: Request) -> None:
        self.drafter.finish([request.key])

    def close(self) -> None:
        self.drafter.close()


class TextDoor(CoreDoor):
    """The same where only the text at a request's end tells where that is."""

    def step(self, requests: Sequence[Request], passes: dict[str, int]) -> list[list[int]]:
        rows = [
            Row(
                request.key,
                np.array(request.prompt + request.output + request.overrun, dtype=np.int64),
                len(request.prompt),
                8,
            )
            for request in requests
        ]
        return [draft.tokens for draft in self.drafter.step(rows)]

    def finish(self, request: Request) -> None:
        text = request.prompt + request.output
        row = Row(request.key, text, len(request.prompt), 8)
        self.drafter.finish([request.key], {request.key: row})


class VllmDoor(Door):
    """vLLM's batch: rows of an array that is used again and again."""

    def __init__(self, link: PlayedLink) -> None:
        super().__init__(link)
        self.proposer = vllm.BatchProposer(fake_vllm_config(vocabulary=VOCABULARY))
        self.states: dict[str, Any] = {}
        self.proposer.states = self.states
        self.tokens = np.zeros((8, MODEL_LEN), dtype=np.int32)

    def step(self, requests: Sequence[Request], passes: dict[str, int]) -> list[list[int]]:
        batch = types.SimpleNamespace(
            req_ids=[request.key for request in requests],
            num_tokens_no_spec=np.zeros(8, dtype=np.int32),
            num_prompt_tokens=np.zeros(8, dtype=np.int32),
            token_ids_cpu=self.tokens,
        )
        for place, request in enumerate(requests):
            known = self.states.get(request.key)
            if known is None or known.request is not request:
                parameters = sampling_params(max_tokens=request.max_tokens, eos_token_id=END)
                self.states[request.key] = types.SimpleNamespace(
                    request=request, sampling_params=parameters
                )
            text = request.prompt + request.output + request.overrun
            batch.token_ids_cpu[place, : len(text)] = text
            batch.num_tokens_no_spec[place] = len(text)
            batch.num_prompt_tokens[place] = len(request.prompt)
        return self.proposer.propose(batch, [[1]] * len(requests), 8)

    def finish(self, request: Request) -> None:
        self.states.pop(request.key, None)
        self.proposer.finish([request.key])

    def close(self) -> None:
        assert self.proposer.drafter is not None
        self.proposer.drafter.close()


class CustomClassDoor(Door):
    """vLLM's door for custom proposers, which are told neither names nor ends."""

    tells_ends = False

    def __init__(self, link: PlayedLink) -> None:
        super().__init__(link)
        self.proposer = vllm.RepriseProposer(fake_vllm_config(vocabulary=VOCABULARY))
        self.tokens = np.zeros((8, MODEL_LEN), dtype=np.int32)

    def step(self, requests: Sequence[Request], passes: dict[str, int]) -> list[list[int]]:
        counts = np.zeros(8, dtype=np.int32)
        sampled: list[list[int]] = []
        for place, request in enumerate(requests):
            text = request.prompt + request.output + request.overrun
            self.tokens[place, : len(text)] = text
            counts[place] = len(text)
            sampled.append(text[len(text) - max(passes[request.key], 1) :])
        return self.proposer.propose(sampled, counts, self.tokens)

    def finish(self, request: Request) -> None:
        pass

    def close(self) -> None:
        assert self.proposer.drafter is not None
        self.proposer.drafter.close()


class SglangDoor(Door):
    """SGLang's batch: objects that hold their text, and know whether they are finished."""

    def __init__(self, link: PlayedLink) -> None:
        super().__init__(link)
        arguments = types.SimpleNamespace(served_model_name="tiny", model_path="tiny")
        self.drafts = sglang.HistoryDrafts(
            arguments, width=8, is_tree=False, vocabulary=VOCABULARY, group=FakeGroup(0, 1, [])
        )
        self.reqs: dict[Request, Any] = {}

    def req(self, request: Request) -> Any:
        if request not in self.reqs:
            self.reqs[request] = types.SimpleNamespace(
                rid=request.key,
                origin_input_ids_unpadded=array("q", request.prompt),
                finished=lambda: request.is_ended,
            )
        req = self.reqs[request]
        req.output_ids = array("q", request.output + request.overrun)
        req.output_ids_through_stop = array("q", request.output)
        return req

    def step(self, requests: Sequence[Request], passes: dict[str, int]) -> list[list[int]]:
        # An engine's objects are up to date, also those that no step holds.
        for known in list(self.reqs):
            self.req(known)
        batch = [self.req(request) for request in requests]
        self.drafts.look_for_ends(batch)
        tokens, _ = self.drafts.of(batch, [[] for _ in batch])
        return [[token] if token else [] for token in tokens.reshape(-1, 8)[:, 1].tolist()]

    def finish(self, request: Request) -> None:
        self.req(request)
        self.drafts.look_for_ends([])

    def close(self) -> None:
        assert self.drafts.drafter is not None
        self.drafts.drafter.close()


class Machine(RuleBasedStateMachine):
    door_class: type[Door]

    def __init__(self) -> None:
        super().__init__()
        self.patches = pytest.MonkeyPatch()
        self.clock = types.SimpleNamespace(now=1000.0)
        clock = types.SimpleNamespace(monotonic=lambda: self.clock.now)
        self.patches.setattr(batch, "time", clock)
        self.patches.setattr(vllm_rows, "time", clock)
        client, self.link = played_client()
        self.client = client
        self.patches.setattr(batch, "Client", lambda **_: client)
        self.patches.setitem(
            sys.modules, vllm_patches.UPDATE_STATES.module, types.ModuleType("runner")
        )
        self.door = self.door_class(self.link)
        self.numbers = itertools.count(FIRST_OUTPUT_TOKEN)
        self.all: list[Request] = []
        self.live: dict[str, Request] = {}
        self.steps = 0
        self.other = Request("other", [4, 5], 20)

    @initialize()
    def begin(self) -> None:
        self.add("a", [1, 2], 20)

    def add(self, key: str, prompt: list[int], max_tokens: int) -> None:
        request = Request(key, prompt, max_tokens)
        self.all.append(request)
        self.live[key] = request

    @rule(
        key=st.sampled_from(KEYS),
        prompt=st.lists(st.integers(1, 3), min_size=1, max_size=4),
        max_tokens=st.integers(1, 40),
        bad=st.sampled_from([None, None, None, None, -1, 2**31 - 1]),
    )
    def start(self, key: str, prompt: list[int], max_tokens: int, bad: int | None) -> None:
        """A new request. Where its key is another's, the end of that was not told."""
        if key in self.live:
            return
        request = Request(key, prompt, max_tokens)
        if bad is not None and self.door_class is not VllmDoor and bad < 2**31 - 1:
            request.prompt = [*prompt, bad]
            request.is_spoiled = True
        self.all.append(request)
        self.live[key] = request

    @precondition(lambda self: any(request.output for request in self.all))
    @rule(data=st.data(), more=st.integers(1, 3))
    def stream(self, data: Any, more: int) -> None:
        """A conversation goes on under the same name; nothing tells that its first turn is over."""
        keys = [key for key, request in self.live.items() if request.output]
        if not keys or not self.door.tells_ends:
            return
        key = data.draw(st.sampled_from(sorted(keys)))
        first = self.live[key]
        if first.overrun or first.is_spoiled:
            return
        first.is_ended = first.may_lack = True
        self.add(key, first.prompt + first.output + [3] * more, 20)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def step(self, data: Any) -> None:
        """One pass over some of the requests. What is over is not in it."""
        keys = data.draw(st.lists(st.sampled_from(sorted(self.live)), min_size=1, unique=True))
        scheduled = [self.live[key] for key in keys if not self.live[key].is_over]
        if not scheduled:
            return
        passes: dict[str, int] = {}
        for request in scheduled:
            passes[request.key] = self.advance(request, data)
            request.step = self.steps + 1
        drafts = self.door.step(scheduled, passes)
        self.steps += 1
        for request, draft in zip(scheduled, drafts, strict=True):
            if self.is_refused(request) or request.is_over:
                assert draft == [] or not self.is_refused(request)
            elif self.link.is_connected and request.max_tokens - len(request.output) > 1:
                # A neighbour that is spoiled costs it nothing.
                assert draft == [7], request
        # What is over leaves before the next pass; that it is, may be told later.
        for request in scheduled:
            if request.is_over and not self.door.tells_ends:
                self.live.pop(request.key)

    def is_refused(self, request: Request) -> bool:
        """True if its row has held an id that is none.

        Where texts name the rows, a row from which that id was taken back is another row.
        """
        if self.door.tells_ends:
            return request.is_spoiled
        return -1 in request.prompt + request.output

    def advance(self, request: Request, data: Any) -> int:
        """Writes a pass's tokens into a request. Returns how many."""
        count: int = data.draw(st.integers(1, 5), label=f"tokens of {request.key}")
        is_bad = data.draw(st.integers(0, 15)) == 0
        ends_by_id = data.draw(st.integers(0, 7)) == 0
        tokens = [next(self.numbers) for _ in range(count)]
        if is_bad:
            tokens[-1] = -1
            request.is_spoiled = True
        elif ends_by_id:
            tokens[data.draw(st.integers(0, count - 1))] = END
        for place, token in enumerate(tokens):
            request.output.append(token)
            if token == END or len(request.output) >= request.max_tokens:
                request.is_over = True
                request.overrun = tokens[place + 1 :]
                break
        request.newest = len(tokens) - len(request.overrun)
        return count

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def take_back(self, data: Any) -> None:
        """The engine preempts a request, and drops the newest pass or a part of it."""
        request = self.live[data.draw(st.sampled_from(sorted(self.live)))]
        if request.newest == 0 or request.is_over:
            return
        count = data.draw(st.integers(1, request.newest))
        del request.output[-count:]
        request.newest = 0
        # Another one has its place in the next pass.
        self.door.step([self.other], {self.other.key: 1})
        self.steps += 1

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def end(self, data: Any) -> None:
        """The engine tells that a request has ended: it is over, or was aborted."""
        request = self.live[data.draw(st.sampled_from(sorted(self.live)))]
        self.finish(request)

    def finish(self, request: Request) -> None:
        del self.live[request.key]
        request.is_ended = True
        if request.step != self.steps and not request.is_over:
            request.may_lack = True
        self.door.finish(request)

    @rule()
    def wait(self) -> None:
        """Nothing happens for so long that what is not in the next step is idle."""
        self.clock.now += IDLE + 10
        for request in self.live.values():
            request.may_lack = True

    @precondition(lambda self: self.link.is_connected)
    @rule(is_killed=st.booleans())
    def lose_service(self, is_killed: bool) -> None:
        self.link.lose()
        if is_killed:
            self.link.service.restart()

    @precondition(lambda self: not self.link.is_connected)
    @rule()
    def find_service(self) -> None:
        self.link.connect()

    @invariant()
    def history_is_true(self) -> None:
        """Nothing is recorded twice, or in another order than its request wrote it."""
        places = {
            token: (request, place)
            for request in self.all
            for place, token in enumerate(request.output)
            if token >= FIRST_OUTPUT_TOKEN
        }
        seen: set[int] = set()
        for sequence in self.link.service.history:
            assert -1 not in sequence
            marked = [token for token in sequence if token != END]
            assert not seen & set(marked), "recorded twice"
            seen.update(marked)
            for token in marked:
                assert token in places, f"{token} was taken back, or stood past the end"
            requests = {id(places[token][0]) for token in marked}
            assert len(requests) <= 1, "text of several requests in one sequence"
            if marked:
                request, begin = places[marked[0]]
                begin -= sequence.index(marked[0])
                assert request.output[begin : begin + len(sequence)] == sequence

    def teardown(self) -> None:
        try:
            if not self.link.is_connected:
                self.link.connect()
            for request in list(self.live.values()):
                if self.door.tells_ends:
                    self.finish(request)
            self.door.close()
            self.history_is_true()
            self.nothing_is_missing()
        finally:
            self.patches.undo()

    def nothing_is_missing(self) -> None:
        """What ended, and was told to have, is recorded whole."""
        if not self.door.tells_ends:
            return
        recorded = {token for sequence in self.link.service.history for token in sequence}
        for request in self.all:
            if not request.is_spoiled and not request.may_lack:
                missing = set(request.output) - recorded
                assert not missing, (request, missing)
            elif request.is_spoiled:
                assert -1 not in recorded


@pytest.mark.parametrize("door", [CoreDoor, TextDoor, VllmDoor, CustomClassDoor, SglangDoor])
def test_history_is_what_requests_wrote(door: type[Door], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPRISE_SOCKET", "/played.sock")
    print(f"REPRISE_TEST_SEED={SEED}")
    machine = type(f"{door.__name__}Machine", (Machine,), {"door_class": door})
    run_state_machine_as_test(
        seed(SEED)(machine),
        settings=settings(
            max_examples=1000 if IS_FULL else 40,
            stateful_step_count=40 if IS_FULL else 25,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )
