"""The parts of an engine that an integration replaces, as a table: one row a part.

Each engine's own file (`vllm_patches`, `sglang_patches`, `transformers_patches`) has its rows and
the code that uses them. The engine's page in docs shows the same table (`markdown`).
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable, Iterable
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Patch:
    """A part of an engine that is replaced or overridden in the running process."""

    module: str
    member: str
    """The dotted name in the module; empty for the module itself."""
    change: str
    releases: str
    """The releases of the engine in which the part was read or run."""
    lost: str
    """What is lost in a release that does not have the part."""

    @property
    def name(self) -> str:
        """The name of the part itself, without the class that it belongs to."""
        return self.member.rpartition(".")[2]

    def owner(self) -> Any:
        """The class or module that has the part; None where this release has no such class. The
        module is not imported for it."""
        owner: Any = sys.modules.get(self.module)
        for name in self.member.split(".")[:-1]:
            owner = getattr(owner, name, None)
        return owner

    def wrap(self, make: Callable[[Any], Callable[..., Any] | None]) -> bool:
        """Replaces a method by one that is made from the original, once in a process.

        Args:
            make: Makes the new method. None where it does not know the original.

        Returns:
            True if the method is replaced, now or before.
        """
        owner = self.owner()
        original = getattr(owner, self.name, None)
        if original is None:
            return False
        if getattr(original, "is_reprise", False):
            return True
        replacement = make(original)
        if replacement is None:
            return False
        functools.update_wrapper(replacement, original)
        replacement.is_reprise = True  # type: ignore[attr-defined]
        setattr(owner, self.name, replacement)
        return True


def markdown(patches: Iterable[Patch]) -> str:
    """The table that an engine's page shows."""
    lines = [
        "| replaced | by | read or run in | lost where it is missing |",
        "|---|---|---|---|",
    ]
    for patch in patches:
        place = f"`{patch.module}`" + (f": `{patch.member}`" if patch.member else "")
        lines.append(f"| {place} | {patch.change} | {patch.releases} | {patch.lost} |")
    return "\n".join(lines)
