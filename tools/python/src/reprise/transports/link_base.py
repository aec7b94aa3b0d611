"""The parts of the decoding path's connection that do not depend on how one waits."""

from __future__ import annotations

from typing import Any

from ..core.decoding import DecodingCore
from ..core.errors import Disconnected
from ..core.options import DecodingLimits
from .address import Endpoint
from .backoff import Backoff

#: Seconds that one attempt to connect in the background may take.
CONNECT_SECONDS = 2.0
#: Seconds between looks at postponed lines, where nothing arrives.
IDLE_LOOK_SECONDS = 0.02


class LinkBase:
    """The core of one client, and where its service is."""

    def __init__(
        self, endpoint: Endpoint, limits: DecodingLimits | None, engine: str | None
    ) -> None:
        self.core = DecodingCore(endpoint.token, limits, engine)
        #: The reason why the last attempt to connect failed, or the connection was lost.
        self.last_error: Exception | None = None
        self._endpoint = endpoint
        self._backoff = Backoff()
        self._closed = False

    def ensure_corpus(self, params: dict[str, Any]) -> None:
        raise NotImplementedError

    def truncate_session(self, session: str, tokens: int) -> None:
        raise NotImplementedError

    def _connect_failed(self, error: Exception) -> None:
        self.last_error = error
        self.core.counters.connect_failures += 1

    def _refusal(self) -> Exception | None:
        """The error to end the connection with, if the service does not take the access token."""
        if not self.core.is_refused:
            return None
        return self.core.refusal or Disconnected("the service refused")
