"""The layers of the package: the doors use the transports, the transports use the core."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import reprise

PACKAGE = Path(reprise.__file__).parent
#: The folders whose modules a folder's modules may import, besides its own.
ALLOWED: dict[str, set[str]] = {
    "core": set(),
    "transports": {"core"},
    "compat": {"core", "transports"},
    # vLLM's own proposer goes on with the drop-in cache where its calls cannot be joined.
    "engines": {"core", "transports", "compat"},
    "ingest": {"core", "transports"},
}
LINES_MAX = 400
#: Modules of the standard library that do I/O or wait. The core imports none of them.
IO_MODULES = {
    "asyncio",
    "io",
    "multiprocessing",
    "os",
    "pathlib",
    "queue",
    "select",
    "selectors",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
}


def imported(source: str, module: tuple[str, ...]) -> Iterator[str]:
    """The absolute names that a module imports, also inside of functions.

    Args:
        module: The package of the module, such as ("reprise", "core").
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = module[: len(module) - node.level + 1] if node.level else ()
            name = ".".join([*base, *([node.module] if node.module else [])])
            # `from ..core import calls` imports a module, not a member.
            yield from (f"{name}.{alias.name}" for alias in node.names)


def wrong_imports(source: str, folder: str) -> list[str]:
    """The imports of a module in `folder` that go against the arrows."""
    found = []
    for name in imported(source, ("reprise", folder)):
        first, *rest = name.split(".")
        if first == "reprise":
            target = rest[0] if rest else ""
            if target != folder and target not in ALLOWED[folder]:
                found.append(name)
        elif folder == "core" and first in IO_MODULES:
            found.append(name)
    return found


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    assert wrong_imports(path.read_text(), path.relative_to(PACKAGE).parts[0]) == []


@pytest.mark.parametrize(
    ("folder", "source"),
    [
        ("core", "from ..transports.client import Client"),
        ("core", "from ..transports import client"),
        ("core", "def later():\n    import threading"),
        ("core", "from reprise import Client"),
        ("transports", "from ..engines.batch import BatchDrafter"),
        ("compat", "from ..engines.batch import BatchDrafter"),
        ("ingest", "import reprise"),
    ],
)
def test_an_import_against_the_arrows_is_found(folder: str, source: str) -> None:
    assert len(wrong_imports(source, folder)) == 1


def test_the_folders_are_the_layers() -> None:
    folders = {path.parent.name for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE}
    assert folders == set(ALLOWED)


def test_no_file_is_long() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {str(path): count for path, count in lengths.items() if count > LINES_MAX} == {}
