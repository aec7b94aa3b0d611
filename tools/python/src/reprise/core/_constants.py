"""The protocol's names, codes, limits and ranges.

Generated from docs/guide/openrpc.json by generate_constants.py. Do not edit it: change the
description of the protocol, and generate it again.
"""

from __future__ import annotations

from typing import Final

from .ranges import Option, Range


class Method:
    """The names of the methods."""

    CLIENT_REPORT: Final = "client.report"
    CORPUS_CREATE: Final = "corpus.create"
    CORPUS_DROP: Final = "corpus.drop"
    CORPUS_LIST: Final = "corpus.list"
    CORPUS_MERGE: Final = "corpus.merge"
    CORPUS_STATS: Final = "corpus.stats"
    HEALTH_LIVE: Final = "health.live"
    HEALTH_READY: Final = "health.ready"
    SEQUENCE_FORGET: Final = "sequence.forget"
    SEQUENCE_INSERT: Final = "sequence.insert"
    SERVER_AUTHENTICATE: Final = "server.authenticate"
    SERVER_INFO: Final = "server.info"
    SERVER_METRICS: Final = "server.metrics"
    SESSION_CLOSE: Final = "session.close"
    SESSION_OPEN: Final = "session.open"
    SESSION_STEP: Final = "session.step"
    SNAPSHOT_CREATE: Final = "snapshot.create"
    SNAPSHOT_DELETE: Final = "snapshot.delete"
    SNAPSHOT_LIST: Final = "snapshot.list"
    SNAPSHOT_RESTORE: Final = "snapshot.restore"
    SNAPSHOT_VERIFY: Final = "snapshot.verify"
    SPECULATE: Final = "speculate"


#: The code of each kind of error.
ERROR_CODES: Final = {
    "parse_error": -32700,
    "invalid_request": -32600,
    "method_not_found": -32601,
    "invalid_params": -32602,
    "internal_error": -32603,
    "corpus_not_found": -32001,
    "corpus_exists": -32002,
    "session_not_found": -32003,
    "conflict": -32004,
    "limit_exceeded": -32005,
    "storage_full": -32006,
    "corrupt": -32007,
    "unauthorized": -32008,
    "busy": -32009,
    "tokenizer_mismatch": -32010,
    "snapshot_not_found": -32011,
    "read_only": -32012,
}

#: The default of each limit. `server.info` tells those of a service.
LIMITS: Final = {
    "line_bytes": 16_777_216,
    "answer_bytes": 16_777_216,
    "batch_requests": 1_024,
    "context_tokens": 1_048_576,
    "contexts": 4_096,
    "prompt_tokens": 1_048_576,
    "steps": 4_096,
    "accept_tokens": 65_536,
    "max_tokens": 1_024,
    "sequences": 65_536,
    "sequence_tokens": 1_048_576,
    "session_name_bytes": 128,
    "sequence_id_bytes": 256,
    "tokenizer_bytes": 256,
    "forget_ids": 65_536,
    "snapshot_name_bytes": 128,
    "path_bytes": 4_096,
    "access_token_bytes": 256,
    "connections": 1_024,
    "pipelined_requests": 1_024,
    "line_seconds": 30,
    "answer_seconds": 30,
    "idle_seconds": 3_600,
    "requests_per_second": 1_048_576,
    "sessions": 4_096,
    "connection_sessions": 2_048,
    "session_tokens": 67_108_864,
    "connection_session_tokens": 33_554_432,
    "corpora": 256,
    "store_bytes": 17_592_186_044_416,
    "memory_bytes": 1_099_511_627_776,
}

# The options of a draft.
MAX_TOKENS: Final = Option(0, 1_024, 32)
MAX_FACTOR: Final = Option(0.0, 1_000_000.0, 1.0)
MAX_OFFSET: Final = Option(-1_000_000.0, 1_000_000.0, 0.0)
MIN_PROBABILITY: Final = Option(0.0, 1.0, 0.1)
MIN_MATCH: Final = Option(1, 127, 1)
VOCABULARY: Final = Option(1, 2_147_483_647, 2_147_483_647)
POLICIES: Final = ("suffixdecoding", "estimate")

# Settings of corpora and sessions, and token ids.
TOKEN: Final = Range(0, 2_147_483_646)
RETENTION_TOKENS: Final = Range(64, 1_099_511_627_776)
RETENTION_SEQUENCES: Final = Range(8, 1_099_511_627_776)
RETENTION_AGE_S: Final = Range(60, 3_162_240_000)
DEPTH: Final = Option(2, 127, 64)
DURABILITY_MS: Final = Range(1, 60_000)
CORPUS_VOCABULARY: Final = Range(1, 2_147_483_647)
LEAD_IN: Final = Option(0, 64, 8)
BUDGET: Final = Range(0, 65_536)
VERIFY_COST: Final = Range(0.0, 1.0)
BATCH: Final = Range(1, 65_536)
TTL_S: Final = Option(1, 86_400, 600)
SHARES: Final = ("live", "close", "never")
DURABILITIES: Final = ("commit", "interval")

#: Reasons for which a step had no draft, as `client.report` has them.
MISSED: Final = ("late", "down", "refused", "empty", "unrecorded")

#: Characters in a corpus's name at most, and the pattern of one.
CORPUS_NAME_CHARACTERS_MAX: Final = 64
CORPUS_NAME_PATTERN: Final = r"^[A-Za-z0-9_][A-Za-z0-9._-]*$"
