"""One step of 64 requests in one line, beside 64 calls of the drop-in cache, one after the other.

python benchmarks/batch_step.py
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable

from service import Service

from reprise import Client, DraftOptions, NewSession, Step
from reprise.compat import SuffixDecodingCache
from reprise.core.decoding import DecodingCore
from reprise.core.drafts import Draft
from reprise.core.wire import LineReader, encode

VOCABULARY = 5000
WARM_STEPS = 20


def sentences(seed: int, count: int) -> list[list[int]]:
    """Sequences that share phrases, so that drafts are neither empty nor certain."""
    source = random.Random(seed)
    phrases = [[source.randrange(VOCABULARY) for _ in range(12)] for _ in range(400)]
    return [
        [token for _ in range(20) for token in phrases[int(source.paretovariate(1)) % 400]]
        for _ in range(count)
    ]


def report(name: str, seconds: list[float]) -> None:
    ordered = sorted(seconds)
    p50, p99 = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    print(f"| {name} | {p50 * 1e6:.0f} | {p99 * 1e6:.0f} |", flush=True)


def measure(
    action: Callable[[int], object], count: int, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    taken: list[float] = []
    for number in range(count + WARM_STEPS):
        begin = clock()
        action(number)
        taken.append(clock() - begin)
    return taken[WARM_STEPS:]


def coding(requests: int, steps: int, drafts: list[Draft]) -> None:
    """What Python itself does of a step: the line is made, and its answer read. It is processor
    time, which other work on the machine does not add to."""
    core = DecodingCore()
    core.connected(0.0)
    core.receive(b'{"id":1,"result":{"uptime_s":1}}\n', 0.0)
    names = [f"session-{number}" for number in range(requests)]
    core.add_sessions(NewSession("c", [1], name=name) for name in names)
    core.outgoing(0.0)
    for identifier in range(2, requests + 2):
        core.receive(b'{"id":%d,"result":{}}\n' % identifier, 0.0)
    core.outgoing(0.0)
    fields = ("tokens", "parents", "probs", "counts", "score", "match_length", "source")
    body = encode({"drafts": [{name: getattr(d, name) for name in fields} for d in drafts]})
    identifier = requests + 1

    def step(_: int) -> None:
        nonlocal identifier
        identifier += 1
        call = core.begin_step([Step(name, [7, 8, 9]) for name in names])
        core.receive(b'{"jsonrpc":"2.0","id":%d,"result":%s}\n' % (identifier, body), 0.0)
        assert call.awaited == 0

    report("of that in Python, processor time", measure(step, steps, time.thread_time))
    reader = LineReader()
    line = b'{"jsonrpc":"2.0","id":1,"result":%s}\n' % body
    report(
        "JSON of the answer", measure(lambda _: list(reader.feed(line)), steps, time.thread_time)
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--steps", type=int, default=300)
    arguments = parser.parse_args()
    requests, steps = arguments.requests, arguments.steps
    length = 3 * (steps + WARM_STEPS)
    texts = sentences(1, requests)
    texts = [(text * (length // len(text) + 1))[:length] for text in texts]
    print("| what | p50 µs | p99 µs |")
    print("|---|---|---|")
    with Service() as service, Client(service.socket, deadline=5.0, open_deadline=10.0) as client:
        client.create_corpus("batch")
        client.insert("batch", sentences(2, 4000))
        opened = [client.open_session("batch", text[:3]) for text in texts]
        options = DraftOptions()
        last: list[Draft] = []

        def batch(number: int) -> None:
            place = 3 * number
            last[:] = client.step(
                [
                    Step(session.name, text[place : place + 3])
                    for session, text in zip(opened, texts, strict=True)
                ],
                options,
            )

        report(f"batch client: {requests} requests, one line", measure(batch, steps))
        for session in opened:
            session.close(record=False)
        cache = SuffixDecodingCache(64, corpus="batch", client=client)
        spoken = [list(text[:3]) for text in texts]
        for number, text in enumerate(texts):
            cache.start_request(number, text[:3])

        def one_by_one(number: int) -> None:
            place = 3 * number
            for request, text in enumerate(texts):
                cache.add_active_response(request, text[place : place + 3])
                spoken[request] += text[place : place + 3]
                cache.speculate(request, spoken[request][-64:], max_spec_tokens=32)

        report(f"drop-in cache: {requests} calls", measure(one_by_one, steps))
        counters = client.counters
        assert counters.timeouts + counters.empty_because_down == 0, counters
        drafted = sum(map(len, last)) / requests
    coding(requests, steps, last)
    print(f"\n{drafted:.1f} tokens a draft")
    return 0


if __name__ == "__main__":
    sys.exit(main())
