"""Outputs into a corpus: tokenised, and inserted in batches as fast as the service takes them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from ..core._constants import LEAD_IN, LIMITS
from ..core.calls import Output as Sequenced
from ..core.errors import (
    Busy,
    Conflict,
    DeadlineExceeded,
    Disconnected,
    RepriseError,
    Unavailable,
)
from ..transports.backoff import Backoff
from ..transports.client import Client
from .formats import BadLine, Output, Reader
from .sources import Checkpoint, Source
from .tokenizers import LEAD_IN_CHARACTERS, Tokenizer

#: The most that one call inserts, so that a call takes milliseconds and losing one costs little.
BATCH_TOKENS = 1 << 16
BATCH_SEQUENCES = 4096
#: Lines that are tokenised together, which tokenizers do on all cores.
LINES_TOGETHER = 256
#: Bad lines that are told one by one.
BAD_LINES_TOLD = 20
#: Seconds for which a service that does not answer is asked again.
PATIENCE_SECONDS = 60.0
RETRY_SECONDS_MAX = 2.0


class StrictError(RuntimeError):
    """A line was bad, and none may be."""


class ServiceGone(RuntimeError):
    """The service did not take a batch for all of `PATIENCE_SECONDS`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """The corpus to fill, and the way to fill it."""

    corpus: str
    fingerprint: str | None
    include_prompt: bool = False
    end_token: int | None = None
    chat_template: bool = False
    strict: bool = False
    sequence_tokens_max: int = LIMITS["sequence_tokens"]


@dataclasses.dataclass(slots=True)
class Counts:
    lines: int = 0
    lines_skipped: int = 0
    """Lines that a checkpoint says are inserted."""
    lines_bad: int = 0
    outputs: int = 0
    tokens: int = 0
    inserted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    """Outputs whose id stands for other tokens; they were left out."""
    unrenderable: int = 0
    """Outputs that the chat template cannot write, or writes differently each chat turn."""


class Loader:
    """Carries a plan out. `counts` says how far it came, also after an error."""

    def __init__(
        self,
        client: Client | None,
        plan: Plan,
        tokenizer: Tokenizer | None,
        *,
        reader: Reader,
        checkpoint: Checkpoint,
        say: Callable[[str], None],
        on_progress: Callable[[Source], None] = lambda source: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.counts = Counts()
        self._client = client
        self._plan = plan
        self._tokenizer = tokenizer
        self._reader = reader
        self._checkpoint = checkpoint
        self._say = say
        self._on_progress = on_progress
        self._sleep = sleep
        self._silent_since: float | None = None
        self._backoff = Backoff()
        self._batch: list[Sequenced] = []
        self._batch_tokens = 0

    def load(self, source: Source, *, is_one_text: bool = False) -> None:
        """Inserts what a file holds.

        Raises:
            StrictError, ServiceGone, SourceError, RepriseError
        """
        done = self._checkpoint.lines_done(source)
        self.counts.lines_skipped += done
        lines: Iterable[str] = [source.text()] if is_one_text else source.lines()
        together: list[Output] = []
        number = 0
        for number, line in enumerate(lines, 1):
            if number <= done:
                continue
            together += self._outputs(line, source, number)
            if number % LINES_TOGETHER == 0:
                self._add(together)
                together = []
                if self._batch_tokens >= BATCH_TOKENS:
                    self._insert()
                    self._checkpoint.note(source, number)
                self._on_progress(source)
        self._add(together)
        self._insert()
        if number > done:
            self._checkpoint.note(source, number)

    def _outputs(self, line: str, source: Source, number: int) -> list[Output]:
        self.counts.lines += 1
        try:
            outputs = self._reader.outputs(line, f"{source.name}:{number}")
        except BadLine as error:
            self.counts.lines_bad += 1
            if self._plan.strict:
                raise StrictError(f"{source.name}:{number}: {error}") from None
            if self.counts.lines_bad <= BAD_LINES_TOLD:
                self._say(f"{source.name}:{number}: {error}")
            elif self.counts.lines_bad == BAD_LINES_TOLD + 1:
                self._say("further bad lines are counted, not told")
            return []
        if self._plan.include_prompt:
            return outputs
        return [output for output in outputs if not output.is_prompt]

    # Tokens.

    def _add(self, outputs: Sequence[Output]) -> None:
        for output, (prompt, tokens) in zip(outputs, self._tokenise(outputs), strict=True):
            if not tokens:
                continue
            self.counts.outputs += not output.is_prompt
            self.counts.tokens += len(tokens)
            most = self._plan.sequence_tokens_max
            for begin in range(0, len(tokens), most):
                name = output.id if len(tokens) <= most else f"{output.id}/part-{begin // most}"
                before = tokens[:begin] or prompt
                self._batch.append(
                    Sequenced(tokens[begin : begin + most], name, before[-LEAD_IN.maximum :])
                )
                self._batch_tokens += min(most, len(tokens) - begin)

    def _tokenise(self, outputs: Sequence[Output]) -> Iterator[tuple[list[int], list[int]]]:
        """The tokens before each, and its own, none for what can't be made tokens."""
        parts: list[str | Sequence[int] | None] = []
        for output in outputs:
            prompt = output.prompt
            if isinstance(prompt, str) and not self._plan.include_prompt:
                prompt = prompt[-LEAD_IN_CHARACTERS:]
            parts.append(prompt)
            parts.append(output.text if output.tokens is None else output.tokens)
        texts = [part for part in parts if isinstance(part, str)]
        if texts and self._tokenizer is None:
            raise ValueError("the log holds texts, not token ids; --tokenizer says what cuts them")
        encoded = iter(self._tokenizer.encode(texts) if self._tokenizer is not None else [])
        ids = [next(encoded) if isinstance(part, str) else list(part or ()) for part in parts]
        for output, prompt, tokens in zip(outputs, ids[::2], ids[1::2], strict=True):
            if self._plan.chat_template and output.messages is not None:
                yield self._rendered(output)
                continue
            if self._plan.end_token is not None and not output.is_prompt and tokens:
                tokens = [*tokens, self._plan.end_token]
            yield ([], [*prompt, *tokens]) if self._plan.include_prompt else (prompt, tokens)

    def _rendered(self, output: Output) -> tuple[list[int], list[int]]:
        assert self._tokenizer is not None
        assert output.messages is not None
        try:
            rendered = self._tokenizer.template(output.messages)
        except Exception as error:
            # Templates are programs, with errors of their own for chats that they don't take.
            if self.counts.unrenderable == 0:
                self._say(f"{output.id}: the chat template fails: {error}")
            rendered = None
        if rendered is None:
            self.counts.unrenderable += 1
            return [], []
        return rendered

    # The service.

    def _insert(self) -> None:
        """Sends what is there, in as many calls as it takes."""
        batch, self._batch, self._batch_tokens = self._batch, [], 0
        for part in _parts(batch):
            self._insert_part(part)

    def _insert_part(self, batch: list[Sequenced]) -> None:
        while batch:
            batch = self._try(batch)

    def _try(self, batch: list[Sequenced]) -> list[Sequenced]:
        """One call. Returns what is still to be inserted."""
        if self._client is None:
            return []
        try:
            result = self._client.insert(self._plan.corpus, batch, tokenizer=self._plan.fingerprint)
        except Busy as error:
            # It is there, and says when to come again: that may be as often as it wants.
            self._silent_since = None
            self._sleep(float(error.data.get("retry_after_ms", 50)) / 1000)
            return batch
        except Conflict as error:
            # Nothing of the call was inserted. The others are, without it.
            self.counts.conflicts += 1
            if self.counts.conflicts <= BAD_LINES_TOLD:
                self._say(error.message)
            return [one for one in batch if one.id != error.data.get("id")]
        except (DeadlineExceeded, Disconnected, Unavailable) as error:
            # It may have been inserted. With its ids it can be sent again.
            self._wait_for_service(error)
            return batch
        self._silent_since = None
        self.counts.inserted += result.inserted
        self.counts.duplicates += result.duplicates
        return []

    def _wait_for_service(self, error: RepriseError) -> None:
        now = time.monotonic()
        if self._silent_since is None:
            self._silent_since, self._backoff = now, Backoff(last=RETRY_SECONDS_MAX)
        if now - self._silent_since > PATIENCE_SECONDS:
            raise ServiceGone(error.message) from error
        self._sleep(self._backoff.next())


def _parts(batch: list[Sequenced]) -> Iterator[list[Sequenced]]:
    """At most so many tokens and sequences each; one that is longer alone."""
    part: list[Sequenced] = []
    tokens = 0
    for one in batch:
        if part and (tokens + len(one.tokens) > BATCH_TOKENS or len(part) >= BATCH_SEQUENCES):
            yield part
            part, tokens = [], 0
        part.append(one)
        tokens += len(one.tokens)
    if part:
        yield part


def check_corpus(
    client: Client, corpus: str, fingerprint: str | None, *, create: bool
) -> str | None:
    """None where the corpus is there and holds tokens of this tokenizer, else what is wrong, as a
    sentence.

    Raises:
        RepriseError: It can't be looked at.
    """
    known = {stats.corpus: stats for stats in client.corpora()}
    stats = known.get(corpus)
    if stats is None:
        if not create:
            return f"there is no corpus {corpus}; --create makes it"
        client.create_corpus(corpus, tokenizer=fingerprint)
        return None
    if fingerprint is None or stats.tokenizer == fingerprint:
        return None
    if stats.tokenizer is None:
        return (
            f"corpus {corpus} does not say whose tokens it holds, so these cannot be checked; "
            "--any-tokenizer inserts them all the same"
        )
    return (
        f"corpus {corpus} holds tokens of the tokenizer {stats.tokenizer}, and this one is "
        f"{fingerprint}; token ids of different tokenizers must not be mixed; use another corpus"
    )
