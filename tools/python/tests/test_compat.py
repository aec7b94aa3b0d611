"""The drop-in cache behaves as ArcticInference's class of that name does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from service import Service

from reprise import Client
from reprise.compat import SuffixDecodingCache, SuffixDecodingDraft
from reprise.core.options import Policy


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(service.socket, deadline=2.0, open_deadline=10.0) as client:
        yield client


@pytest.fixture
def cache(client: Client) -> SuffixDecodingCache:
    return SuffixDecodingCache(client=client, corpus="a")


def tell(cache: SuffixDecodingCache, name: str, prompt: list[int], response: list[int]) -> None:
    cache.start_request(name, prompt)
    cache.add_active_response(name, response)
    cache.stop_request(name)


def test_properties(client: Client) -> None:
    cache = SuffixDecodingCache(24, 100, client=client)
    assert (cache.max_tree_depth, cache.max_cached_requests) == (24, 100)
    cache = SuffixDecodingCache(client=client, corpus="other")
    assert (cache.max_tree_depth, cache.max_cached_requests) == (64, -1)
    assert client.flush()
    assert client.corpus_stats("default").depth == 24
    assert client.corpus_stats("default").retention.sequences == 100
    with pytest.raises(ValueError, match=r"max_cached_requests must be at most 2\^31"):
        SuffixDecodingCache(64, 2**31, client=client)


def test_the_life_of_a_request(cache: SuffixDecodingCache) -> None:
    cache.start_request("r", [1, 2, 3])
    assert list(cache.active_requests) == list(cache.cached_requests) == ["r"]
    with pytest.raises(ValueError, match="Request 'r' is already active"):
        cache.start_request("r", [1])
    cache.add_active_response("r", [4])
    cache.stop_request("r")
    assert (list(cache.active_requests), list(cache.cached_requests)) == ([], ["r"])
    for call in (
        lambda: cache.stop_request("r"),
        lambda: cache.add_active_response("r", [1]),
        lambda: cache.speculate("r", [1]),
    ):
        with pytest.raises(ValueError, match="Request 'r' is not active"):
            call()
    # As vLLM does with what left its batch.
    assert cache.active_requests - {"r": 0}.keys() == set()
    cache.evict_cached_response("r")
    assert list(cache.cached_requests) == []
    with pytest.raises(ValueError, match="Request 'r' is not cached"):
        cache.evict_cached_response("r")


def test_drafts_from_the_prompt_and_from_others(cache: SuffixDecodingCache) -> None:
    cache.start_request(1, [1, 2, 3, 1, 2])
    draft = cache.speculate(1, [1, 2, 3, 1, 2])
    assert draft == SuffixDecodingDraft([3, 1], [-1, 0], [0.5, 0.5], 1.0, 2)
    # What another active request writes counts at once.
    cache.start_request("two", [9])
    cache.add_active_response("two", [50, 51, 52])
    cache.add_active_response(1, [50])
    assert cache.speculate(1, [1, 2, 3, 1, 2, 50]).token_ids == [51]
    cache.stop_request("two")
    cache.stop_request(1)
    assert cache.flush()


def test_options(cache: SuffixDecodingCache) -> None:
    for end in (3, 3, 4):
        tell(cache, f"{end} {len(cache.cached_requests)}", [], [1, 2, end, 7, 8, 9])
    cache.start_request("r", [1, 2])
    context = [1, 2]
    assert cache.speculate("r", context).token_ids == [3, 7]
    assert cache.speculate("r", context, max_spec_tokens=1).token_ids == [3]
    assert cache.speculate("r", context, max_spec_tokens=0).token_ids == []
    assert cache.speculate("r", context, max_spec_factor=2.0).token_ids == [3, 7, 8, 9]
    assert cache.speculate("r", context, max_spec_factor=0.5).token_ids == [3]
    assert cache.speculate("r", context, max_spec_offset=1.0).token_ids == [3, 7, 8]
    assert cache.speculate("r", context, min_token_prob=0.9).token_ids == []
    assert cache.speculate("r", context, min_token_prob=1.5).token_ids == []
    tree = cache.speculate("r", context, 8, 4.0, use_tree_spec=True)
    assert set(zip(tree.token_ids, tree.parents, strict=True)) >= {(3, -1), (4, -1)}
    assert tree.match_len == 2


def test_the_policy_is_a_setting(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def first_probability(policy: Policy | None = None) -> float:
        cache = SuffixDecodingCache(client=client, corpus="policies", policy=policy)
        context = [1, 2, 3, 4, 1, 2, 3]
        cache.start_request("r", context)
        draft = cache.speculate("r", context)
        cache.stop_request("r")
        assert draft.token_ids[0] == 4
        return draft.probs[0]

    # By the published policy, one of two occurrences was followed by it.
    assert first_probability() == 0.5
    assert first_probability("estimate") < 0.5
    monkeypatch.setenv("REPRISE_POLICY", "estimate")
    assert first_probability() < 0.5
    assert first_probability("suffixdecoding") == 0.5
    assert caplog.text == ""
    monkeypatch.setenv("REPRISE_POLICY", "guess")
    assert first_probability() == 0.5
    assert "REPRISE_POLICY is 'guess', expected suffixdecoding or estimate" in caplog.text
    with pytest.raises(ValueError, match="policy is 'guess', expected one of"):
        SuffixDecodingCache(client=client, policy="guess")  # type: ignore[arg-type]


def test_no_limit_is_the_depth(cache: SuffixDecodingCache) -> None:
    tell(cache, "a", [], list(range(200)))
    cache.start_request("r", list(range(100)))
    draft = cache.speculate("r", list(range(100)), max_spec_factor=100.0)
    # One token is matched, and no pattern is longer than 64.
    assert draft.token_ids == list(range(100, 163))


def test_a_context_that_is_not_where_the_request_stands(cache: SuffixDecodingCache) -> None:
    cache.start_request("r", [1, 2, 3, 4, 5, 6])
    assert cache.speculate("r", [2, 3]).token_ids == [4, 5]
    assert cache.speculate("r", []).token_ids == []
    assert cache.speculate("r", [77]).token_ids == []
    # It left nothing behind.
    assert cache.flush()
    assert cache.client.corpus_stats("a").sessions == 1


def test_without_a_cache_only_the_prompt_counts(client: Client) -> None:
    cache = SuffixDecodingCache(64, 0, client=client, corpus="a")
    tell(cache, "a", [], [1, 2, 3])
    cache.start_request("b", [1, 2])
    assert cache.speculate("b", [1, 2]).token_ids == []
    assert list(cache.cached_requests) == []
    cache.start_request("c", [5, 6, 5])
    assert cache.speculate("c", [5, 6, 5]).token_ids == [6]
    assert cache.flush()
    assert client.corpus_stats("a").output_tokens == 0


def test_the_oldest_leave(client: Client) -> None:
    cache = SuffixDecodingCache(64, 2, client=client, corpus="a")
    for name in ("a", "b", "c"):
        tell(cache, name, [], [1])
    assert list(cache.cached_requests) == ["b", "c"]


@pytest.mark.parametrize("is_active", [False, True])
def test_what_is_evicted_is_in_no_draft(cache: SuffixDecodingCache, is_active: bool) -> None:
    cache.start_request("a", [9])
    cache.add_active_response("a", [1, 2, 3, 4])
    cache.start_request("r", [1, 2])
    assert cache.speculate("r", [1, 2]).token_ids == [3, 4]
    if not is_active:
        cache.stop_request("a")
    cache.evict_cached_response("a")
    assert cache.flush()
    assert cache.speculate("r", [1, 2]).token_ids == []
    if is_active:
        # It still drafts from what it has itself.
        cache.add_active_response("a", [1, 2])
        assert cache.speculate("a", [9, 1, 2, 3, 4, 1, 2]).token_ids == [3, 4]
        cache.stop_request("a")
        assert cache.flush()
    assert cache.client.corpus_stats("a").output_tokens == 0


def test_a_cached_name_may_be_used_again(cache: SuffixDecodingCache) -> None:
    tell(cache, "a", [], [1, 2, 3])
    tell(cache, "a", [], [1, 2, 4])
    assert cache.flush()
    cache.start_request("r", [1, 2])
    assert cache.speculate("r", [1, 2]).token_ids == [4]


def test_history_outlives_cache_and_service(service: Service, client: Client) -> None:
    cache = SuffixDecodingCache(client=client, corpus="a")
    tell(cache, "a", [], [1, 2, 3])
    assert cache.flush()
    service.kill()
    service.start()
    other = SuffixDecodingCache(corpus="a", address=service.socket, deadline=2.0)
    other.start_request("r", [1, 2])
    assert other.speculate("r", [1, 2]).token_ids == [3]
    other.close()


def test_what_the_simulator_looks_into(cache: SuffixDecodingCache) -> None:
    assert cache.flush()
    assert cache._global_tree.check_integrity() == ""
    assert cache._global_tree.estimate_memory() > 0


def test_a_service_that_is_not_there() -> None:
    cache = SuffixDecodingCache(address="/nowhere/reprise.sock")
    tell(cache, "a", [], [1, 2, 3])
    cache.start_request("r", [1, 2])
    assert cache.speculate("r", [1, 2]) == SuffixDecodingDraft()
    cache.evict_cached_response("a")
    cache.client.close(0.0)


def test_arrays(cache: SuffixDecodingCache) -> None:
    np = pytest.importorskip("numpy")
    cache.start_request("r", np.array([1, 2, 3], dtype=np.int32))
    cache.add_active_response("r", np.array([1, 2], dtype=np.int32))
    context = np.array([0, 1, 2, 3, 1, 2], dtype=np.int32)[1:]
    assert cache.speculate("r", context).token_ids == [3, 1]
    for array, message in (
        (np.zeros((2, 2), np.int32), "ndarray input must have ndim=1, got ndim=2"),
        (np.zeros(2, np.int64), "ndarray input must have dtype=int32, got dtype=int64"),
        (np.zeros(4, np.int32)[::2], "ndarray input must be contiguous"),
    ):
        for call in (
            lambda array=array: cache.start_request("s", array),
            lambda array=array: cache.add_active_response("r", array),
            lambda array=array: cache.speculate("r", array),
        ):
            with pytest.raises(ValueError, match=message):
                call()
    assert list(cache.active_requests) == ["r"]
    with pytest.raises(TypeError):
        cache.add_active_response("r", "text")


@pytest.mark.parametrize("bad", [-1, 2**31 - 1, 2**40])
def test_an_id_that_is_none_costs_its_own_request_its_drafts(
    cache: SuffixDecodingCache, bad: int
) -> None:
    """It raised, and an engine that asks for one request after the other would have ended."""
    cache.start_request("good", [1, 2, 1])
    cache.start_request("bad prompt", [1, bad])
    cache.start_request("bad later", [1, 2, 1])
    cache.add_active_response("bad later", [3])
    assert cache.speculate("bad later", [1, 2, 1, 3]) == SuffixDecodingDraft()
    cache.add_active_response("bad later", [1, bad])
    for name in ("bad prompt", "bad later"):
        cache.add_active_response(name, [2])
        assert cache.speculate(name, [1, 2]) == SuffixDecodingDraft()
    assert cache.speculate("good", [bad]) == SuffixDecodingDraft()
    cache.add_active_response("good", [2])
    assert cache.speculate("good", [1, 2, 1, 2]).token_ids == [1, 2]
    assert list(cache.cached_requests) == ["good"]
    for request in list(cache.active_requests):
        cache.stop_request(request)
    assert cache.flush()
    assert cache.client.corpus_stats("a").output_tokens == 1
    assert cache.client.counters.unrecorded_rows == 4
