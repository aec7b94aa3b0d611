"""Results, read from answers by the types of their fields."""

from __future__ import annotations

from typing import Any

import pytest

from reprise import (
    CorpusStats,
    Health,
    MalformedAnswer,
    Merged,
    Retention,
    ServerInfo,
    SessionClosed,
)

INFO = {
    "name": "reprise",
    "version": "1",
    "protocol": 1,
    "limits": {"steps": 4096},
    "event_loop_line_bytes": 16384,
    "uptime_s": 3,
}


def test_fields_are_read_by_their_types() -> None:
    info = ServerInfo.from_wire({**INFO, "news": "passed over"})
    assert (info.limits["steps"], info.uptime_s, type(info.uptime_s)) == (4096, 3.0, float)
    assert Health.from_wire({"ok": False, "awaited": ["a", "b"]}).awaited == ("a", "b")
    assert SessionClosed.from_wire({"recorded_tokens": 1}) == SessionClosed(1, None)
    assert Retention.from_wire({"tokens": 64}) == Retention(tokens=64)
    assert Retention(tokens=64).to_wire() == {"tokens": 64}


@pytest.mark.parametrize(
    ("kind", "answer", "member"),
    [
        (ServerInfo, {**INFO, "protocol": None}, "protocol"),
        (ServerInfo, {**INFO, "protocol": True}, "protocol"),
        (ServerInfo, {**INFO, "protocol": 1.0}, "protocol"),
        (ServerInfo, {**INFO, "limits": []}, "limits"),
        (ServerInfo, {**INFO, "uptime_s": "1"}, "uptime_s"),
        (Health, {"ok": 1, "awaited": []}, "ok"),
        (Health, {"ok": True, "awaited": [1]}, "awaited"),
        (Merged, {"sequences": 1, "tokens": 2, "duplicates": 3}, "conflicts"),
        (SessionClosed, {"recorded_tokens": 1, "order": "x"}, "order"),
        (CorpusStats, {"corpus": "a", "depth": 64}, "sequences"),
    ],
)
def test_a_member_that_is_missing_or_of_another_type_is_named(
    kind: Any, answer: dict[str, Any], member: str
) -> None:
    with pytest.raises(MalformedAnswer, match=f'"{member}" of the answer is'):
        kind.from_wire(answer)
