"""Prints accepted against drafted tokens for many settings, beside the published implementation."""

from __future__ import annotations

import argparse
import csv
import itertools
import lzma
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from frontier_plot import draw

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
PEER = SHARED / "yardstick/drafting/peer_frontier.tsv"

#: Drafted tokens a step at which the policies are compared.
BUDGETS = (2, 4, 8, 16, 32)
SHAPES = ("path", "tree")

Point = tuple[float, float]


@dataclass(frozen=True)
class Trace:
    """The records of a trace that are decoded, and those before them."""

    name: str
    warm: int
    eval: int
    #: Accepted tokens of the published implementation at each budget, by shape.
    peer: dict[str, list[float]]


def traces(kind: str) -> list[Trace]:
    """The traces of a set, as the peer's frontier has them."""
    rows: defaultdict[tuple[str, int, int], dict[str, list[float]]] = defaultdict(dict)
    with PEER.open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["set"] == kind:
                key = (row["trace"], int(row["warm"]), int(row["eval"]))
                # The columns are set, trace, warm, eval, shape, and one for each budget.
                rows[key][row["shape"]] = [float(value) for value in list(row.values())[5:]]
    return [Trace(*key, peer) for key, peer in rows.items()]


def hull(points: list[Point]) -> list[Point]:
    """The upper concave hull from (0, 0) to the point with the most accepted tokens."""
    result: list[Point] = []
    for point in sorted({(0.0, 0.0), *points}):
        while len(result) >= 2:
            (x0, y0), (x1, y1) = result[-2:]
            if (x1 - x0) * (point[1] - y0) < (point[0] - x0) * (y1 - y0):
                break
            result.pop()
        result.append(point)
    most = max(range(len(result)), key=lambda place: result[place][1])
    return result[: most + 1]


def accepted(points: list[Point], drafted: float) -> float:
    """The accepted tokens of a hull at a number of drafted ones."""
    if drafted >= points[-1][0]:
        return points[-1][1]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x0 <= drafted <= x1:
            return y0 + (y1 - y0) * (drafted - x0) / (x1 - x0)
    raise ValueError(f"the hull has no place for {drafted}")


def sweep(bench: str, trace: Trace, options: argparse.Namespace) -> dict[str, list[Point]]:
    """The drafted and accepted tokens a step of each setting, by shape."""
    archive = SHARED / f"traces/{trace.name}.jsonl.xz"
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        with lzma.open(archive) as compressed:
            shutil.copyfileobj(compressed, file)
        file.flush()
        printed = subprocess.run(
            [
                *(bench, "frontier", "--policy", options.policy, "--lead-in", str(options.lead_in)),
                *("--warm", str(trace.warm), "--eval", str(trace.eval), file.name),
            ],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        ).stdout
    points: defaultdict[str, list[Point]] = defaultdict(list)
    for line in printed.splitlines():
        _, shape, _, drafted, taken = line.split("\t")
        points[shape].append((float(drafted), float(taken)))
    return points


def table(found: list[tuple[Trace, dict[str, list[Point]]]]) -> list[str]:
    """The lines of a table in Markdown."""
    budgets = " | ".join(str(budget) for budget in BUDGETS)
    lines = [f"| trace | shape | {budgets} |", "|---|---|" + "---|" * len(BUDGETS)]
    for shape in SHAPES:
        ratios: list[list[float]] = []
        for trace, points in found:
            ours = [accepted(hull(points[shape]), budget) for budget in BUDGETS]
            ratio = [own / peer for own, peer in zip(ours, trace.peer[shape], strict=True)]
            ratios.append(ratio)
            cells = (f"{own:.2f} ({part:.2f})" for own, part in zip(ours, ratio, strict=True))
            lines.append(f"| `{trace.name}` | {shape} | {' | '.join(cells)} |")
        means = (
            math.exp(sum(map(math.log, column)) / len(column))
            for column in zip(*ratios, strict=True)
        )
        lines.append(f"| **mean** | {shape} | {' | '.join(f'**{mean:.3f}**' for mean in means)} |")
        least = (min(column) for column in zip(*ratios, strict=True))
        lines.append(f"| least | {shape} | {' | '.join(f'{ratio:.2f}' for ratio in least)} |")
    return lines


def plot(found: list[tuple[Trace, dict[str, list[Point]]]]) -> str:
    """The figure of all traces."""
    return draw(
        [
            (
                trace.name,
                {shape: hull(points[shape]) for shape in SHAPES},
                {
                    shape: list(zip(map(float, BUDGETS), trace.peer[shape], strict=True))
                    for shape in SHAPES
                },
            )
            for trace, points in found
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/frontier", description=__doc__)
    parser.add_argument("--bench", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--set", choices=("tune", "fresh"), default="fresh", dest="kind")
    parser.add_argument("--lead-in", type=int, default=8, help="prompt tokens before an output")
    parser.add_argument(
        "--policy", choices=("suffixdecoding", "estimate"), default="estimate", help="the policy"
    )
    parser.add_argument("--markdown", type=Path, help="write the table to this file")
    parser.add_argument("--plot", type=Path, help="draw the curves to this file, as SVG")
    options = parser.parse_args()
    chosen = traces(options.kind)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda trace: sweep(options.bench, trace, options), chosen))
    found = list(zip(chosen, results, strict=True))
    lines = table(found)
    print("\n".join(lines))
    if options.markdown:
        options.markdown.write_text("\n".join(lines) + "\n")
    if options.plot:
        options.plot.write_text(plot(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
