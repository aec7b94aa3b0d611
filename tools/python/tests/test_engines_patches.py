"""The tables of the parts of engines that are replaced: in the docs, and true."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from reprise.engines import sglang_patches, transformers_patches, vllm_patches
from reprise.engines.patches import Patch, markdown

ROOT = Path(__file__).resolve().parents[3]
TABLES = {
    "sglang": sglang_patches,
    "transformers": transformers_patches,
    "vllm": vllm_patches,
}


@pytest.mark.parametrize("engine", TABLES)
def test_a_page_shows_the_table_of_its_engine(engine: str) -> None:
    (page,) = [path for path in (ROOT / "docs").rglob(f"{engine}.md") if "engines" in path.parts]
    table = markdown(TABLES[engine].PATCHES)
    assert table in page.read_text(), f"{page} does not show\n{table}"


@pytest.mark.parametrize("engine", TABLES)
def test_each_row_of_a_table_is_used(engine: str) -> None:
    module = TABLES[engine]
    assert module.__file__ is not None
    code = Path(module.__file__).read_text().split("PATCHES = ")[1]
    for name, patch in vars(module).items():
        if isinstance(patch, Patch):
            assert patch in module.PATCHES
            assert f"{name}.name" in code or f"{name}." in code or f"def {patch.name}(" in code


def engine_with(member: object) -> tuple[Patch, type]:
    class Runner:
        step = member

    module = types.ModuleType("an_engine")
    module.__dict__["Runner"] = Runner
    sys.modules["an_engine"] = module
    return Patch("an_engine", "Runner.step", "", "", ""), Runner


def test_a_method_is_replaced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "an_engine", types.ModuleType("an_engine"))
    patch, runner = engine_with(lambda self: 1)
    for _ in range(2):
        assert patch.wrap(lambda original: lambda self: original(self) + 1)
    assert runner().step() == 2


def test_a_part_that_is_missing_or_unknown_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not Patch("no_engine", "Runner.step", "", "", "").wrap(lambda original: original)
    monkeypatch.setitem(sys.modules, "an_engine", types.ModuleType("an_engine"))
    patch, runner = engine_with(len)
    assert not patch.wrap(lambda original: None)
    assert runner.step is len  # type: ignore[attr-defined]
    assert not Patch("an_engine", "Runner.leap", "", "", "").wrap(lambda original: original)
    assert not Patch("an_engine", "Walker.step", "", "", "").wrap(lambda original: original)
