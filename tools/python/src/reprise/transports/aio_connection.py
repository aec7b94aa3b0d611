"""A connection of the client for asyncio."""

from __future__ import annotations

import asyncio
import socket
from typing import Protocol, cast

from .address import Endpoint, prepare_tcp


class Owner(Protocol):
    """The link that is told what happens to its connections."""

    def received(self, connection: Connection, data: bytes) -> None: ...
    def drained(self, connection: Connection) -> None: ...
    def lost(self, connection: Connection, error: Exception) -> None: ...


class Connection(asyncio.Protocol):
    """One connection; its owner may have another one by the time that this one's end is told."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._transport: asyncio.Transport | None = None

    @staticmethod
    async def to(endpoint: Endpoint, owner: Owner) -> Connection:
        """Connects.

        Raises:
            OSError: There is no service.
        """
        loop = asyncio.get_running_loop()
        address = endpoint.address
        connection = Connection(owner)
        if address.path is not None:
            await loop.create_unix_connection(lambda: connection, address.path)
        else:
            await loop.create_connection(
                lambda: connection,
                address.host,
                address.port,
                ssl=endpoint.tls,
                server_hostname=address.host if endpoint.tls is not None else None,
            )
        return connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Both kinds of transports that streams have are one, but only one of them is declared so.
        self._transport = cast(asyncio.Transport, transport)
        # Says when all is sent, so that nothing is piled up.
        self._transport.set_write_buffer_limits(high=0)
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family != socket.AF_UNIX:
            prepare_tcp(connection)

    @property
    def is_drained(self) -> bool:
        return self._transport is not None and self._transport.get_write_buffer_size() == 0

    def send(self, data: bytes) -> None:
        if self._transport is not None and data:
            self._transport.write(data)

    def abort(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        self._owner.received(self, data)

    def resume_writing(self) -> None:
        self._owner.drained(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._owner.lost(self, exc or ConnectionResetError("the service closed the connection"))
