"""A worker's loop under a service that is stopped, killed, paused and started again at random.

    python soak.py --minutes 10

It fails where a step raises; where one in a thousand is later than its deadline and a millisecond;
or where anything that was accepted in a session which ended is not in the history afterwards.

The loop has a core first where that is allowed (root, or CAP_SYS_NICE): it waits then for the
client, not for the scheduler of a machine on which services start all the time. The machine itself
may be late, if others share it: a step may therefore take as long as a bare wait at the same time,
and a millisecond.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import multiprocessing
import os
import random
import select
import sys
import tempfile
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent / "benchmarks"))

from service import Service

from reprise import Client, Output
from reprise.core.options import Share

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

DEADLINE = 0.002
#: Seconds that a step may take beyond its deadline, in all but one of a thousand.
GRACE = 0.001
SESSIONS = 8
VOCABULARY = 64
FLUSH_SECONDS = 60.0


@dataclasses.dataclass
class Disturbed:
    """A service to which happens what happens to services.

    That goes on in a process of its own: starting a process holds up all threads of the one that
    does it, and steps would be late for it.
    """

    directory: Path
    seed: int
    ended: Event
    """No more of it; the service is left running."""
    finish: Event
    settled: Event
    counts: Queue[dict[str, int]]

    def run(self) -> None:
        source = random.Random(self.seed)
        done = dict.fromkeys(("kill", "stop", "pause"), 0)
        with Service(directory=self.directory) as service:
            self.settled.set()
            while not self.ended.wait(source.uniform(0.5, 3.0)):
                what = source.choice(list(done))
                done[what] += 1
                getattr(service, what)()
                self.ended.wait(source.uniform(0.0, 1.0))
                if what == "pause":
                    service.resume()
                else:
                    service.start()
            self.counts.put(done)
            self.finish.wait()


class Worker:
    """Keeps several sessions open and takes one step of all of them at a time, in one line. Opens
    another session for each one that ends."""

    def __init__(self, client: Client, seed: int, share: Share) -> None:
        self._share = share
        self.client = client
        self.finished: dict[str, list[int]] = {}
        self.steps: list[float] = []
        self.waits: list[float] = []
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
            "soak", prompt, name=name, share=self._share, sequence_id=name, deadline=0.0
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
        self.steps.append(time.monotonic() - begin)
        self.drafts += sum(1 for draft in drafts if draft)
        for name in [name for name in self._open if self._source.random() < 0.003]:
            self.end(name)

    def wait(self) -> None:
        """What the model takes: as long as a step may wait, to know what a bare wait is worth."""
        begin = time.monotonic()
        select.select([], [], [], DEADLINE)
        self.waits.append(time.monotonic() - begin)

    def end(self, name: str) -> None:
        self.finished[name] = self._open.pop(name)
        self.client.close_session(name)

    def end_all(self) -> None:
        for name in list(self._open):
            self.end(name)


def come_first() -> None:
    """Has the calling thread run before others, where that is allowed, but not the threads and
    processes it makes."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))


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


def percentiles(seconds: list[float]) -> dict[str, float]:
    """In milliseconds."""
    ordered = sorted(seconds)
    places = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
    found = {name: ordered[int(len(ordered) * place)] * 1e3 for name, place in places.items()}
    return found | {"longest": ordered[-1] * 1e3}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--share", choices=("never", "live"), default="never")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, {arguments.minutes} minutes", flush=True)
    violations: list[str] = []
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="reprise-soak-") as name:
        disturbed = Disturbed(
            directory=Path(name),
            seed=arguments.seed + 1,
            ended=context.Event(),
            finish=context.Event(),
            settled=context.Event(),
            counts=context.Queue(),
        )
        process = context.Process(target=disturbed.run)
        process.start()
        disturbed.settled.wait(60)
        with Client(disturbed.directory / "reprise.sock") as client:
            client.create_corpus("soak")
            client.deadline = DEADLINE
            worker = Worker(client, arguments.seed, arguments.share)
            come_first()
            until = time.monotonic() + arguments.minutes * 60
            try:
                while time.monotonic() < until:
                    worker.step()
                    worker.wait()
                worker.end_all()
            except Exception as error:
                violations.append(f"decoding raised {error!r}")
            disturbed.ended.set()
            done = disturbed.counts.get(timeout=120)
            if not client.flush(FLUSH_SECONDS):
                violations.append(f"something is still deferred after {FLUSH_SECONDS} s")
            lost = missing(client, worker.finished)
            if lost:
                violations.append(f"{len(lost)} outputs are not in the history: {lost[:5]}")
            stats = client.corpus_stats("soak")
            tokens = sum(map(len, worker.finished.values()))
            found, expected = (stats.sequences, stats.output_tokens), (len(worker.finished), tokens)
            # What is shared live is recorded by a stop as well; see "Exactly once" in the README.
            if found != expected and (arguments.share == "never" or found < expected):
                violations.append(
                    f"the history has {found[0]} sequences of {found[1]} tokens, "
                    f"expected {expected[0]} of {expected[1]}"
                )
            counters = client.counters.snapshot()
        disturbed.finish.set()
        process.join()
    steps, waits = percentiles(worker.steps), percentiles(worker.waits)
    for what, taken in (("steps", steps), ("bare waits", waits)):
        print(f"{what}: " + ", ".join(f"{name} {ms:.3f} ms" for name, ms in taken.items()))
    allowed = max(DEADLINE * 1e3, waits["p99.9"]) + GRACE * 1e3
    if steps["p99.9"] > allowed:
        violations.append(f"p99.9 of a step is {steps['p99.9']:.2f} ms, allowed {allowed:.2f}")
    print(f"{worker.drafts} drafts, {len(worker.finished)} sessions, {tokens} tokens; ", end="")
    print(", ".join(f"{count} x {what}" for what, count in done.items()))
    print(", ".join(f"{name} {value}" for name, value in counters.as_dict().items() if value))
    for violation in violations:
        print(f"VIOLATION: {violation}")
    print("failed" if violations else "passed")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
