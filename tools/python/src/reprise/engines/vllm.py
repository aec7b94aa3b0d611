"""Reprise in vLLM: `--speculative-config '{"method": "suffix"}'` drafts from the shared history.

There are two doors, and no fork.

**The plugin** (`register`, found by vLLM through the entry point group `vllm.general_plugins`).
vLLM's suffix proposer takes its cache from the package arctic-inference. Where `REPRISE_SOCKET` is
set and that package is not installed, the plugin stands in for it. When vLLM then makes its
proposer in a worker, the proposer's `propose` is replaced by one that sends the whole batch in one
line; should a later vLLM have another `propose`, its own goes on with `reprise.compat`, one call a
request. A wrapper around the model runner's `_update_states` hears which requests have finished.

**The class** (`RepriseProposer`, for `{"method": "custom_class", "model":
"reprise.engines.vllm.RepriseProposer"}`). It uses only what vLLM offers for custom proposers, which
is experimental and does not say which request a row of the batch is; see `RowNames`.

Only the rank whose drafts vLLM takes asks for any (`Ranks`), so a history has every output once.
Drafts are verified by the model: none of this changes what is generated.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
import inspect
import os
import sys
import threading
import time
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any

from ..core.options import DraftOptions
from ..core.results import Draft
from .batch import BatchDrafter, make_drafter
from .notices import log, show_lines, use_logger
from .rows import UNKNOWN_END, OutputEnd, Row
from .settings import EngineSettings, corpus_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ARCTIC = "arctic_inference"
ARCTIC_SUFFIX = "arctic_inference.suffix_decoding"
VLLM_SUFFIX = "vllm.v1.spec_decode.suffix_decoding"
VLLM_RUNNER = "vllm.v1.worker.gpu_model_runner"
VLLM_LOGGER = "vllm.logger"
VLLM_TOKENIZERS = "vllm.tokenizers"

#: Tokens at a row's end that its name is found by: no corpus keeps longer patterns.
NAMING_TOKENS = 128


# The plugin.


def register() -> None:
    """What vLLM calls in each of its processes, possibly more than once.

    Without `REPRISE_SOCKET` it only has a line ready for the case that vLLM asks for
    arctic-inference. It does nothing where that is installed unless `REPRISE_OVERRIDE_ARCTIC=1`. It
    imports no part of vLLM.
    """
    _speak_as_vllm()
    if not os.environ.get("REPRISE_SOCKET"):
        if not any(isinstance(finder, _Hint) for finder in sys.meta_path):
            sys.meta_path.append(_Hint())
        return
    if getattr(sys.modules.get(ARCTIC_SUFFIX), "is_reprise", False):
        return
    is_installed = importlib.util.find_spec(ARCTIC) is not None
    if is_installed and os.environ.get("REPRISE_OVERRIDE_ARCTIC") != "1":
        log.warning(
            "reprise: arctic-inference is installed and will be used for suffix decoding; "
            "REPRISE_OVERRIDE_ARCTIC=1 uses Reprise"
        )
        return
    if not is_installed:
        _add_module(ARCTIC, is_package=True)
    module = _add_module(ARCTIC_SUFFIX)
    module.__dict__.update(is_reprise=True, SuffixDecodingCache=suffix_decoding_cache)


def _speak_as_vllm() -> None:
    """Has lines go to vLLM's log, which shows its own loggers alone."""
    init_logger = getattr(sys.modules.get(VLLM_LOGGER), "init_logger", None)
    if init_logger is not None:
        use_logger(init_logger("vllm.plugins.reprise"))
    else:
        show_lines()


class _Hint:
    """Looks for arctic-inference after all others, finds nothing, and says what is missing: vLLM
    ends with the advice to install that package."""

    def __init__(self) -> None:
        self._is_told = False

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == ARCTIC and not self._is_told and not os.environ.get("REPRISE_SOCKET"):
            self._is_told = True
            log.warning(
                "reprise: Reprise is installed and could draft, but REPRISE_SOCKET is not set: set "
                "it to the service's socket (and name reprise in VLLM_PLUGINS, if that is set); "
                "arctic-inference is not needed then"
            )


def _add_module(name: str, *, is_package: bool = False) -> types.ModuleType:
    module = types.ModuleType(name, "Stands in for arctic-inference; see reprise.engines.vllm.")
    # `find_spec`, by which vLLM looks whether the package is there, wants one.
    module.__spec__ = ModuleSpec(name, None, is_package=is_package)
    if is_package:
        module.__path__ = []
    sys.modules[name] = module
    return module


def suffix_decoding_cache(max_tree_depth: int = 64, max_cached_requests: int = -1) -> Any:
    """What vLLM's suffix proposer makes, in a worker, under the name `SuffixDecodingCache`.

    The tree's depth is the corpus's, and how much is kept its retention.
    """
    corpus = None
    try:
        vllm_config = sys.modules["vllm.config"].get_current_vllm_config()
        corpus = _corpus(vllm_config, EngineSettings.from_environment())
        if _take_over(sys.modules[VLLM_SUFFIX].SuffixDecodingProposer):
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
    """A cache that has no drafts, where no history can be reached: the engine goes on."""

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


def _take_over(proposer: type) -> bool:
    """Has the suffix proposer hand over whole batches. False where it is not one that is known."""
    original = getattr(proposer, "propose", None)
    if original is None:
        return False
    if getattr(original, "is_reprise", False):
        return True
    # The arguments' order and number have changed between releases, their names have not.
    signature = inspect.signature(original)
    if not {"input_batch", "sampled_token_ids"} <= signature.parameters.keys():
        return False

    @functools.wraps(original)
    def propose(self: Any, *args: Any, **kwargs: Any) -> list[list[int]]:
        cache = self.suffix_cache
        if not isinstance(cache, BatchProposer):
            drafts: list[list[int]] = original(self, *args, **kwargs)
            return drafts
        given = signature.bind(self, *args, **kwargs).arguments
        return cache.propose(
            given["input_batch"],
            given["sampled_token_ids"],
            given.get("num_speculative_tokens", self.num_speculative_tokens),
        )

    propose.is_reprise = True  # type: ignore[attr-defined]
    proposer.propose = propose  # type: ignore[attr-defined]
    return True


def _hear_of_ends() -> bool:
    """Has the model runner tell which requests have finished. False where it can't be done; then
    they end by being idle."""
    runner = getattr(sys.modules.get(VLLM_RUNNER), "GPUModelRunner", None)
    original = getattr(runner, "_update_states", None)
    if runner is None or original is None:
        return False
    if getattr(original, "is_reprise", False):
        return True

    @functools.wraps(original)
    def _update_states(self: Any, scheduler_output: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, scheduler_output, *args, **kwargs)
        cache = getattr(getattr(self, "drafter", None), "suffix_cache", None)
        if isinstance(cache, BatchProposer):
            cache.states = getattr(self, "requests", {})
            cache.finish(scheduler_output.finished_req_ids)
        return result

    _update_states.is_reprise = True  # type: ignore[attr-defined]
    runner._update_states = _update_states
    return True


# What both doors share.


class Ranks:
    """Which of a model's processes asks for drafts.

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
        """None in processes whose drafts nobody takes."""
        return self._drafter

    def load_model(self, *_: Any, **__: Any) -> None:
        """There is none."""

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

    #: What vLLM's proposer would look at in a cache of its own.
    active_requests: frozenset[str] = frozenset()
    cached_requests: frozenset[str] = frozenset()

    def __init__(self, vllm_config: Any) -> None:
        super().__init__(vllm_config)
        #: The runner's requests, as it keeps them: they say how long an output may be.
        self.states: Mapping[str, Any] = {}
        self._ends: dict[str, tuple[Any, OutputEnd]] = {}
        self._tokenizer = Tokenizer(vllm_config.model_config)
        if self._drafter is not None and not _hear_of_ends():
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


def output_end(parameters: Any, tokenizer: Tokenizer) -> OutputEnd:
    """Where an output with these `SamplingParams` ends, as vLLM's scheduler decides it."""
    if parameters is None:
        return UNKNOWN_END
    ids = set(parameters.stop_token_ids or ())
    if hasattr(parameters, "eos_token_id"):
        if parameters.eos_token_id is not None:
            ids.add(parameters.eos_token_id)
    elif not parameters.ignore_eos:
        # Older releases have the model's own end among these alone.
        ids.update(getattr(parameters, "all_stop_token_ids", ()))
    strings = getattr(parameters, "stop", None) or ()
    if isinstance(strings, str):
        strings = (strings,)
    if strings:
        tokenizer.load()
    return OutputEnd(
        max_tokens=parameters.max_tokens,
        ids=frozenset(ids),
        excess=functools.partial(tokenizer.excess, tuple(strings)) if strings else None,
    )


class Tokenizer:
    """vLLM's tokenizer of the model, for outputs that a stop string ends: the runner is not told
    where. It is loaded on a thread when the first such request is seen."""

    def __init__(self, model_config: Any) -> None:
        self._model_config = model_config
        self._decode: Callable[[Sequence[int]], str] | None = None
        self._thread: threading.Thread | None = None

    def excess(self, strings: Sequence[str], output: Sequence[int]) -> int | None:
        """How many of an output's last tokens stand past the one with which the first stop string
        is complete. None while the tokenizer is not there."""
        if self._decode is None:
            self.load()
            return None
        tokens = list(output)

        def is_over(count: int) -> bool:
            assert self._decode is not None
            text = self._decode(tokens[:count])
            return any(string in text for string in strings)

        if not is_over(len(tokens)):
            return 0
        low, high = 0, len(tokens)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if is_over(middle) else (middle, high)
        return len(tokens) - high

    def load(self) -> None:
        """Begins to load it, once."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._load, name="reprise-tokenizer", daemon=True
            )
            self._thread.start()

    def _load(self) -> None:
        try:
            module = importlib.import_module(VLLM_TOKENIZERS)
            self._decode = module.cached_tokenizer_from_config(self._model_config).decode
        except Exception as error:
            log.warning(
                "reprise: outputs that a stop string ends are recorded without their last pass: "
                "vLLM's tokenizer cannot be loaded (%r)",
                error,
            )


class RepriseProposer(_Proposer):
    """A proposer for `{"method": "custom_class"}`. Requests end by being idle: nothing tells."""

    def __init__(self, vllm_config: Any) -> None:
        super().__init__(vllm_config)
        self._names = RowNames(keep=EngineSettings.from_environment().idle)
        self._output_end = OutputEnd(ids=_end_ids(vllm_config.model_config))

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


def _end_ids(model_config: Any) -> frozenset[int]:
    """Tokens that end an output as the model is configured; requests may differ."""
    ids = getattr(getattr(model_config, "hf_config", None), "eos_token_id", None)
    if ids is None:
        return frozenset()
    return frozenset([ids] if isinstance(ids, int) else ids)


@dataclasses.dataclass(slots=True)
class Named:
    """A request that was told by its text."""

    name: str
    prompt_tokens: int
    """Tokens that it had before its first step."""
    seen: float


class RowNames:
    """Tells which request a row of a batch is, where the engine does not say, by its text.

    A row goes on with the request whose text is what the row held before this step: as long, and
    with the same last `NAMING_TOKENS` tokens. Two requests may be taken for each other only if they
    agree in that, and then it makes no difference to the history, which counts no pattern that is
    longer. In one step a request is at most one row, so the samples of one prompt stay apart.
    """

    def __init__(self, keep: float) -> None:
        """
        Args:
            keep: Seconds for which a request that no step holds is remembered.
        """
        self._keep = keep
        self._count = 0
        self._waiting: dict[tuple[int, bytes], list[Named]] = {}
        self._next_sweep = 0.0

    def of(self, texts: Sequence[tuple[NDArray[np.int32], int]]) -> list[Named]:
        """Names rows: each has its tokens, and how many of them this step added."""
        now = time.monotonic()
        self._sweep(now)
        names = [self._name(_end_of(tokens[: len(tokens) - added])) for tokens, added in texts]
        for named, (tokens, _) in zip(names, texts, strict=True):
            named.seen = now
            self._waiting.setdefault(_end_of(tokens), []).append(named)
        return names

    def _name(self, end: tuple[int, bytes]) -> Named:
        waiting = self._waiting.get(end)
        if waiting:
            named = waiting.pop()
            if not waiting:
                del self._waiting[end]
            return named
        self._count += 1
        return Named(f"row-{self._count}", prompt_tokens=end[0], seen=0.0)

    def _sweep(self, now: float) -> None:
        if now < self._next_sweep:
            return
        self._next_sweep = now + max(self._keep / 4, 1.0)
        for end, waiting in list(self._waiting.items()):
            left = [named for named in waiting if now - named.seen <= self._keep]
            if left:
                self._waiting[end] = left
            else:
                del self._waiting[end]


def _end_of(tokens: NDArray[np.int32]) -> tuple[int, bytes]:
    return len(tokens), tokens[-NAMING_TOKENS:].tobytes()
