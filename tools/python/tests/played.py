"""A service that is played in the test's own process, and a client that talks to it.

Nothing here waits, and there are no threads: what a test does is all that happens.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from reprise import Client
from reprise.core.decoding import DecodingCore
from reprise.core.drafts import Draft
from reprise.core.options import NO_BOUNDS, BatchBounds, DraftOptions, NewSession, Step
from reprise.core.results import SessionClosed
from reprise.core.session_record import SessionRecord

DRAFT = {
    "tokens": [7],
    "parents": [-1],
    "probs": [1],
    "counts": [1],
    "score": 1,
    "match_length": 1,
    "source": "local",
}


EMPTY = {**DRAFT, "tokens": [], "parents": [], "probs": [], "counts": [], "score": 0}


class PlayedService:
    """What a service knows, carried out on lines by hand; `core` is told what it answers."""

    def __init__(self, core: DecodingCore) -> None:
        self.core = core
        self.now = 100.0
        self.started = 0.0
        self.open: dict[str, dict[str, Any]] = {}
        self.history: list[list[int]] = []
        self.ids: dict[str, list[int]] = {}
        self.prompts: dict[str, list[int]] = {}
        self.answers: list[dict[str, Any]] = []
        self.refuse: dict[str, dict[str, Any]] = {}
        self.methods: list[str] = []
        #: Further members of `server.info`.
        self.info: dict[str, Any] = {}
        self.vocabulary = 2**31
        self.reports: list[dict[str, Any]] = []

    def connect(self) -> None:
        self.take(self.core.connected(self.now))
        self.deliver()
        self.settle()

    def settle(self) -> None:
        """Carries out and answers until nothing is deferred any more."""
        while lines := self.core.outgoing(self.now):
            self.take(lines)
            self.deliver()

    def take(self, lines: bytes) -> None:
        for line in lines.splitlines():
            request = json.loads(line)
            self.methods.append(request["method"])
            answer = self.carry_out(request["method"], request["params"])
            self.answers.append({"jsonrpc": "2.0", "id": request["id"], **answer})

    def deliver(self) -> None:
        answers, self.answers = self.answers, []
        for answer in answers:
            self.core.receive(json.dumps(answer).encode() + b"\n", self.now)

    def step(self, *steps: Step) -> list[list[int]]:
        call = self.core.begin_step(list(steps))
        self.take(call.lines)
        self.deliver()
        return [draft.tokens for draft in call.drafts]

    def error(self, kind: str, **data: Any) -> dict[str, Any]:
        return {"error": {"code": -32000, "message": kind, "data": {"kind": kind, **data}}}

    def carry_out(self, method: str, params: Any) -> dict[str, Any]:
        if method in self.refuse:
            return self.refuse[method]
        if method == "server.info":
            return {"result": {"uptime_s": self.now - self.started, **self.info}}
        if method == "client.report":
            self.reports.append(params)
        if method in ("corpus.create", "client.report"):
            return {"result": {}}
        if method == "session.open":
            if params["session"] in self.open:
                return self.error("conflict", id=params["session"])
            self.open[params["session"]] = {"output": [], **params}
            count = len(params["prompt"])
            result = {"session": params["session"], "prompt_tokens": count, "reused_tokens": 0}
            return {"result": result}
        if method == "session.step":
            drafts: list[Any] = []
            for step in params["steps"]:
                session = self.open.get(step["session"])
                if any(token >= self.vocabulary for token in step["accept"]):
                    member = f"params.steps[{len(drafts)}].accept"
                    drafts.append(self.error("invalid_params", member=member))
                elif session is None:
                    drafts.append(self.error("session_not_found", session=step["session"]))
                else:
                    session["output"] += step["accept"]
                    is_wanted = step.get("max_tokens", 32) > 0
                    drafts.append(DRAFT if is_wanted else EMPTY)
            return {"result": {"drafts": drafts}}
        if method == "session.close":
            session = self.open.pop(params["session"], None)
            if session is None:
                return self.error("session_not_found", session=params["session"])
            recorded = 0
            if params.get("record", True) and session["share"] != "never":
                self.history.append(session["output"])
                recorded = len(session["output"])
            return {"result": {"recorded_tokens": recorded, "order": 0}}
        if method == "sequence.insert":
            (sequence,) = params["sequences"]
            self.prompts[sequence["id"]] = sequence.get("prompt", [])
            if sequence["id"] not in self.ids:
                self.ids[sequence["id"]] = sequence["tokens"]
                self.history.append(sequence["tokens"])
            result = {"inserted": 1, "duplicates": 0, "tokens": 1, "last_order": 0}
            return {"result": result}
        raise AssertionError(method)

    def lose(self) -> None:
        """The connection ends; what was not delivered is lost."""
        self.answers = []
        self.core.disconnected()

    def restart(self) -> None:
        """Another process, which knows the history on disk. It starts after the connections to the
        old one."""
        self.open = {}
        self.now += 1
        self.started = self.now


class PlayedLink:
    """In the place of a client's `DecodingLink`: each call is carried out before it returns, as far
    as the service is there."""

    def __init__(self, **options: Any) -> None:
        self.core = DecodingCore(**options)
        self.service = PlayedService(self.core)
        self.service.connect()
        self.is_connected = True
        self.last_error: Exception | None = None

    def lose(self) -> None:
        self.is_connected = False
        self.service.lose()

    def connect(self) -> None:
        self.is_connected = True
        self.service.now += 1
        self.service.connect()

    def _settle(self) -> None:
        if self.is_connected:
            self.service.settle()

    def ensure_corpus(self, params: dict[str, Any]) -> None:
        self.core.ensure_corpus(params)
        self._settle()

    def open(self, sessions: list[NewSession], wait: float) -> list[SessionRecord]:
        records = self.core.add_sessions(sessions)
        self._settle()
        return records

    def step(self, steps: list[Step], wait: float, bounds: BatchBounds = NO_BOUNDS) -> list[Draft]:
        call = self.core.begin_step(steps, self.is_connected, bounds)
        self.service.take(call.lines)
        self.service.deliver()
        self._settle()
        return call.drafts

    def speculate(
        self, corpus: str, contexts: Sequence[Any], options: DraftOptions, wait: float
    ) -> list[Draft]:
        raise AssertionError("no test of this service speculates")

    def close_session(
        self, session: str, accept: Any, is_recorded: bool, wait: float
    ) -> SessionClosed | None:
        record = self.core.close_session(session, accept, record=is_recorded)
        self._settle()
        return None if record is None else record.result

    def truncate_session(self, session: str, tokens: int) -> None:
        self.core.truncate_session(session, tokens)
        self._settle()

    def flush(self, timeout: float) -> bool:
        self._settle()
        return not self.core.has_work

    def close(self, timeout: float) -> bool:
        self.core.close_sessions()
        return self.flush(timeout)

    def abandon(self) -> None:
        pass


def add(core: DecodingCore, name: str = "a", **options: Any) -> SessionRecord:
    """Adds one session with a prompt of two tokens."""
    (record,) = core.add_sessions([NewSession("demo", [1, 2], name=name, **options)])
    return record


def played_client(**options: Any) -> tuple[Client, PlayedLink]:
    """A client whose decoding path has a played service at its other end."""
    client = Client("/played.sock")
    link = PlayedLink(**options)
    client._decoding = link  # type: ignore[assignment]
    return client, link
