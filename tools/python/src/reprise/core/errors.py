"""What calls raise. Decoding (`open_session`, `step`, `close_session`) raises none of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class RepriseError(Exception):
    """A call that was not carried out, or may not have been.

    `kind` is for programs, the message for people. `code` is JSON-RPC's, and `data` what the
    service says beside the kind; where the service said nothing, `code` is 0 and `data` empty.
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
    """The service says no, and why. There is a subclass for each kind."""

    _kinds: ClassVar[dict[str, type[ServiceError]]] = {}

    def __init_subclass__(cls) -> None:
        ServiceError._kinds[cls.kind] = cls

    @staticmethod
    def from_wire(error: object) -> ServiceError:
        """Reads the `error` member of an answer. A kind that is not known stays readable."""
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
    kind, code = "parse_error", -32700


class InvalidRequest(ServiceError):
    kind, code = "invalid_request", -32600


class MethodNotFound(ServiceError):
    kind, code = "method_not_found", -32601


class InvalidParams(ServiceError):
    """`data["member"]` names the member, such as `params.steps[3].accept[7]`."""

    kind, code = "invalid_params", -32602


class InternalError(ServiceError):
    kind, code = "internal_error", -32603


class CorpusNotFound(ServiceError):
    kind, code = "corpus_not_found", -32001


class CorpusExists(ServiceError):
    """A corpus of that name has other settings; `data["differences"]` names them."""

    kind, code = "corpus_exists", -32002


class SessionNotFound(ServiceError):
    kind, code = "session_not_found", -32003


class Conflict(ServiceError):
    """An id stands for other tokens, or the name of a session or a snapshot is taken."""

    kind, code = "conflict", -32004


class LimitExceeded(ServiceError):
    """`data` has `limit`, `max` and `got`."""

    kind, code = "limit_exceeded", -32005


class StorageFull(ServiceError):
    kind, code = "storage_full", -32006


class Corrupt(ServiceError):
    """`data` says `what` is damaged, and `where`."""

    kind, code = "corrupt", -32007


class Unauthorized(ServiceError):
    kind, code = "unauthorized", -32008


class Busy(ServiceError):
    """Send it again after `data["retry_after_ms"]`."""

    kind, code = "busy", -32009


class TokenizerMismatch(ServiceError):
    kind, code = "tokenizer_mismatch", -32010


class SnapshotNotFound(ServiceError):
    kind, code = "snapshot_not_found", -32011


class ReadOnly(ServiceError):
    kind, code = "read_only", -32012


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
    """The service's answer could not be understood; the connection was ended."""

    kind = "malformed_answer"


class Closed(RepriseError):
    """The client was closed."""

    kind = "closed"
