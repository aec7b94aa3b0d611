"""Drafts as ArcticInference has them."""

from __future__ import annotations

import dataclasses

from ..core.drafts import Draft


@dataclasses.dataclass
class SuffixDecodingDraft:
    """Token `i` follows token `parents[i]`, or the context's end where that is -1. `probs` are
    estimated, `score` is their sum, and `match_len` tokens of the context were matched."""

    token_ids: list[int] = dataclasses.field(default_factory=list)
    parents: list[int] = dataclasses.field(default_factory=list)
    probs: list[float] = dataclasses.field(default_factory=list)
    score: float = 0.0
    match_len: int = 0

    @staticmethod
    def from_draft(draft: Draft) -> SuffixDecodingDraft:
        return SuffixDecodingDraft(
            list(draft.tokens),
            list(draft.parents),
            [float(probability) for probability in draft.probs],
            draft.score,
            draft.match_length,
        )
