"""Names that the service takes, looked at before anything is sent."""

from __future__ import annotations

import re

#: Letters in a corpus's name at most.
CORPUS_NAME_CHARACTERS_MAX = 64

_CORPUS_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


def corpus_checked(name: str) -> str:
    """The name of a corpus, unchanged.

    Raises:
        ValueError: It is none, so that no service has a corpus of that name.
    """
    if not isinstance(name, str) or _CORPUS_NAME.fullmatch(name) is None:
        raise ValueError(
            f"{name!r} is no name of a corpus; expected 1 to {CORPUS_NAME_CHARACTERS_MAX} letters, "
            "digits, '.', '_' or '-', not beginning with '.' or '-'"
        )
    return name
