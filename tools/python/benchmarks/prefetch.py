"""What prefetching is worth: a recorded trace, decoded by an event loop with and without it.

    python benchmarks/prefetch.py ../../../shared/traces/tool_tau_airline.jsonl.xz

A prefetched draft costs no wait, and lacks the session's own history, so it may be accepted less.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from replay_traces import records
from service import Service

from reprise import AsyncClient

#: Seconds of the model's verification of one draft, while which the next may be fetched.
MODEL_SECONDS = 0.002


async def decode(client: AsyncClient, record: dict[str, Any], prefetches: bool) -> list[float]:
    """Decodes a record. Returns the seconds that each step waited for its draft."""
    output: list[int] = record["response"]
    waited: list[float] = []
    place = 0
    async with await client.open_session("replay", record["prompt"]) as session:
        accepted: list[int] = []
        while place < len(output):
            begin = time.perf_counter()
            draft = await session.step(accepted)
            waited.append(time.perf_counter() - begin)
            if prefetches:
                session.prefetch(draft)
            await asyncio.sleep(MODEL_SECONDS)
            gained = draft.accepted_by(output[place:]) + 1
            accepted = output[place : place + gained]
            place += gained
    return waited


async def run(path: Path, prefetches: bool, limit: int) -> None:
    data = records(path)
    half = len(data) // 2
    with Service() as service:
        async with AsyncClient(service.socket, deadline=5.0, open_deadline=5.0) as client:
            await client.create_corpus("replay")
            await client.insert("replay", [record["response"] for record in data[:half]])
            replayed = data[half : half + limit]
            waited = [
                seconds
                for record in replayed
                for seconds in await decode(client, record, prefetches)
            ]
            counters = client.counters.snapshot()
    tokens = sum(len(record["response"]) for record in replayed) / len(waited)
    hits = counters.prefetch_hits / len(waited)
    print(
        f"| {'yes' if prefetches else 'no'} | {tokens:.3f} | {hits:.0%} "
        f"| {statistics.median(waited) * 1e6:.0f} | {statistics.mean(waited) * 1e6:.0f} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("trace", type=Path)
    parser.add_argument("--records", type=int, default=100)
    arguments = parser.parse_args()
    print("| prefetch | tokens/step | steps from it | µs waited, p50 | mean |")
    print("|---|---|---|---|---|")
    for prefetches in (False, True):
        asyncio.run(run(arguments.trace, prefetches, arguments.records))
    return 0


if __name__ == "__main__":
    sys.exit(main())
