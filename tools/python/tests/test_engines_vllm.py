"""vLLM's doors, with fakes of vLLM's own parts (`engine_fakes`) and a real service."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import random
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_fakes import (
    END_TOKEN,
    FakeGroup,
    FakeModelRunner,
    FakeRequest,
    fake_vllm_config,
    install_fake_vllm,
    np,
    sampling_params,
)
from engine_support import counted_lines, eventually
from service import Service

from reprise import Client, DraftOptions
from reprise.core.drafts import Draft
from reprise.engines import batch, vllm, vllm_ends, vllm_patches
from reprise.engines.batch import BatchDrafter, Row
from reprise.engines.rows import OutputEnd
from reprise.engines.settings import EngineSettings

CORPUS = "acme-tiny"


@pytest.fixture(scope="module")
def shared_service() -> Iterator[Service]:
    with Service() as service:
        yield service


@pytest.fixture
def service(shared_service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A service without the corpus that the tests use."""
    monkeypatch.setenv("REPRISE_SOCKET", shared_service.socket)
    # What is measured here is what is drafted, not how fast this machine is.
    monkeypatch.setenv("REPRISE_DEADLINE_MS", "2000")
    monkeypatch.setenv("REPRISE_OPEN_DEADLINE_MS", "2000")
    yield shared_service
    with Client(shared_service.socket) as client:
        if any(stats.corpus == CORPUS for stats in client.corpora()):
            client.drop_corpus(CORPUS)


@pytest.fixture
def clean_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has what the plugin puts among the modules leave with the test."""
    for name in (vllm_patches.ARCTIC, vllm_patches.CACHE.module):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        monkeypatch.delitem(sys.modules, name)


@pytest.fixture
def workers(
    service: Service, clean_modules: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Makes workers that draft through `{"method": "suffix"}`, and closes them."""
    fakes = install_fake_vllm(monkeypatch, fake_vllm_config())
    vllm.register()
    made: list[FakeModelRunner] = []

    def make() -> FakeModelRunner:
        made.append(fakes.runner(fakes.proposer, fakes.config))
        return made[-1]

    yield make
    for worker in made:
        drafter = worker.drafter.suffix_cache.drafter
        if drafter is not None:
            drafter.close()


def scripts(count: int, seed: int = 1, length: int = 60) -> dict[str, FakeRequest]:
    """Requests whose outputs have much in common."""
    source = random.Random(seed)
    phrases = [[source.randrange(5000) for _ in range(12)] for _ in range(6)]
    requests: dict[str, FakeRequest] = {}
    for number in range(count):
        script: list[int] = []
        while len(script) < length:
            script += source.choice(phrases)
        prompt = [source.randrange(5000) for _ in range(source.randrange(1, 30))]
        parameters = sampling_params(max_tokens=length)
        requests[f"request-{number}"] = FakeRequest(
            prompt, script[:length], sampling_params=parameters
        )
    return requests


def stats(service: Service) -> Any:
    """The corpus's, or those of an empty one before it is made."""
    with Client(service.socket) as client:
        known = {stats.corpus: stats for stats in client.corpora()}
    return known.get(CORPUS, types.SimpleNamespace(sequences=0, tokens=0))


# The plugin.


def test_the_entry_point_is_what_vllm_looks_for() -> None:
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert '[project.entry-points."vllm.general_plugins"]' in text
    assert 'reprise = "reprise.engines.vllm:register"' in text


def test_nothing_happens_without_a_socket(
    clean_modules: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REPRISE_SOCKET", raising=False)
    vllm.register()
    assert vllm_patches.ARCTIC not in sys.modules


def test_it_stands_in_for_a_package_that_is_not_there(
    clean_modules: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPRISE_SOCKET", "/nowhere.sock")
    vllm.register()
    vllm.register()
    # This is how vLLM looks whether it is there, then imports it.
    assert importlib.util.find_spec("arctic_inference") is not None
    importlib.import_module("arctic_inference")
    module = importlib.import_module("arctic_inference.suffix_decoding")
    assert module.SuffixDecodingCache is vllm.suffix_decoding_cache


@pytest.mark.parametrize("is_overridden", [False, True])
def test_an_installed_package_is_left_alone_unless_told(
    clean_modules: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    is_overridden: bool,
) -> None:
    package = tmp_path / "arctic_inference"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "suffix_decoding.py").write_text("SuffixDecodingCache = 'the original'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("REPRISE_SOCKET", "/nowhere.sock")
    if is_overridden:
        monkeypatch.setenv("REPRISE_OVERRIDE_ARCTIC", "1")
    vllm.register()
    module = importlib.import_module("arctic_inference.suffix_decoding")
    assert (module.SuffixDecodingCache == "the original") is not is_overridden
    assert ("arctic-inference is installed" in caplog.text) is not is_overridden


# Drafts.


def test_a_second_worker_drafts_from_what_the_first_wrote(workers: Any, service: Service) -> None:
    first, second = workers(), workers()
    passes_first = first.run(scripts(12))
    requests = scripts(12)
    passes_second = second.run(requests)
    assert all(request.output == request.script for request in requests.values())
    assert passes_first > 1.2 * passes_second
    assert passes_second < 60 / 3
    eventually(lambda: stats(service).sequences == 24)
    assert stats(service).output_tokens == 24 * 60


def test_a_step_of_the_whole_batch_is_one_line(
    workers: Any, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with counted_lines(service.socket, tmp_path) as (front, count):
        monkeypatch.setenv("REPRISE_SOCKET", front)
        worker = workers()
        passes = worker.run(scripts(40))
        assert count("session.step") == passes
        assert count("session.open") == 40


def test_a_finished_request_is_recorded_at_once(workers: Any, service: Service) -> None:
    worker = workers()
    request = FakeRequest([1, 2, 3], list(range(10, 40)))
    while not request.is_finished:
        worker.execute_model({"a": request}, [])
    assert stats(service).sequences == 0
    worker.execute_model({}, ["a"])
    eventually(lambda: stats(service).sequences == 1)
    assert stats(service).output_tokens == 30


def test_being_absent_is_no_end(workers: Any, service: Service) -> None:
    """Preempted, or waiting for a pipeline stage: the session and its place stay."""
    worker = workers()
    requests = scripts(2)
    a, b = requests["request-0"], requests["request-1"]
    turn = 0
    while not (a.is_finished and b.is_finished):
        live = {"a": a} if turn % 7 < 4 else {"b": b}
        worker.execute_model({k: r for k, r in live.items() if not r.is_finished}, [])
        turn += 1
    drafter = worker.drafter.suffix_cache.drafter
    assert drafter.open_requests == 2
    assert drafter.client.counters.opened_sessions == 2
    worker.execute_model({}, ["a", "b"])
    eventually(lambda: stats(service).sequences == 2)
    assert stats(service).output_tokens == 120


def test_nothing_past_the_end_of_an_output_is_recorded(workers: Any, service: Service) -> None:
    """Each request would go on behind its end, in the pass in which it ends too."""
    by_length, by_token, by_model = scripts(3).values()
    by_token.script[-1] = 77
    by_token.sampling_params = sampling_params(stop_token_ids=[77])
    by_model.script[-1] = 78
    by_model.sampling_params = sampling_params(eos_token_id=78, max_tokens=500)
    requests = {"length": by_length, "token": by_token, "model": by_model}
    for number, request in enumerate(requests.values()):
        # What follows is certain, so drafts are long.
        request.script[-20:-1] = range(6000 + 100 * number, 6019 + 100 * number)
        request.beyond = list(range(4000, 4040))
    with Client(service.socket) as client:
        client.create_corpus(CORPUS)
        client.insert(CORPUS, [request.script + request.beyond for request in requests.values()])
    workers().run(requests)
    # Passes did go past the ends.
    assert any(len(request.output) > 60 for request in requests.values())
    eventually(lambda: stats(service).sequences == 6)
    assert stats(service).output_tokens == 3 * 100 + 3 * 60


class FakeTokenizer:
    """Decodes each id to the letter of its number."""

    def __init__(self) -> None:
        self.decoded = 0

    def decode(self, tokens: Any) -> str:
        self.decoded += 1
        return "".join(chr(token) for token in tokens)


@pytest.mark.parametrize(
    ("output", "excess"),
    [("a stop here", 5), ("a sto", 0), ("stop", 0), ("stopstop", 4), ("an end. stop", 5), ("", 0)],
)
def test_the_end_by_a_stop_string_is_where_it_is_complete(
    output: str, excess: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = types.ModuleType(vllm_ends.VLLM_TOKENIZERS)
    made.__dict__["cached_tokenizer_from_config"] = lambda config: FakeTokenizer()
    monkeypatch.setitem(sys.modules, vllm_ends.VLLM_TOKENIZERS, made)
    tokenizer = vllm_ends.Tokenizer(object())
    end = vllm_ends.output_end(sampling_params(stop=["stop", "end."], max_tokens=100), tokenizer)
    assert tokenizer._thread is not None
    tokenizer._thread.join(10)
    assert end.excess is not None
    assert end.excess([ord(letter) for letter in output]) == excess


def test_without_a_tokenizer_the_end_by_a_stop_string_is_not_known(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, vllm_ends.VLLM_TOKENIZERS, types.ModuleType("empty"))
    tokenizer = vllm_ends.Tokenizer(object())
    end = vllm_ends.output_end(sampling_params(stop="stop"), tokenizer)
    assert tokenizer._thread is not None
    tokenizer._thread.join(10)
    assert end.excess is not None
    assert end.excess([1, 2, 3]) is None
    assert "without their last pass" in caplog.text


def test_ends_are_those_of_vllms_scheduler() -> None:
    tokenizer = vllm_ends.Tokenizer(object())
    assert vllm_ends.output_end(None, tokenizer) == OutputEnd()
    given = sampling_params(max_tokens=5, stop_token_ids=[1, 2], eos_token_id=3)
    assert vllm_ends.output_end(given, tokenizer) == OutputEnd(5, frozenset([1, 2, 3]))
    # Releases before 0.30 keep the model's end among all ids that stop.
    older = types.SimpleNamespace(
        max_tokens=5, stop_token_ids=[1], all_stop_token_ids={1, 3}, ignore_eos=False, stop=None
    )
    assert vllm_ends.output_end(older, tokenizer) == OutputEnd(5, frozenset([1, 3]))
    older.ignore_eos = True
    assert vllm_ends.output_end(older, tokenizer) == OutputEnd(5, frozenset([1]))


def test_an_idle_request_is_recorded_and_goes_on_without_being_counted_twice(
    workers: Any, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = types.SimpleNamespace(now=1000.0)
    monkeypatch.setattr(batch, "time", types.SimpleNamespace(monotonic=lambda: clock.now))
    worker = workers()
    requests = scripts(2)
    a, b = requests["request-0"], requests["request-1"]
    for _ in range(5):
        worker.execute_model({"a": a}, [])
    clock.now += 61
    worker.execute_model({"b": b}, [])
    eventually(lambda: stats(service).sequences == 1)
    # The newest pass, here of one token, is not confirmed: it is told when the request comes back.
    assert stats(service).output_tokens == len(a.output) - 1
    while not a.is_finished:
        worker.execute_model({"a": a}, [])
    worker.execute_model({}, ["a", "b"])
    eventually(lambda: stats(service).sequences == 2)
    # Nothing confirmed the one pass of the other, which ended while it waited.
    assert stats(service).output_tokens == len(a.script)


def test_a_name_that_is_given_to_another_request_is_another_request(
    workers: Any, service: Service
) -> None:
    worker = workers()
    first = FakeRequest([1, 2, 3], list(range(10, 30)))
    second = FakeRequest([4, 5], list(range(50, 80)))
    for request in (first, second):
        while not request.is_finished:
            worker.execute_model({"same": request}, [])
        # The first one's end is not told, as when it is aborted and sent again at once.
        worker.input_batch.remove_request("same")
    worker.execute_model({}, ["same"])
    eventually(lambda: stats(service).sequences == 2)
    assert stats(service).output_tokens == 20 + 30


def test_a_prompt_without_tokens_takes_none_from_the_row_before(workers: Any) -> None:
    worker = workers()
    request = FakeRequest([901, 902, 903], list(range(10, 30)))
    worker.input_batch.req_prompt_embeds[0] = object()
    opened: list[Any] = []
    client = worker.drafter.suffix_cache.drafter.client
    original = client.open_sessions

    def open_sessions(sessions: Any, **options: Any) -> Any:
        opened.extend(list(session.prompt) for session in sessions)
        return original(sessions, **options)

    client.open_sessions = open_sessions
    worker.execute_model({"a": request}, [])
    assert opened == [[]]


# Failure.


def test_an_engine_decodes_without_a_service_and_drafts_when_there_is_one(
    clean_modules: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    service = Service(directory=tmp_path)
    monkeypatch.setenv("REPRISE_SOCKET", service.socket)
    fakes = install_fake_vllm(monkeypatch, fake_vllm_config())
    vllm.register()
    worker = fakes.runner(fakes.proposer, fakes.config)
    requests = scripts(4)
    begin = time.monotonic()
    passes = worker.run(requests)
    assert all(request.output == request.script for request in requests.values())
    assert passes == 60
    assert worker.drafted == 0
    assert time.monotonic() - begin < 2
    service.start()
    try:
        drafter = worker.drafter.suffix_cache.drafter
        eventually(lambda: drafter.client.is_connected)
        eventually(lambda: stats(service).sequences == 4)
        worker.run(scripts(4))
        assert worker.drafted > 0
    finally:
        drafter.close()
        service.stop()


def test_a_service_that_dies_stops_nobody(workers: Any, tmp_path: Path) -> None:
    with Service() as own:
        drafter = BatchDrafter(
            Client(own.socket, deadline=1.0), CORPUS, options=DraftOptions(), settings=SLOW
        )
        text: Any = np.arange(40, dtype=np.int32) % 5
        assert drafter.step([Row("a", text[:20], 10, 8)])[0].tokens
        own.kill()
        assert drafter.step([Row("a", text[:21], 10, 8)])[0].tokens == []
        assert drafter.step([Row("a", text[:24], 10, 8)])[0].tokens == []
        own.start()
        # It has the whole output again, the part that nobody heard with it.
        eventually(lambda: drafter.step([Row("a", text[:24], 10, 8)])[0].tokens == [4, *text[:7]])
        drafter.close()


SLOW = EngineSettings(deadline=2.0, open_deadline=2.0)


def test_what_goes_wrong_inside_is_an_empty_draft(
    service: Service, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafter = BatchDrafter(Client(), CORPUS, options=DraftOptions(), settings=SLOW)

    def step(*_: Any, **__: Any) -> Any:
        raise RuntimeError("broken by the test")

    monkeypatch.setattr(drafter.client, "step", step)
    for _ in range(3):
        assert drafter.step([Row("a", [5, 1], 1, 8)]) == [Draft()]
    assert caplog.text.count("a step had no drafts") == 1
    drafter.close()


@pytest.mark.parametrize("address", ["host:99999", ""])
def test_an_address_that_is_none_does_not_keep_an_engine_down(
    address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("REPRISE_SOCKET", address)
    proposer = vllm.RepriseProposer(fake_vllm_config())
    tokens: Any = np.zeros((1, 8), dtype=np.int32)
    assert proposer.propose([[1]], [4], tokens) == [[]]
    assert "goes on without drafts" in caplog.text


def test_tokens_that_the_model_does_not_have_are_cut_off() -> None:
    draft = Draft([5, 900, 6, 7], [-1, 0, 0, 2], [1.0, 0.5, 0.5, 0.25], [4, 2, 2, 1], 2.25, 3)
    assert draft.within(1000) is draft
    cut = draft.within(900)
    assert (cut.tokens, cut.parents, cut.score) == ([5], [-1], 1.0)


def test_a_corpus_of_another_vocabulary_does_no_harm(
    service: Service, clean_modules: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(service.socket) as client:
        client.create_corpus(CORPUS)
        client.insert(CORPUS, [[10, 11, 12, 200_000, 13]])
    fakes = install_fake_vllm(monkeypatch, fake_vllm_config())
    vllm.register()
    worker = fakes.runner(fakes.proposer, fakes.config)
    worker.execute_model({"a": FakeRequest([1], [10, 11, 12, 13])}, [])
    worker.execute_model({"a": worker.requests["a"]}, [])
    assert worker.drafts["a"] == [] or max(worker.drafts["a"]) < 100_000
    worker.drafter.suffix_cache.drafter.close()


# Ranks.


def test_only_the_first_rank_asks(
    service: Service, clean_modules: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes = install_fake_vllm(monkeypatch, fake_vllm_config())
    vllm.register()
    state = sys.modules["vllm.distributed.parallel_state"]
    workers = []
    for rank in (0, 1):
        group = FakeGroup(rank, 2, [])
        monkeypatch.setattr(state, "get_tp_group", lambda group=group: group, raising=False)
        workers.append(fakes.runner(fakes.proposer, fakes.config))
    for worker in workers:
        worker.run(scripts(4))
    first, second = workers
    assert first.drafted > 0
    assert second.drafted == 0
    assert second.drafter.suffix_cache.drafter is None
    eventually(lambda: stats(service).sequences == 4)
    first.drafter.suffix_cache.drafter.close()


def test_ranks_that_schedule_for_themselves_get_the_first_ones_drafts(
    service: Service, clean_modules: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes = install_fake_vllm(monkeypatch, fake_vllm_config(executor="external_launcher"))
    vllm.register()
    state = sys.modules["vllm.distributed.parallel_state"]
    channel: list[Any] = []
    workers = []
    for rank in (0, 1):
        group = FakeGroup(rank, 2, channel)
        monkeypatch.setattr(state, "get_tp_group", lambda group=group: group, raising=False)
        workers.append(fakes.runner(fakes.proposer, fakes.config))
    requests = [scripts(4), scripts(4)]
    for _ in range(20):
        for worker, live in zip(workers, requests, strict=True):
            worker.execute_model({k: r for k, r in live.items() if not r.is_finished}, [])
        assert workers[0].drafts == workers[1].drafts
    assert workers[0].drafted > 0
    workers[0].drafter.suffix_cache.drafter.close()


# Another vLLM.


def test_a_proposer_that_is_not_known_goes_on_request_by_request(
    service: Service, clean_modules: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("reprise.compat")
    fakes = install_fake_vllm(monkeypatch, fake_vllm_config())
    original = fakes.proposer.propose
    fakes.proposer.propose = lambda self, a, b, c, slot_mappings=None: original(self, a, b, c)
    vllm.register()
    worker = fakes.runner(fakes.proposer, fakes.config)
    requests = scripts(4)
    worker.run(requests)
    assert all(request.output == request.script for request in requests.values())
    assert not isinstance(worker.drafter.suffix_cache, vllm.BatchProposer)
    worker.drafter.suffix_cache.close()


def test_what_cannot_be_keeps_an_unknown_proposer_going_too(
    clean_modules: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where drafts are asked for one by one, a name that is none ended the engine."""
    monkeypatch.setenv("REPRISE_SOCKET", "/nowhere.sock")
    monkeypatch.setenv("REPRISE_CORPUS", "a/b")
    fakes = install_fake_vllm(monkeypatch, fake_vllm_config())
    original = fakes.proposer.propose
    fakes.proposer.propose = lambda self, a, b, c, slot_mappings=None: original(self, a, b, c)
    vllm.register()
    worker = fakes.runner(fakes.proposer, fakes.config)
    requests = scripts(2, length=10)
    worker.run(requests)
    assert all(request.output == request.script for request in requests.values())
    assert "no name of a corpus" in caplog.text
    assert isinstance(worker.drafter.suffix_cache, vllm.NoCache)


def test_a_runner_that_is_not_known_leaves_ends_to_idleness(
    service: Service,
    clean_modules: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fakes = install_fake_vllm(monkeypatch, fake_vllm_config())
    monkeypatch.delitem(sys.modules, vllm_patches.UPDATE_STATES.module)
    vllm.register()
    worker = fakes.runner(fakes.proposer, fakes.config)
    worker.run(scripts(4))
    assert "requests end after 60 idle seconds" in caplog.text
    assert worker.drafter.suffix_cache.drafter.open_requests == 4
    worker.drafter.suffix_cache.drafter.close()
    eventually(lambda: stats(service).sequences == 4)


# `{"method": "custom_class"}`.


def custom_worker() -> FakeModelRunner:
    return FakeModelRunner(vllm.RepriseProposer, fake_vllm_config())


def test_rows_that_move_are_still_themselves(service: Service) -> None:
    worker = custom_worker()
    requests = scripts(16)
    # They end at different times, so rows move.
    for number, request in enumerate(requests.values()):
        request.script = [*request.script[: 9 + 3 * number], END_TOKEN]
    worker.run(requests)
    assert all(request.output == request.script for request in requests.values())
    assert worker.drafter.drafter.client.counters.opened_sessions == 16
    worker.drafter.drafter.close()
    eventually(lambda: stats(service).sequences == 16)
    assert stats(service).output_tokens == sum(len(request.script) for request in requests.values())


def test_samples_of_one_prompt_stay_apart(service: Service) -> None:
    worker = custom_worker()
    source = random.Random(5)
    prompt = [source.randrange(100) for _ in range(20)]
    beginning = list(range(30))
    requests = {
        f"sample-{number}": FakeRequest(
            prompt, beginning + [source.randrange(1000, 2000) for _ in range(20)]
        )
        for number in range(8)
    }
    worker.run(requests)
    assert worker.drafter.drafter.client.counters.opened_sessions == 8
    worker.drafter.drafter.close()
    eventually(lambda: stats(service).sequences == 8)
    # Nothing tells that they ended, so their newest pass, of one token each, is not recorded.
    assert stats(service).output_tokens == 8 * 49


def test_a_custom_proposer_finds_preempted_requests_again(service: Service) -> None:
    worker = custom_worker()
    requests = scripts(2)
    a, b = requests["request-0"], requests["request-1"]
    turn = 0
    while not (a.is_finished and b.is_finished):
        live = {"a": a} if turn % 7 < 4 else {"b": b}
        worker.execute_model({k: r for k, r in live.items() if not r.is_finished}, [])
        turn += 1
    assert worker.drafter.drafter.client.counters.opened_sessions == 2
    worker.drafter.drafter.close()


@pytest.fixture(autouse=True)
def _logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="reprise")
