"""Lines of answers, as they come from a connection."""

from __future__ import annotations

import pytest

from reprise.core.errors import MalformedAnswer
from reprise.core.wire import LineReader


def test_lines_may_come_in_any_pieces() -> None:
    lines = b'{"id":1,"result":{}}\n{"id":2,"result":{"a":"\xc3\xa9"}}\n'
    for size in range(1, len(lines) + 1):
        reader = LineReader()
        read = [
            identifier
            for begin in range(0, len(lines), size)
            for identifier, _, _ in reader.feed(lines[begin : begin + size])
        ]
        assert read == [1, 2]


@pytest.mark.parametrize(
    "line",
    [b"[]", b"7", b"{", b"{}", b'{"id":1}', b'{"id":"x","result":{}}', b'{"id":1,"result":[]}'],
)
def test_a_line_that_is_no_answer(line: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        list(LineReader().feed(line + b"\n"))


def test_a_line_that_is_too_long() -> None:
    line = b'{"id":1,"result":{}}'
    for bytes_max, is_taken in ((len(line), True), (len(line) - 1, False)):
        for pieces in ([line + b"\n"], [line[:5], line[5:] + b"\n"]):
            reader = LineReader(bytes_max)
            if is_taken:
                assert [answer for piece in pieces for answer in reader.feed(piece)]
            else:
                with pytest.raises(MalformedAnswer):
                    [answer for piece in pieces for answer in reader.feed(piece)]
    reader = LineReader(10)
    with pytest.raises(MalformedAnswer):
        list(reader.feed(b"x" * 12))
