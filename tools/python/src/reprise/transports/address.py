"""The address of a service, and the credentials that are presented there."""

from __future__ import annotations

import dataclasses
import os
import socket
import ssl
from pathlib import Path

#: Milliseconds after which a TCP connection whose peer acknowledges nothing is given up. A Unix
#: socket's peer cannot vanish without the kernel's telling.
TCP_USER_TIMEOUT_MS = 10_000
#: Bytes in a Unix socket's path at most.
SOCKET_PATH_BYTES_MAX = 107


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """A Unix socket's `path`, or a `host` and `port`."""

    path: str | None = None
    host: str = ""
    port: int = 0

    @staticmethod
    def parse(text: str | os.PathLike[str] | Address) -> Address:
        """Reads `/run/reprise.sock`, `unix:reprise.sock`, `host:7411` or `[::1]:7411`.

        A text with a slash, or without a port at its end, is a path.

        Raises:
            ValueError: It cannot be an address.
        """
        if isinstance(text, Address):
            return text
        text = os.fspath(text)
        if "://" in text:
            raise ValueError(
                f"the address {text!r} has a scheme; expected a socket's path, or host:port"
            )
        if text.startswith("unix:"):
            return Address(path=_path(text.removeprefix("unix:")))
        host, colon, port = text.rpartition(":")
        if "/" not in text and colon and host and port.isdecimal():
            if not 0 < int(port) < 65536:
                raise ValueError(f"the port of {text!r} is not in 1…65535")
            return Address(host=host.removeprefix("[").removesuffix("]"), port=int(port))
        if not text:
            raise ValueError("the address is empty; give a socket's path, or host:port")
        return Address(path=_path(text))

    @staticmethod
    def default() -> Address:
        """The address in `REPRISE_SOCKET`."""
        text = os.environ.get("REPRISE_SOCKET")
        if not text:
            raise ValueError("no address was given, and REPRISE_SOCKET is not set")
        return Address.parse(text)

    def __str__(self) -> str:
        if self.path is not None:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _path(path: str) -> str:
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
        raise ValueError(
            f"the socket's path {path!r} has {len(os.fsencode(path))} bytes; the system takes "
            f"{SOCKET_PATH_BYTES_MAX} bytes at most, so use a shorter one"
        )
    return path


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """An address with the credentials that are presented there."""

    address: Address
    token: str | None = dataclasses.field(default=None, repr=False)
    tls: ssl.SSLContext | None = None

    @staticmethod
    def of(
        address: str | os.PathLike[str] | Address | None,
        token: str | None,
        tls: ssl.SSLContext | None,
    ) -> Endpoint:
        """Takes from the environment what is not given: `REPRISE_SOCKET`, `REPRISE_TOKEN`, or
        the file that `REPRISE_TOKEN_FILE` names."""
        place = Address.default() if address is None else Address.parse(address)
        if tls is not None and place.path is not None:
            raise ValueError("a Unix socket is not encrypted; leave tls out, or give host:port")
        if token is None:
            token = os.environ.get("REPRISE_TOKEN") or None
        if token is None and (file := os.environ.get("REPRISE_TOKEN_FILE")):
            token = Path(file).read_text(encoding="ascii").strip()
        return Endpoint(place, token, tls)

    def connect(self, timeout: float) -> socket.socket:
        """Connects, and agrees on encryption. The socket blocks no longer than `timeout`.

        Raises:
            OSError: There is no service, or it presents no certificate that `tls` trusts.
        """
        if self.address.path is not None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.settimeout(timeout)
                connection.connect(self.address.path)
            except BaseException:
                connection.close()
                raise
            return connection
        connection = socket.create_connection((self.address.host, self.address.port), timeout)
        try:
            prepare_tcp(connection)
            if self.tls is None:
                return connection
            return self.tls.wrap_socket(connection, server_hostname=self.address.host)
        except BaseException:
            connection.close()
            raise


def prepare_tcp(connection: socket.socket) -> None:
    """Has small lines sent at once, and a host that vanished noticed."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # Linux alone has it.
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_USER_TIMEOUT_MS)
