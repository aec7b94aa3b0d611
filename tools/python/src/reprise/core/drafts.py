"""Drafts, and how they are read from an answer."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from .errors import MalformedAnswer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True, slots=True)
class Draft:
    """Tokens proposed to follow the context: a path or a tree. It is false when it is empty.

    The lists are the draft's own; do not change them.
    """

    tokens: list[int] = dataclasses.field(default_factory=list)
    parents: list[int] = dataclasses.field(default_factory=list)
    """For each token the index of its parent, -1 for the context's end. A parent stands before its
    children."""
    probs: list[float] = dataclasses.field(default_factory=list)
    """Probabilities along the path: products of count ratios, or of estimates."""
    counts: list[int] = dataclasses.field(default_factory=list)
    score: float = 0.0
    """The sum of `probs`."""
    match_length: int = 0
    """Tokens at the context's end that were found in a history."""
    source: str = "local"
    """The history it was found in: "local", the session's own; "group"; or "shared"."""

    def __len__(self) -> int:
        return len(self.tokens)

    def tokens_array(self) -> NDArray[np.int32]:
        """`tokens` for numpy."""
        import numpy as np

        return np.array(self.tokens, dtype=np.int32)

    def parents_array(self) -> NDArray[np.int32]:
        """`parents` for numpy."""
        import numpy as np

        return np.array(self.parents, dtype=np.int32)

    def accepted_by(self, output: list[int]) -> int:
        """The number of this draft's tokens that a model accepted which went on with `output`."""
        node, accepted = -1, 0
        for token in output:
            for child in range(node + 1, len(self.tokens)):
                if self.parents[child] == node and self.tokens[child] == token:
                    node, accepted = child, accepted + 1
                    break
            else:
                break
        return accepted

    def within(self, vocabulary: int | None) -> Draft:
        """The draft up to its first token that is not below `vocabulary`. Parents stand before
        their children, so the rest is a whole draft."""
        if vocabulary is None or not self.tokens or max(self.tokens) < vocabulary:
            return self
        end = next(place for place, token in enumerate(self.tokens) if token >= vocabulary)
        return dataclasses.replace(
            self,
            tokens=self.tokens[:end],
            parents=self.parents[:end],
            probs=self.probs[:end],
            counts=self.counts[:end],
            score=sum(self.probs[:end]),
        )

    @staticmethod
    def from_wire(result: Any) -> Draft:
        """Reads a draft, and checks that its tree is one: a worker walks the tree by its parents,
        and a faulty service must not lead it astray.

        Raises:
            MalformedAnswer: It is no draft.
        """
        try:
            tokens, parents = result["tokens"], result["parents"]
            probs, counts = result["probs"], result["counts"]
            draft = Draft(
                tokens,
                parents,
                probs,
                counts,
                float(result["score"]),
                result["match_length"],
                result["source"],
            )
            sound = len(tokens) == len(parents) == len(probs) == len(counts)
            # Most drafts are paths, and lists are compared quickly.
            if parents != _PATH[: len(parents)]:
                for place, parent in enumerate(parents):
                    sound = sound and -1 <= parent < place
            sound = sound and (not tokens or min(tokens) >= 0)
        except (KeyError, TypeError, ValueError) as error:
            raise MalformedAnswer(f"the answer is no draft: {error!r}") from None
        if not sound:
            raise MalformedAnswer("the draft's lists do not fit each other")
        return draft


#: The parents of a path.
_PATH = list(range(-1, 1024))

#: The draft of a step for which the history has nothing, or no service can be asked.
EMPTY_DRAFT = Draft()
