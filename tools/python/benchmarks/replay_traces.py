"""Replays recorded outputs through the drop-in cache, beside what the original reaches on them.

    python benchmarks/replay_traces.py ../../../shared/traces

The first half of a trace's records is history; the next 200 are replayed, each step's tokens
joining it. A step's tokens are what was accepted of its draft, and the one that the model always
gives. A mean that is off by more than one percent is an error.
"""

from __future__ import annotations

import argparse
import itertools
import json
import lzma
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from service import Service

from reprise import Client
from reprise.compat import SuffixDecodingCache, SuffixDecodingDraft

#: Tokens a step of the original: options "path", then "tree".
PEER = {
    "chat_arenahard_o3mini": (1.373, 1.383),
    "code_humaneval_n100": (2.432, 2.504),
    "code_aider_gpt4o": (3.379, 3.426),
    "sql_spider_gpt4": (3.015, 3.044),
    "tool_tau_airline": (3.966, 4.043),
    "maths_rl_aime24": (2.799, 2.881),
    "maths_rgym_sonnet4_n3": (2.664, 2.724),
    "text_tot_n10": (1.461, 1.488),
}
REPLAYED = 200
CONTEXT = 64
OFF_MAX = 0.01


def records(path: Path) -> list[dict[str, Any]]:
    with lzma.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def accepted(draft: SuffixDecodingDraft, output: list[int]) -> int:
    node = -1
    for count, token in enumerate(output):
        for child in range(node + 1, len(draft.token_ids)):
            if draft.parents[child] == node and draft.token_ids[child] == token:
                node = child
                break
        else:
            return count
    return len(output)


def replay(
    cache: SuffixDecodingCache, record: dict[str, Any], use_tree: bool
) -> Iterator[tuple[int, int, float]]:
    """Yields tokens, drafted tokens and seconds of each step."""
    identifier = record["id"]
    text = np.array(record["prompt"] + record["response"], dtype=np.int32)
    place, end = len(record["prompt"]), len(text)
    cache.start_request(identifier, text[:place])
    while place < end:
        begin = time.perf_counter()
        draft = cache.speculate(
            identifier,
            text[max(0, place - CONTEXT) : place],
            max_spec_tokens=32,
            use_tree_spec=use_tree,
        )
        seconds = time.perf_counter() - begin
        gained = min(accepted(draft, text[place:].tolist()) + 1, end - place)
        cache.add_active_response(identifier, text[place : place + gained])
        place += gained
        yield gained, len(draft.token_ids), seconds
    cache.stop_request(identifier)


def run(path: Path, use_tree: bool, limit: int) -> tuple[float, float, list[float], str]:
    data = records(path)
    half = len(data) // 2
    with Service() as service:
        # Not what can be reached in time, but what the drafts are worth, is asked here.
        client = Client(service.socket, deadline=5.0, open_deadline=5.0)
        cache = SuffixDecodingCache(64, corpus="replay", client=client)
        for record in data[:half]:
            cache.start_request(record["id"], [])
            cache.add_active_response(record["id"], record["response"])
            cache.stop_request(record["id"])
        if not cache.flush(60):
            raise RuntimeError("the history could not be recorded")
        steps = list(
            itertools.chain.from_iterable(
                replay(cache, record, use_tree) for record in data[half : half + limit]
            )
        )
        counters = client.counters.snapshot()
        cache.close()
    empty = counters.timeouts + counters.empty_because_down + counters.empty_because_late
    note = f"{empty} steps had no answer" if empty else ""
    tokens = sum(step[0] for step in steps) / len(steps)
    drafted = sum(step[1] for step in steps) / len(steps)
    return tokens, drafted, sorted(step[2] for step in steps), note


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("traces", type=Path)
    parser.add_argument("--only", choices=sorted(PEER))
    parser.add_argument("--records", type=int, default=REPLAYED)
    arguments = parser.parse_args()
    is_off = False
    print("| trace | options | tokens/step | original | off | drafted/step | µs p50 | p99 |")
    print("|---|---|---|---|---|---|---|---|")
    for name, peers in PEER.items():
        if arguments.only not in (None, name):
            continue
        for use_tree, peer in zip((False, True), peers, strict=True):
            path = arguments.traces / f"{name}.jsonl.xz"
            tokens, drafted, seconds, note = run(path, use_tree, arguments.records)
            off = tokens / peer - 1
            is_off |= abs(off) > OFF_MAX or bool(note)
            print(
                f"| {name} | {'tree' if use_tree else 'path'} | {tokens:.3f} | {peer:.3f} "
                f"| {off:+.2%} | {drafted:.2f} | {statistics.median(seconds) * 1e6:.0f} "
                f"| {seconds[int(len(seconds) * 0.99)] * 1e6:.0f} | {note}",
                flush=True,
            )
    return 1 if is_off else 0


if __name__ == "__main__":
    sys.exit(main())
