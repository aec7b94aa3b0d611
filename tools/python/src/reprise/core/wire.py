"""Lines of JSON-RPC, without any I/O: requests to bytes, bytes to answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from .errors import MalformedAnswer, RepriseError, ServiceError

#: Longest answer that is read, in bytes.
LINE_BYTES_MAX = 64 << 20

#: Bytes in the longest line that the service's event loop answers itself, where the service does
#: not say (`event_loop_line_bytes` of `server.info`). A longer line, and all behind it, waits for
#: another thread, so steps and what catches up are cut into lines of this length.
EVENT_LOOP_LINE_BYTES = 1 << 14
#: Bytes that a token id takes in a line at most, with the comma.
TOKEN_BYTES_MAX = 11
#: Bytes that a step takes in a line at most besides its token ids: names and options.
STEP_BYTES_MAX = 512


def _plain(value: Any) -> Any:
    """Converts values that JSON has no form for: numpy's arrays and numbers."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be sent")


def _encode_json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), default=_plain).encode()


def _decode_json(line: bytes) -> Any:
    return json.loads(line)


try:
    import orjson
except ImportError:
    encode = _encode_json
    decode = _decode_json
else:

    def encode(value: Any) -> bytes:
        return orjson.dumps(value, _plain, orjson.OPT_SERIALIZE_NUMPY)

    decode = orjson.loads  # type: ignore[assignment]


def request_line(identifier: int, method: str, params: Mapping[str, Any]) -> bytes:
    """One request as a line."""
    return b'{"jsonrpc":"2.0","id":%d,"method":"%s","params":%s}\n' % (
        identifier,
        method.encode(),
        encode(params),
    )


class LineReader:
    """Cuts what is received into answers."""

    __slots__ = ("_bytes_max", "_partial")

    def __init__(self, bytes_max: int = LINE_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._partial = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int | None, Any, RepriseError | None]]:
        """Yields the id, result and error of each answer that is complete.

        The id is None where the service could not read what it answers. After an error nothing that
        follows can be trusted.

        Raises:
            MalformedAnswer: A line is no answer, or too long.
        """
        if not self._partial and data.find(b"\n") == len(data) - 1:
            # One whole line, as mostly.
            yield self._answer(data[:-1])
            return
        searched = len(self._partial)
        self._partial += data
        begin = 0
        while (end := self._partial.find(b"\n", searched)) >= 0:
            yield self._answer(bytes(self._partial[begin:end]))
            begin = searched = end + 1
        del self._partial[:begin]
        if len(self._partial) > self._bytes_max:
            raise MalformedAnswer(f"an answer is longer than {self._bytes_max} bytes")

    def _answer(self, line: bytes) -> tuple[int | None, Any, RepriseError | None]:
        if len(line) > self._bytes_max:
            raise MalformedAnswer(f"an answer is longer than {self._bytes_max} bytes")
        try:
            answer = decode(line)
        except (ValueError, RecursionError) as reason:
            raise MalformedAnswer(f"an answer is not JSON: {reason}") from None
        if not isinstance(answer, dict):
            raise MalformedAnswer("an answer is not an object")
        identifier = answer.get("id")
        if identifier is not None and type(identifier) is not int:
            raise MalformedAnswer(f"the id of an answer is {identifier!r}")
        if (error := answer.get("error")) is not None:
            return identifier, None, ServiceError.from_wire(error)
        result = answer.get("result")
        if not isinstance(result, dict):
            raise MalformedAnswer("an answer has neither a result nor an error")
        return identifier, result, None
