"""The model's outputs in a line of a log.

A history consists of outputs. Of a chat, these are the assistant's messages; of a completion, the
text after the prompt; of a request and its answer, the answer. Prompts are left out unless they
are requested.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

#: The longest id that the service takes is 256 bytes; an output's place may be added to it.
ID_BYTES_MAX = 200
#: Requests whose token ids a vLLM log gave, and whose text comes on a later line.
VLLM_REQUESTS_MAX = 4096

Messages: TypeAlias = "Sequence[Mapping[str, Any]]"


class BadLine(ValueError):
    """A line that says nothing that can be read, and why."""


@dataclasses.dataclass(frozen=True, slots=True)
class Output:
    """An output of a model: a text, or token ids. For a chat template, `messages` end with it."""

    id: str
    text: str | None = None
    tokens: Sequence[int] | None = None
    prompt: str | Sequence[int] | None = None
    """What it completes, where that is one text."""
    messages: Messages | None = None
    is_prompt: bool = False
    """It was written to the model."""


class Reader:
    """Reads lines of one kind. See `FORMATS`."""

    def __init__(self, format: str = "auto", ids: str = "auto") -> None:
        """
        Args:
            ids: "auto", the log's own, or a hash of the line where it has none; "content", always
                the hash; "position", the file's name and the line's number.
        """
        self._format = format
        self._ids = ids
        #: After a line of JSON, what is none is no line of a server's log, but a mistake.
        self._has_json = False
        self._vllm_with_tokens: OrderedDict[str, None] = OrderedDict()

    def outputs(self, line: str, place: str) -> list[Output]:
        """The outputs of a line, with what was written to the model marked as such.

        Args:
            place: The file and the line's number.

        Raises:
            BadLine: It cannot be read. An empty list is a line that can, and has no output.
        """
        if not line.strip():
            return []
        if self._format in ("lines", "text"):
            return [Output(self._id(None, line, place), text=line.rstrip("\r\n"))]
        if self._format == "vllm":
            return self._vllm(line, place)
        if self._format == "auto" and not self._has_json and not line.lstrip().startswith(_JSON):
            return self._vllm(line, place)
        try:
            record = json.loads(line)
        except ValueError as error:
            raise BadLine(f"not JSON: {error}") from None
        self._has_json = True
        found = list(_outputs(record))
        base = self._id(_log_id(record), line, place)
        many = sum(not output.is_prompt for output in found) > 1
        written = received = 0
        named: list[Output] = []
        for output in found:
            if output.is_prompt:
                name, received = f"{base}/prompt-{received}", received + 1
            else:
                name, written = (f"{base}/{written}" if many else base), written + 1
            named.append(dataclasses.replace(output, id=name))
        return named

    def _id(self, given: str | None, line: str, place: str) -> str:
        if self._ids == "position":
            name = place
        elif self._ids == "auto" and given:
            name = given
        else:
            return "line-" + hashlib.sha256(line.strip().encode()).hexdigest()[:32]
        if len(name.encode()) > ID_BYTES_MAX:
            return "long-" + hashlib.sha256(name.encode()).hexdigest()[:32]
        return name

    def _vllm(self, line: str, place: str) -> list[Output]:
        """A line of vLLM's request log (`--enable-log-requests --enable-log-outputs`)."""
        match = _VLLM_RESPONSE.search(line)
        if match is None or "delta" in (match["stream"] or ""):
            # All else that a server logs, and pieces of what comes whole in the end.
            return []
        request = match["id"]
        name = self._id(request, line, place)
        tokens = match["details"] or match["tokens"]
        if tokens and tokens != "None":
            if match["details"]:
                # Its text follows on another line.
                self._vllm_with_tokens[request] = None
                if len(self._vllm_with_tokens) > VLLM_REQUESTS_MAX:
                    self._vllm_with_tokens.popitem(last=False)
            ids = _token_ids(_literal(tokens))
            return [Output(name, tokens=ids)] if ids else []
        if request in self._vllm_with_tokens:
            del self._vllm_with_tokens[request]
            return []
        text = _literal(match["text"] or "''")
        if not isinstance(text, str):
            raise BadLine("the output of a vLLM log is no text")
        return [Output(name, text=text)] if text else []


#: The values of `--format`.
FORMATS = {
    "auto": "JSON of any kind below, or a vLLM log, told line by line",
    "json": "one record a line: chats, completions, requests with answers, batch files, token ids",
    "vllm": "the log of a vLLM server",
    "lines": "each line is an output",
    "text": "each file is an output",
}

_JSON = ("{", "[")
_VLLM_RESPONSE = re.compile(
    r"Generated response (?P<id>\S+?)(?P<stream> \(streaming \w+\))?"
    r"(?: details: output_token_ids: (?P<details>\[.*?\]|None)"
    r"|: output: (?P<text>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
    r"(?:, output_token_ids: (?P<tokens>\[.*?\]|None))?, finish_reason)"
)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError) as error:
        raise BadLine(f"a value of a vLLM log cannot be read: {error}") from None


def _log_id(record: Any) -> str | None:
    """The id of a request or an answer. `custom_id` is none: batches count theirs from one."""
    if not isinstance(record, dict):
        return None
    for name in ("id", "request_id", "uid"):
        value = record.get(name)
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            return str(value)
    for name in ("response", "body"):
        if (found := _log_id(record.get(name))) is not None:
            return found
    return None


def _outputs(record: Any) -> Iterator[Output]:
    """The outputs in a record, at any depth. Their ids are set later."""
    if isinstance(record, list):
        yield Output("", tokens=_token_ids(record))
        return
    if not isinstance(record, dict):
        raise BadLine(f"{type(record).__name__} is no record")
    for name in ("tokens", "token_ids", "output_token_ids", "output_ids"):
        if isinstance(record.get(name), list):
            prompt = record.get("prompt_token_ids")
            yield Output(
                "",
                tokens=_token_ids(record[name]),
                prompt=_token_ids(prompt) if isinstance(prompt, list) else None,
            )
            return
    if isinstance(record.get("response"), dict):
        # A request with its answer, or a line of a batch's output.
        request = record.get("request")
        yield from _answer(record["response"], request if isinstance(request, dict) else record)
    elif isinstance(record.get("choices"), list) or isinstance(record.get("outputs"), list):
        yield from _answer(record, record)
    elif isinstance(messages := record.get("messages", record.get("conversations")), list):
        yield from _chat(messages)
    elif isinstance(record.get("body"), dict):
        yield from _outputs(record["body"])
    else:
        yield from _completion(record)


def _answer(answer: Mapping[str, Any], request: Mapping[str, Any]) -> Iterator[Output]:
    """The choices of an answer; `request` is what it answers, where the log has that."""
    if isinstance(answer.get("body"), dict):
        answer = answer["body"]
    if answer.get("error") is not None:
        return
    messages = request.get("messages")
    asked = messages if isinstance(messages, list) else []
    for message in asked:
        if _role(message) != "assistant" and (text := _text_of(message)):
            yield Output("", text=text, is_prompt=True)
    prompt = request.get("prompt")
    prompt_ids = answer.get("prompt_token_ids")
    choices = answer.get("choices", answer.get("outputs"))
    if not isinstance(choices, list):
        raise BadLine("an answer without choices")
    for choice in choices:
        if not isinstance(choice, dict):
            raise BadLine("a choice is not an object")
        if isinstance(ids := choice.get("token_ids"), list) and ids:
            before = _token_ids(prompt_ids) if isinstance(prompt_ids, list) else None
            yield Output("", tokens=_token_ids(ids), prompt=before)
        elif isinstance(message := choice.get("message"), dict):
            if (text := _text_of(message)) or message.get("tool_calls"):
                whole = [*asked, {"role": "assistant", **message}] if asked else None
                yield Output("", text=text or None, messages=whole)
        elif isinstance(written := choice.get("text"), str):
            if written:
                known = prompt if isinstance(prompt, str) else None
                yield Output("", text=written, prompt=known)
        else:
            raise BadLine("a choice has neither a message, nor a text, nor token ids")


def _chat(messages: list[Any]) -> Iterator[Output]:
    if not all(isinstance(message, dict) for message in messages):
        raise BadLine("a message is not an object")
    for place, message in enumerate(messages):
        text = _text_of(message)
        if _role(message) == "assistant":
            if text or message.get("tool_calls"):
                yield Output("", text=text or None, messages=messages[: place + 1])
        elif text:
            yield Output("", text=text, is_prompt=True)


def _completion(record: Mapping[str, Any]) -> Iterator[Output]:
    for name in ("completion", "output", "response", "generated_text", "text"):
        text = record.get(name)
        if isinstance(text, str):
            prompt = record.get("prompt", record.get("instruction"))
            if text:
                yield Output("", text=text, prompt=prompt if isinstance(prompt, str) else None)
            return
    members = ", ".join(sorted(map(str, record))[:8]) or "(none)"
    raise BadLine(f"no output among its members {members}")


def _role(message: Mapping[str, Any]) -> str:
    """OpenAI's roles, or those of chats that say "from" and "value"."""
    role = message.get("role", message.get("from"))
    return {"gpt": "assistant", "model": "assistant", "human": "user"}.get(str(role), str(role))


def _text_of(message: Mapping[str, Any]) -> str:
    content = message.get("content", message.get("value"))
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        # Parts: those that are text.
        return "".join(
            part["text"]
            for part in content
            if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
    raise BadLine("a message's content is neither text nor parts")


def _token_ids(values: Any) -> list[int]:
    if not isinstance(values, list) or not all(
        type(value) is int and 0 <= value < 2**31 - 1 for value in values
    ):
        raise BadLine("token ids are integers from 0 to 2147483646")
    return values
