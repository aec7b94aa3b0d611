"""Stand-ins for engines. None is an engine: each has the shape that an engine's own files have, as
far as Reprise touches it, and a "model" that writes what a script says.

The shapes are those of vLLM 0.33.0: `v1/worker/gpu_model_runner.py`,
`v1/worker/gpu_input_batch.py`, `v1/spec_decode/suffix_decoding.py`, `config`.
"""

from __future__ import annotations

import dataclasses
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

# Engines have it; where it is not, their doors are not tested.
np: Any = pytest.importorskip("numpy")

MODEL_LEN = 512
#: The token that ends outputs by the model's configuration.
END_TOKEN = 99_999


def fake_vllm_config(**changes: Any) -> Any:
    speculative = types.SimpleNamespace(
        num_speculative_tokens=8,
        suffix_decoding_max_tree_depth=24,
        suffix_decoding_max_spec_factor=1.0,
        suffix_decoding_min_token_prob=0.1,
        suffix_decoding_max_cached_requests=1000,
    )
    model = types.SimpleNamespace(
        model="acme/tiny",
        served_model_name="acme/tiny",
        max_model_len=MODEL_LEN,
        hf_config=types.SimpleNamespace(eos_token_id=END_TOKEN),
        get_vocab_size=lambda: changes.get("vocabulary", 100_000),
    )
    parallel = types.SimpleNamespace(
        distributed_executor_backend=changes.get("executor", "mp"),
    )
    return types.SimpleNamespace(
        speculative_config=speculative, model_config=model, parallel_config=parallel
    )


def sampling_params(**given: Any) -> Any:
    """What the scheduler and Reprise read of vLLM's `SamplingParams`."""
    defaults: dict[str, Any] = {
        "max_tokens": None,
        "stop_token_ids": [],
        "eos_token_id": None,
        "ignore_eos": False,
        "stop": [],
    }
    return types.SimpleNamespace(**{**defaults, **given})


class FakeInputBatch:
    """The persistent batch: rows that move when others leave."""

    def __init__(self, rows: int = 64) -> None:
        self.req_ids: list[str] = []
        self.req_id_to_index: dict[str, int] = {}
        self.num_tokens_no_spec: Any = np.zeros(rows, dtype=np.int32)
        self.num_prompt_tokens: Any = np.zeros(rows, dtype=np.int32)
        self.token_ids_cpu: Any = np.zeros((rows, MODEL_LEN), dtype=np.int32)
        self.req_prompt_embeds: dict[int, Any] = {}

    def add_request(self, name: str, tokens: Sequence[int], prompt_tokens: int) -> None:
        place = len(self.req_ids)
        self.req_ids.append(name)
        self.req_id_to_index[name] = place
        self.token_ids_cpu[place, : len(tokens)] = tokens
        self.num_tokens_no_spec[place] = len(tokens)
        self.num_prompt_tokens[place] = prompt_tokens

    def remove_request(self, name: str) -> None:
        """The last row takes the place of one that leaves."""
        place = self.req_id_to_index.pop(name, None)
        if place is None:
            return
        last = len(self.req_ids) - 1
        moved = self.req_ids.pop()
        if place != last:
            self.req_ids[place] = moved
            self.req_id_to_index[moved] = place
            self.token_ids_cpu[place] = self.token_ids_cpu[last]
            self.num_tokens_no_spec[place] = self.num_tokens_no_spec[last]
            self.num_prompt_tokens[place] = self.num_prompt_tokens[last]


class FakeSuffixDecodingProposer:
    """vLLM's suffix proposer: it takes its cache from the package, and asks it for each request."""

    def __init__(self, vllm_config: Any) -> None:
        config = vllm_config.speculative_config
        self.num_speculative_tokens = config.num_speculative_tokens
        self.max_tree_depth = config.suffix_decoding_max_tree_depth
        self.max_model_len = vllm_config.model_config.max_model_len
        from arctic_inference.suffix_decoding import (  # type: ignore[import-not-found]
            SuffixDecodingCache,
        )

        self.suffix_cache = SuffixDecodingCache(
            max_tree_depth=config.suffix_decoding_max_tree_depth,
            max_cached_requests=config.suffix_decoding_max_cached_requests,
        )

    def propose(
        self,
        num_speculative_tokens: int,
        input_batch: FakeInputBatch,
        sampled_token_ids: list[list[int]],
        slot_mappings: Any = None,
    ) -> list[list[int]]:
        cache = self.suffix_cache
        drafts: list[list[int]] = []
        for place, sampled in enumerate(sampled_token_ids):
            name = input_batch.req_ids[place]
            end = int(input_batch.num_tokens_no_spec[place])
            row = input_batch.token_ids_cpu[place]
            if not sampled:
                drafts.append([])
                continue
            if name not in cache.active_requests:
                cache.start_request(name, row[: input_batch.num_prompt_tokens[place]])
            cache.add_active_response(name, sampled)
            draft = cache.speculate(
                name,
                row[max(0, end - self.max_tree_depth) : end],
                max_spec_tokens=min(num_speculative_tokens, self.max_model_len - end - 1),
            )
            drafts.append(draft.token_ids)
        for name in cache.active_requests - input_batch.req_id_to_index.keys():
            cache.stop_request(name)
        return drafts


@dataclasses.dataclass
class FakeRequest:
    """A request, and what the model will write: its output, and what it would write behind it."""

    prompt: list[int]
    script: list[int]
    output: list[int] = dataclasses.field(default_factory=list)
    beyond: list[int] = dataclasses.field(default_factory=list)
    sampling_params: Any = None

    @property
    def is_finished(self) -> bool:
        return len(self.output) >= len(self.script)


class FakeModelRunner:
    """One worker: keeps the batch as the scheduler says, has the "model" verify drafts, and asks
    the drafter for the next ones."""

    def __init__(self, make_drafter: Callable[[Any], Any], vllm_config: Any) -> None:
        self.input_batch = FakeInputBatch()
        self.requests: dict[str, FakeRequest] = {}
        self.drafter = make_drafter(vllm_config)
        self.drafts: dict[str, list[int]] = {}
        self.passes = 0
        self.drafted = 0

    def _update_states(self, scheduler_output: Any) -> None:
        for name in scheduler_output.finished_req_ids:
            self.requests.pop(name, None)
            self.input_batch.remove_request(name)
        # Requests that are not scheduled leave the batch, and stay known.
        for name in list(self.input_batch.req_id_to_index):
            if name not in scheduler_output.scheduled:
                self.input_batch.remove_request(name)
        for name, request in scheduler_output.scheduled.items():
            self.requests[name] = request
            if name not in self.input_batch.req_id_to_index:
                tokens = request.prompt + request.output
                self.input_batch.add_request(name, tokens, len(request.prompt))

    def execute_model(self, scheduled: Mapping[str, FakeRequest], finished: Sequence[str]) -> None:
        output = types.SimpleNamespace(scheduled=dict(scheduled), finished_req_ids=set(finished))
        self._update_states(output)
        batch = self.input_batch
        sampled: list[list[int]] = []
        for place, name in enumerate(batch.req_ids):
            request = self.requests[name]
            draft = self.drafts.get(name, [])
            tokens = self._verified(request, draft)
            request.output += tokens
            end = int(batch.num_tokens_no_spec[place])
            batch.token_ids_cpu[place, end : end + len(tokens)] = tokens
            batch.num_tokens_no_spec[place] = end + len(tokens)
            sampled.append(tokens)
        if sampled:
            self.passes += 1
            drafts = self._propose(sampled)
            self.drafts = dict(zip(batch.req_ids, drafts, strict=True))
            self.drafted += sum(map(len, drafts))

    def _verified(self, request: FakeRequest, draft: Sequence[int]) -> list[int]:
        """What the script goes on with: drafted tokens as far as they agree, and one more."""
        rest = (request.script + request.beyond)[len(request.output) :]
        agreed = 0
        while agreed < min(len(draft), len(rest) - 1) and draft[agreed] == rest[agreed]:
            agreed += 1
        return rest[: agreed + 1]

    def _propose(self, sampled: list[list[int]]) -> list[list[int]]:
        batch = self.input_batch
        if isinstance(self.drafter, FakeSuffixDecodingProposer):
            return self.drafter.propose(8, batch, sampled, slot_mappings=None)
        drafts: list[list[int]] = self.drafter.propose(
            sampled, batch.num_tokens_no_spec, batch.token_ids_cpu, slot_mappings=None
        )
        return drafts

    def run(self, requests: Mapping[str, FakeRequest]) -> int:
        """Runs requests to their ends. Returns the number of forward passes."""
        before = self.passes
        live = dict(requests)
        finished: list[str] = []
        while live or finished:
            self.execute_model(live, finished)
            finished = [name for name, request in live.items() if request.is_finished]
            live = {name: r for name, r in live.items() if not r.is_finished}
        return self.passes - before


class FakeGroup:
    """A tensor-parallel group, seen by one rank; `channel` is what the first rank broadcast."""

    def __init__(self, rank: int, size: int, channel: list[Any]) -> None:
        self.rank_in_group = rank
        self.world_size = size
        self.channel = channel

    def broadcast_object(self, value: Any = None, src: int = 0) -> Any:
        if self.rank_in_group == src:
            self.channel.append(value)
        return self.channel[-1]


def install_fake_vllm(monkeypatch: pytest.MonkeyPatch, config: Any) -> types.SimpleNamespace:
    """Puts fakes where Reprise looks for vLLM: only what is imported there already counts.

    The classes are made anew each time, so that one test's patches are not the next one's.
    """
    proposer = type("FakeSuffixDecodingProposer", (FakeSuffixDecodingProposer,), {})
    # What is replaced is looked for in the class itself.
    proposer.propose = FakeSuffixDecodingProposer.propose  # type: ignore[attr-defined]
    runner = type("GPUModelRunner", (FakeModelRunner,), {})
    runner._update_states = FakeModelRunner._update_states  # type: ignore[attr-defined]

    def module(name: str, **members: Any) -> None:
        made = types.ModuleType(name)
        made.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, made)

    module("vllm")
    module("vllm.config", get_current_vllm_config=lambda: config)
    module("vllm.v1.spec_decode.suffix_decoding", SuffixDecodingProposer=proposer)
    module("vllm.v1.worker.gpu_model_runner", GPUModelRunner=runner)
    module("vllm.distributed.parallel_state")
    return types.SimpleNamespace(proposer=proposer, runner=runner, config=config)
