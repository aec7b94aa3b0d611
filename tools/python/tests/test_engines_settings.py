"""The settings of an engine's operator, and the name of the corpus that an engine uses."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from reprise.core.options import DraftOptions
from reprise.engines.settings import EngineSettings, corpus_name


@pytest.fixture(autouse=True)
def _logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="reprise")


def test_a_corpus_is_named_for_the_model() -> None:
    assert corpus_name("Qwen/Qwen3-8B") == "Qwen-Qwen3-8B"
    assert corpus_name("/models/ü?/a b") == "models-a-b"
    assert corpus_name("..") == "model"
    long = [corpus_name("m" * 80 + end) for end in "ab"]
    assert len(long[0]) == 64
    assert long[0] != long[1]


def test_settings_are_read_and_mistakes_are_said(caplog: pytest.LogCaptureFixture) -> None:
    settings = EngineSettings.from_environment(
        {"REPRISE_CORPUS": "c", "REPRISE_SHARE": "close", "REPRISE_DEADLINE_MS": "3"}
    )
    assert settings == EngineSettings("c", "close", 0.003)
    assert caplog.text == ""
    settings = EngineSettings.from_environment(
        {"REPRISE_IDLE_S": "soon", "REPRISE_OPEN_DEADLINE_MS": "-1", "REPRISE_SHARE": "nevr"}
    )
    assert settings == EngineSettings(share="never")
    assert caplog.text.count("expected") == 3


def test_the_policy_is_that_of_the_environment_and_costs_need_estimates(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def policy(options: DraftOptions, **environment: str) -> str:
        return EngineSettings.from_environment(environment).drafting(options).policy

    published = DraftOptions()
    estimate = DraftOptions(policy="estimate")
    assert policy(published) == "suffixdecoding"
    assert policy(estimate) == "estimate"
    assert policy(published, REPRISE_POLICY="estimate") == "estimate"
    assert policy(estimate, REPRISE_POLICY="suffixdecoding") == "suffixdecoding"
    costs = {"REPRISE_POLICY": "suffixdecoding", "REPRISE_VERIFY_COST": "0.01"}
    assert policy(published, **costs) == "estimate"
    assert caplog.text == ""
    assert policy(published, REPRISE_POLICY="guess") == "suffixdecoding"
    assert "REPRISE_POLICY is 'guess', expected suffixdecoding or estimate" in caplog.text


def test_the_cost_of_verification_is_a_number_or_a_file(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def cost(text: str) -> object:
        return EngineSettings.from_environment({"REPRISE_VERIFY_COST": text}).verify_cost

    assert cost("") is None
    assert cost("0.002") == 0.002
    file = tmp_path / "cost.json"
    file.write_text("[[1, 20], [64, 21.5]]")
    assert cost(str(file)) == [(1, 20.0), (64, 21.5)]
    assert caplog.text == ""
    file.write_text("[[64, 20], [1, 21.5]]")
    wrong = ["1.5", "nan", str(tmp_path / "missing.json"), str(file)]
    assert [cost(text) for text in wrong] == [None] * 4
    assert caplog.text.count("REPRISE_VERIFY_COST") == 4
