"""What the pages on engines show: Python that runs, commands that parse, JSON that is read, names
that exist."""

from __future__ import annotations

import builtins
import json
import os
import re
import shlex
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from service import Service

from reprise.engines.settings import EngineSettings
from reprise.ingest.command import parser
from reprise.ingest.formats import FORMATS

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted((ROOT / "docs" / "guide" / "engines").glob("*.md"))
SOURCE = ROOT / "tools" / "python" / "src" / "reprise"


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def test_there_is_a_page_for_each_engine() -> None:
    names = [page.stem for page in PAGES]
    assert names == ["ingest", "sglang", "tensorrt-llm", "transformers", "vllm"]


class FakeEngine:
    """Stands for vLLM's `LLM` and for a model of transformers: takes what a page gives it."""

    calls: list[tuple[str, dict[str, Any]]]

    def __init__(self, **arguments: Any) -> None:
        FakeEngine.calls.append(("made", arguments))

    @staticmethod
    def from_pretrained(name: str) -> FakeEngine:
        return FakeEngine(name=name)

    def __call__(self, text: str, **_: Any) -> dict[str, Any]:
        return {"input_ids": text}

    def generate(self, *_: Any, **arguments: Any) -> str:
        FakeEngine.calls.append(("generate", arguments))
        return "output"


@pytest.mark.parametrize(
    ("page", "number", "source"),
    [(page, n, source) for page in PAGES for n, source in enumerate(blocks(page, "python"))],
    ids=lambda value: value.stem if isinstance(value, Path) else None,
)
def test_python_runs_against_fakes_of_the_engines(
    page: Path, number: int, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeEngine.calls = []
    fakes: dict[str, dict[str, Any]] = {
        "vllm": {"LLM": FakeEngine, "SamplingParams": lambda **_: None},
        "transformers": {"AutoModelForCausalLM": FakeEngine, "AutoTokenizer": FakeEngine},
    }
    for name, members in fakes.items():
        made = types.ModuleType(name)
        made.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, made)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    variables: dict[str, Any] = {"__builtins__": builtins}
    exec(compile(source, f"{page.name}:{number}", "exec"), variables)
    assert FakeEngine.calls[-1][0] == "generate"
    if "history" in variables:
        _, arguments = FakeEngine.calls[-1]
        assert arguments["custom_generate"] is variables["history"]
        variables["history"].client.close(0)


def test_the_script_of_the_readme_prints_what_it_says(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    (source,) = blocks(ROOT / "README.md", "python")
    printed = re.findall(r"print\(.*?\) +# (.*)$", source, re.MULTILINE)
    assert len(printed) == 2
    # However busy the machine is.
    source = source.replace("./reprise.sock", service.socket).replace("=0.002", "=30")
    exec(compile(source, "README.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == printed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_json_is_json(page: Path) -> None:
    text = page.read_text()
    for block in blocks(page, "json"):
        json.loads(block)
    for config in re.findall(r"--speculative-config\s+'(\{.*?\})'", text, re.DOTALL):
        assert json.loads(config)["method"] in ("suffix", "custom_class")


def commands() -> list[str]:
    texts = [page.read_text() for page in PAGES] + [parser().format_help()]
    found: list[str] = []
    for text in texts:
        found += re.findall(
            r"python -m reprise\.ingest (--.*?)(?=\)\"|`| \||$)", text, re.MULTILINE
        )
    return found


@pytest.mark.parametrize("command", commands())
def test_commands_parse(command: str) -> None:
    options = parser().parse_args(shlex.split(command))
    assert options.corpus or options.print_fingerprint


def test_there_are_commands() -> None:
    assert len(commands()) >= 10


def test_variables_are_those_that_are_read() -> None:
    read = set(re.findall(r"REPRISE_[A-Z_]+", "".join(p.read_text() for p in SOURCE.rglob("*.py"))))
    shown = {name for page in PAGES for name in re.findall(r"`(REPRISE_[A-Z_]+)", page.read_text())}
    assert shown <= read
    assert {name for name in read if not name.startswith("REPRISE_TLS")} <= shown


def test_defaults_are_as_they_are_shown() -> None:
    text = (ROOT / "docs" / "guide" / "engines" / "vllm.md").read_text()
    settings = EngineSettings()
    for name, value in (
        ("REPRISE_SHARE", settings.share),
        ("REPRISE_DEADLINE_MS", f"{settings.deadline * 1000:g}"),
        ("REPRISE_OPEN_DEADLINE_MS", f"{settings.open_deadline * 1000:g}"),
        ("REPRISE_IDLE_S", f"{settings.idle:g}"),
    ):
        assert f"| `{name}` | {value} |" in text


def test_formats_and_classes_that_are_named_exist() -> None:
    text = "".join(page.read_text() for page in PAGES)
    for name in re.findall(r"--format (\w+)", text):
        assert name in FORMATS
    for path in re.findall(r"`(tools/python/[\w./-]+)`", text):
        if path != "tools/python-test":
            assert (ROOT / path).exists(), path
    from reprise.engines.vllm import RepriseProposer

    assert f"{RepriseProposer.__module__}.{RepriseProposer.__name__}" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target
