"""Every method of the protocol against a real service, and access with tokens and TLS."""

from __future__ import annotations

import asyncio
import inspect
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from service import Service, reprise_binary

import reprise
from reprise import AsyncClient, Client, NewSession, Output, Retention, Step
from reprise.core import calls


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(service.socket, deadline=2.0, open_deadline=10.0) as client:
        yield client


def test_server_and_health(client: Client) -> None:
    info = client.server_info()
    assert info.name == "reprise"
    assert info.protocol == 1
    assert info.limits["line_bytes"] > 0
    assert info.uptime_s >= 0
    assert client.is_live().ok
    assert client.is_ready().ok
    assert client.report(engine="vllm", steps=9, missed={"late": 2}) == "vllm"
    with pytest.raises(ValueError, match="no reasons"):
        client.report(missed={"lost": 1})
    told = client.metrics()
    assert 'reprise_client_steps_total{client="vllm"} 9' in told
    assert 'reprise_client_drafts_missed_total{client="vllm",reason="late"} 2' in told
    assert info.event_loop_line_bytes > 1000


def test_corpora(client: Client) -> None:
    made = client.create_corpus(
        "a", tokenizer="t", depth=32, retention=Retention(tokens=1000, age_s=60), durability_ms=50
    )
    assert (made.depth, made.tokenizer, made.durability, made.durability_ms) == (
        32,
        "t",
        "interval",
        50,
    )
    assert made.retention == Retention(tokens=1000, age_s=60)
    with pytest.raises(reprise.CorpusExists) as caught:
        client.create_corpus("a")
    assert caught.value.code == -32002
    assert caught.value.data["differences"][0] == "depth is 32, asked for 64"
    client.create_corpus("b", tokenizer="t")
    assert [stats.corpus for stats in client.corpora()] == ["a", "b"]
    client.insert("a", [[1, 2, 3]], tokenizer="t")
    with pytest.raises(reprise.TokenizerMismatch):
        client.insert("a", [[1]], tokenizer="u")
    merged = client.merge_corpus("a", "b")
    assert (merged.sequences, merged.tokens) == (1, 3)
    assert client.corpus_stats("b").tokens == 3
    assert client.drop_corpus("a")
    with pytest.raises(reprise.CorpusNotFound):
        client.corpus_stats("a")


def test_vocabulary(client: Client) -> None:
    assert client.create_corpus("a", vocabulary=100).vocabulary == 100
    assert client.corpus_stats("a").vocabulary == 100
    with pytest.raises(reprise.InvalidParams) as caught:
        client.insert("a", [[1], [2, 100]])
    assert caught.value.data["member"] == "params.sequences[1].tokens[1]"
    client.insert("a", [[1, 2, 3, 50, 4]])
    options = reprise.DraftOptions(vocabulary=50)
    drafts = client.speculate("a", [[1, 2]]), client.speculate("a", [[1, 2]], options)
    assert [draft[0].tokens for draft in drafts] == [[3, 50], [3]]
    # The keyword comes before the options.
    for wanted in (reprise.DraftOptions(), options.within(60)):
        assert client.speculate("a", [[1, 2]], wanted, vocabulary=50)[0].tokens == [3]
    assert options.within(None) is options
    with pytest.raises(ValueError, match="vocabulary is 0"):
        client.speculate("a", [[1, 2]], vocabulary=0)
    with client.open_session("a", [7], vocabulary=50) as session:
        assert session.step([1, 2]).tokens == [3]
    with pytest.raises(ValueError, match="vocabulary is 0"):
        reprise.DraftOptions(vocabulary=0)


def test_lead_in(client: Client) -> None:
    made = client.create_corpus("a", lead_in=3)
    assert made.lead_in == client.corpus_stats("a").lead_in == 3
    inserted = client.insert("a", [Output([5, 6], prompt=[1, 2, 3, 4]), [7]])
    assert (inserted.inserted, inserted.tokens) == (2, 3)
    # However long the prompt is, its end alone is sent.
    assert len(Output([1], prompt=range(100_000)).to_wire()["prompt"]) == 64
    with client.open_session("a", [11, 12, 13, 14]) as session:
        session.step([15])
    assert client.flush()
    stats = client.corpus_stats("a")
    assert (stats.tokens, stats.lead_in_tokens) == (10, 6)
    assert client.speculate("a", [[3, 4], [13, 14], [1, 2]])[0].tokens == [5, 6]
    assert client.create_corpus("none", lead_in=0).lead_in == 0
    client.insert("none", [Output([5, 6], prompt=[1, 2, 3, 4])])
    assert client.corpus_stats("none").lead_in_tokens == 0


def test_end_ids(client: Client) -> None:
    made = client.create_corpus("a", end_ids=[91, 90])
    assert made.end_ids == client.corpus_stats("a").end_ids == (90, 91)
    inserted = client.insert("a", [Output([5, 6, 90, 7]), [8]])
    assert inserted.tokens == 4
    assert client.speculate("a", [[1, 5]], reprise.DraftOptions(max_factor=4))[0].tokens == [6, 90]
    assert client.create_corpus("none").end_ids == ()
    with pytest.raises(reprise.InvalidParams, match="end_ids"):
        client.create_corpus("b", end_ids=range(9))


def test_short_matches_are_not_drafted_from(client: Client) -> None:
    client.create_corpus("a")
    client.insert("a", [[1, 2, 3, 4]])
    for policy in ("suffixdecoding", "estimate"):
        long = reprise.DraftOptions(policy=policy, min_match=2)
        drafts = client.speculate("a", [[2], [1, 2], [9, 2]], long)
        assert [draft.tokens[:1] for draft in drafts] == [[], [3], []]
    with pytest.raises(ValueError, match="min_match is 0"):
        reprise.DraftOptions(min_match=0)


def test_policies(client: Client) -> None:
    client.create_corpus("a")
    client.insert("a", [[1, 2, 3, 4], [9, 2, 5, 6], [8, 2, 5, 7]])
    paper = client.speculate("a", [[1, 2]], reprise.DraftOptions(max_factor=2))[0]
    assert (paper.tokens, paper.probs) == ([3, 4], [1.0, 1.0])
    # All lengths of match count: 2 was followed by 5 twice, and by 3 once.
    tree = reprise.DraftOptions(policy="estimate", tree=True, min_probability=0.01)
    draft = client.speculate("a", [[1, 2]], tree)[0]
    assert set(draft.tokens) == {3, 4, 5, 6, 7}
    assert 0 < sum(draft.probs[draft.tokens.index(token)] for token in (3, 5)) < 1
    assert draft.score == pytest.approx(sum(draft.probs))
    with pytest.raises(ValueError, match="policy is 'newest', expected one of suffixdecoding"):
        reprise.DraftOptions(policy="newest")  # type: ignore[arg-type]


def test_sequences(client: Client) -> None:
    client.create_corpus("a")
    inserted = client.insert("a", [Output([1, 2, 3], id="x"), [4, 5]])
    assert (inserted.inserted, inserted.duplicates, inserted.tokens) == (2, 0, 5)
    assert client.insert("a", [Output([1, 2, 3], id="x")]).duplicates == 1
    with pytest.raises(reprise.Conflict) as caught:
        client.insert("a", [Output([9], id="x")])
    assert caught.value.data["id"] == "x"
    forgotten = client.forget("a", ["x", "y"])
    assert (forgotten.forgotten, forgotten.tokens, forgotten.missing) == (1, 3, 1)


def test_snapshots(client: Client) -> None:
    client.create_corpus("a")
    client.insert("a", [[1, 2, 3]])
    taken = client.create_snapshot("a", "monday")
    assert (taken.corpus, taken.tokens) == ("a", 3)
    assert client.snapshots() == client.snapshots("a") == [taken]
    assert client.verify_snapshot("monday").digest == taken.digest
    assert client.restore_snapshot("b", "monday").tokens == 3
    with pytest.raises(reprise.CorpusExists):
        client.restore_snapshot("b", "monday")
    assert client.restore_snapshot("b", "monday", replace=True).tokens == 3
    assert client.delete_snapshot("monday")
    with pytest.raises(reprise.SnapshotNotFound):
        client.verify_snapshot("monday")


def test_sessions_and_drafts(client: Client) -> None:
    client.create_corpus("a")
    client.insert("a", [[5, 6, 7, 8]] * 2)
    with client.open_session("a", [5, 6], name="s", ttl_s=60) as session:
        assert session.is_open
        draft = session.step()
        assert (draft.tokens, draft.parents, draft.source) == ([7, 8], [-1, 0], "shared")
        assert (draft.counts, draft.match_length, draft.score) == ([2, 2], 2, 2.0)
        assert session.step([7]).tokens == [8]
        assert len(session.step([], reprise.DraftOptions(max_tokens=0))) == 0
    assert client.flush()
    assert client.corpus_stats("a").output_tokens == 8 + 1
    tree = client.speculate("a", [[5, 6], [99]], reprise.DraftOptions(tree=True))
    assert [len(draft) for draft in tree] == [2, 0]
    going_on = client.open_session("a", [5, 6, 7, 9], parent=session)
    closed = going_on.close([1, 2], wait=10)
    assert closed is not None
    assert closed.recorded_tokens == 2
    assert client.counters.timeouts == 0


def test_a_budget_is_spent_where_it_pays(client: Client) -> None:
    client.create_corpus("a")
    client.insert("a", [[5, 6, 7, 8]] * 3 + [[9, 6, 7, 1], [9, 2, 3]])
    opened = client.open_sessions(NewSession("a", [], share="never") for _ in range(8))
    tokens = [[5, 6], [9], [6], [99]] * 2
    steps = [Step(session.name, accept) for session, accept in zip(opened, tokens, strict=True)]
    options = reprise.DraftOptions(min_probability=0.01, max_factor=2, tree=True)
    whole = client.step(steps, options)
    total = sum(map(len, whole))
    again = [Step(session.name) for session in opened]
    for budget in (0, 1, 5, total - 1, total, 10_000):
        drafts = client.step(again, options, budget=budget)
        assert sum(map(len, drafts)) == min(budget, total)
        for draft, full in zip(drafts, whole, strict=True):
            assert draft.tokens == full.tokens[: len(draft)]
        # No token that was left out is more probable than one that was kept.
        kept = [prob for draft in drafts for prob in draft.probs]
        left = [p for d, full in zip(drafts, whole, strict=True) for p in full.probs[len(d) :]]
        assert min(kept, default=1) >= max(left, default=0)
    with pytest.raises(ValueError, match="budget is -1"):
        client.step(again, options, budget=-1)

    # What is verified for nothing is drafted; what costs a whole step is not, and a larger batch
    # makes each token dearer.
    def drafted(**bounds: Any) -> int:
        return sum(map(len, client.step(again, options, **bounds)))

    assert drafted(verify_cost=0.0) >= drafted(verify_cost=0.05) > drafted(verify_cost=1.0) == 0
    assert drafted(verify_cost=0.01) > drafted(verify_cost=0.01, batch=1000)
    assert drafted(verify_cost=[(1, 1.0), (100_000, 1.0)], budget=3) == 3
    assert drafted(verify_cost=[(1, 1.0), (2, 3.0), (3, 6.0)]) == 0
    with pytest.raises(ValueError, match="verify_cost is 2"):
        client.step(again, options, verify_cost=2)


def test_a_batch_of_steps(client: Client) -> None:
    client.create_corpus("a")
    client.insert("a", [[5, 6, 7, 8]])
    # Live ones would add the end of their prompt and 6, which nothing follows yet.
    opened = client.open_sessions(NewSession("a", [5], share="close") for _ in range(64))
    assert all(session.is_open for session in opened)
    names = [session.name for session in opened]
    drafts = client.step({name: [6] for name in names})
    assert [draft.tokens for draft in drafts] == [[7, 8]] * 64
    assert client.step({"nobody": [1], names[0]: []})[0].tokens == []


def test_anything_else_by_name(client: Client) -> None:
    assert client.call("server.info")["protocol"] == 1
    with pytest.raises(reprise.MethodNotFound):
        client.call("server.dance")
    with pytest.raises(reprise.InvalidParams) as caught:
        client.call("speculate", {"corpus": "a", "context": [-1]})
    assert caught.value.data["member"] == "params.context[0]"
    with pytest.raises(reprise.SessionNotFound):
        client.call("session.close", {"session": "nobody"})
    with pytest.raises(reprise.LimitExceeded) as limit:
        client.call("speculate", {"corpus": "a", "contexts": [[1]] * 4097})
    assert limit.value.data["limit"] == "contexts"


def test_arrays_of_numpy(client: Client) -> None:
    np = pytest.importorskip("numpy")
    client.create_corpus("a")
    text = np.arange(1000, dtype=np.int64)
    client.insert("a", [text, text[::2], np.array([1, 2], dtype=np.int32)])
    session = client.open_session("a", text[:100].astype(np.int32))
    draft = session.step(np.array([100, 101], dtype=np.int32))
    assert draft.tokens_array().dtype == np.int32
    assert draft.tokens[:2] == [102, 103]
    for wrong in (np.zeros((2, 2), np.int32), np.array([-1]), np.array([1.5])):
        with pytest.raises((ValueError, TypeError)):
            session.step(wrong)


def test_the_same_over_asyncio(service: Service) -> None:
    async def run() -> None:
        async with AsyncClient(service.socket, deadline=2.0, open_deadline=10.0) as client:
            assert (await client.server_info()).protocol == 1
            assert (await client.is_live()).ok
            assert (await client.is_ready()).ok
            assert "reprise_" in await client.metrics()
            await client.create_corpus("a")
            await client.insert("a", [Output([5, 6, 7, 8], id="x")])
            async with await client.open_session("a", [5, 6]) as session:
                assert (await session.step()).tokens == [7, 8]
            assert await client.flush()
            assert (await client.speculate("a", [[5, 6]]))[0].tokens == [7, 8]
            assert (await client.speculate("a", [[5, 6]], vocabulary=8))[0].tokens == [7]
            news = [NewSession("a", [5]) for _ in range(3)]
            opened = await client.open_sessions(news)
            assert all(session.is_open for session in opened)
            drafts = await client.step([Step(session.name, [6]) for session in opened])
            assert [draft.tokens for draft in drafts] == [[7, 8]] * 3
            for session in opened:
                await session.close(record=False)
            assert [stats.corpus for stats in await client.corpora()] == ["a"]
            await client.create_snapshot("a", "s")
            assert len(await client.snapshots()) == 1
            assert (await client.verify_snapshot("s")).tokens == 4
            await client.restore_snapshot("b", "s")
            assert (await client.merge_corpus("b", "a")).duplicates == 1
            assert (await client.forget("a", ["x"])).forgotten == 1
            assert await client.delete_snapshot("s")
            assert await client.drop_corpus("b")
            with pytest.raises(reprise.CorpusNotFound):
                await client.corpus_stats("b")
            answers = await asyncio.gather(
                *(client.call("server.info") for _ in range(50)), client.corpus_stats("a")
            )
            assert len(answers) == 51

    asyncio.run(run())


def make_token(directory: Path, rights: str) -> str:
    made = subprocess.run(
        [
            str(reprise_binary()),
            "token",
            "create",
            "--access",
            str(directory / "access.json"),
            "--name",
            rights.replace(",", "-"),
            "--corpora",
            "*",
            "--rights",
            rights,
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    return made.stdout.strip()


def test_access_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token, reader = make_token(tmp_path, "draft,insert"), make_token(tmp_path, "draft")
    access = str(tmp_path / "access.json")
    with Service("--access", access, directory=tmp_path) as service:
        with Client(service.socket) as nobody, pytest.raises(reprise.Unauthorized):
            nobody.corpora()
        with Client(service.socket, token="x" * 43) as stranger:
            with pytest.raises(reprise.Unauthorized):
                stranger.server_info()
            # Decoding goes on without drafts, and says why.
            assert not stranger.open_session("a", [1], deadline=0.5).is_open
            assert isinstance(stranger.last_error, reprise.Unauthorized)
        with Client(service.socket, token=token, deadline=2.0) as client:
            client.create_corpus("a")
            with pytest.raises(reprise.Unauthorized) as caught:
                client.drop_corpus("a")
            assert "admin" in caught.value.data["needs"]
            assert client.open_session("a", [1]).is_open
            assert client.open_session("a", [1]).step([2]).tokens == []
        (tmp_path / "token").write_text(reader + "\n")
        monkeypatch.setenv("REPRISE_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("REPRISE_SOCKET", service.socket)
        with Client(deadline=2.0) as client:
            assert client.corpus_stats("a").corpus == "a"
            refused = client.open_session("a", [1])
            assert isinstance(refused.error, reprise.Unauthorized)
            assert client.open_session("a", [1], share="never").is_open


def test_tls(tmp_path: Path) -> None:
    token = make_token(tmp_path, "draft,insert,admin")
    certificate, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    command += " -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
    subprocess.run(
        [*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--listen", f"127.0.0.1:{port}", "--access", str(tmp_path / "access.json")]
    options += ["--tls-certificate", certificate, "--tls-key", key]
    context = ssl.create_default_context(cafile=certificate)
    with Service(*options, directory=tmp_path):
        address = f"127.0.0.1:{port}"
        with Client(address, token=token, tls=context, deadline=2.0) as client:
            client.create_corpus("a")
            client.insert("a", [[5, 6, 7]])
            assert client.open_session("a", [*range(100, 8100), 5, 6]).step().tokens == [7]

        async def run() -> None:
            async with AsyncClient(address, token=token, tls=context, deadline=2.0) as client:
                session = await client.open_session("a", [5, 6])
                assert (await session.step()).tokens == [7]
                assert (await client.corpus_stats("a")).tokens == 3

        asyncio.run(run())
        distrustful = ssl.create_default_context()
        with (
            Client(address, token=token, tls=distrustful) as client,
            pytest.raises(reprise.Unavailable),
        ):
            client.server_info()


def test_addresses() -> None:
    assert reprise.Address.parse("/run/a:1").path == "/run/a:1"
    assert reprise.Address.parse("unix:a:1").path == "a:1"
    assert str(reprise.Address.parse("[::1]:7411")) == "[::1]:7411"
    assert reprise.Address.parse("host:7411") == reprise.Address(host="host", port=7411)
    for wrong in ("", "host:0", "host:65536"):
        with pytest.raises(ValueError, match=r"address|port"):
            reprise.Address.parse(wrong)
    with pytest.raises(ValueError, match="encrypted"):
        Client("/run/a", tls=ssl.create_default_context())


def test_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REPRISE_SOCKET", raising=False)
    with pytest.raises(ValueError, match="REPRISE_SOCKET"):
        Client()


def test_both_clients_have_the_calls_of_the_protocol() -> None:
    """With their names, texts and parameters, and the result in place of the call."""
    builders = {
        name: build
        for name, build in vars(calls).items()
        if inspect.isfunction(build)
        and not name.startswith("_")
        and build.__module__ == calls.__name__
    }
    assert len(builders) == 18
    for name, build in builders.items():
        for client in (Client, AsyncClient):
            method = getattr(client, name)
            assert (method.__name__, method.__doc__) == (name, build.__doc__)
            assert method.__doc__
            given, described = inspect.signature(build), inspect.signature(method)
            assert list(described.parameters) == ["self", *given.parameters]
            assert f"Call[{described.return_annotation}]" == given.return_annotation
        assert inspect.iscoroutinefunction(getattr(AsyncClient, name))
    assert list(inspect.signature(Client("/a").forget).parameters) == ["corpus", "ids", "timeout"]
