"""A walk through Reprise from Python: run it whole, or cell by cell in an editor.

    python tools/python/examples/walkthrough.py

It starts a service of its own over an empty store, which ends with it.
"""

# %% A service, and a client
from __future__ import annotations

import contextlib
import random
import time

from local_service import local_service

from reprise import Client, Draft, DraftOptions, Output, Step

resources = contextlib.ExitStack()
socket = resources.enter_context(local_service())
# An example on a busy machine is to show drafts, not deadlines: 2 ms is what a worker would wait.
client = resources.enter_context(Client(socket, deadline=0.5))
info = client.server_info()
print(f"{info.name} {info.version} at {socket}")

# %% Work that repeats itself, as that of agents does
# Each word is a token. A real tokenizer's ids do as well; the history is of integers.
words: list[str] = []
numbers: dict[str, int] = {}


def tokens(text: str) -> list[int]:
    for word in text.split():
        if word not in numbers:
            numbers[word] = len(words)
            words.append(word)
    return [numbers[word] for word in text.split()]


def text(ids: list[int]) -> str:
    return " ".join(words[number] for number in ids)


source = random.Random(1)
TABLES = ("orders", "users", "events", "invoices")
FILTERS = ("created_at > now() - 7", "state = 'open'", "amount > 100", "country = 'NZ'")


def question() -> tuple[str, str]:
    table, condition = source.choice(TABLES), source.choice(FILTERS)
    answer = (
        f"SELECT count ( * ) AS total FROM {table} WHERE {condition} "
        f"GROUP BY {table}.region ORDER BY total DESC LIMIT {source.choice((5, 10))} ;"
    )
    return f"how many {table} where {condition} by region ?", answer


# %% History from the past
client.create_corpus("sql", tokenizer="words-1")
past = [Output(tokens(question()[1]), id=f"log-{n}") for n in range(200)]
print(client.insert("sql", past, tokenizer="words-1"))
# Ids make that repeatable: the same again changes nothing.
print(client.insert("sql", past, tokenizer="words-1"))

# %% What comes next
(draft,) = client.speculate("sql", [tokens("SELECT count ( * ) AS")])
print(f"matched {draft.match_length} tokens, drafts: {text(draft.tokens)}")

# %% The same as a tree, with probabilities and counts
(draft,) = client.speculate(
    "sql",
    [tokens("AS total FROM")],
    DraftOptions(max_tokens=14, max_factor=8, min_probability=0.05, tree=True),
)


def show(draft: Draft, parent: int = -1, depth: int = 0) -> None:
    for place, token in enumerate(draft.tokens):
        if draft.parents[place] == parent:
            line = "  " * depth + words[token]
            print(f"  {line:32} {draft.probs[place]:5.2f} {draft.counts[place]:5} times")
            show(draft, place, depth + 1)


show(draft)


# %% A worker's loop
# `model` writes the answer; what agrees with it of a draft is accepted, and a token of its own.
def accepted(draft: Draft, rest: list[int]) -> list[int]:
    agreed = 0
    while agreed < min(len(draft.tokens), len(rest) - 1) and draft.tokens[agreed] == rest[agreed]:
        agreed += 1
    return rest[: agreed + 1]


prompt, answer = question()
rest = tokens(answer)
passes = 0
with client.open_session("sql", tokens(prompt)) as session:
    draft = session.step()
    while rest:
        took = accepted(draft, rest)
        rest = rest[len(took) :]
        passes += 1
        print(f"  pass {passes}: {text(took)}")
        draft = session.step(took)
print(f"{len(tokens(answer))} tokens in {passes} passes")

# %% Many requests in one line
requests = [question() for _ in range(32)]
sessions = [client.open_session("sql", tokens(prompt)) for prompt, _ in requests]
rests = [tokens(answer) for _, answer in requests]
total, passes = sum(map(len, rests)), 0
drafts = client.step([Step(session.name) for session in sessions])
micros: list[float] = []
while any(rests):
    took_by = [accepted(d, rest) if rest else [] for d, rest in zip(drafts, rests, strict=True)]
    rests = [rest[len(took) :] for rest, took in zip(rests, took_by, strict=True)]
    passes += 1
    begin = time.perf_counter()
    drafts = client.step(
        [Step(session.name, took) for session, took in zip(sessions, took_by, strict=True)]
    )
    micros.append((time.perf_counter() - begin) * 1e6)
for session in sessions:
    session.close()
client.flush()
print(f"32 requests of {total} tokens together: {passes} passes of the model")
print(f"a step of all 32 took {sorted(micros)[len(micros) // 2]:.0f} µs (median)")

# %% What is kept
stats = client.corpus_stats("sql")
print(f"{stats.sequences} sequences of {stats.tokens} tokens, {stats.bytes_on_disk} bytes on disk")

# %% What is not there is an empty draft, never an exception
gone = Client("/nowhere/reprise.sock")
print(gone.open_session("sql", [1, 2, 3]).step([4]))
print({name: count for name, count in gone.counters.as_dict().items() if count})
gone.close(0)

# %% The end
resources.close()
