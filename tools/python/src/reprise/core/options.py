"""The values that callers give: options of drafts, steps, new sessions, and bounds of a client."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from ._constants import (
    BATCH,
    BUDGET,
    MAX_FACTOR,
    MAX_OFFSET,
    MAX_TOKENS,
    MIN_MATCH,
    MIN_PROBABILITY,
    POLICIES,
    VERIFY_COST,
    VOCABULARY,
)

if TYPE_CHECKING:
    from .tokens import TokenIDs

Share: TypeAlias = Literal["live", "close", "never"]
Policy: TypeAlias = Literal["suffixdecoding", "estimate"]
#: The time of one more drafted token as a fraction of a step without drafts; or measured times of
#: steps, in any unit, each with the number of tokens that the step processes, rising.
VerifyCost: TypeAlias = "float | Sequence[tuple[int, float]]"


def known_policy(name: str) -> Policy | None:
    """The policy with this name; None where there is none."""
    return cast("Policy", name) if name in POLICIES else None


@dataclasses.dataclass(frozen=True, slots=True)
class DraftOptions:
    """The options of one draft.

    By the policy "suffixdecoding", a match of length m drafts at most
    min(max_tokens, ⌊m · max_factor + max_offset⌋) tokens. By "estimate", tokens are drafted that
    are accepted with a probability of min_probability at least, at most max_tokens and 256.

    Raises:
        ValueError: An option is out of the range that the service takes.
    """

    max_tokens: int = MAX_TOKENS.default
    max_factor: float = MAX_FACTOR.default
    max_offset: float = MAX_OFFSET.default
    min_probability: float = MIN_PROBABILITY.default
    min_match: int = MIN_MATCH.default
    """The least length of a match that is drafted from, in tokens."""
    tree: bool = False
    vocabulary: int = VOCABULARY.default
    """Drafted ids are below it. By "suffixdecoding", a token that is not leaves the draft, with all
    that follows it; by "estimate" it is no candidate."""
    policy: Policy = "suffixdecoding"
    params: Mapping[str, Any] = dataclasses.field(init=False, repr=False, compare=False)
    """The options that differ from the defaults, as requests have them."""

    def __post_init__(self) -> None:
        # The service's own limit may be set higher than the default one.
        if not 0 <= self.max_tokens < 2**31:
            raise ValueError(f"max_tokens is {self.max_tokens}, expected at least 0")
        MAX_FACTOR.check("max_factor", self.max_factor)
        MAX_OFFSET.check("max_offset", self.max_offset)
        MIN_PROBABILITY.check("min_probability", self.min_probability)
        MIN_MATCH.check("min_match", self.min_match)
        if self.policy not in POLICIES:
            raise ValueError(f"policy is {self.policy!r}, expected one of {', '.join(POLICIES)}")
        VOCABULARY.check("vocabulary", self.vocabulary)
        params: dict[str, Any] = {}
        if self.max_tokens != MAX_TOKENS.default:
            params["max_tokens"] = self.max_tokens
        if self.max_factor != MAX_FACTOR.default:
            params["max_factor"] = self.max_factor
        if self.max_offset != MAX_OFFSET.default:
            params["max_offset"] = self.max_offset
        if self.min_probability != MIN_PROBABILITY.default:
            params["min_probability"] = self.min_probability
        if self.min_match != MIN_MATCH.default:
            params["min_match"] = self.min_match
        if self.tree:
            params["tree"] = True
        if self.policy != "suffixdecoding":
            params["policy"] = self.policy
        if self.vocabulary != VOCABULARY.default:
            params["vocabulary"] = self.vocabulary
        object.__setattr__(self, "params", params)

    def within(self, vocabulary: int | None) -> DraftOptions:
        """These options with another bound of token ids; unchanged where it is None."""
        return self if vocabulary is None else dataclasses.replace(self, vocabulary=vocabulary)


DEFAULT_OPTIONS = DraftOptions()
#: The options of a step that tells the accepted tokens and asks for no draft.
NO_DRAFT = DraftOptions(max_tokens=0)


@dataclasses.dataclass(frozen=True, slots=True)
class BatchBounds:
    """The bounds of a step's drafts over all of its sessions.

    Raises:
        ValueError: A bound is out of the range that the service takes.
    """

    budget: int | None = None
    """The most tokens of all drafts together; None has no such bound."""
    verify_cost: VerifyCost | None = None
    """The cost of verifying drafted tokens; None has the options of each step decide."""
    batch: int | None = None
    """The sequences of the batch, those without a session too; None has one for each step."""

    def __post_init__(self) -> None:
        if self.budget is not None:
            BUDGET.check("budget", self.budget)
        if self.batch is not None:
            BATCH.check("batch", self.batch)
        cost = self.verify_cost
        if isinstance(cost, (int, float)):
            VERIFY_COST.check("verify_cost", cost)
        elif cost is not None:
            pairs = list(itertools.pairwise(cost))
            rises = all(one[0] < two[0] and 0 < one[1] <= two[1] for one, two in pairs)
            if not pairs or not rises:
                raise ValueError(
                    "verify_cost is not a number, or points (tokens, time) that rise in tokens "
                    "and do not fall in time"
                )

    def params(self, begin: int, end: int, steps: int) -> dict[str, Any]:
        """The bounds of a line that has the steps from `begin` to `end` of all `steps`, as requests
        have them: a part of the budget, and the size of the whole batch."""
        params: dict[str, Any] = {}
        if self.budget is not None:
            params["budget"] = self.budget * end // steps - self.budget * begin // steps
        if self.verify_cost is not None:
            params["verify_cost"] = self.verify_cost
            if self.batch is not None or end - begin < steps:
                params["batch"] = self.batch or steps
        return params


NO_BOUNDS = BatchBounds()


@dataclasses.dataclass(frozen=True, slots=True)
class DecodingLimits:
    """The bounds on what a client keeps of its sessions, four bytes a token.

    A session that goes past a bound is dropped: what the service has of it is recorded, the rest is
    counted as dropped, and its drafts are empty from then on.
    """

    sessions: int = 4096
    session_tokens: int = 1 << 20
    """Tokens in the prompt and the output of one session."""
    tokens: int = 32 << 20
    """Tokens in the prompts and outputs of all sessions."""


@dataclasses.dataclass(frozen=True, slots=True)
class NewSession:
    """A request that is about to be decoded."""

    corpus: str
    prompt: TokenIDs
    name: str | None = None
    """The session's name on the service; one is chosen where it is not given."""
    parent: str | None = None
    """The name of a closed session whose prompt and output begin this prompt."""
    share: Share = "live"
    """When its tokens join the shared history: "live", as they are accepted; "close", when it
    closes; "never"."""
    ttl_s: int | None = None
    """Seconds without a call after which the service ends it."""
    vocabulary: int | None = None
    """Ids of the model's tokens are below it, and so are those of all drafts."""
    sequence_id: str | None = None
    """Records the output under this id when the session closes, exactly once whatever happens, if
    `share` is "never" (see `reprise.core.decoding`)."""
    group: str | None = None
    """The group that the output will belong to, and whose newest outputs are drafted from: the
    samples of one prompt, or the epochs of one task."""


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One session's part of a decoding step: every token that joined its output since the last
    one, drafted ones that the model accepted and its own, and the draft that is wanted."""

    session: str
    accept: TokenIDs = ()
    options: DraftOptions | None = None


def steps_of(
    steps: Mapping[str, TokenIDs] | Iterable[Step], options: DraftOptions | None
) -> list[Step]:
    """One step a session, each with its own options or the common ones."""
    if isinstance(steps, Mapping):
        return [Step(session, accept, options) for session, accept in steps.items()]
    if options is None:
        return list(steps)
    return [
        step if step.options is not None else Step(step.session, step.accept, options)
        for step in steps
    ]
