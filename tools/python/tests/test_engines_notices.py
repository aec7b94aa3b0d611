"""What an operator of an engine is told."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
import types
from typing import Any

import pytest
from played import played_client

from reprise import DraftOptions
from reprise.engines import notices, vllm, vllm_patches
from reprise.engines.batch import BatchDrafter, make_drafter
from reprise.engines.notices import Notices
from reprise.engines.rows import Row
from reprise.engines.settings import EngineSettings


@pytest.fixture(autouse=True)
def _logs(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices.log, "logger", logging.getLogger("reprise"))
    caplog.set_level(logging.INFO, logger="reprise")


def lines(caplog: pytest.LogCaptureFixture, level: str) -> list[str]:
    return [record.message for record in caplog.records if record.levelname == level]


def test_one_line_says_from_where_is_drafted(caplog: pytest.LogCaptureFixture) -> None:
    client, _ = played_client()
    drafter = BatchDrafter(client, "demo", options=DraftOptions())
    for length in range(2, 6):
        drafter.step([Row("a", list(range(length)), 1, 8), Row("b", [1, 2], 1, 8)])
    drafter.close()
    assert lines(caplog, "INFO") == ["reprise: drafting from corpus demo at /played.sock"]
    assert lines(caplog, "WARNING") == []


def test_a_session_that_is_refused_is_said_in_the_services_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log said "drafting from corpus demo", and no draft ever came."""
    client, link = played_client()
    message = "a token for the corpus demo is needed"
    refused = {"code": -32008, "message": message, "data": {"kind": "unauthorized"}}
    link.service.refuse["session.open"] = {"error": refused}
    drafter = BatchDrafter(client, "demo", options=DraftOptions())
    for length in range(2, 6):
        drafter.step([Row("a", list(range(length)), 1, 8), Row("b", [1, 2], 1, 8)])
    drafter.close()
    assert lines(caplog, "INFO") == []
    (line,) = lines(caplog, "WARNING")
    assert message in line
    assert "/played.sock" in line


def test_a_service_that_is_gone_is_said_with_its_address(caplog: pytest.LogCaptureFixture) -> None:
    client, link = played_client()
    drafter = BatchDrafter(client, "demo", options=DraftOptions())
    drafter.step([Row("a", [1, 2], 1, 8)])
    for _ in range(2):
        link.lose()
        for length in range(3, 6):
            drafter.step([Row("a", list(range(1, length)), 1, 8)])
        link.connect()
        drafter.step([Row("a", [1, 2, 3, 4], 1, 8)])
    drafter.close()
    assert [line.partition("(")[0] for line in lines(caplog, "WARNING")] == [
        "reprise: no service at /played.sock "
    ] * 2
    assert lines(caplog, "INFO")[1:] == ["reprise: the service at /played.sock is there again"] * 2


@pytest.mark.parametrize(
    ("counter", "told"),
    [
        ("timeouts", "REPRISE_DEADLINE_MS"),
        ("empty_because_late", "REPRISE_DEADLINE_MS"),
        ("empty_because_down", "/played.sock"),
        ("empty_because_lost", "/played.sock"),
        ("empty_because_refused", "REPRISE_CORPUS"),
        ("step_errors", "error"),
    ],
)
def test_steps_without_drafts_are_said_when_they_are_more_than_a_tenth(
    caplog: pytest.LogCaptureFixture, counter: str, told: str
) -> None:
    client, _ = played_client()
    counters = client.counters
    looking = Notices(client, "demo")
    looking.look(1000.0)
    for minute, missed in enumerate((100, 101, 500), 1):
        counters.steps += 1000
        setattr(counters, counter, getattr(counters, counter) + missed)
        looking.look(1000.0 + 60 * minute - 1)
        looking.look(1000.0 + 60 * minute)
        # A tenth is no word's worth, and the second word would say nothing new.
        assert len(lines(caplog, "WARNING")) == (minute > 1)
    (line,) = lines(caplog, "WARNING")
    assert "101 of the last minute's 1000 steps" in line
    assert told in line


def test_few_steps_are_no_minute(caplog: pytest.LogCaptureFixture) -> None:
    client, _ = played_client()
    looking = Notices(client, "demo")
    looking.look(1000.0)
    client.counters.steps = client.counters.timeouts = notices.STEPS_MIN - 1
    looking.look(1060.0)
    assert lines(caplog, "WARNING") == []


SCRIPT = """
import logging
{before}
from reprise.engines.notices import log, show_lines
show_lines()
show_lines()
{after}
log.info("a line")
"""


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", "", 1),
        ("logging.basicConfig(level='INFO')", "", 1),
        ("logging.basicConfig(level='WARNING')", "", 0),
        ("", "logging.basicConfig(level='INFO')", 1),
    ],
)
def test_lines_are_shown_where_nothing_is_configured(
    before: str, after: str, expected: int
) -> None:
    """Python shows no INFO line by itself: nothing said that all was well."""
    script = SCRIPT.format(before=before, after=after)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stderr.count("a line") == expected


def test_vllms_own_log_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    made = types.ModuleType(vllm.VLLM_LOGGER)
    made.__dict__["init_logger"] = logging.getLogger
    monkeypatch.setitem(sys.modules, vllm.VLLM_LOGGER, made)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.delenv("REPRISE_SOCKET", raising=False)
    vllm.register()
    # vLLM's handler stands at its own name.
    assert notices.log.logger.name.startswith("vllm.")


@pytest.mark.parametrize("is_set", [False, True])
def test_what_is_missing_is_said_before_vllm_advises_another_package(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_set: bool
) -> None:
    for name in (vllm_patches.ARCTIC, vllm_patches.CACHE.module):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.delenv("REPRISE_SOCKET", raising=False)
    vllm.register()
    vllm.register()
    assert importlib.util.find_spec("reprise_is_no_such_package") is None
    assert lines(caplog, "WARNING") == []
    if is_set:
        monkeypatch.setenv("REPRISE_SOCKET", "/nowhere.sock")
    for _ in range(2):
        # As vLLM looks for it.
        assert importlib.util.find_spec(vllm_patches.ARCTIC) is None
    told = lines(caplog, "WARNING")
    assert len(told) == (not is_set)
    assert all("REPRISE_SOCKET" in line and "VLLM_PLUGINS" in line for line in told)


@pytest.mark.parametrize(
    ("address", "corpus", "told"),
    [
        ("nonsense://x", "demo", "has a scheme"),
        ("host:99999", "demo", "the port of"),
        ("/a.sock", "a/b", "no name of a corpus"),
        ("/" + "a" * 107, "demo", "107 bytes"),
    ],
)
def test_what_cannot_be_is_said_once_and_keeps_no_engine_down(
    address: str,
    corpus: str,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("REPRISE_SOCKET", address)
    arguments: dict[str, Any] = {"engine": "test", "options": DraftOptions(), "vocabulary": None}
    assert make_drafter(corpus, settings=EngineSettings(), **arguments) is None
    (line,) = lines(caplog, "ERROR")
    assert told in line
