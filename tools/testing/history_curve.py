"""Prints accepted tokens a step against the number of examples in the history."""

from __future__ import annotations

import argparse
import json
import lzma
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TRACES = ROOT.parent / "shared/traces"
POLICIES = ("suffixdecoding", "estimate")
EXAMPLES = (16, 64, 256, 1000, 4000)


def replayed(program: str, lines: list[bytes], warm: int, policy: str) -> dict[str, float]:
    """The figures of a replay of lines, of which the first `warm` are history."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        file.writelines(lines)
        file.flush()
        command = [program, "replay", "--json", "--warm", str(warm), "--policy", policy, file.name]
        printed = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    found: dict[str, float] = json.loads(printed)
    return found


def row(program: str, trace: Path, evaluated: int) -> str:
    """A trace's line of the table. The same records are decoded whatever the history is: the
    last ones."""
    with lzma.open(trace) as file:
        lines = file.readlines()
    cells = []
    for examples in EXAMPLES:
        if examples + evaluated > len(lines):
            cells.append("")
            continue
        part = lines[-examples - evaluated :]
        figures = [replayed(program, part, examples, policy) for policy in POLICIES]
        accepted = " / ".join(f"{one['accepted_per_step']:.2f}" for one in figures)
        drafted = " / ".join(f"{one['drafted_per_step']:.1f}" for one in figures)
        cells.append(f"{accepted} of {drafted}")
    return f"| `{trace.name.removesuffix('.jsonl.xz')}` | {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/history-curve", description=__doc__)
    parser.add_argument("--reprise", required=True, help="the program `reprise`")
    parser.add_argument("--eval", type=int, default=60, help="records that are decoded")
    options = parser.parse_args()
    traces = [path for path in sorted(TRACES.glob("*.jsonl.xz")) if "large" not in path.name]
    heads = " | ".join(f"{examples:,}" for examples in EXAMPLES)
    print(f"| trace | {heads} |")
    print("|---|" + "---|" * len(EXAMPLES))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for line in pool.map(lambda trace: row(options.reprise, trace, options.eval), traces):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
