"""SGLang's door, with fakes of the parts that it touches and a real service.

The fakes have the shapes of SGLang 0.5.23: `speculative/spec_info.py`, `spec_registry.py`,
`ngram_worker.py`, `managers/schedule_batch.py`.
"""

from __future__ import annotations

import enum
import sys
import types
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_fakes import FakeGroup
from engine_support import counted_lines, eventually
from service import Service

from reprise import Client, Draft
from reprise.engines import sglang, sglang_patches
from reprise.engines.requests import COMPARED_TOKENS

CORPUS = "acme-tiny"
WIDTH = 6


class FakeCustomSpecAlgo:
    def __init__(self, name: str, factory: Any, **options: Any) -> None:
        self.name = name
        self.factory = factory
        self.options = options

    def is_ngram(self) -> bool:
        return False

    def create_worker(self, server_args: Any) -> Any:
        return self.factory(server_args)


class FakeSpeculativeAlgorithm(enum.Enum):
    NGRAM = enum.auto()
    NONE = enum.auto()

    @classmethod
    def from_string(cls, name: str) -> Any:
        if name in cls.__members__:
            return cls[name]
        if name in registered:
            return registered[name]
        raise ValueError(f"Unknown speculative algorithm name: {name}")

    @classmethod
    def register(cls, name: str, *, spec_class: Any, **options: Any) -> Any:
        if name in registered:
            raise ValueError("already registered")

        def decorate(factory: Any) -> Any:
            registered[name] = spec_class(name=name, factory=factory, **options)
            return factory

        return decorate

    def is_ngram(self) -> bool:
        return self is FakeSpeculativeAlgorithm.NGRAM

    def is_none(self) -> bool:
        return self is FakeSpeculativeAlgorithm.NONE

    def create_future_map(self, device: str) -> str:
        return f"{self.name}'s on {device}"


registered: dict[str, Any] = {}


class FakeNgramCorpus:
    def __init__(self, **_: Any) -> None:
        raise AssertionError("it takes a gigabyte")


class FakeNGRAMWorker:
    """Asks for drafts where SGLang's does, and has the "model" verify them."""

    def __init__(self, server_args: Any, gpu_id: int, nccl_port: int, target_worker: Any) -> None:
        self.ngram_corpus = sys.modules["sglang.srt.speculative.ngram_worker"].NgramCorpus(
            capacity=10_000_000
        )
        self.enable_overlap = server_args.enable_overlap
        self.draft_token_num = WIDTH
        self.topk = server_args.topk
        self.previous: set[str] = set()

    def forward_batch_generation(self, batch: Any) -> Any:
        if not batch.is_decode:
            return None
        tokens, mask = self._prepare_draft_tokens(batch)  # type: ignore[attr-defined]
        self._update_ngram_corpus(batch)  # type: ignore[attr-defined]
        present = {request.rid for request in batch.reqs}
        if departed := self.previous - present:
            self.ngram_corpus.erase_match_state(list(departed))
        self.previous = present
        return tokens.reshape(-1, WIDTH), mask.reshape(-1, WIDTH, WIDTH)


class FakeReq:
    def __init__(
        self, rid: str, prompt: list[int], script: list[int], beyond: list[int] | None = None
    ) -> None:
        self.rid = rid
        self.origin_input_ids_unpadded = array("q", prompt)
        self.output_ids = array("q")
        self.script = script
        self.beyond = beyond or []
        """What the model would write behind its output."""

    @property
    def output_ids_through_stop(self) -> Any:
        return self.output_ids[: len(self.script)]

    def finished(self) -> bool:
        return len(self.output_ids) >= len(self.script)


class FakeBatch:
    def __init__(self, reqs: list[FakeReq], spec_info: Any = None, is_decode: bool = True) -> None:
        self.reqs = reqs
        self.spec_info = spec_info
        self.is_decode = is_decode

    def grammar_needs_sync(self) -> bool:
        return False


def verified(request: FakeReq, tokens: Any, mask: Any, done: int) -> list[int]:
    """What the "model" accepts of a tree after `done` tokens of its output, and one more."""
    place, accepted = 0, []
    for token in (request.script + request.beyond)[done:]:
        accepted.append(token)
        children = [
            child
            for child in range(1, WIDTH)
            if mask[child].sum() == mask[place].sum() + 1 and mask[child][place]
        ]
        place = next((child for child in children if tokens[child] == token), -1)
        if place < 0:
            break
    return accepted


@pytest.fixture(scope="module")
def shared_service() -> Iterator[Service]:
    with Service() as service:
        yield service


@pytest.fixture
def service(shared_service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("REPRISE_SOCKET", shared_service.socket)
    monkeypatch.setenv("REPRISE_DEADLINE_MS", "2000")
    monkeypatch.setenv("REPRISE_OPEN_DEADLINE_MS", "2000")
    yield shared_service
    with Client(shared_service.socket) as client:
        if any(stats.corpus == CORPUS for stats in client.corpora()):
            client.drop_corpus(CORPUS)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Fakes where Reprise looks for SGLang."""

    def module(name: str, **members: Any) -> Any:
        made = types.ModuleType(name)
        made.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, made)
        return made

    registered.clear()
    module(
        "sglang.srt.speculative.spec_info",
        SpeculativeAlgorithm=FakeSpeculativeAlgorithm,
        CustomSpecAlgo=FakeCustomSpecAlgo,
    )
    module(
        "sglang.srt.speculative.ngram_worker",
        NGRAMWorker=FakeNGRAMWorker,
        NgramCorpus=FakeNgramCorpus,
    )
    state = module("sglang.srt.distributed.parallel_state")
    state.get_tp_group = lambda: FakeGroup(0, 1, [])
    workers: list[Any] = []

    def make(topk: int = 1, enable_overlap: bool = False, group: Any = None) -> Any:
        sglang.register()
        if group is not None:
            state.get_tp_group = lambda: group
        server_args = types.SimpleNamespace(
            served_model_name="acme/tiny",
            model_path="/models/tiny",
            topk=topk,
            enable_overlap=enable_overlap,
        )
        model = types.SimpleNamespace(vocab_size=100_000)
        target = types.SimpleNamespace(model_runner=types.SimpleNamespace(model_config=model))
        worker = registered[sglang_patches.NAME].create_worker(server_args)
        workers.append(worker(server_args, 0, 0, target))
        return workers[-1]

    yield make
    for worker in workers:
        if worker.drafts.drafter is not None:
            worker.drafts.drafter.close()


def run(worker: Any, requests: list[FakeReq]) -> int:
    """Runs requests to their ends, without overlap. Returns the number of passes."""
    passes = 0
    for request in requests:
        request.output_ids.append(request.script[0])
    while live := [request for request in requests if not request.finished()]:
        tokens, mask = worker.forward_batch_generation(FakeBatch(live))
        passes += 1
        for place, request in enumerate(live):
            done = len(request.output_ids)
            request.output_ids.extend(verified(request, tokens[place], mask[place], done))
    worker.forward_batch_generation(FakeBatch([], is_decode=False))
    return passes


def requests(count: int = 4, length: int = 40) -> list[FakeReq]:
    return [
        FakeReq(f"r{n}", [n, n + 1, n + 2], [(7 * n + k * k) % 500 for k in range(length)])
        for n in range(count)
    ]


def stats(service: Service) -> Any:
    """The corpus's, or those of an empty one before it is made."""
    with Client(service.socket) as client:
        known = {stats.corpus: stats for stats in client.corpora()}
    return known.get(CORPUS, types.SimpleNamespace(sequences=0, tokens=0))


def test_the_entry_point_is_what_sglang_looks_for() -> None:
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert '[project.entry-points."sglang.srt.plugins"]' in text
    assert 'reprise = "reprise.engines.sglang:register"' in text


def test_nothing_is_registered_without_a_socket(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REPRISE_SOCKET", raising=False)
    sglang.register()
    assert registered == {}


def test_the_algorithm_is_the_ngram_one_to_all_who_ask(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPRISE_SOCKET", "/nowhere.sock")
    sglang.register()
    sglang.register()
    algorithm = registered[sglang_patches.NAME]
    assert algorithm.name == "REPRISE"
    assert algorithm.is_ngram()
    assert not algorithm.is_none()
    assert algorithm.create_future_map("cpu") == "NGRAM's on cpu"
    assert algorithm.options == {"supports_overlap": True}
    args = types.SimpleNamespace(
        max_running_requests=None,
        speculative_num_draft_tokens=None,
        speculative_eagle_topk=None,
        speculative_num_steps=None,
    )
    algorithm.handle_server_args(args)
    assert vars(args) == {
        "enable_mixed_chunk": False,
        "max_running_requests": 48,
        "speculative_num_draft_tokens": 12,
        "speculative_eagle_topk": 1,
        "speculative_num_steps": 12,
    }
    args.enable_dp_attention = True
    with pytest.raises(ValueError, match="dp-attention"):
        algorithm.handle_server_args(args)


def test_an_sglang_that_is_not_known_goes_on(
    engine: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("REPRISE_SOCKET", "/nowhere.sock")
    monkeypatch.delattr(sys.modules["sglang.srt.speculative.spec_info"], "CustomSpecAlgo")
    sglang.register()
    assert "is not known" in caplog.text


@pytest.mark.parametrize("topk", [1, 4])
def test_a_second_worker_drafts_from_what_the_first_wrote(
    engine: Any, service: Service, topk: int
) -> None:
    first, second = engine(topk), engine(topk)
    passes_first = run(first, requests())
    later = requests()
    passes_second = run(second, later)
    assert all(list(request.output_ids) == request.script for request in later)
    assert passes_second < passes_first / 2
    eventually(lambda: stats(service).sequences == 8)
    # The last tokens, which no step told, are there too.
    assert stats(service).output_tokens == 8 * 40


def test_a_step_of_the_whole_batch_is_one_line(
    engine: Any, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with counted_lines(service.socket, tmp_path) as (front, count):
        monkeypatch.setenv("REPRISE_SOCKET", front)
        worker = engine()
        passes = run(worker, requests(20))
        assert count("session.open") == 20
        # A close may bring last tokens with it.
        assert passes <= count("session.step") <= passes + 20


def test_what_the_last_pass_accepted_is_spliced_in_where_results_come_late(
    engine: Any, service: Service
) -> None:
    worker = engine(enable_overlap=True)
    request = FakeReq("a", [1, 2, 3], [k % 5 for k in range(40)])
    behind: list[int] = [request.script[0]]
    done = 1
    while done < 40:

        class FakeTensor(list[int]):
            def cpu(self) -> Any:
                return types.SimpleNamespace(tolist=lambda: list(self))

        padded = FakeTensor(behind + [0] * (WIDTH - len(behind)))
        info = types.SimpleNamespace(accept_tokens=padded, accept_lens=FakeTensor([len(behind)]))
        tokens, mask = worker.forward_batch_generation(FakeBatch([request], info))
        assert tokens[0][0] == behind[-1]
        accepted = verified(request, tokens[0], mask[0], done)
        # Only now does the request have what was accepted before this pass.
        request.output_ids.extend(behind)
        behind = accepted
        done += len(accepted)
    request.output_ids.extend(behind)
    worker.forward_batch_generation(FakeBatch([], is_decode=False))
    eventually(lambda: stats(service).sequences == 1)
    assert stats(service).output_tokens == 40


def test_an_output_is_recorded_up_to_sglangs_own_end(engine: Any, service: Service) -> None:
    """Tokens past it, which a pass had accepted, were recorded. It may be that of a stop string,
    which no token tells."""
    beyond = list(range(9000, 9012))
    live = requests()
    for request in live:
        request.beyond = list(beyond)
    with Client(service.socket) as client:
        client.create_corpus(CORPUS)
        client.insert(CORPUS, [[*request.script[-6:], *beyond] for request in live])
    run(engine(), live)
    assert any(len(request.output_ids) > 40 for request in live)
    eventually(lambda: stats(service).sequences == 8)
    assert stats(service).output_tokens == 4 * 18 + 4 * 40


def test_what_a_late_pass_told_past_the_end_is_taken_back(engine: Any, service: Service) -> None:
    """With overlapped passes it is told before anything knows that the output is over."""
    worker = engine(enable_overlap=True)
    request = FakeReq("a", [1, 2, 3], list(range(10, 20)), list(range(50, 60)))
    request.output_ids.extend(request.script[:5])
    behind = [*request.script[5:], 50, 51]

    class FakeTensor(list[int]):
        def cpu(self) -> Any:
            return types.SimpleNamespace(tolist=lambda: list(self))

    info = types.SimpleNamespace(
        accept_tokens=FakeTensor(behind[:WIDTH]), accept_lens=FakeTensor([WIDTH])
    )
    worker.forward_batch_generation(FakeBatch([request], info))
    request.output_ids.extend(behind)
    worker.forward_batch_generation(FakeBatch([], is_decode=False))
    eventually(lambda: stats(service).sequences == 1)
    assert stats(service).output_tokens == 10


def test_a_rid_that_a_client_uses_again_is_another_request(engine: Any, service: Service) -> None:
    """The second turn's prompt was recorded as the first one's output."""
    worker = engine()
    first = FakeReq("r", [1, 2, 3], [4, 5])
    first.output_ids.extend(first.script)
    worker.drafts.of([first], [[]])
    second = FakeReq("r", [1, 2, 3, 4, 5, 70, 71, 72], [73, 74, 75])
    second.output_ids.append(73)
    worker.drafts.of([second], [[]])
    assert worker.drafts.drafter.client.flush()
    assert (stats(service).sequences, stats(service).output_tokens) == (1, 2)
    second.output_ids.extend([74, 75])
    worker.drafts.look_for_ends([])
    assert worker.drafts.drafter.client.flush()
    assert (stats(service).sequences, stats(service).output_tokens) == (2, 5)


def test_a_row_with_an_id_that_is_none_costs_no_other_row_anything(
    engine: Any, service: Service
) -> None:
    worker = engine()
    good = FakeReq("good", [1, 2, 1, 2], [1, 2, 1, 2, 1])
    bad = FakeReq("bad", [1, -1], [5, 5, 5, 5, 5])
    for _ in range(4):
        for request in (good, bad):
            request.output_ids.append(request.script[len(request.output_ids)])
        tokens, _ = worker.drafts.of([good, bad], [[], []])
        assert tokens[1] in (1, 2)
        assert tokens[WIDTH + 1] == 0
    assert worker.drafts.drafter.client.counters.opened_sessions == 1


class CountingList(list[int]):
    """Counts the tokens that are copied from it."""

    copied = 0

    def __getitem__(self, part: Any) -> Any:
        found = super().__getitem__(part)
        if isinstance(part, slice):
            self.copied += len(found)
        return found

    def __iter__(self) -> Iterator[int]:
        self.copied += len(self)
        return super().__iter__()


@pytest.mark.parametrize("rank", [0, 1])
def test_a_step_copies_what_is_new(engine: Any, service: Service, rank: int) -> None:
    """Each step copied the whole text of each request, on every rank."""
    channel = [[Draft()]] * 2
    worker = engine(group=FakeGroup(rank, 2, channel))
    request = FakeReq("a", [], [])
    prompt = CountingList([number % 97 for number in range(20_000)])
    output = CountingList([1])
    request.origin_input_ids_unpadded, request.output_ids = prompt, output  # type: ignore[assignment]
    worker.drafts.of([request], [[]])
    begun = prompt.copied
    assert begun <= (20_000 if rank == 0 else 0)
    prompt.copied = output.copied = 0
    for _ in range(200):
        output.append(2)
        worker.drafts.of([request], [[3, 4]])
        output += [3, 4]
    compared = 200 * (COMPARED_TOKENS + 8)
    assert prompt.copied + output.copied <= (compared if rank == 0 else 0)


def test_joined_parts_are_one_text() -> None:
    parts = [array("q", [1, 2, 3]), [4], [], [5, 6]]
    joined = sglang.JoinedTokens(*parts)
    whole = [1, 2, 3, 4, 5, 6]
    assert len(joined) == 6
    for begin in range(8):
        for end in range(8):
            assert joined[begin:end] == whole[begin:end]
    assert joined[2:] == whole[2:]
    assert joined[:4] == whole[:4]


def test_a_retracted_request_is_not_ended(engine: Any, service: Service) -> None:
    worker = engine()
    a, b = requests(2)
    for request in (a, b):
        request.output_ids.append(request.script[0])
    for turn in range(6):
        (live,) = ([a], [b])[turn % 2]
        worker.forward_batch_generation(FakeBatch([live]))
        live.output_ids.append(live.script[len(live.output_ids)])
    assert worker.drafts.drafter.open_requests == 2
    assert worker.drafts.drafter.client.counters.opened_sessions == 2


def test_ranks_draft_what_the_first_one_does(engine: Any, service: Service) -> None:
    channel: list[Any] = []
    workers = [engine(group=FakeGroup(rank, 2, channel)) for rank in (0, 1)]
    assert workers[1].drafts.drafter is None
    for turn in range(12):
        results = []
        for worker in workers:
            request = FakeReq("a", [1, 2, 3] * 3, [1, 2, 3] * 10)
            request.output_ids.extend(request.script[: turn + 1])
            results.append(worker.forward_batch_generation(FakeBatch([request])))
        assert (results[0][0] == results[1][0]).all()
        assert (results[0][1] == results[1][1]).all()
    assert results[0][0].any()


def test_it_decodes_without_a_service(
    engine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REPRISE_SOCKET", str(tmp_path / "nowhere.sock"))
    later = requests()
    assert run(engine(), later) == 39
    assert all(list(request.output_ids) == request.script for request in later)


def test_a_tree_is_written_as_a_mask_of_ancestors() -> None:
    draft = Draft([5, 6, 7, 8], [-1, 0, -1, 2])
    tokens, mask = sglang.tree(4, draft, 6)
    assert tokens.tolist() == [4, 5, 6, 7, 8, 0]
    assert mask.tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 0, 0, 1, 0, 0],
        [1, 0, 0, 1, 1, 0],
        [1, 0, 0, 0, 0, 1],
    ]
