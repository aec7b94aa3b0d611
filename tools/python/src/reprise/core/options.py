"""What callers ask for: drafts of what shape, steps of which sessions, and how much is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from .tokens import TokenIDs

Share: TypeAlias = Literal["live", "close", "never"]


@dataclasses.dataclass(frozen=True, slots=True)
class DraftOptions:
    """What draft is wanted. At a match of length m it has at most
    min(max_tokens, ⌊m · max_factor + max_offset⌋) tokens.

    Raises:
        ValueError: Something is out of the range that the service takes.
    """

    max_tokens: int = 32
    max_factor: float = 1.0
    max_offset: float = 0.0
    min_probability: float = 0.1
    tree: bool = False
    vocabulary: int = 2**31 - 1
    """Drafted ids are below it: a token that is not leaves the draft, with all that follows it."""
    params: Mapping[str, Any] = dataclasses.field(init=False, repr=False, compare=False)
    """What differs from the defaults, as requests have it."""

    def __post_init__(self) -> None:
        if not 0 <= self.max_tokens < 2**31:
            raise ValueError(f"max_tokens is {self.max_tokens}, expected at least 0")
        if not 0 <= self.max_factor <= 1e6:
            raise ValueError(f"max_factor is {self.max_factor}, expected 0…1e6")
        if not -1e6 <= self.max_offset <= 1e6:
            raise ValueError(f"max_offset is {self.max_offset}, expected -1e6…1e6")
        if not 0 <= self.min_probability <= 1:
            raise ValueError(f"min_probability is {self.min_probability}, expected 0…1")
        if not 1 <= self.vocabulary < 2**31:
            raise ValueError(f"vocabulary is {self.vocabulary}, expected 1…{2**31 - 1}")
        params: dict[str, Any] = {}
        if self.max_tokens != 32:
            params["max_tokens"] = self.max_tokens
        if self.max_factor != 1.0:
            params["max_factor"] = self.max_factor
        if self.max_offset != 0.0:
            params["max_offset"] = self.max_offset
        if self.min_probability != 0.1:
            params["min_probability"] = self.min_probability
        if self.tree:
            params["tree"] = True
        if self.vocabulary != 2**31 - 1:
            params["vocabulary"] = self.vocabulary
        object.__setattr__(self, "params", params)


DEFAULT_OPTIONS = DraftOptions()
#: Tells what was accepted, and wants nothing.
NO_DRAFT = DraftOptions(max_tokens=0)


@dataclasses.dataclass(frozen=True, slots=True)
class DecodingLimits:
    """How much a client keeps of its sessions, four bytes a token.

    A session that goes past a bound is let go of: what the service has of it is recorded, the rest
    is counted as dropped, and its drafts are empty from then on.
    """

    sessions: int = 4096
    session_tokens: int = 1 << 20
    """In the prompt and the output of one session."""
    tokens: int = 32 << 20
    """In those of all sessions."""


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One session's part of a decoding step: every token that joined its output since the last
    one, drafted ones that the model accepted and its own, and what draft is wanted."""

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
