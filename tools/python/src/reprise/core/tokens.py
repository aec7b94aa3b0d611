"""Token ids as callers have them (sequences, numpy arrays) and as they are kept (`array('i')`)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from ._constants import TOKEN

try:
    import numpy as np
except ImportError:  # numpy is accepted, not needed
    np = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from numpy.typing import NDArray

    TokenIDs: TypeAlias = "Sequence[int] | NDArray[np.integer[Any]] | array[int]"

#: The largest token id.
TOKEN_MAX = TOKEN.maximum
#: Tokens up to which a list is quicker than numpy.
SHORT_TOKENS = 64


def token_array(tokens: TokenIDs) -> array[int]:
    """Copies token ids, four bytes each.

    Raises:
        ValueError: An id is out of range, or a numpy array is not one-dimensional.
        TypeError: Something is no integer.
    """
    if np is not None and isinstance(tokens, np.ndarray):
        if tokens.ndim != 1:
            raise ValueError(f"token ids must have one dimension, not {tokens.ndim}")
        if tokens.dtype.kind not in "iu":
            raise TypeError(f"token ids must be integers, not {tokens.dtype}")
        if tokens.size <= SHORT_TOKENS:
            # A step's few tokens: numpy's checks cost more than a copy.
            return token_array(tokens.tolist())
        if not (tokens.min() >= 0 and tokens.max() <= TOKEN_MAX):
            raise ValueError(f"token ids must be in 0…{TOKEN_MAX}")
        copy = array("i")
        copy.frombytes(np.ascontiguousarray(tokens, dtype=np.int32).tobytes())
        return copy
    if isinstance(tokens, (str, bytes)) or not isinstance(tokens, Iterable):
        raise TypeError("token ids must be a sequence of integers")
    try:
        copy = array("i", tokens)
    except OverflowError:
        raise ValueError(f"token ids must be in 0…{TOKEN_MAX}") from None
    if copy and (min(copy) < 0 or max(copy) > TOKEN_MAX):
        raise ValueError(f"token ids must be in 0…{TOKEN_MAX}")
    return copy


def jsonable(tokens: array[int]) -> Any:
    """The same ids as something that `wire.encode` writes quickly."""
    if np is not None and len(tokens) > 64:
        return np.frombuffer(tokens, dtype=np.int32)
    return tokens.tolist()
