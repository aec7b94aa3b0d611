"""Drafts for what is expected to happen, asked for while the model verifies the last draft.

A step changes its session, so a guess cannot be sent as one. It is asked as `speculate` instead,
which changes nothing: its context is the session's, followed by the likeliest path of the last
draft. If the model accepts all of that path, it adds one token of its own, which nobody knows yet.
The prefetched draft's first level says what it may be: where one of these tokens came, what
follows it there is the next draft, and nothing has to be waited for.

It comes from the shared history alone: the session's own prompt and output are not looked at, so a
prefetched draft may be shorter than the one that a step would have had.
"""

from __future__ import annotations

import dataclasses
from array import array

from ._constants import DEPTH
from .decoding import DecodingCore
from .draft_call import DraftCall
from .drafts import EMPTY_DRAFT, Draft
from .options import DraftOptions
from .session_record import SessionRecord

#: Tokens of the context that are sent: no corpus keeps longer patterns.
CONTEXT_TOKENS = DEPTH.maximum


def likeliest_path(draft: Draft) -> list[int]:
    """The tokens of the path that takes the likeliest child each time; the first of equals."""
    path: list[int] = []
    node = -1
    while True:
        best = -1
        for child in range(node + 1, len(draft.tokens)):
            if draft.parents[child] == node and (
                best < 0 or draft.probs[child] > draft.probs[best]
            ):
                best = child
        if best < 0:
            return path
        path.append(draft.tokens[best])
        node = best


def draft_below(draft: Draft, token: int) -> Draft | None:
    """The part of a draft below its first-level token `token`; None if it has no such token."""
    root = next(
        (
            place
            for place, parent in enumerate(draft.parents)
            if parent == -1 and draft.tokens[place] == token
        ),
        None,
    )
    if root is None or draft.probs[root] <= 0:
        return None
    places = {root: -1}
    kept: list[int] = []
    for place in range(root + 1, len(draft.tokens)):
        if draft.parents[place] in places:
            places[place] = len(kept)
            kept.append(place)
    probs = [draft.probs[place] / draft.probs[root] for place in kept]
    return Draft(
        tokens=[draft.tokens[place] for place in kept],
        parents=[places[draft.parents[place]] for place in kept],
        probs=probs,
        counts=[draft.counts[place] for place in kept],
        score=sum(probs),
        match_length=draft.match_length + 1,
        source=draft.source,
    )


@dataclasses.dataclass(slots=True)
class Prefetch:
    """A guess, and the draft that was asked for it."""

    output_tokens: int
    """Length of the session's output when the guess was made."""
    expected: array[int]
    call: DraftCall

    @staticmethod
    def begin(
        core: DecodingCore,
        record: SessionRecord,
        draft: Draft,
        options: DraftOptions,
        can_send: bool,
    ) -> Prefetch | None:
        """Asks for the draft after all of `draft` is accepted. None where there is nothing to
        expect, or it cannot be asked for."""
        path = likeliest_path(draft)
        if not path:
            return None
        expected = array("i", path)
        context = record.prompt[-CONTEXT_TOKENS:] + record.output[-CONTEXT_TOKENS:] + expected
        # One more, for the token of the model's own.
        wanted = dataclasses.replace(options, max_tokens=options.max_tokens + 1)
        call = core.begin_speculate(record.corpus, [context[-CONTEXT_TOKENS:]], wanted, can_send)
        core.counters.steps -= 1
        if not call.lines:
            return None
        core.counters.prefetches += 1
        return Prefetch(len(record.output), expected, call)

    def draft_after(self, record: SessionRecord, accepted: array[int]) -> Draft | None:
        """The next draft, if what was guessed came true and the answer is there."""
        if (
            self.call.awaited > 0
            or len(record.output) != self.output_tokens
            or accepted[:-1] != self.expected
        ):
            return None
        draft = self.call.drafts[0]
        return None if draft is EMPTY_DRAFT else draft_below(draft, accepted[-1])
