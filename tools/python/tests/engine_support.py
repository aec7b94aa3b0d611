"""What the tests of the engines' doors share: a count of the lines that a service gets."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def counted_lines(path: str, folder: Path) -> Iterator[tuple[str, Callable[[str], int]]]:
    """Another socket in front of a service's. Yields its path, and how often a method was asked
    for in lines that came through."""
    lines: list[bytes] = []
    front = str(folder / "counted.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(front)
    listener.listen()
    ends, threads = [listener], []

    def pump(source: socket.socket, target: socket.socket, is_counted: bool) -> None:
        with contextlib.suppress(OSError):
            rest = b""
            while data := source.recv(1 << 16):
                if is_counted:
                    *whole, rest = (rest + data).split(b"\n")
                    lines.extend(whole)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                service = socket.socket(socket.AF_UNIX)
                ends.extend((client, service))
                service.connect(path)
                begin(pump, client, service, True)
                begin(pump, service, client, False)

    def begin(work: Callable[..., None], *arguments: object) -> None:
        threads.append(threading.Thread(target=work, args=arguments, daemon=True))
        threads[-1].start()

    begin(accept)
    try:
        yield front, lambda method: sum(f'"{method}"'.encode() in line for line in lines)
    finally:
        for end in ends:
            # Closing alone does not wake who waits.
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(5)
        for end in ends:
            end.close()


def eventually(is_so: Callable[[], object], seconds: float = 10.0) -> None:
    """Waits for what happens in the background."""
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "it did not come about in time"
        time.sleep(0.01)
