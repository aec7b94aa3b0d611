"""A worker's loop under a service that is stopped, killed, paused and started again at random.

    python soak.py --minutes 10

It fails where a step raises, where one in a thousand is later than its deadline and a millisecond,
or where anything that was accepted in a session which ended is not in the history afterwards.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "benchmarks"))

from service import Service

from reprise import Client, Output

DEADLINE = 0.002
#: What a step may take beyond its deadline, in all but one of a thousand.
GRACE = 0.001
#: Seconds of the model's own work between two steps.
MODEL_SECONDS = 0.001
SESSIONS = 8
VOCABULARY = 64
FLUSH_SECONDS = 60.0


class Disturber(threading.Thread):
    """Does to the service what happens to services."""

    def __init__(self, service: Service, seed: int) -> None:
        super().__init__(name="disturber", daemon=True)
        self.service = service
        self.ended = threading.Event()
        self.done = dict.fromkeys(("kill", "stop", "pause"), 0)
        self.failure: Exception | None = None
        self._source = random.Random(seed)

    def run(self) -> None:
        try:
            while not self.ended.wait(self._source.uniform(0.5, 3.0)):
                what = self._source.choice(list(self.done))
                self.done[what] += 1
                getattr(self.service, what)()
                self.ended.wait(self._source.uniform(0.0, 1.0))
                if what == "pause":
                    self.service.resume()
                else:
                    self.service.start()
        except Exception as error:
            self.failure = error


class Worker:
    """Decodes sessions one after the other, several at a time in one line."""

    def __init__(self, client: Client, seed: int) -> None:
        self.client = client
        self.finished: dict[str, list[int]] = {}
        self.late: list[float] = []
        self.drafts = 0
        self.accepted = 0
        self._source = random.Random(seed)
        self._open: dict[str, list[int]] = {}
        self._count = 0

    def _begin(self) -> None:
        self._count += 1
        name = f"soak-{self._count}"
        prompt = [self._source.randrange(VOCABULARY) for _ in range(self._source.randrange(400))]
        self.client.open_session(
            "soak", prompt, name=name, share="never", sequence_id=name, deadline=0.0
        )
        self._open[name] = []

    def step(self) -> None:
        while len(self._open) < SESSIONS:
            self._begin()
        accept = {}
        for name, output in self._open.items():
            tokens = [self._source.randrange(VOCABULARY) for _ in range(self._source.randint(1, 6))]
            output += tokens
            accept[name] = tokens
        begin = time.monotonic()
        drafts = self.client.step(accept)
        self.late.append(time.monotonic() - begin)
        self.drafts += sum(1 for draft in drafts if draft)
        for name in [name for name in self._open if self._source.random() < 0.01]:
            self.end(name)

    def end(self, name: str) -> None:
        self.finished[name] = self._open.pop(name)
        self.client.close_session(name)

    def end_all(self) -> None:
        for name in list(self._open):
            self.end(name)


def missing(client: Client, finished: dict[str, list[int]]) -> list[str]:
    """Which outputs are not in the history, whole and as they were: inserting one that is there
    under its id says so, and changes nothing."""
    lost: list[str] = []
    for name, output in finished.items():
        try:
            if client.insert("soak", [Output(output, id=name)]).duplicates != 1:
                lost.append(name)
        except Exception as error:
            lost.append(f"{name}: {error}")
    return lost


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, {arguments.minutes} minutes", flush=True)
    violations: list[str] = []
    with Service() as service, Client(service.socket) as client:
        client.create_corpus("soak")
        client.deadline = DEADLINE
        worker = Worker(client, arguments.seed)
        disturber = Disturber(service, arguments.seed + 1)
        disturber.start()
        until = time.monotonic() + arguments.minutes * 60
        try:
            while time.monotonic() < until:
                worker.step()
                time.sleep(MODEL_SECONDS)
            worker.end_all()
        except Exception as error:
            violations.append(f"decoding raised {error!r}")
        disturber.ended.set()
        disturber.join()
        if disturber.failure is not None:
            raise disturber.failure
        if not client.flush(FLUSH_SECONDS):
            violations.append(f"something is still deferred after {FLUSH_SECONDS} s")
        lost = missing(client, worker.finished)
        if lost:
            violations.append(f"{len(lost)} outputs are not in the history: {lost[:5]}")
        stats = client.corpus_stats("soak")
        tokens = sum(map(len, worker.finished.values()))
        if (stats.sequences, stats.tokens) != (len(worker.finished), tokens):
            violations.append(
                f"the history has {stats.sequences} sequences of {stats.tokens} tokens, "
                f"expected {len(worker.finished)} of {tokens}"
            )
        counters = client.counters.snapshot()
    taken = sorted(worker.late)
    p999 = taken[int(len(taken) * 0.999)]
    if p999 > DEADLINE + GRACE:
        violations.append(f"p99.9 of a step is {p999 * 1e3:.2f} ms")
    p50, p99 = statistics.median(taken), taken[int(len(taken) * 0.99)]
    print(
        f"{len(taken)} steps of {SESSIONS} sessions: p50 {p50 * 1e3:.3f} ms, p99 {p99 * 1e3:.3f}, "
        f"p99.9 {p999 * 1e3:.3f}, longest {taken[-1] * 1e3:.3f} (deadline {DEADLINE * 1e3:g})"
    )
    print(f"{worker.drafts} drafts, {len(worker.finished)} sessions, {tokens} tokens; ", end="")
    print(", ".join(f"{count} x {what}" for what, count in disturber.done.items()))
    print(", ".join(f"{name} {value}" for name, value in counters.as_dict().items() if value))
    for violation in violations:
        print(f"VIOLATION: {violation}")
    print("failed" if violations else "passed")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
