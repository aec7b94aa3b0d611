"""Corpora that are created before sessions over them are opened."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

from .errors import RepriseError
from .names import corpus_checked


@dataclasses.dataclass(slots=True)
class WantedCorpus:
    """A corpus that is created on each connection, where it does not exist."""

    class State(enum.Enum):
        WANTED = enum.auto()
        CREATING = enum.auto()
        SETTLED = enum.auto()
        """It exists, or could not be created."""

    params: dict[str, Any]
    state: State = State.WANTED
    error: RepriseError | None = None

    def answered(self, result: Any, error: RepriseError | None) -> None:
        """Takes the answer to `corpus.create`. A corpus with other settings is used as it is."""
        self.state = WantedCorpus.State.SETTLED
        self.error = error


class WantedCorpora:
    """The corpora that a client wants to exist."""

    def __init__(self) -> None:
        self._corpora: dict[str, WantedCorpus] = {}

    def add(self, params: Mapping[str, Any]) -> None:
        """
        Args:
            params: The parameters of `corpus.create`.

        Raises:
            ValueError: No corpus can have this name.
        """
        self._corpora[corpus_checked(params["corpus"])] = WantedCorpus(dict(params))

    @property
    def params(self) -> list[dict[str, Any]]:
        """The parameters of all that were added."""
        return [corpus.params for corpus in self._corpora.values()]

    @property
    def is_settled(self) -> bool:
        """True if nothing is to be created any more on this connection."""
        return all(corpus.state is WantedCorpus.State.SETTLED for corpus in self._corpora.values())

    def begin(self) -> list[WantedCorpus]:
        """The corpora that are to be created now. They are taken for under way from then on."""
        found = [
            corpus for corpus in self._corpora.values() if corpus.state is WantedCorpus.State.WANTED
        ]
        for corpus in found:
            corpus.state = WantedCorpus.State.CREATING
        return found

    def lost(self) -> None:
        """Has all created again on the next connection."""
        for corpus in self._corpora.values():
            corpus.state = WantedCorpus.State.WANTED

    def is_awaited(self, corpus: str) -> bool:
        """True if sessions over this corpus must wait until it is created."""
        known = self._corpora.get(corpus)
        return known is not None and known.state is not WantedCorpus.State.SETTLED

    def error(self, corpus: str) -> RepriseError | None:
        """The reason why a corpus could not be created, or exists with other settings."""
        known = self._corpora.get(corpus)
        return None if known is None else known.error
