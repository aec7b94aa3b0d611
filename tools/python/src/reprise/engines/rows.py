"""A request's row in an engine's batch: its text, and where its output ends."""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..core.tokens import TokenIDs


class RowText(Protocol):
    """Token ids of which parts can be taken: a list, an array, or parts that are joined later.

    Only slices are asked for, and in almost every step only the newest tokens.
    """

    def __len__(self) -> int: ...
    def __getitem__(self, part: slice, /) -> TokenIDs: ...


@dataclasses.dataclass(frozen=True, slots=True)
class OutputEnd:
    """The end of an output, as far as the engine knows it in advance.

    A pass that verifies a draft may accept tokens past the end. The engine throws them away, so
    they are no history either.
    """

    max_tokens: int | None = None
    """Tokens of the output at most; None where the engine has no bound, or does not tell."""
    ids: frozenset[int] = frozenset()
    """Tokens that end the output. The one that ends it belongs to it."""
    excess: Callable[[Sequence[int]], int | None] | None = None
    """For ends that no token tells, such as stop strings: how many of the output's last tokens
    stand past its end, None where that is not known. It is asked once, when the request has
    ended."""

    def of(self, tokens: array[int], output_tokens: int) -> int | None:
        """The number of leading `tokens` that belong to the output, where it ends among them.

        Args:
            tokens: The newest tokens of the output.
            output_tokens: How many stand before them.

        Returns:
            None where the output goes on, in O(n) for n new tokens.
        """
        room = len(tokens) if self.max_tokens is None else self.max_tokens - output_tokens
        if self.ids:
            for place, token in enumerate(tokens):
                if place < room and token in self.ids:
                    return place + 1
        if self.max_tokens is not None and room <= len(tokens):
            return max(room, 0)
        return None


#: Of an output whose end the engine does not tell in advance.
UNKNOWN_END = OutputEnd()


@dataclasses.dataclass(slots=True)
class Row:
    """A request's place in a step."""

    key: str
    """The engine's name for it."""
    tokens: RowText
    """All of its tokens that are final: the prompt, then the output."""
    prompt_tokens: int
    """How many of them are prompt."""
    max_tokens: int
    """The longest draft that the engine can take now."""
    end: OutputEnd = UNKNOWN_END
