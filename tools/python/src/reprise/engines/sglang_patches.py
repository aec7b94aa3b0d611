"""The parts of SGLang that are replaced or overridden; the table tells why and since when."""

from __future__ import annotations

import contextlib
import importlib
import types
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .patches import Patch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAME = "REPRISE"
#: The values of SGLang's n-gram algorithm where they are not given.
DRAFT_TOKENS = 12
RUNNING_REQUESTS = 48

#: The register of algorithms, which SGLang offers for that.
ALGORITHM = Patch(
    module="sglang.srt.speculative.spec_info",
    member="SpeculativeAlgorithm.register",
    change="one more algorithm, which answers as the n-gram one",
    releases="0.5.23 (its register run)",
    lost="everything: there is no REPRISE, and the log says so",
)
#: The method of the n-gram worker that asks its trie.
DRAFTS = Patch(
    module="sglang.srt.speculative.ngram_worker",
    member="NGRAMWorker._prepare_draft_tokens",
    change="a subclass that asks Reprise, for the whole batch in one line",
    releases="0.5.23",
    lost="the worker: it asks the stand-in of its trie, and ends with an AttributeError",
)
#: The method of the n-gram worker that fills its trie.
LEARNING = Patch(
    module="sglang.srt.speculative.ngram_worker",
    member="NGRAMWorker._update_ngram_corpus",
    change="nothing: the next step tells the accepted tokens",
    releases="0.5.23",
    lost="the worker: it fills the stand-in of its trie, and ends with an AttributeError",
)
#: The trie of the n-gram worker.
TRIE = Patch(
    module="sglang.srt.speculative.ngram_worker",
    member="NgramCorpus",
    change="an empty stand-in, while the worker is made",
    releases="0.5.23",
    lost="the start of the worker: an AttributeError names the part",
)
PATCHES = (ALGORITHM, DRAFTS, LEARNING, TRIE)


def add_algorithm(history_drafts: Callable[..., Any]) -> None:
    """Registers the algorithm, once in a process.

    Raises:
        Exception: This SGLang is not known.
    """
    spec_info = importlib.import_module(ALGORITHM.module)
    algorithms = spec_info.SpeculativeAlgorithm
    with contextlib.suppress(ValueError):
        algorithms.from_string(NAME)
        return
    algorithms.register(
        NAME,
        supports_overlap=True,
        spec_class=algorithm_class(algorithms, spec_info.CustomSpecAlgo),
    )(lambda server_args: worker_class(history_drafts))


def algorithm_class(algorithms: Any, base: Any) -> Any:
    """An algorithm that answers as the n-gram one, except for its worker and its arguments.

    Args:
        algorithms: `SpeculativeAlgorithm`, whose members tell by methods what they are and can do.
        base: `CustomSpecAlgo`.
    """

    def handle_server_args(self: Any, server_args: Any) -> None:
        """Fills in the arguments that are not given."""
        if getattr(server_args, "enable_dp_attention", False):
            raise ValueError(f"{NAME} does not go with --enable-dp-attention, as NGRAM does not")
        server_args.enable_mixed_chunk = False
        if server_args.max_running_requests is None:
            server_args.max_running_requests = RUNNING_REQUESTS
        if server_args.speculative_num_draft_tokens is None:
            server_args.speculative_num_draft_tokens = DRAFT_TOKENS
        if server_args.speculative_eagle_topk is None:
            server_args.speculative_eagle_topk = 1
        if server_args.speculative_num_steps is None:
            server_args.speculative_num_steps = max(
                server_args.speculative_num_draft_tokens // server_args.speculative_eagle_topk, 1
            )

    def as_ngram(name: str) -> Any:
        def ask(self: Any, *args: Any, **kwargs: Any) -> Any:
            return getattr(algorithms.NGRAM, name)(*args, **kwargs)

        return ask

    own = {"handle_server_args", "create_worker"}
    members = {
        name: as_ngram(name)
        for name, member in vars(algorithms).items()
        if isinstance(member, types.FunctionType) and not name.startswith("_") and name not in own
    }
    members["handle_server_args"] = handle_server_args
    return type("RepriseAlgorithm", (base,), members)


def worker_class(history_drafts: Callable[..., Any]) -> Any:
    """SGLang's n-gram worker with drafts from Reprise.

    Args:
        history_drafts: Makes the drafts of a worker; see `HistoryDrafts` in `sglang.py`.
    """
    ngram_worker = importlib.import_module(DRAFTS.module)
    parallel_state = importlib.import_module("sglang.srt.distributed.parallel_state")
    base: Any = ngram_worker.NGRAMWorker

    class RepriseWorker(base):  # type: ignore[misc]
        def __init__(
            self, server_args: Any, gpu_id: int, nccl_port: int, target_worker: Any
        ) -> None:
            with _without_trie(ngram_worker):
                super().__init__(server_args, gpu_id, nccl_port, target_worker)
            self.drafts = history_drafts(
                server_args,
                width=self.draft_token_num,
                is_tree=(self.topk or 1) > 1,
                vocabulary=target_worker.model_runner.model_config.vocab_size,
                group=parallel_state.get_tp_group(),
            )

        def forward_batch_generation(self, batch: Any, *args: Any, **kwargs: Any) -> Any:
            self.drafts.look_for_ends(batch.reqs)
            return super().forward_batch_generation(batch, *args, **kwargs)

        def _prepare_draft_tokens(self, batch: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
            # With overlapped scheduling the requests lack what the last pass accepted.
            is_behind = self.enable_overlap and not batch.grammar_needs_sync()
            accepted: list[list[int]] = [[] for _ in batch.reqs]
            if is_behind:
                tokens = batch.spec_info.accept_tokens.cpu().tolist()
                for place, count in enumerate(batch.spec_info.accept_lens.cpu().tolist()):
                    begin = place * self.draft_token_num
                    accepted[place] = tokens[begin : begin + count]
            found: tuple[NDArray[np.int64], NDArray[np.int64]] = self.drafts.of(
                batch.reqs, accepted
            )
            return found

        def _update_ngram_corpus(self, batch: Any) -> None:
            """The next step tells what was accepted."""

    return RepriseWorker


class _NoTrie:
    """A trie that takes no memory: that of the n-gram worker takes its memory when it is made."""

    def __init__(self, **_: Any) -> None:
        pass

    def reset(self) -> None:
        pass

    def erase_match_state(self, requests: Sequence[str]) -> None:
        """Being absent is no end."""


@contextlib.contextmanager
def _without_trie(module: Any) -> Iterator[None]:
    original = getattr(module, TRIE.name)
    setattr(module, TRIE.name, _NoTrie)
    try:
        yield
    finally:
        setattr(module, TRIE.name, original)
