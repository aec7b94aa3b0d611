"""The ranges of numbers that the service takes."""

from __future__ import annotations

import dataclasses
from typing import Generic, TypeVar

Number = TypeVar("Number", int, float)


@dataclasses.dataclass(frozen=True, slots=True)
class Range(Generic[Number]):
    """The numbers from `minimum` to `maximum`, both included."""

    minimum: Number
    maximum: Number

    def check(self, name: str, value: float) -> None:
        """Refuses a number that is out of the range.

        Raises:
            ValueError: It is out of the range, or is not a number.
        """
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{name} is {value}, expected {self.minimum:g}…{self.maximum:g}")

    def clamp(self, value: Number) -> Number:
        """The number of the range that is nearest to `value`."""
        return min(max(value, self.minimum), self.maximum)


@dataclasses.dataclass(frozen=True, slots=True)
class Option(Range[Number]):
    """The range of a number that may be left out, and the default that the service takes then."""

    default: Number
