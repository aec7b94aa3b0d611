"""Checks that links between documents lead somewhere, and that the paths and tests which files name
exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

LINK = re.compile(r"\]\(([^)\s]+)\)")
#: A path below `docs` or `tools` in any text, such as a comment or an error message.
PATH = re.compile(r"(?<![\w./-])((?:docs|tools)/[\w./-]*[\w])")
#: The same for code, in documents.
CODE = re.compile(r"`((?:Sources|Tests)/[\w./+-]+)`")
#: The name of a suite or of a test, in documents that list tests.
TEST = re.compile(r"`(?:\w+/)*(\w+Tests|[a-z]+[A-Z]\w+|test_\w+)(?:\.py|\([^`]*\))?`")
LISTS_OF_TESTS = ("docs/internals/test-map.md", "docs/reports/deliberate-breaks.md")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
#: Inputs of the fuzzers, which hold any bytes.
SKIPPED = ("tools/fuzzers/seeds/",)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub derives them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    found: set[str] = set()
    for heading in headings:
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = 0
        while (name := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(name)
    return found


def dead_links(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere."""
    found = []
    for target in LINK.findall(FENCED.sub("", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            found.append(f"there is no {target}")
        elif anchor and file.suffix == ".md" and anchor not in anchors(file):
            found.append(f"{path or page.name} has no heading #{anchor}")
    return found


def missing_paths(file: Path) -> list[str]:
    """The paths that a file names and that do not exist."""
    try:
        text = file.read_text()
    except UnicodeDecodeError:
        return []
    names = {name.rstrip(".") for name in PATH.findall(text)}
    if file.suffix == ".md":
        names |= set(CODE.findall(text))
    return [f"names {name}, which does not exist" for name in sorted(names) if not exists(name)]


def missing_tests(page: Path, known: set[str]) -> list[str]:
    """The tests that a document names and that do not exist."""
    names = sorted(set(TEST.findall(page.read_text())) - known)
    return [f"names {name}, which no file defines" for name in names]


def definitions(files: list[Path]) -> set[str]:
    """The names of all types and functions, and of the files and folders that hold them."""
    found: set[str] = set()
    for file in files:
        if file.suffix in (".swift", ".py") and file.is_file():
            found |= {file.stem, file.parent.name}
            found |= set(re.findall(r"\b(?:func|struct|class|def) (\w+)", file.read_text()))
    return found


def exists(name: str) -> bool:
    return (ROOT / name).exists() or (ROOT / "tools/python" / name).exists()


def main() -> int:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    files = [ROOT / name for name in listed if not name.startswith(SKIPPED)]
    known = definitions(files)
    failures = 0
    for file in files:
        if not file.is_file():
            continue
        found = missing_paths(file) + (dead_links(file) if file.suffix == ".md" else [])
        if str(file.relative_to(ROOT)) in LISTS_OF_TESTS:
            found += missing_tests(file, known)
        for text in found:
            print(f"{file.relative_to(ROOT)}: {text}")
        failures += len(found)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
