"""The Python client of Reprise, a persistent suffix-tree store for speculative decoding.

The folders are layers, and imports go down:

    engines  compat  ingest    the doors: inference engines, the drop-in cache, logs into a corpus
    transports                 connections, and the blocking client and that of asyncio over them
    core                       the protocol and the decoding path without any I/O

Programs use the names of this module, `reprise.engines`, `reprise.compat` and `reprise.ingest`.
"""

from .core.calls import Output
from .core.counters import Counters
from .core.drafts import Draft
from .core.errors import (
    Busy,
    Closed,
    Conflict,
    CorpusExists,
    CorpusNotFound,
    Corrupt,
    DeadlineExceeded,
    Disconnected,
    InternalError,
    InvalidParams,
    InvalidRequest,
    LimitExceeded,
    MalformedAnswer,
    MethodNotFound,
    ParseError,
    ReadOnly,
    RepriseError,
    ServiceError,
    SessionNotFound,
    SnapshotNotFound,
    StorageFull,
    TokenizerMismatch,
    Unauthorized,
    Unavailable,
)
from .core.options import DecodingLimits, DraftOptions, NewSession, Step
from .core.results import (
    Corpus,
    CorpusStats,
    Forgotten,
    Grant,
    Health,
    Inserted,
    Merged,
    Retention,
    ServerInfo,
    SessionClosed,
    SessionOpened,
    Snapshot,
)
from .transports.address import Address
from .transports.aio import AsyncClient, AsyncSession
from .transports.client import Client, Session

__version__ = "0.1.0"

__all__ = [
    "Address",
    "AsyncClient",
    "AsyncSession",
    "Busy",
    "Client",
    "Closed",
    "Conflict",
    "Corpus",
    "CorpusExists",
    "CorpusNotFound",
    "CorpusStats",
    "Corrupt",
    "Counters",
    "DeadlineExceeded",
    "DecodingLimits",
    "Disconnected",
    "Draft",
    "DraftOptions",
    "Forgotten",
    "Grant",
    "Health",
    "Inserted",
    "InternalError",
    "InvalidParams",
    "InvalidRequest",
    "LimitExceeded",
    "MalformedAnswer",
    "Merged",
    "MethodNotFound",
    "NewSession",
    "Output",
    "ParseError",
    "ReadOnly",
    "RepriseError",
    "Retention",
    "ServerInfo",
    "ServiceError",
    "Session",
    "SessionClosed",
    "SessionNotFound",
    "SessionOpened",
    "Snapshot",
    "SnapshotNotFound",
    "Step",
    "StorageFull",
    "TokenizerMismatch",
    "Unauthorized",
    "Unavailable",
]
