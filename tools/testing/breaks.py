"""Breaks the code on purpose, and looks whether a test of the quick tier notices."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import tomllib
from run import BUILD, BUILT, ROOT

LIST = Path(__file__).with_name("breaks.toml")
LOGS = ROOT / ".build/test-logs/breaks"
SECONDS_MAX = 600.0


class Unfit(Exception):
    """A break does not fit the code any more."""


def run(command: list[str], log: Path, environment: dict[str, str]) -> int:
    """Runs a command to its end, or for `SECONDS_MAX`; a test that stands still has failed too."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "REPRISE_TEST_EFFORT": "quick", **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(SECONDS_MAX)
        except subprocess.TimeoutExpired:
            return -1
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def texts(edits: list[dict[str, str]]) -> dict[Path, str]:
    """The files that edits are made in."""
    paths = {ROOT / edit["file"] for edit in edits}
    if missing := [path for path in paths if not path.is_file()]:
        raise Unfit(f"{missing[0].relative_to(ROOT)} is not there")
    return {path: path.read_text() for path in paths}


def check(breaks: list[dict[str, Any]]) -> int:
    """Prints the breaks that do not fit the code any more. Returns their number."""
    unfit = 0
    for one in breaks:
        try:
            changed(texts(one["edits"]), one["edits"])
        except Unfit as error:
            print(f"tools/testing/breaks.toml: {one['name']} does not fit: {error}")
            unfit += 1
    return unfit


def changed(sources: dict[Path, str], edits: list[dict[str, str]]) -> dict[Path, str]:
    """The sources with each edit made, at the one place where its text stands."""
    result = dict(sources)
    for edit in edits:
        path = ROOT / edit["file"]
        count = result[path].count(edit["find"])
        if count != 1:
            raise Unfit(f"{edit['file']} has the text to replace {count} times, expected once")
        result[path] = result[path].replace(edit["find"], edit["replace"])
    return result


def attempt(one: dict[str, Any], log: Path) -> str:
    """Makes one break. Returns "caught", or what went wrong instead."""
    edits = one["edits"]
    try:
        sources = texts(edits)
        broken = changed(sources, edits)
    except Unfit as error:
        return f"does not fit: {error}"
    try:
        for path, text in broken.items():
            path.write_text(text)
        if run(BUILD, log, {"REPRISE_PACKAGE": "tests"}) != 0:
            return "does not fit: it does not build"
        if "command" in one:
            command, environment = one["command"], {"REPRISE_TEST_BUILT": str(BUILT)}
        else:
            program = str(BUILT / "reprisePackageTests.xctest")
            command = [program, "--testing-library", "swift-testing", "--filter", one["test"]]
            environment = {}
        status = run(command, log, environment)
        # What Swift Testing exits with where the filter names no test.
        if status == os.EX_UNAVAILABLE:
            return f"does not fit: there is no test {one['test']}"
        return "caught" if status != 0 else "NOT CAUGHT"
    finally:
        for path, text in sources.items():
            path.write_text(text)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/breaks", add_help=False)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    breaks: list[dict[str, Any]] = tomllib.loads(LIST.read_text())["break"]
    if unknown := set(options.names) - {one["name"] for one in breaks}:
        parser.error(f"there is no break {', '.join(sorted(unknown))}; see --list")
    chosen = [one for one in breaks if not options.names or one["name"] in options.names]
    if options.list:
        for one in chosen:
            print(f"{one['name']:<28}{one['what']}")
        return 0
    if options.check:
        return 1 if check(chosen) else 0
    LOGS.mkdir(parents=True, exist_ok=True)
    failed = 0
    print(f"{'break':<28}{'seconds':>8}  {'test':<44}outcome")
    for one in chosen:
        log = LOGS / f"{one['name']}.log"
        log.unlink(missing_ok=True)
        start = time.monotonic()
        outcome = attempt(one, log)
        failed += outcome != "caught"
        test = one.get("test") or " ".join(one["command"])
        print(f"{one['name']:<28}{time.monotonic() - start:>8.0f}  {test:<44}{outcome}", flush=True)
    print(f"{len(chosen) - failed} of {len(chosen)} breaks were caught; logs in {LOGS}")
    return 1 if failed else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
