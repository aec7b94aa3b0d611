"""The parts of a client and of its sessions that do not depend on how one waits."""

from __future__ import annotations

import os
import ssl
from array import array
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from ..core import calls
from ..core.counters import Counters
from ..core.errors import RepriseError
from ..core.options import DecodingLimits
from ..core.results import Retention
from ..core.session_record import SessionRecord
from .address import Address, Endpoint
from .link_base import LinkBase

if TYPE_CHECKING:
    from ..core.tokens import TokenIDs

C = TypeVar("C", bound="ClientBase")


class ClientBase:
    """The service of a client, its time limits, and the state of its decoding path."""

    _decoding: LinkBase

    def __init__(
        self,
        address: str | os.PathLike[str] | Address | None = None,
        *,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        timeout: float = 30.0,
        long_timeout: float = 3600.0,
        deadline: float = 0.002,
        open_deadline: float = 1.0,
        limits: DecodingLimits | None = None,
        engine: str | None = None,
    ) -> None:
        """Makes a client. The first call connects.

        Args:
            address: A Unix socket's path, or "host:port"; `REPRISE_SOCKET` where it is not given.
            token: An access token; else `REPRISE_TOKEN`, or the content of the file that
                `REPRISE_TOKEN_FILE` names.
            tls: The settings with which a TCP connection is encrypted.
            timeout: Seconds that an ordinary call may take.
            long_timeout: The same for operators' calls, which read or rewrite whole corpora.
            deadline: Seconds that a step waits for its drafts.
            open_deadline: Seconds that opening a session waits for its prompt to be indexed.
            limits: How much is kept of sessions.
            engine: The name of this client in the service's metrics, where its token has no name.

        Raises:
            ValueError: There is no address, or it cannot be one.
        """
        self._endpoint = Endpoint.of(address, token, tls)
        self._token = token
        self._engine = engine
        self._limits = limits
        self.timeout = timeout
        self.long_timeout = long_timeout
        self.deadline = deadline
        self.open_deadline = open_deadline
        self._make_links()

    def _make_links(self) -> None:
        """Makes the connections of ordinary calls and of the decoding path, without connecting."""
        raise NotImplementedError

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy is a client of the same service, with connections of its own and no sessions. The
        token travels only if it was given as an argument.

        Raises:
            TypeError: The client has a TLS context, which cannot be copied.
        """
        if self._endpoint.tls is not None:
            raise TypeError(
                "a client with a TLS context cannot be copied; make one where it is used"
            )
        arguments = {
            # As it was given: the copy reads the environment anew.
            "token": self._token,
            "timeout": self.timeout,
            "long_timeout": self.long_timeout,
            "deadline": self.deadline,
            "open_deadline": self.open_deadline,
            "limits": self._limits,
            "engine": self._engine,
        }
        return _copied, (type(self), self._endpoint.address, arguments)

    def _timeout_of(self, call: calls.Call[Any]) -> float:
        if call.timeout is not None:
            return call.timeout
        return self.long_timeout if call.is_long else self.timeout

    def ensure_corpus(
        self,
        corpus: str,
        *,
        tokenizer: str | None = None,
        depth: int = 64,
        retention: Retention | None = None,
        durability_ms: int | None = None,
        vocabulary: int | None = None,
        end_ids: TokenIDs = (),
    ) -> None:
        """Has a corpus created before sessions over it are opened, as soon as the service is there;
        does not wait, and does not fail. A corpus that exists with other settings is used as it is.

        Raises:
            ValueError: No corpus can have this name.
        """
        call = calls.create_corpus(
            corpus,
            tokenizer=tokenizer,
            depth=depth,
            retention=retention,
            durability_ms=durability_ms,
            vocabulary=vocabulary,
            end_ids=end_ids,
        )
        self._decoding.ensure_corpus(call.params)

    def truncate_session(self, session: str, tokens: int) -> None:
        """Has the text of an open session, its prompt and output, end after `tokens` tokens: the
        model, or its engine, has taken the rest back. The rest leaves the history.

        The session is opened anew for that, and its drafts are empty until it is. What an ended
        lease has recorded stays.
        """
        self._decoding.truncate_session(session, tokens)

    @property
    def counters(self) -> Counters:
        """Counts of the decoding path's results. They continue to change; `snapshot()` does not."""
        return self._decoding.core.counters

    @property
    def address(self) -> str:
        """The address of the service: a socket's path, or host:port."""
        return str(self._endpoint.address)

    @property
    def is_connected(self) -> bool:
        """True if steps can be sent at the moment."""
        return self._decoding.core.is_ready

    @property
    def last_error(self) -> Exception | None:
        """The reason why the last attempt to connect failed, or the connection was lost."""
        return self._decoding.last_error

    @property
    def last_refusal(self) -> RepriseError | None:
        """The error of the newest refusal to open a session; None where there was none."""
        return self._decoding.core.last_refusal


def _copied(kind: type[ClientBase], address: Address, arguments: Mapping[str, Any]) -> ClientBase:
    return kind(address, **arguments)


class SessionBase(Generic[C]):
    """The text and the state of one request being decoded."""

    __slots__ = ("_client", "_record")

    def __init__(self, client: C, record: SessionRecord) -> None:
        self._client = client
        self._record = record

    def __reduce__(self) -> NoReturn:
        raise TypeError("a session belongs to its client and process; open one where it is used")

    @property
    def name(self) -> str:
        return self._record.name

    @property
    def text(self) -> array[int]:
        """A copy of the prompt and the output so far. It is empty when `is_done` is true."""
        return self._record.text

    def tail(self, count: int) -> array[int]:
        """The last `count` tokens of `text`, in O(count)."""
        return self._record.tail(count)

    @property
    def is_open(self) -> bool:
        """True if it is open on the service at the moment."""
        return self._record.is_open

    @property
    def is_closed(self) -> bool:
        """True if it takes no more tokens: it was closed, or went past a bound of the client."""
        return self._record.closing or self._record.is_done

    @property
    def is_done(self) -> bool:
        """True if it was closed, and its output is recorded or given up."""
        return self._record.is_done

    @property
    def error(self) -> RepriseError | None:
        """The last error that the service answered about it."""
        return self._record.error

    def truncate(self, tokens: int) -> None:
        """Has its text end after `tokens` tokens; see `truncate_session` of the client."""
        self._client.truncate_session(self.name, tokens)


def name_of(session: SessionBase[Any] | str | None) -> str | None:
    """The name of a session that is given as such, or by its name."""
    return session.name if isinstance(session, SessionBase) else session
