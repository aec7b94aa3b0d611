"""Names that the service takes, checked before anything is sent."""

from __future__ import annotations

import re

from ._constants import CORPUS_NAME_CHARACTERS_MAX, CORPUS_NAME_PATTERN

_CORPUS_NAME = re.compile(CORPUS_NAME_PATTERN)


def corpus_checked(name: str) -> str:
    """The name of a corpus, unchanged.

    Raises:
        ValueError: No corpus can have this name.
    """
    if (
        not isinstance(name, str)
        or len(name) > CORPUS_NAME_CHARACTERS_MAX
        or _CORPUS_NAME.fullmatch(name) is None
    ):
        raise ValueError(
            f"{name!r} is no name of a corpus; expected 1 to {CORPUS_NAME_CHARACTERS_MAX} letters, "
            "digits, '.', '_' or '-', not beginning with '.' or '-'"
        )
    return name
