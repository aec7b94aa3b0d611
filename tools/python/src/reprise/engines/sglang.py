"""Reprise in SGLang: `--speculative-algorithm REPRISE` drafts from the shared history.

SGLang calls `register` of the plugin (entry point group `sglang.srt.plugins`), which adds the
algorithm. It is SGLang's own n-gram algorithm except for one thing: where that asks its trie for
draft tokens, this asks Reprise, for the whole batch in one line. SGLang verifies the drafts as its
own. `reprise.engines.sglang_patches` lists the parts that are overridden.

In a tensor-parallel group every rank builds the same batch and must draft the same, so the first
rank asks and the others are told.

A draft is a path, which every attention backend verifies; `--speculative-eagle-topk` above 1 makes
it a tree, for those that can.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..core.drafts import EMPTY_DRAFT, Draft
from ..core.options import DraftOptions
from .batch import BatchDrafter, make_drafter
from .notices import log, show_lines
from .rows import OutputEnd, Row
from .settings import EngineSettings, corpus_name
from .sglang_patches import add_algorithm

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def register() -> None:
    """The function that SGLang calls in each of its processes. It does nothing without
    `REPRISE_SOCKET`."""
    if not os.environ.get("REPRISE_SOCKET"):
        return
    show_lines()
    try:
        add_algorithm(HistoryDrafts)
    except Exception as error:
        log.warning("reprise: this SGLang is not known, there is no REPRISE (%r)", error)


class HistoryDrafts:
    """Drafts for SGLang's batches, as its n-gram worker wants them: token ids and tree masks."""

    def __init__(
        self, server_args: Any, *, width: int, is_tree: bool, vocabulary: int, group: Any
    ) -> None:
        """
        Args:
            width: Places of a draft; the first is the context's last token.
            group: The tensor-parallel group.
        """
        self._width = width
        self._group = group
        #: By its name, the request that has it and where its output ends.
        self._requests: dict[str, tuple[Any, OutputEnd]] = {}
        self.drafter: BatchDrafter | None = None
        if group.rank_in_group == 0:
            settings = EngineSettings.from_environment()
            model = str(server_args.served_model_name or server_args.model_path)
            self.drafter = make_drafter(
                settings.corpus or corpus_name(model),
                engine="sglang",
                options=DraftOptions(tree=is_tree),
                settings=settings,
                vocabulary=vocabulary,
            )

    def of(
        self, requests: Sequence[Any], accepted: Sequence[Sequence[int]]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """A draft for each request, all of one width.

        Args:
            accepted: Tokens that each has besides those that it tells.
        """
        import numpy as np

        drafts = [EMPTY_DRAFT] * len(requests)
        if self.drafter is not None:
            drafts = self.drafter.step(
                [
                    Row(
                        request.rid,
                        JoinedTokens(request.origin_input_ids_unpadded, request.output_ids, more),
                        len(request.origin_input_ids_unpadded),
                        self._width - 1,
                        self._end_of(request),
                    )
                    for request, more in zip(requests, accepted, strict=True)
                ]
            )
        if self._group.world_size > 1:
            drafts = self._group.broadcast_object(drafts, src=0)
        found = [
            tree(last_token(request, more), draft, self._width)
            for request, more, draft in zip(requests, accepted, drafts, strict=True)
        ]
        tokens = np.concatenate([tokens for tokens, _ in found])
        return tokens, np.concatenate([mask.ravel() for _, mask in found])

    def _end_of(self, request: Any) -> OutputEnd:
        known = self._requests.get(request.rid)
        if known is None or known[0] is not request:
            if known is not None:
                # A client chose a name again whose request has ended.
                self._finish(request.rid, known[0])
            known = self._requests[request.rid] = request, output_end(request)
        return known[1]

    def _finish(self, name: str, request: Any) -> None:
        assert self.drafter is not None
        # With overlapped passes there may be tokens past the end.
        output = getattr(request, "output_ids_through_stop", request.output_ids)
        prompt = request.origin_input_ids_unpadded
        self.drafter.finish([name], {name: Row(name, JoinedTokens(prompt, output), len(prompt), 0)})

    def look_for_ends(self, batch: Sequence[Any]) -> None:
        """Has those recorded that have left the batch and are finished. Others were retracted."""
        if self.drafter is None:
            return
        present = {id(request) for request in batch}
        for name, (request, _) in list(self._requests.items()):
            if id(request) in present:
                continue
            if request.finished():
                del self._requests[name]
                self._finish(name, request)
            elif name not in self.drafter:
                # It was aborted while it waited, long ago.
                del self._requests[name]


class JoinedTokens:
    """Several parts as one text. Nothing is copied but the slices that are asked for."""

    __slots__ = ("_length", "_parts")

    def __init__(self, *parts: Sequence[int]) -> None:
        self._parts = parts
        self._length = sum(map(len, parts))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice, /) -> list[int]:
        begin, end, _ = part.indices(self._length)
        tokens: list[int] = []
        for piece in self._parts:
            if begin < len(piece) and end > 0:
                tokens += piece[max(begin, 0) : end]
            begin, end = begin - len(piece), end - len(piece)
        return tokens


def last_token(request: Any, accepted: Sequence[int]) -> int:
    """The last token of a request's text."""
    for part in (accepted, request.output_ids, request.origin_input_ids_unpadded):
        if len(part) > 0:
            return int(part[-1])
    raise ValueError(f"request {request.rid} has no token")


def output_end(request: Any) -> OutputEnd:
    """Where an output ends, as far as tokens tell. Its final text says the rest."""
    parameters = getattr(request, "sampling_params", None)
    ids: set[int] = set()
    if not getattr(parameters, "ignore_eos", False):
        tokenizer = getattr(request, "tokenizer", None)
        ids.update(getattr(parameters, "stop_token_ids", None) or ())
        ids.update(getattr(request, "eos_token_ids", None) or ())
        ids.update(getattr(tokenizer, "additional_stop_token_ids", None) or ())
        if getattr(tokenizer, "eos_token_id", None) is not None:
            ids.add(tokenizer.eos_token_id)  # type: ignore[union-attr]
    return OutputEnd(getattr(parameters, "max_new_tokens", None), frozenset(ids))


def tree(last: int, draft: Draft, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A draft below the context's last token. `mask[i, j]` says that place i sees place j: its
    ancestors and itself. The places that are left over are children of the last token; they are
    right by chance alone, and then they are right."""
    import numpy as np

    tokens: NDArray[np.int64] = np.zeros(width, dtype=np.int64)
    mask: NDArray[np.int64] = np.eye(width, dtype=np.int64)
    tokens[0] = last
    mask[:, 0] = 1
    for place, (token, parent) in enumerate(zip(draft.tokens, draft.parents, strict=True), 1):
        tokens[place] = token
        mask[place] |= mask[parent + 1]
    return tokens, mask
