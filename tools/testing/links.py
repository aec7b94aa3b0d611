"""Checks that links between documents lead somewhere, and that paths which files name exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

LINK = re.compile(r"\]\(([^)\s]+)\)")
#: A path below `docs` or `tools` in any text, such as a comment or an error message.
PATH = re.compile(r"(?<![\w./-])((?:docs|tools)/[\w./-]*[\w])")
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
    """The paths below `docs` and `tools` that a file names and that do not exist."""
    try:
        text = file.read_text()
    except UnicodeDecodeError:
        return []
    names = {name.rstrip(".") for name in PATH.findall(text)}
    return [f"names {name}, which does not exist" for name in sorted(names) if not exists(name)]


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
    failures = 0
    for file in files:
        if not file.is_file():
            continue
        found = missing_paths(file) + (dead_links(file) if file.suffix == ".md" else [])
        for text in found:
            print(f"{file.relative_to(ROOT)}: {text}")
        failures += len(found)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
