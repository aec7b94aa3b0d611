"""Reprise in vLLM: `--speculative-config '{"method": "suffix"}'` drafts from the shared history.

There are two integrations; neither needs a fork of vLLM.

**The plugin** (`register`, found by vLLM through the entry point group `vllm.general_plugins`).
Where `REPRISE_SOCKET` is set, it replaces three parts of vLLM in the running process, which
`reprise.engines.vllm_patches` lists: the package that vLLM takes its cache from, the proposer's
`propose`, so that the whole batch is one line, and the runner's `_update_states`, which tells the
finished requests. In a vLLM with another `propose`, its own goes on with `reprise.compat`, one call
a request.

**The class** (`RepriseProposer`, for `{"method": "custom_class", "model":
"reprise.engines.vllm.RepriseProposer"}`). It uses only the interface that vLLM offers for custom
proposers, which is experimental and does not tell which request a row of the batch is; see
`RowNames`.

Only the rank whose drafts vLLM takes asks for any (`Ranks`), so a history has every output once.
Drafts are verified by the model: none of this changes what is generated.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..core.drafts import Draft
from ..core.options import DraftOptions
from . import vllm_patches
from .batch import BatchDrafter, make_drafter
from .notices import log, show_lines, use_logger
from .rows import OutputEnd, Row
from .settings import EngineSettings, corpus_name
from .vllm_ends import Tokenizer, model_end_ids, output_end
from .vllm_rows import RowNames

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VLLM_LOGGER = "vllm.logger"


def register() -> None:
    """The function that vLLM calls in each of its processes, possibly more than once.

    Without `REPRISE_SOCKET` it only has a line ready for the case that vLLM asks for
    arctic-inference. It does nothing where that is installed unless `REPRISE_OVERRIDE_ARCTIC=1`. It
    imports no part of vLLM.
    """
    _speak_as_vllm()
    if not os.environ.get("REPRISE_SOCKET"):
        vllm_patches.Hint.install()
    elif not vllm_patches.stand_in(suffix_decoding_cache):
        log.warning(
            "reprise: arctic-inference is installed and will be used for suffix decoding; "
            "REPRISE_OVERRIDE_ARCTIC=1 uses Reprise"
        )


def _speak_as_vllm() -> None:
    """Has lines go to vLLM's log, which shows its own loggers alone."""
    init_logger = getattr(sys.modules.get(VLLM_LOGGER), "init_logger", None)
    if init_logger is not None:
        use_logger(init_logger("vllm.plugins.reprise"))
    else:
        show_lines()


def suffix_decoding_cache(max_tree_depth: int = 64, max_cached_requests: int = -1) -> Any:
    """The cache that vLLM's suffix proposer makes, in a worker, as its `SuffixDecodingCache`.

    The corpus's depth and retention replace both arguments.
    """
    corpus = None
    try:
        vllm_config = sys.modules["vllm.config"].get_current_vllm_config()
        corpus = _corpus(vllm_config, EngineSettings.from_environment())
        if vllm_patches.join_calls(BatchProposer):
            return BatchProposer(vllm_config)
        log.warning(
            "reprise: this vLLM's suffix proposer is not known; drafts are asked for one by one"
        )
    except Exception as error:
        log.warning("reprise: drafts are asked for one by one (%r)", error)
    from ..compat import SuffixDecodingCache

    try:
        return SuffixDecodingCache(max_tree_depth, max_cached_requests, corpus=corpus)
    except (OSError, ValueError) as error:
        log.error("reprise: decoding goes on without drafts: %s", error)
        return NoCache()


class NoCache:
    """A cache without drafts, where no history can be reached: the engine goes on."""

    def __init__(self) -> None:
        self.active_requests: set[str] = set()
        self.cached_requests: frozenset[str] = frozenset()

    def start_request(self, req_id: str, prompt_token_ids: Any) -> None:
        self.active_requests.add(req_id)

    def stop_request(self, req_id: str) -> None:
        self.active_requests.discard(req_id)

    def add_active_response(self, req_id: str, token_ids: Any) -> None:
        pass

    def evict_cached_response(self, req_id: str) -> None:
        pass

    def speculate(self, req_id: str, context: Any, **_: Any) -> Any:
        return types.SimpleNamespace(token_ids=[], parents=[], probs=[], score=0.0, match_len=0)


class Ranks:
    """The place of this process among those of the model: one of them asks for drafts.

    Every rank of a tensor-parallel group makes a proposer and is asked for drafts in each step, but
    vLLM takes those of the group's first rank, in the engine's process, and sends them to all with
    the next step. The others' are thrown away, so they ask for none. With the executor
    "external_launcher" each rank schedules for itself and all must say the same: there the first
    one's drafts are broadcast to the group.
    """

    def __init__(self, vllm_config: Any) -> None:
        self._group: Any = None
        self.asks = True
        state = sys.modules.get("vllm.distributed.parallel_state")
        for find in ("get_tp_group", "get_pcp_group"):
            try:
                group = getattr(state, find)()
            except (AttributeError, AssertionError):
                # There is none: another release, or one process.
                continue
            self.asks = self.asks and group.rank_in_group == 0
            if find == "get_tp_group" and group.world_size > 1:
                self._group = group
        parallel = getattr(vllm_config, "parallel_config", None)
        if getattr(parallel, "distributed_executor_backend", None) != "external_launcher":
            self._group = None

    def share(self, drafts: list[list[int]]) -> list[list[int]]:
        """The first rank's drafts, where all must have the same."""
        if self._group is None:
            return drafts
        shared: list[list[int]] = self._group.broadcast_object(drafts, src=0)
        return shared


class _Proposer:
    def __init__(self, vllm_config: Any) -> None:
        speculative = vllm_config.speculative_config
        model = vllm_config.model_config
        self.num_speculative_tokens: int = speculative.num_speculative_tokens
        self.max_model_len: int = model.max_model_len
        _speak_as_vllm()
        self._ranks = Ranks(vllm_config)
        self._drafter: BatchDrafter | None = None
        if self._ranks.asks:
            settings = EngineSettings.from_environment()
            options = DraftOptions(
                max_factor=getattr(speculative, "suffix_decoding_max_spec_factor", 1.0),
                min_probability=getattr(speculative, "suffix_decoding_min_token_prob", 0.1),
            )
            self._drafter = make_drafter(
                _corpus(vllm_config, settings),
                engine="vllm",
                options=options,
                settings=settings,
                vocabulary=model.get_vocab_size(),
            )

    @property
    def drafter(self) -> BatchDrafter | None:
        """None in processes whose drafts vLLM does not take."""
        return self._drafter

    def load_model(self, *_: Any, **__: Any) -> None:
        """There is no model to load."""

    def _row(
        self,
        key: str,
        tokens: NDArray[np.int32],
        prompt_tokens: int,
        limit: int,
        end: OutputEnd,
    ) -> Row:
        # A token of the model's own follows the draft.
        room = self.max_model_len - len(tokens) - 1
        return Row(key, tokens, prompt_tokens, min(limit, room), end)

    def _drafts(self, rows: dict[int, Row], count: int) -> list[list[int]]:
        drafts: list[list[int]] = [[] for _ in range(count)]
        if self._drafter is not None and rows:
            found: list[Draft] = self._drafter.step(list(rows.values()))
            for place, draft in zip(rows, found, strict=True):
                drafts[place] = draft.tokens
        return self._ranks.share(drafts)


def _corpus(vllm_config: Any, settings: EngineSettings) -> str:
    """The corpus that the operator named, or the model's name as it is served."""
    if settings.corpus is not None:
        return settings.corpus
    model = vllm_config.model_config
    served = getattr(model, "served_model_name", None)
    if isinstance(served, (list, tuple)):
        served = served[0] if served else None
    return corpus_name(str(served or model.model))


class BatchProposer(_Proposer):
    """Drafts for vLLM's own batch, whose requests have names."""

    #: The members of a cache that vLLM's proposer looks at.
    active_requests: frozenset[str] = frozenset()
    cached_requests: frozenset[str] = frozenset()

    def __init__(self, vllm_config: Any) -> None:
        super().__init__(vllm_config)
        #: The runner's requests, as it keeps them: they tell how long an output may be.
        self.states: Mapping[str, Any] = {}
        self._ends: dict[str, tuple[Any, OutputEnd]] = {}
        self._tokenizer = Tokenizer(vllm_config.model_config)
        if self._drafter is not None and not vllm_patches.tell_ends(BatchProposer):
            log.warning(
                "reprise: this vLLM's runner is not known; requests end after %g idle seconds",
                self._drafter.settings.idle,
            )

    def propose(
        self, input_batch: Any, sampled_token_ids: Sequence[Sequence[int]], limit: int
    ) -> list[list[int]]:
        rows: dict[int, Row] = {}
        if self._drafter is not None:
            embedded = getattr(input_batch, "req_prompt_embeds", {})
            for place, sampled in enumerate(sampled_token_ids):
                end = int(input_batch.num_tokens_no_spec[place])
                # Without a token of its own the request is still being read in.
                if not sampled or end > self.max_model_len:
                    continue
                begin, prompt = 0, int(input_batch.num_prompt_tokens[place])
                if place in embedded:
                    # Its prompt has no tokens; what stands there is an earlier request's.
                    begin, prompt = prompt, 0
                tokens = input_batch.token_ids_cpu[place, begin:end]
                name = input_batch.req_ids[place]
                rows[place] = self._row(name, tokens, prompt, limit, self._end_of(name))
        return self._drafts(rows, len(sampled_token_ids))

    def _end_of(self, name: str) -> OutputEnd:
        parameters = getattr(self.states.get(name), "sampling_params", None)
        known = self._ends.get(name)
        if known is None or known[0] is not parameters:
            known = self._ends[name] = parameters, output_end(parameters, self._tokenizer)
        return known[1]

    def finish(self, requests: Iterable[str]) -> None:
        if self._drafter is not None:
            names = list(requests)
            self._drafter.finish(names)
            for name in names:
                self._ends.pop(name, None)


class RepriseProposer(_Proposer):
    """A proposer for `{"method": "custom_class"}`. Requests end by being idle: vLLM does not tell
    their ends."""

    def __init__(self, vllm_config: Any) -> None:
        super().__init__(vllm_config)
        self._names = RowNames(keep=EngineSettings.from_environment().idle)
        self._output_end = OutputEnd(ids=model_end_ids(vllm_config.model_config))

    def propose(
        self,
        sampled_token_ids: Sequence[Sequence[int]],
        num_tokens_no_spec: Sequence[int] | NDArray[np.int32],
        token_ids_cpu: Any,
        slot_mappings: Any = None,
        **_: Any,
    ) -> list[list[int]]:
        rows: dict[int, Row] = {}
        if self._drafter is not None:
            texts: dict[int, tuple[NDArray[np.int32], int]] = {}
            for place, sampled in enumerate(sampled_token_ids):
                end = int(num_tokens_no_spec[place])
                if sampled and end <= self.max_model_len:
                    texts[place] = (token_ids_cpu[place, :end], len(sampled))
            for place, named in zip(texts, self._names.of(list(texts.values())), strict=True):
                tokens = texts[place][0]
                rows[place] = self._row(
                    named.name,
                    tokens,
                    named.prompt_tokens,
                    self.num_speculative_tokens,
                    self._output_end,
                )
        return self._drafts(rows, len(sampled_token_ids))
