"""The errors of calls. Decoding (`open_session`, `step`, `close_session`) raises none of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ._constants import ERROR_CODES


class RepriseError(Exception):
    """A call that was not carried out, or may not have been.

    `kind` is for programs, the message for people. `code` is the code of JSON-RPC, and `data` holds
    the further members of the service's error. Where the service did not answer, `code` is 0 and
    `data` is empty.
    """

    kind: str = "internal_error"
    code: int = 0

    def __init__(
        self,
        message: str,
        *,
        kind: str | None = None,
        code: int | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        if kind is not None:
            self.kind = kind
        if code is not None:
            self.code = code
        self.data: Mapping[str, Any] = data or {}

    @property
    def message(self) -> str:
        return str(self.args[0])


class ServiceError(RepriseError):
    """An error that the service answered, with its reason. There is a subclass for each kind."""

    _kinds: ClassVar[dict[str, type[ServiceError]]] = {}

    def __init_subclass__(cls) -> None:
        cls.code = ERROR_CODES[cls.kind]
        ServiceError._kinds[cls.kind] = cls

    @staticmethod
    def kinds() -> Mapping[str, type[ServiceError]]:
        """The subclass for each kind."""
        return ServiceError._kinds

    @staticmethod
    def from_wire(error: object) -> ServiceError:
        """Reads the `error` member of an answer. An unknown kind becomes a `ServiceError`."""
        if not isinstance(error, dict):
            return InternalError("the service answered an error without saying which")
        data = error.get("data")
        details = {str(k): v for k, v in data.items()} if isinstance(data, dict) else {}
        kind = str(details.pop("kind", InternalError.kind))
        code = error.get("code")
        return ServiceError._kinds.get(kind, ServiceError)(
            str(error.get("message", "")),
            kind=kind,
            code=code if isinstance(code, int) else 0,
            data=details,
        )


class ParseError(ServiceError):
    kind = "parse_error"


class InvalidRequest(ServiceError):
    kind = "invalid_request"


class MethodNotFound(ServiceError):
    kind = "method_not_found"


class InvalidParams(ServiceError):
    """`data["member"]` names the member, such as `params.steps[3].accept[7]`."""

    kind = "invalid_params"


class InternalError(ServiceError):
    kind = "internal_error"


class CorpusNotFound(ServiceError):
    kind = "corpus_not_found"


class CorpusExists(ServiceError):
    """A corpus of that name has other settings; `data["differences"]` names them."""

    kind = "corpus_exists"


class SessionNotFound(ServiceError):
    kind = "session_not_found"


class Conflict(ServiceError):
    """An id stands for other tokens, or the name of a session or a snapshot is taken."""

    kind = "conflict"


class LimitExceeded(ServiceError):
    """`data` has `limit`, `max` and `got`."""

    kind = "limit_exceeded"


class StorageFull(ServiceError):
    kind = "storage_full"


class Corrupt(ServiceError):
    """`data` says `what` is damaged, and `where`."""

    kind = "corrupt"


class Unauthorized(ServiceError):
    kind = "unauthorized"


class Busy(ServiceError):
    """Send it again after `data["retry_after_ms"]`."""

    kind = "busy"


class TokenizerMismatch(ServiceError):
    kind = "tokenizer_mismatch"


class SnapshotNotFound(ServiceError):
    kind = "snapshot_not_found"


class ReadOnly(ServiceError):
    kind = "read_only"


class Unavailable(RepriseError):
    """There is no connection. Nothing was sent."""

    kind = "unavailable"


class DeadlineExceeded(RepriseError, TimeoutError):
    """No answer in time. The service may still carry the call out."""

    kind = "deadline_exceeded"


class Disconnected(RepriseError, ConnectionError):
    """The connection was lost while the call was under way. It may have been carried out."""

    kind = "disconnected"


class MalformedAnswer(RepriseError):
    """The service's answer could not be understood. The connection was closed."""

    kind = "malformed_answer"


class Closed(RepriseError):
    """The client was closed."""

    kind = "closed"
