"""A service for an example: started, waited for, and ended with it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from reprise import Client


def binary() -> str:
    """`REPRISE_BINARY`, what is on the path, or what `tools/demo` builds."""
    built = Path(__file__).resolve().parents[3] / ".build" / "release" / "reprise"
    found = os.environ.get("REPRISE_BINARY") or shutil.which("reprise") or str(built)
    if not os.access(found, os.X_OK):
        raise SystemExit(f"there is no service at {found}: run tools/demo, or set REPRISE_BINARY")
    return found


@contextlib.contextmanager
def local_service() -> Iterator[str]:
    """Yields the socket's path of a service over an empty store; `REPRISE_SOCKET` where it is set,
    and then nothing is started."""
    if given := os.environ.get("REPRISE_SOCKET"):
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="reprise-example-") as folder:
        path = f"{folder}/reprise.sock"
        arguments = [binary(), "serve", "--store", f"{folder}/store", "--socket", path]
        process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
        try:
            until = time.monotonic() + 30
            with Client(path) as client:
                while not (os.path.exists(path) and client.is_ready().ok):
                    if process.poll() is not None or time.monotonic() > until:
                        raise SystemExit("the service did not start")
                    time.sleep(0.02)
            yield path
        finally:
            process.terminate()
            process.wait(10)
