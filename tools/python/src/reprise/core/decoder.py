"""Answers into dataclasses: the fields of a result and their types say what an answer must hold.

Members that are unknown are passed over, so that a newer service may say more. A member that is
missing, or of another type, is a `MalformedAnswer`.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar, Union

from .errors import MalformedAnswer

T = TypeVar("T")
R = TypeVar("R", bound="Result")

#: Reads a member's value; the name is for the error.
_Reader: TypeAlias = "Callable[[str, Any], Any]"


class Result:
    """A dataclass that is read from an answer."""

    __slots__ = ()

    @classmethod
    def from_wire(cls: type[R], result: Mapping[str, Any]) -> R:
        """Reads an answer.

        Raises:
            MalformedAnswer: A member is missing, or of another type.
        """
        return cls(**{name: read(name, result.get(name)) for name, read in _readers(cls)})  # type: ignore[arg-type]


@functools.cache
def _readers(kind: type[Any]) -> tuple[tuple[str, _Reader], ...]:
    hints = typing.get_type_hints(kind)
    return tuple((field.name, _reader(hints[field.name])) for field in dataclasses.fields(kind))


def _reader(hint: Any) -> _Reader:
    """The reader for a field's type: a scalar, `X | None`, `tuple[X, ...]`, a mapping, or another
    result."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        (inner,) = (argument for argument in arguments if argument is not types.NoneType)
        read = _reader(inner)
        return lambda name, value: None if value is None else read(name, value)
    if origin is tuple:
        read_item = _reader(arguments[0])
        return lambda name, value: tuple(
            read_item(name, item) for item in _checked(name, value, list)
        )
    if origin is not None:
        return lambda name, value: _checked(name, value, dict)
    if issubclass(hint, Result):
        return lambda name, value: hint.from_wire(_checked(name, value, dict))
    return lambda name, value: _checked(name, value, hint)


def _checked(name: str, value: Any, kind: type[T]) -> T:
    if kind is float and type(value) is int:
        value = float(value)
    # bool is an int to Python, and not to JSON.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise MalformedAnswer(f'"{name}" of the answer is {value!r}, expected {kind.__name__}')
    return value
