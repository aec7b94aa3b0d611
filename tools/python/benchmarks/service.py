"""A real service for tests, benchmarks and the soak: started, killed, paused, started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

#: Seconds that a service may take to start.
START_SECONDS = 30.0


def reprise_binary() -> Path:
    """`REPRISE_BINARY`, or what was built at the root of the repository.

    Raises:
        FileNotFoundError: There is none.
    """
    root = Path(__file__).resolve().parents[3]
    places = [root / ".build/release/reprise", root / ".build/debug/reprise"]
    if given := os.environ.get("REPRISE_BINARY"):
        places = [Path(given)]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(
        f"no service at {' or '.join(map(str, places))}; build it with `swift build --product "
        "reprise`, or say where it is with REPRISE_BINARY"
    )


class Service:
    """`reprise serve` over a store in a directory of its own."""

    def __init__(self, *options: str, directory: Path | None = None) -> None:
        self._made = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="reprise-"))
        self.socket = str(self.directory / "reprise.sock")
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when requests are answered."""
        assert self._process is None
        command = [
            str(reprise_binary()),
            "serve",
            "--store",
            str(self.directory / "store"),
            "--socket",
            self.socket,
            *self._options,
        ]
        with (self.directory / "log").open("ab") as log:
            begin = log.tell()
            self._process = subprocess.Popen(command, stderr=log)
        until = time.monotonic() + START_SECONDS
        # The log's line "serving" says that requests are answered.
        while b" serving" not in (written := self._log(begin)):
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the service did not start:\n{written.decode()}")
            time.sleep(0.005)

    def _log(self, begin: int) -> bytes:
        with (self.directory / "log").open("rb") as log:
            log.seek(begin)
            return log.read()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the service does not run"
        return self._process

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def stop(self) -> None:
        """In good order: open sessions are recorded."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Returns when it stands still."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def hang_up(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def _end(self, number: signal.Signals) -> None:
        process = self.process
        process.send_signal(number)
        if number is signal.SIGTERM:
            # A paused process takes no other signal.
            process.send_signal(signal.SIGCONT)
        process.wait(90)
        self._process = None

    def __enter__(self) -> Service:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()
        if self._made:
            shutil.rmtree(self.directory, ignore_errors=True)
