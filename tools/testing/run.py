"""Runs the phases of `tools/test`, two at a time, and tells what came of them."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOGS = ROOT / ".build/test-logs"

#: With all assertions, with the crash points, and with what `@testable` needs; what computes is
#: optimised (see Package.swift). No debug information: nobody debugs this build, and it takes time.
BUILT = ROOT / ".build-test/debug"
BUILD = [
    *("swift", "build", "--build-tests", "--scratch-path", ".build-test"),
    *("--explicit-target-dependency-import-check", "error"),
    *("-Xswiftc", "-assert-config", "-Xswiftc", "Debug"),
    *("-Xswiftc", "-DREPRISE_CRASH_POINTS", "-Xswiftc", "-DREPRISE_OPTIMISED"),
    *("-debug-info-format", "none"),
]
#: Under thread sanitizer. Without TLS: its library takes longer to build than all the rest.
SANITIZED = ROOT / ".build-tsan/debug"
BUILD_SANITIZED = [
    *("swift", "build", "--build-tests", "--scratch-path", ".build-tsan", "--sanitize=thread"),
    *("--explicit-target-dependency-import-check", "error"),
]

#: Builds what threads share and no more; see Package.swift.
SHARED_ONLY = {"REPRISE_PACKAGE": "shared"}

#: Modules whose tests compute; the tests of all others wait for sockets and processes as well.
COMPUTING = (
    r"^(RepriseModelTests|LMDBTests|SuffixIndexTests|DraftingTests|HistoryEngineTests"
    r"|CorpusFormatTests|CorpusStoreTests|WireProtocolTests)\."
)
#: Tests of state that threads share. The others use one thread: they would take most of the time,
#: and thread sanitizer has nothing to see in them.
SHARED_STORE = r"^(ConcurrencyTests|LMDBTests|CorpusStoreTests)\."
SHARED_SERVICE = r"^RepriseServerTests\."
ALONE = (
    "AllocationTests|DamagedFileTests|EveryByteTests|HostileTests|LineBufferTests|MutationTests"
    "|OutboxTests|OverwriteTests|PageCheckTests|PageFaultTests|ProtocolDocumentTests"
    "|aCheckThatIsCancelledEndsItsReading|aCorpusWithWhatCouldNotBeWrittenIsFreed"
    "|aFullMapIsAnErrorToItsCallerAndHarmsNothing|largeSegmentsAreWrittenInPieces"
    "|longWorkGivesWayAtAnyMoment|openingAndCheckingGiveWayAtAnyMoment"
)

#: A directory in memory, where there is one with room, so that tests wait for no disk. Failing
#: disks are the subject of `tools/crash`.
MEMORY = Path("/dev/shm")
MEMORY_BYTES_MIN = 4 << 30

TAIL_LINES = 60
SANITIZER_REPORTS = 3
SANITIZER_LINES = 40
PHASES_AT_ONCE = 2
PROGRESS_SECONDS = 60.0


@dataclass
class Phase:
    """A command, its log, and what came of it."""

    name: str
    command: list[str]
    after: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    #: A phase that takes longer hangs, and is ended.
    seconds_max: float = 900.0
    #: Reports in JUnit's format, which the command writes.
    reports: tuple[Path, ...] = ()

    #: The result: "ok", "failed", "not run", or nothing yet.
    outcome: str = ""
    seconds: float = 0.0
    #: Seconds of processor time, of the command and the processes that it waited for.
    processor: float = 0.0
    passed: int = 0
    failed: int = 0
    slowest: list[tuple[float, str]] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0

    @property
    def log(self) -> Path:
        return LOGS / f"{self.name}.log"

    def start(self) -> None:
        for report in self.reports:
            report.unlink(missing_ok=True)
        self.started = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def has_ended(self) -> bool:
        """Looks whether the command has ended, and takes what came of it."""
        status = self._poll()
        self.seconds = time.monotonic() - self.started
        if status is None and self.seconds < self.seconds_max:
            return False
        if status is None:
            with self.log.open("a") as log:
                log.write(f"\nended: it took longer than {self.seconds_max:.0f} s\n")
        self.end()
        for report in self.reports:
            self._read(report)
        if status == 0 and self.failed == 0:
            self.passed = max(1, self.passed)
        else:
            self.failed = max(1, self.failed)
        self.outcome = "failed" if self.failed else "ok"
        return True

    def _poll(self) -> int | None:
        """The command's exit status, once it has ended."""
        assert self.process
        if self.process.returncode is None:
            ended, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if ended:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                self.processor = usage.ru_utime + usage.ru_stime
        return self.process.returncode

    def end(self) -> None:
        """Ends the command and whatever it has started."""
        assert self.process
        # A build that is interrupted keeps what it has built so far.
        for number in (signal.SIGINT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)

    def _read(self, report: Path) -> None:
        try:
            cases = list(ElementTree.parse(report).iter("testcase"))
        except (OSError, ElementTree.ParseError):
            # The tests crashed before they wrote it.
            self.failed += 1
            return
        for case in cases:
            name = f"{case.get('classname', '')}.{case.get('name', '')}"
            self.slowest.append((float(case.get("time") or 0), name))
            if case.find("failure") is not None or case.find("error") is not None:
                self.failed += 1
            elif case.find("skipped") is None:
                self.passed += 1

    def lines(self) -> list[str]:
        if not self.log.exists():
            return []
        return self.log.read_text(errors="replace").splitlines()

    def tail(self, lines: int) -> list[str]:
        return self.lines()[-lines:]

    def sanitizer_reports(self) -> list[str]:
        """The lines of the first reports of a sanitizer, which tests that pass may stand behind."""
        lines = self.lines()
        starts = [number for number, line in enumerate(lines) if "WARNING: ThreadSanitizer" in line]
        return [
            line
            for start in starts[:SANITIZER_REPORTS]
            for line in lines[start : start + SANITIZER_LINES]
        ]


def tests(
    name: str,
    built: Path,
    *selection: str,
    after: str,
    **more: object,
) -> Phase:
    """A phase that runs tests of one build, without SwiftPM's second look at the package."""
    environment = {**temporary_files(), **more.pop("environment", {})}  # type: ignore[dict-item]
    report = LOGS / f"{name}.xml"
    program = str(built / "reprisePackageTests.xctest")
    return Phase(
        name,
        [program, "--testing-library", "swift-testing", "--xunit-output", str(report), *selection],
        after=(after,),
        environment=environment,
        reports=(report,),
        **more,  # type: ignore[arg-type]
    )


def temporary_files() -> dict[str, str]:
    """The environment that has temporary files made in memory, where there is room."""
    if not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < MEMORY_BYTES_MIN:
        return {}
    return {"TMPDIR": str(MEMORY)}


def quick() -> list[Phase]:
    """The quick tier. Of the phases that wait for a build, the longest come first, so that none is
    left over for the end."""
    built = {"REPRISE_TEST_BUILT": str(BUILT)}
    python_reports = (LOGS / "python.xml", LOGS / "python-plain.xml")
    return [
        Phase("format", ["tools/lint"]),
        Phase("build", BUILD, environment={"REPRISE_PACKAGE": "tests"}, seconds_max=2400),
        Phase(
            "build-tsan",
            [*BUILD_SANITIZED, "--disable-default-traits"],
            environment=SHARED_ONLY,
            seconds_max=2400,
        ),
        tests("service", BUILT, "--skip", COMPUTING, after="build"),
        Phase("crash", ["tools/crash", "--points", "80"], ("build",), built),
        *threads(SANITIZED, effort="0.02"),
        Phase("python-checks", ["tools/python-test", "checks"]),
        Phase(
            "python",
            ["tools/python-test", "tests"],
            ("build", "python-checks"),
            {"REPRISE_BINARY": str(BUILT / "reprise"), "REPRISE_TEST_REPORTS": str(LOGS)},
            reports=python_reports,
        ),
        tests("laws", BUILT, "--no-parallel", "--filter", COMPUTING, after="build"),
        Phase("load", ["tools/load", "--minutes", "0.25", "--workers", "40"], ("build",), built),
        Phase("traces", ["tools/check-traces"], ("build",), built),
        Phase("fuzz-check", ["tools/fuzz", "--check"], ("build",), built),
    ]


def threads(built: Path, effort: str) -> list[Phase]:
    """The tests of what threads share, under thread sanitizer.

    Tests that compute are a process of their own: on the few threads that tests share, they would
    hold up those that wait for sockets.
    """
    return [
        tests(
            name,
            built,
            *("--filter", shared, "--skip", ALONE, *order),
            after="build-tsan",
            environment={
                "TSAN_OPTIONS": f"suppressions={ROOT}/tools/tsan-suppressions",
                "REPRISE_TEST_EFFORT": effort,
            },
            seconds_max=7200,
        )
        for name, shared, order in (
            ("threads-store", SHARED_STORE, ["--no-parallel"]),
            ("threads-service", SHARED_SERVICE, []),
        )
    ]


def full() -> list[Phase]:
    """The quick tier's phases in their full length, and what only nights have time for."""
    with_tls = ROOT / ".build-tsan-tls/debug"
    phases = {phase.name: phase for phase in quick()}
    for name in ("laws", "service", "python"):
        phases[name].seconds_max = 4 * 3600
    build = [word.replace(".build-tsan", ".build-tsan-tls") for word in BUILD_SANITIZED]
    phases["build-tsan"].command = build
    for phase in threads(with_tls, effort="1"):
        phases[phase.name] = phase
    return [
        *phases.values(),
        Phase(
            "build-release",
            ["swift", "build", "-c", "release", "--product", "reprise"],
            seconds_max=2400,
        ),
        Phase("crash-1000", ["tools/crash"], ("build-release",), seconds_max=3600),
        Phase("load-20", ["tools/load"], ("crash-1000",), seconds_max=3600),
        Phase("prometheus", ["tools/prometheus-check"], ("build-release",)),
        Phase("fuzz", ["tools/fuzz"], ("prometheus",), seconds_max=3600),
    ]


def run(phases: list[Phase]) -> None:
    """Runs phases as soon as those have passed that they come after."""
    begin = time.monotonic()
    by_name = {phase.name: phase for phase in phases}
    told = begin

    def say(text: str) -> None:
        seconds = int(time.monotonic() - begin)
        print(f"{seconds // 60:3}:{seconds % 60:02}  {text}", flush=True)

    def skip_unable() -> None:
        for phase in phases:
            before = [by_name[name].outcome for name in phase.after]
            if not phase.outcome and any(outcome in ("failed", "not run") for outcome in before):
                phase.outcome, phase.failed = "not run", 1
                say(f"{phase.name}: not run")

    running: list[Phase] = []
    try:
        while running or not all(phase.outcome for phase in phases):
            skip_unable()
            for phase in phases:
                is_ready = all(by_name[name].outcome == "ok" for name in phase.after)
                if phase.outcome or phase in running or not is_ready:
                    continue
                if len(running) < PHASES_AT_ONCE:
                    say(f"{phase.name}: started")
                    phase.start()
                    running.append(phase)
            time.sleep(0.2)
            for phase in [phase for phase in running if phase.has_ended()]:
                running.remove(phase)
                say(f"{phase.name}: {phase.outcome} after {phase.seconds:.0f} s")
                if phase.outcome == "failed":
                    print(f"---- the end of {phase.log.relative_to(ROOT)}")
                    print("\n".join(phase.sanitizer_reports() + phase.tail(TAIL_LINES)))
                    print("----", flush=True)
            if time.monotonic() - told >= PROGRESS_SECONDS:
                told = time.monotonic()
                for phase in running:
                    last = (phase.tail(1) or [""])[0].strip()[:80]
                    say(f"{phase.name}: {last}")
    finally:
        for phase in running:
            phase.end()


def tell(phases: list[Phase], seconds: float) -> int:
    """Prints the tables and the closing line. Returns the exit status."""
    print(f"\n{'phase':<16}{'seconds':>9}{'processor':>11}{'passed':>9}{'failed':>9}")
    for phase in phases:
        outcome = "" if phase.outcome == "ok" else f"  {phase.outcome}"
        print(
            f"{phase.name:<16}{phase.seconds:>9.1f}{phase.processor:>11.1f}"
            f"{phase.passed:>9}{phase.failed:>9}{outcome}"
        )
    # Where tests run beside each other, most of the time of one is spent waiting for others.
    slowest = sorted(
        (took, f"{name}  ({phase.name})")
        for phase in phases
        for took, name in phase.slowest
        if "--no-parallel" in phase.command or phase.name.startswith("python")
    )
    print("\nthe slowest of the tests that run one at a time, in seconds")
    for took, name in reversed(slowest[-10:]):
        print(f"{took:>8.1f}  {name}")
    failed = sum(phase.failed for phase in phases)
    processor = sum(phase.processor for phase in phases)
    print(f"\n{seconds / 60:.1f} minutes, {processor / 60:.1f} of processor time")
    if failed:
        print(
            f"The same cases again: REPRISE_TEST_SEED={os.environ['REPRISE_TEST_SEED']} "
            f"REPRISE_TEST_EFFORT={os.environ['REPRISE_TEST_EFFORT']} tools/test --only "
            + ",".join(phase.name for phase in phases if phase.outcome == "failed")
        )
    print(f"{sum(phase.passed for phase in phases)} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/test", add_help=False)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()

    today = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%d")
    seed = os.environ.get("REPRISE_TEST_SEED") or today
    effort = os.environ.get("REPRISE_TEST_EFFORT") or ("full" if options.full else "quick")
    os.environ.update(REPRISE_TEST_SEED=seed, REPRISE_TEST_EFFORT=effort)

    phases = full() if options.full else quick()
    if options.list:
        print("\n".join(phase.name for phase in phases))
        return 0
    if options.only:
        wanted = set(options.only.split(","))
        if unknown := wanted - {phase.name for phase in phases}:
            parser.error(f"there is no phase {', '.join(sorted(unknown))}; see --list")
        while True:
            needed = {name for phase in phases if phase.name in wanted for name in phase.after}
            if needed <= wanted:
                break
            wanted |= needed
        phases = [phase for phase in phases if phase.name in wanted]

    LOGS.mkdir(parents=True, exist_ok=True)
    print(f"REPRISE_TEST_SEED={seed} REPRISE_TEST_EFFORT={effort}, logs in .build/test-logs")
    begin = time.monotonic()
    run(phases)
    return tell(phases, time.monotonic() - begin)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
