"""What a service that is slow, gone or lying costs a worker: nothing but its drafts."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import pickle
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from conftest import FakeService
from service import Service

import reprise
from reprise import AsyncClient, Client, Output, Step
from reprise.core.drafts import Draft

FakeMaker = Callable[[Callable[[bytes], "bytes | None"]], FakeService]
#: A step that has no answer returns at its deadline. How much later a machine makes it is not for a
#: test: the soak measures that.
DEADLINE = 0.02
LATE_MAX = 5.0


def answers(data: bytes, answer: Callable[[dict[str, Any]], dict[str, Any] | None]) -> bytes:
    out = b""
    for line in data.splitlines():
        request = json.loads(line)
        reply = answer(request)
        if reply is not None:
            body = {"jsonrpc": "2.0", "id": request["id"], **reply}
            out += json.dumps(body).encode() + b"\n"
    return out


def honest(request: dict[str, Any]) -> dict[str, Any] | None:
    """Enough of a service to open a session."""
    match request["method"]:
        case "server.info":
            return {"result": {"uptime_s": 1e6}}
        case "session.open":
            return {"result": {}}
    return None


def timed_step(session: reprise.Session, tokens: list[int]) -> tuple[Draft, float]:
    begin = time.monotonic()
    draft = session.step(tokens)
    return draft, time.monotonic() - begin


LIES: dict[str, Callable[[dict[str, Any]], bytes | None]] = {
    "silence": lambda request: b"",
    "half an answer": lambda request: b'{"jsonrpc":"2.0","id":%d,"result":{"dra' % request["id"],
    "garbage": lambda request: b"\x00\xff\xfe garbage\n",
    "another id": lambda request: b'{"jsonrpc":"2.0","id":77777,"result":{"drafts":[]}}\n',
    "too few drafts": lambda request: b'{"id":%d,"result":{"drafts":[]}}\n' % request["id"],
    "no drafts": lambda request: b'{"id":%d,"result":{}}\n' % request["id"],
    "a draft of another shape": lambda request: (
        b'{"id":%d,"result":{"drafts":[[1]]}}\n' % request["id"]
    ),
    "an error": lambda request: b'{"id":%d,"error":{"code":-32603}}\n' % request["id"],
    "deep nesting": lambda request: b"[" * 100_000 + b"\n",
    "the end": lambda request: None,
}


def lying(lie: Callable[[dict[str, Any]], bytes | None]) -> Callable[[bytes], bytes | None]:
    def answer(data: bytes) -> bytes | None:
        out = b""
        for line in data.splitlines():
            request = json.loads(line)
            if request["method"] == "session.step":
                told = lie(request)
                if told is None:
                    return None
                out += told
            else:
                out += answers(line, honest)
        return out

    return answer


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_a_lying_service_costs_drafts_and_no_time(
    fake: FakeMaker, lie: Callable[[dict[str, Any]], bytes | None]
) -> None:
    service = fake(lying(lie))
    client = Client(service.path, deadline=DEADLINE, open_deadline=5.0)
    session = client.open_session("a", [1, 2])
    assert session.is_open
    for token in range(20):
        draft, seconds = timed_step(session, [token])
        assert draft.tokens == []
        assert seconds < DEADLINE + LATE_MAX
    client.close(0.0)
    counters = client.counters
    assert counters.steps == 20
    assert counters.drafts == 0
    assert counters.dropped_tokens == 0


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_a_lying_service_costs_an_event_loop_the_same(
    fake: FakeMaker, lie: Callable[[dict[str, Any]], bytes | None]
) -> None:
    service = fake(lying(lie))

    async def run() -> None:
        client = AsyncClient(service.path, deadline=DEADLINE, open_deadline=5.0)
        session = await client.open_session("a", [1, 2])
        for token in range(20):
            begin = time.monotonic()
            assert (await session.step([token])).tokens == []
            assert time.monotonic() - begin < DEADLINE + LATE_MAX
        await client.close(0.0)
        assert client.counters.drafts == 0

    asyncio.run(run())


def test_an_answer_without_end_is_cut_off(fake: FakeMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reprise.core.wire.LineReader.__init__.__defaults__", (1 << 16,))
    service = fake(lying(lambda request: b"x" * (1 << 17)))
    client = Client(service.path, deadline=1.0, open_deadline=5.0)
    session = client.open_session("a", [1])
    session.step([2])
    assert client.counters.malformed_answers == 1
    client.close(0.0)


def test_a_silent_service_is_waited_for_once(fake: FakeMaker) -> None:
    """Not at each step: the second one finds the first without its answer, and returns at once."""
    service = fake(lying(LIES["silence"]))
    client = Client(service.path, deadline=DEADLINE, open_deadline=5.0)
    session = client.open_session("a", [1])
    for token in range(50):
        session.step([token])
    assert client.counters.timeouts == 1
    assert client.counters.empty_because_late == 49
    client.close(0.0)


def test_ordinary_calls_say_what_is_wrong(fake: FakeMaker) -> None:
    silent = fake(lambda data: b"")
    with Client(silent.path, timeout=0.05) as client, pytest.raises(reprise.DeadlineExceeded):
        client.server_info()
    with Client("/nowhere/reprise.sock") as client, pytest.raises(reprise.Unavailable):
        client.server_info()
    gone = fake(lambda data: None)
    with Client(gone.path) as client, pytest.raises(reprise.Disconnected):
        client.server_info()
    garbled = fake(lambda data: b"garbage\n")
    with Client(garbled.path) as client, pytest.raises(reprise.MalformedAnswer):
        client.server_info()
    wrong = fake(lambda data: b'{"id":1,"result":{"name":7}}\n')
    with Client(wrong.path) as client, pytest.raises(reprise.MalformedAnswer):
        client.server_info()
    client.close()
    with pytest.raises(reprise.Closed):
        client.server_info()


def test_a_late_answer_to_an_ordinary_call_is_not_taken_for_the_next(fake: FakeMaker) -> None:
    # A connection has a thread; the first one's first request is answered with its second.
    connection = threading.local()
    is_first = threading.Event()

    def answer(data: bytes) -> bytes:
        if not is_first.is_set():
            is_first.set()
            connection.held = data
            return b""
        lines = getattr(connection, "held", b"") + data
        return answers(lines, lambda request: {"result": {"method": request["method"]}})

    service = fake(answer)
    client = Client(service.path)
    with pytest.raises(reprise.DeadlineExceeded):
        client.call("corpus.list", timeout=0.05)
    assert client.call("server.info") == {"method": "server.info"}
    client.close()


def test_a_service_that_is_not_there_costs_nothing() -> None:
    client = Client("/nowhere/reprise.sock", open_deadline=5.0)
    begin = time.monotonic()
    session = client.open_session("a", [1])
    for token in range(100):
        assert session.step([token]).tokens == []
    assert time.monotonic() - begin < 1.0
    assert client.counters.empty_because_down == 100
    assert isinstance(client.last_error, FileNotFoundError)
    client.close(0.0)


def outputs_of(service: Service, corpus: str) -> int:
    with Client(service.socket) as client:
        stats = client.corpus_stats(corpus)
        return stats.output_tokens + stats.open_tokens


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_session_goes_on_over_a_restart(service: Service, end: str) -> None:
    with Client(service.socket, deadline=2.0, open_deadline=10.0) as client:
        client.create_corpus("a")
        session = client.open_session("a", [1, 2, 3], share="never", sequence_id="once")
        expected = list(range(100, 130))
        for token in expected[:10]:
            session.step([token])
        getattr(service, end)()
        for token in expected[10:20]:
            assert session.step([token]).tokens == []
        service.start()
        assert client.flush()
        assert session.is_open
        # It has its local history again: the prompt goes on.
        assert session.step([*expected[20:], 1, 2]).tokens == [3, 100]
        assert session.close(wait=10) is not None
        assert client.counters.reopened_sessions == 1
        # The first one finds the connection lost, if it is not known yet.
        counters = client.counters
        assert counters.empty_because_down + counters.empty_because_lost == 10
        inserted = client.insert("a", [Output([*expected, 1, 2], id="once")])
        assert (inserted.duplicates, inserted.inserted) == (1, 0)
        assert client.corpus_stats("a").sequences == 1


def test_a_live_session_is_recorded_once_when_its_connection_is_cut(service: Service) -> None:
    with Client(service.socket, deadline=2.0, open_deadline=10.0) as client:
        client.create_corpus("a")
        session = client.open_session("a", [1])
        session.step([2, 3, 4])
        link = client._decoding
        with link._lock:
            link._lose(ConnectionResetError("cut by the test"))
        session.step([5])
        assert client.flush()
        # While it is open, its prompt's end is counted with it.
        assert outputs_of(service, "a") == 1 + 4
        session.close([6], wait=10)
        stats = client.corpus_stats("a")
        assert (stats.sequences, stats.output_tokens, stats.open_tokens) == (1, 5, 0)


def test_a_paused_service_applies_each_token_once(service: Service) -> None:
    with Client(service.socket, deadline=DEADLINE, open_deadline=10.0) as client:
        client.create_corpus("a")
        session = client.open_session("a", [1])
        session.step([2], deadline=2.0)
        service.pause()
        for token in range(3, 20):
            assert session.step([token]).tokens == []
        assert client.counters.timeouts == 1
        service.resume()
        assert client.flush()
        assert session.close([20], wait=10) is not None
        assert client.counters.late_answers == 1
        assert client.counters.reconnects == 0
        stats = client.corpus_stats("a")
        assert (stats.sequences, stats.output_tokens) == (1, 19)


def test_a_session_closed_while_the_service_is_down_is_recorded_when_it_is_back(
    service: Service,
) -> None:
    with Client(service.socket, deadline=2.0, open_deadline=10.0) as client:
        client.create_corpus("a")
        service.kill()
        session = client.open_session("a", [1])
        session.step([2])
        assert session.close([3]) is None
        service.start()
        assert client.flush()
        assert session.is_done
        assert client.corpus_stats("a").output_tokens == 2


def test_a_lease_that_ends_is_no_loss(service: Service) -> None:
    with Client(service.socket, deadline=2.0, open_deadline=10.0) as client:
        client.create_corpus("a")
        session = client.open_session("a", [1, 2])
        session.step([3])
        client.call("session.close", {"session": session.name})  # as its lease would
        assert session.step([4]).tokens == []
        assert client.flush()
        session.close([5], wait=10)
        stats = client.corpus_stats("a")
        assert (stats.sequences, stats.output_tokens) == (2, 3)


def test_threads_share_a_client(service: Service) -> None:
    with Client(service.socket, deadline=5.0, open_deadline=10.0) as client:
        client.create_corpus("a")
        client.insert("a", [[5, 6, 7, 8]])
        found: list[list[int]] = []

        def decode(number: int) -> None:
            session = client.open_session("a", [number])
            found.extend(session.step([5, 6]).tokens for _ in range(50))
            session.close()

        threads = [threading.Thread(target=decode, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 400
        assert client.flush()
        assert client.corpus_stats("a").output_tokens == 4 + 8 * 100
        assert client.counters.timeouts == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_has_a_connection_of_its_own(service: Service) -> None:
    with Client(service.socket, deadline=2.0, open_deadline=10.0) as client:
        client.create_corpus("a")
        session = client.open_session("a", [1])
        session.step([2])
        child = os.fork()
        if child == 0:
            try:
                is_right = session.step([66]).tokens == []
                with client.open_session("a", [1]) as own:
                    own.step([3, 4])
                is_right = is_right and client.flush() and client.server_info().protocol == 1
                os._exit(0 if is_right else 1)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        # The parent's session and connection are as they were.
        session.step([5])
        assert client.counters.reconnects == 0
        session.close(wait=10)
        stats = client.corpus_stats("a")
        assert (stats.sequences, stats.output_tokens) == (2, 4)


def test_closing_a_client_records_its_sessions(service: Service) -> None:
    client = Client(service.socket, deadline=2.0, open_deadline=10.0)
    client.create_corpus("a")
    client.open_session("a", [1]).step([2])
    assert client.close(10.0)
    assert outputs_of(service, "a") == 1


def test_asyncio_over_a_restart(service: Service) -> None:
    async def run() -> None:
        async with AsyncClient(service.socket, deadline=2.0, open_deadline=10.0) as client:
            await client.create_corpus("a")
            session = await client.open_session("a", [1, 2, 3], share="never", sequence_id="x")
            await session.step([10, 11])
            await asyncio.to_thread(service.kill)
            await session.step([12])
            await asyncio.to_thread(service.start)
            assert await client.flush()
            assert (await session.step([1, 2])).tokens == [3, 10]
            await session.close(wait=10)
            inserted = await client.insert("a", [Output([10, 11, 12, 1, 2], id="x")])
            assert inserted.duplicates == 1
            assert client.counters.reopened_sessions == 1

    asyncio.run(run())


def test_asyncio_with_a_paused_service(service: Service) -> None:
    async def run() -> None:
        async with AsyncClient(service.socket, deadline=DEADLINE, open_deadline=10.0) as client:
            await client.create_corpus("a")
            sessions = [await client.open_session("a", [1]) for _ in range(8)]
            service.pause()
            for token in range(5):
                await asyncio.gather(*(session.step([token]) for session in sessions))
            service.resume()
            assert await client.flush()
            for session in sessions:
                await session.close()
            assert await client.flush()
            assert (await client.corpus_stats("a")).output_tokens == 40
            assert client.counters.timeouts == 8

    asyncio.run(run())


@pytest.mark.parametrize("share", ["close", "never"])
def test_a_session_drafts_from_its_group_and_joins_it(service: Service, share: Any) -> None:
    estimate = reprise.DraftOptions(policy="estimate")
    with Client(service.socket, deadline=2.0, open_deadline=10.0) as client:
        client.create_corpus("a", lead_in=0)
        client.insert("a", [Output([1, 2, 3, 4], group="task")])
        for group in ("task", None):
            sequence_id = str(group) if share == "never" else None
            session = client.open_session(
                "a", [9, 1], share=share, group=group, sequence_id=sequence_id
            )
            draft = session.step([], estimate)
            assert (draft.tokens[0], draft.source) == (2, "group" if group else "shared")
            session.close([5, 6], wait=10)
        follower = client.open_session("a", [5], share="never", group="task")
        draft = follower.step([], estimate)
        assert (draft.tokens[0], draft.source) == (6, "group")


def test_steps_with_options_of_their_own(service: Service) -> None:
    with Client(service.socket, deadline=2.0, open_deadline=10.0) as client:
        client.create_corpus("a")
        client.insert("a", [[5, 6, 7, 8]])
        names = [client.open_session("a", [5]).name for _ in range(2)]
        short = reprise.DraftOptions(max_tokens=1)
        drafts = client.step([Step(names[0], [6], short), Step(names[1], [6])])
        assert [draft.tokens for draft in drafts] == [[7], [7, 8]]
        drafts = client.step([Step(names[0]), Step(names[1])], short)
        assert [draft.tokens for draft in drafts] == [[7], [7]]


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("how", ["pickle", "deepcopy", "copy"])
def test_a_client_is_copied_by_its_address(
    kind: Any, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It held a lock, so that no process pool could take it."""
    monkeypatch.setenv("REPRISE_TOKEN", "of the environment")
    ways: dict[str, Callable[[Any], Any]] = {
        "pickle": lambda client: pickle.loads(pickle.dumps(client)),
        "deepcopy": copy.deepcopy,
        "copy": copy.copy,
    }
    client = kind("/run/reprise.sock", deadline=0.5, token="given", engine="test")
    client.open_deadline = 7.0
    other = ways[how](client)
    assert type(other) is kind
    assert other is not client
    assert other.address == "/run/reprise.sock"
    assert (other.deadline, other.open_deadline) == (0.5, 7.0)
    assert other._endpoint.token == "given"
    assert other._decoding is not client._decoding
    # What the environment says is read where the copy is made, and does not travel.
    client = kind("/run/reprise.sock")
    assert b"of the environment" not in pickle.dumps(client)
    assert ways[how](client)._endpoint.token == "of the environment"
    with pytest.raises(TypeError, match="TLS"):
        pickle.dumps(kind("host:7411", tls=ssl.create_default_context()))


def test_a_session_is_not_copied() -> None:
    client = Client("/nowhere/reprise.sock")
    session = client.open_session("a", [1], deadline=0.0)
    for refused in (lambda: pickle.dumps(session), lambda: copy.deepcopy(session)):
        with pytest.raises(TypeError, match="belongs to its client"):
            refused()
    client.close(0.0)


@pytest.mark.parametrize("text", ["nonsense://x", "tcp://host:7411", "unix:///run/reprise.sock"])
def test_an_address_with_a_scheme_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="has a scheme"):
        Client(text)


def test_a_path_is_as_long_as_the_system_takes(fake: FakeMaker) -> None:
    assert Client("/" + "a" * 106).address
    for path in ("/" + "a" * 107, "unix:/" + "a" * 107, "/" + "ä" * 54):
        with pytest.raises(ValueError, match="107 bytes at most"):
            Client(path)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_makes_the_corpora_that_its_parent_wanted(service: Service) -> None:
    client = Client(service.socket, deadline=2.0, open_deadline=10.0)
    client.ensure_corpus("wanted")
    child = os.fork()
    if child == 0:
        try:
            with client.open_session("wanted", [1]) as session:
                session.step([2])
            os._exit(0 if client.flush() and session.error is None else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert client.flush()
    assert client.corpus_stats("wanted").output_tokens == 1
    client.close()


def test_a_session_is_truncated(service: Service) -> None:
    with Client(service.socket, deadline=2.0, open_deadline=10.0) as client:
        client.create_corpus("a")
        session = client.open_session("a", [1, 2, 3])
        session.step([10, 11, 12, 13])
        assert session.text.tolist() == [1, 2, 3, 10, 11, 12, 13]
        assert session.tail(5).tolist() == [3, 10, 11, 12, 13]
        session.truncate(5)
        assert client.flush()
        assert session.text.tolist() == [1, 2, 3, 10, 11]
        assert session.step([1, 2]).tokens == [3, 10]
        session.close(wait=10)
        assert session.is_closed
        stats = client.corpus_stats("a")
        assert (stats.sequences, stats.output_tokens, stats.open_tokens) == (1, 4, 0)

    async def run() -> None:
        async with AsyncClient(service.socket, deadline=2.0, open_deadline=10.0) as client:
            session = await client.open_session("a", [1, 2, 3])
            await session.step([10, 11, 12, 13])
            session.truncate(4)
            assert await client.flush()
            await session.close(wait=10)
            assert (await client.corpus_stats("a")).output_tokens == 5

    asyncio.run(run())


def test_what_became_of_steps_is_in_the_services_metrics(service: Service) -> None:
    with Client(service.socket, deadline=2.0, open_deadline=10.0, engine="test") as client:
        client.create_corpus("a")
        session = client.open_session("a", [1, 2, 1])
        session.step([2])
        # As after ten seconds.
        client._decoding.core._reporter._next = 0.001
        session.step([3])
        assert client.flush()
        assert 'reprise_client_steps_total{client="test"} 2' in client.metrics()
