"""Ingestion: real tokenizers (a tiny one, trained here), and a real service."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import random
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from service import Service

from reprise import Busy, Client, Disconnected
from reprise.ingest import load, progress
from reprise.ingest.command import main, parser
from reprise.ingest.formats import BadLine, Reader
from reprise.ingest.load import Counts, Loader, Plan, ServiceGone
from reprise.ingest.sources import Checkpoint, Source
from reprise.ingest.tokenizers import HuggingFaceTokenizer, MissingPackage
from reprise.ingest.tokenizers import load as load_tokenizer

tokenizers: Any = pytest.importorskip("tokenizers")


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with Service() as service:
        yield service


@pytest.fixture
def client(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv("REPRISE_SOCKET", service.socket)
    with Client(service.socket) as client:
        yield client
        for stats in client.corpora():
            client.drop_corpus(stats.corpus)


def trained(path: Path, text: str, vocabulary: int = 300) -> str:
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<|end|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text], trainer)
    tokenizer.save(str(path))
    return str(path)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return trained(tmp_path_factory.mktemp("tokenizer") / "tokenizer.json", "the answer is " * 50)


def chat(*texts: str, **members: Any) -> str:
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]
    return json.dumps({"messages": messages, **members})


def lines(path: Path, *texts: str) -> str:
    path.write_text("".join(text + "\n" for text in texts))
    return str(path)


# What a line says.

VLLM_NEW = "INFO 11-26 10:00:00 [request_logger.py:120] Generated response chatcmpl-9: "


@pytest.mark.parametrize(
    ("line", "outputs"),
    [
        (chat("q", "a", "q2", "a2", id="c1"), [("c1/0", "a"), ("c1/1", "a2")]),
        (chat("q", "a", id=7), [("7", "a")]),
        (chat("q"), []),
        (
            '{"id":"p","messages":[{"role":"assistant","content":[{"type":"text","text":"a"},'
            '{"type":"image"},{"type":"text","text":"b"}]}]}',
            [("p", "ab")],
        ),
        ('{"id":"s","conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}]}',
         [("s", "a")]),
        ('{"id":"x","prompt":"q","completion":"a"}', [("x", "a")]),
        ('{"id":"x","prompt":"q","response":"a"}', [("x", "a")]),
        ('{"id":"x","text":""}', []),
        ('{"id":"r","choices":[{"message":{"content":"a"}},{"message":{"content":"b"}}]}',
         [("r/0", "a"), ("r/1", "b")]),
        ('{"id":"r","choices":[{"text":"a"}]}', [("r", "a")]),
        (
            '{"id":"batch_1","custom_id":"n-1","response":{"status_code":200,"body":'
            '{"id":"chatcmpl-1","choices":[{"message":{"role":"assistant","content":"a"}}]}},'
            '"error":null}',
            [("batch_1", "a")],
        ),
        ('{"id":"b","response":{"status_code":500,"body":{"error":{"message":"no"}}}}', []),
        ('{"request":{"messages":[{"role":"user","content":"q"}]},'
         '"response":{"id":"z","choices":[{"message":{"content":"a"}}]}}', [("z", "a")]),
        ('{"id":"t","tokens":[1,2,3]}', [("t", [1, 2, 3])]),
        ('{"request_id":"o","prompt_token_ids":[9],"outputs":[{"token_ids":[1,2],"text":"x"}]}',
         [("o", [1, 2])]),
        (VLLM_NEW + r"output: 'it\'s \n one', finish_reason: stop",
         [("chatcmpl-9", "it's \n one")]),
        (VLLM_NEW + "output: \"it's\", output_token_ids: [4, 5], finish_reason: stop",
         [("chatcmpl-9", [4, 5])]),
        (VLLM_NEW + "output: 'a', output_token_ids: None, finish_reason: length",
         [("chatcmpl-9", "a")]),
        (VLLM_NEW.replace("9:", "9 (streaming delta):") + "output: 'a', finish_reason: None", []),
        (VLLM_NEW.replace("9:", "9 (streaming complete):") + "output: 'a', finish_reason: stop",
         [("chatcmpl-9", "a")]),
        ("INFO 11-26 10:00:00 [launcher.py:1] Started server process", []),
        ("", []),
    ],
)  # fmt: skip
def test_a_line_says_what_a_model_wrote(line: str, outputs: list[tuple[str, Any]]) -> None:
    found = [output for output in Reader().outputs(line, "f:1") if not output.is_prompt]
    assert [(one.id, one.text if one.tokens is None else one.tokens) for one in found] == outputs


def test_a_vllm_log_that_has_ids_and_text_on_two_lines_counts_once() -> None:
    reader = Reader("vllm")
    details = VLLM_NEW.replace("chatcmpl-9: ", "chatcmpl-9 details: output_token_ids: [4, 5]")
    assert [one.tokens for one in reader.outputs(details, "f:1")] == [[4, 5]]
    assert reader.outputs(VLLM_NEW + "output: 'a', finish_reason: stop", "f:2") == []


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{not json", "not JSON"),
        ('{"a":1,"b":2}', "no output among its members a, b"),
        ("3", "is no record"),
        ("[1,-2]", "token ids are integers"),
        ('{"tokens":[1,true]}', "token ids are integers"),
        ('{"messages":["hello"]}', "a message is not an object"),
        ('{"messages":[{"role":"assistant","content":5}]}', "neither text nor parts"),
        ('{"choices":[{}]}', "neither a message, nor a text"),
    ],
)
def test_a_bad_line_says_why(line: str, says: str) -> None:
    with pytest.raises(BadLine, match=says):
        Reader("json").outputs(line, "f:1")


def test_ids_depend_on_the_log_alone() -> None:
    line = chat("q", "a")
    (first,) = [one for one in Reader().outputs(line, "f:1") if not one.is_prompt]
    (again,) = [one for one in Reader().outputs(line + "\n", "g:2") if not one.is_prompt]
    assert first.id == again.id
    assert first.id.startswith("line-")
    (placed,) = [one for one in Reader(ids="position").outputs(line, "f:1") if not one.is_prompt]
    assert placed.id == "f:1"
    (hashed,) = Reader(ids="content").outputs('{"id":"mine","text":"a"}', "f:1")
    assert hashed.id.startswith("line-")
    (long,) = Reader().outputs(json.dumps({"id": "x" * 300, "text": "a"}), "f:1")
    assert len(long.id.encode()) <= 200


# Tokenizers.


def test_the_same_tokenizer_has_the_same_fingerprint_wherever_it_lies(
    tokenizer: str, tmp_path: Path
) -> None:
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    (copy / "tokenizer.json").write_bytes(Path(tokenizer).read_bytes())
    other = trained(tmp_path / "other.json", "something else entirely " * 50)
    first = load_tokenizer(tokenizer).fingerprint
    assert load_tokenizer(str(copy)).fingerprint == first
    assert load_tokenizer(f"hf:{copy}").fingerprint == first
    assert load_tokenizer(other).fingerprint != first
    assert first.startswith("sha256:")
    assert len(first) < 64


def test_a_tokenizer_of_the_same_vocabulary_that_cuts_otherwise_is_another(
    tokenizer: str, tmp_path: Path
) -> None:
    changed = tokenizers.Tokenizer.from_file(tokenizer)
    changed.normalizer = tokenizers.normalizers.Lowercase()
    changed.save(str(tmp_path / "changed.json"))
    other = load_tokenizer(str(tmp_path / "changed.json"))
    assert other.fingerprint != load_tokenizer(tokenizer).fingerprint


def test_a_file_that_says_to_cut_and_pad_does_neither(tokenizer: str, tmp_path: Path) -> None:
    changed = tokenizers.Tokenizer.from_file(tokenizer)
    changed.enable_truncation(4)
    changed.enable_padding(length=8)
    changed.save(str(tmp_path / "changed.json"))
    text = "the answer is the answer is the answer is forty-two"
    loaded = load_tokenizer(str(tmp_path / "changed.json"))
    assert loaded.encode([text]) == load_tokenizer(tokenizer).encode([text])


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for package, name in (("tiktoken", "tiktoken:o200k_base"), ("tokenizers", "some/model")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MissingPackage, match=f"pip install {package}"):
            load_tokenizer(name)


def test_a_tokenizer_that_is_not_there_is_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    assert main(["--tokenizer", str(tmp_path), "--print-fingerprint"]) == 2
    assert "cannot be loaded" in capsys.readouterr().err


def test_tiktoken_makes_the_tokens_that_it_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    tiktoken: Any = pytest.importorskip("tiktoken")
    # Real encodings are downloaded; this one is made here.
    ranks = {bytes([number]): number for number in range(256)} | {b"the": 256}
    encoding = tiktoken.Encoding(
        "tiny", pat_str=r"\S+|\s+", mergeable_ranks=ranks, special_tokens={"<end>": 257}
    )
    monkeypatch.setattr(tiktoken, "list_encoding_names", lambda: ["tiny"])
    monkeypatch.setattr(tiktoken, "get_encoding", lambda name: encoding)
    loaded = load_tokenizer("tiktoken:tiny")
    assert loaded.encode(["ab", "<end>"]) == [[97, 98], list(b"<end>")]
    assert loaded.token("<end>") == 257
    assert loaded.fingerprint.startswith("sha256:")
    with pytest.raises(ValueError, match="no token"):
        loaded.token("<none>")
    with pytest.raises(ValueError, match="no chat templates"):
        loaded.template([])


# The command.


def test_chats_become_a_corpus_and_twice_changes_nothing(
    client: Client, tokenizer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = lines(
        tmp_path / "log.jsonl",
        chat("what is it?", "the answer is forty-two"),
        chat("again?", "the answer is forty-two"),
        chat("and?", "the answer is six", "why?", "the answer is the answer"),
    )
    arguments = ["--corpus", "chat", "--create", "--tokenizer", tokenizer, log]
    assert main(arguments) == 0
    assert "4 outputs" in capsys.readouterr().err
    stats = client.corpus_stats("chat")
    assert stats.sequences == 4
    loaded = load_tokenizer(tokenizer)
    assert stats.tokenizer == loaded.fingerprint
    (draft,) = client.speculate("chat", loaded.encode(["the answer is forty"]), deadline=2)
    (expected,) = loaded.encode(["the answer is forty-two"])
    assert draft.tokens == expected[-len(draft.tokens) :]
    assert draft.counts[0] == 2
    assert main(arguments) == 0
    assert "0 inserted, 4 there already" in capsys.readouterr().err
    assert client.corpus_stats("chat").sequences == 4


def test_prompts_are_inserted_when_asked_for(
    client: Client, tokenizer: str, tmp_path: Path
) -> None:
    log = lines(
        tmp_path / "log.jsonl",
        chat("what is it?", "the answer"),
        '{"id":"c","prompt":"the ","completion":"answer is"}',
    )
    base = ["--create", "--tokenizer", tokenizer, log]
    assert main([*base, "--corpus", "without"]) == 0
    assert main([*base, "--corpus", "with", "--include-prompt"]) == 0
    encode = load_tokenizer(tokenizer).encode
    outputs = sum(map(len, encode(["the answer", "answer is"])))
    prompts = sum(map(len, encode(["what is it?", "the "])))
    stats = client.corpus_stats("without")
    # The end of the one prompt that is a text stands before what completes it.
    assert stats.lead_in_tokens == len(encode(["the "])[0])
    assert stats.tokens == outputs + stats.lead_in_tokens
    assert client.corpus_stats("with").tokens == outputs + prompts
    assert client.corpus_stats("with").lead_in_tokens == 0
    assert client.corpus_stats("with").sequences == 3


def test_an_end_token_is_added_to_outputs(client: Client, tokenizer: str, tmp_path: Path) -> None:
    log = lines(tmp_path / "log.jsonl", '{"text":"the answer"}')
    base = ["--corpus", "c", "--create", "--tokenizer", tokenizer, log]
    assert main([*base, "--end-token", "<|nothing|>"]) == 2
    assert main([*base, "--end-token", "<|end|>"]) == 0
    loaded = load_tokenizer(tokenizer)
    (draft,) = client.speculate("c", loaded.encode(["the answer"]), deadline=2)
    assert draft.tokens == [loaded.token("<|end|>")]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.xz"])
def test_files_are_read_as_they_lie(client: Client, tmp_path: Path, suffix: str) -> None:
    text = "".join(f'{{"id":"{n}","tokens":[1,2,{n}]}}\n' for n in range(1000))
    openers: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open}
    path = tmp_path / f"log{suffix}"
    with openers.get(path.suffix, open)(path, "wt") as file:
        file.write(text)
    assert main(["--corpus", "c", "--create", "--quiet", str(path)]) == 0
    assert client.corpus_stats("c").sequences == 1000


def test_standard_input_is_read(
    client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = b"[1,2,3]\n[4,5]\n"
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(data)))
    assert main(["--corpus", "c", "--create"]) == 0
    assert client.corpus_stats("c").tokens == 5


def test_texts_and_lines(client: Client, tokenizer: str, tmp_path: Path) -> None:
    log = lines(tmp_path / "a.txt", "the answer", "", "is the answer")
    base = ["--create", "--tokenizer", tokenizer, log]
    assert main([*base, "--corpus", "lines", "--format", "lines"]) == 0
    assert client.corpus_stats("lines").sequences == 2
    assert main([*base, "--corpus", "text", "--format", "text"]) == 0
    assert client.corpus_stats("text").sequences == 1


def test_texts_without_a_tokenizer_are_refused(
    client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = lines(tmp_path / "log.jsonl", chat("q", "a"))
    assert main(["--corpus", "c", "--create", log]) == 2
    assert "--tokenizer" in capsys.readouterr().err


def test_bad_lines_are_told_with_their_numbers_up_to_a_bound(
    client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = lines(tmp_path / "log.jsonl", "[1,2]", *["{bad"] * 30, "[3,4]")
    assert main(["--corpus", "c", "--create", log]) == 0
    said = capsys.readouterr().err
    assert f"{log}:2: not JSON" in said
    assert said.count("not JSON") == 20
    assert "30 bad lines" in said
    assert client.corpus_stats("c").tokens == 4
    assert main(["--corpus", "c", "--strict", log]) == 1
    assert f"{log}:2: not JSON" in capsys.readouterr().err


def test_a_log_without_any_output_is_an_error(
    client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = lines(tmp_path / "log.txt", "some text", "more text")
    assert main(["--corpus", "c", "--create", log]) == 1
    assert "is --format right?" in capsys.readouterr().err


def test_a_corpus_of_another_tokenizer_is_refused(
    client: Client, tokenizer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = trained(tmp_path / "other.json", "something else entirely " * 50)
    log = lines(tmp_path / "log.jsonl", '{"text":"the answer"}')
    assert main(["--corpus", "c", "--create", "--tokenizer", other, log]) == 0
    assert main(["--corpus", "c", "--create", "--tokenizer", tokenizer, log]) == 3
    assert "must not be mixed" in capsys.readouterr().err
    client.create_corpus("unnamed")
    arguments = ["--corpus", "unnamed", "--tokenizer", tokenizer, log]
    assert main(arguments) == 3
    assert "--any-tokenizer" in capsys.readouterr().err
    assert main([*arguments, "--any-tokenizer"]) == 0
    assert main(["--corpus", "nowhere", "--tokenizer", tokenizer, log]) == 3
    assert "--create makes it" in capsys.readouterr().err


def test_an_id_that_stands_for_other_tokens_is_left_out_alone(
    client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = lines(tmp_path / "a.jsonl", '{"id":"1","tokens":[1,2]}')
    second = lines(tmp_path / "b.jsonl", '{"id":"1","tokens":[8,9]}', '{"id":"2","tokens":[3,4,5]}')
    assert main(["--corpus", "c", "--create", first, second]) == 0
    assert "1 ids that stand for other tokens" in capsys.readouterr().err
    assert client.corpus_stats("c").tokens == 5


def test_a_dry_run_inserts_nothing(
    client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = lines(tmp_path / "log.jsonl", "[1,2]", "[3]")
    assert main(["--corpus", "c", "--dry-run", log]) == 0
    assert "2 outputs of 3 tokens" in capsys.readouterr().err
    assert client.corpora() == []


def test_a_load_that_is_cut_off_goes_on_where_it_was(
    client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = random.Random(3)
    texts = [json.dumps([source.randrange(9000) for _ in range(100)]) for _ in range(3000)]
    log = lines(tmp_path / "log.jsonl", *texts)
    arguments = ["--corpus", "c", "--create", "--resume", str(tmp_path / "done"), log]
    loader_insert = Client.insert
    calls = 0

    def insert(self: Client, *given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return loader_insert(self, *given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "insert", insert)
        assert main(arguments) == 130
    first = client.corpus_stats("c").sequences
    assert 0 < first < 3000
    capsys.readouterr()
    assert main(arguments) == 0
    said = capsys.readouterr().err
    assert f"{first:,} lines done before" in said
    assert client.corpus_stats("c").sequences == 3000
    # A log that grew is read on from there; one that was replaced, from its beginning.
    with open(log, "a") as file:
        file.write("[7,7,7]\n")
    assert main(arguments) == 0
    assert "3,000 lines done before" in capsys.readouterr().err
    lines(tmp_path / "log.jsonl", "[6,6]")
    assert main(arguments) == 0
    assert "done before" not in capsys.readouterr().err
    assert client.corpus_stats("c").sequences == 3002


def test_a_checkpoint_is_this_corpuss(
    client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = lines(tmp_path / "log.jsonl", "[1,2]")
    done = str(tmp_path / "done")
    assert main(["--corpus", "a", "--create", "--resume", done, log]) == 0
    assert main(["--corpus", "b", "--create", "--resume", done, log]) == 2
    assert "is about corpus a" in capsys.readouterr().err
    Path(done).write_text("{")
    assert main(["--corpus", "a", "--resume", done, log]) == 2
    assert "no checkpoint" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_said(
    client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client.create_corpus("c")
    assert main(["--corpus", "c", str(tmp_path / "none.jsonl")]) == 2
    (tmp_path / "broken.gz").write_bytes(b"\x1f\x8b\x08nothing")
    assert main(["--corpus", "c", str(tmp_path / "broken.gz")]) == 2
    assert "broken.gz" in capsys.readouterr().err


def test_no_service_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REPRISE_SOCKET", str(tmp_path / "nowhere.sock"))
    log = lines(tmp_path / "log.jsonl", "[1,2]")
    assert main(["--corpus", "c", log]) == 3
    assert "there is no service" in capsys.readouterr().err


# Back-pressure, with a client that is a fake.


class FakeClient:
    """Answers each insert with what it is told to."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.sent: list[list[str | None]] = []
        self.prompts: list[list[int]] = []

    def insert(self, corpus: str, batch: Any, tokenizer: str | None) -> Any:
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        self.sent.append([one.id for one in batch])
        self.prompts += [list(one.prompt) for one in batch]
        return types.SimpleNamespace(inserted=len(batch), duplicates=0)


def loader(client: FakeClient, slept: list[float], **plan: Any) -> Loader:
    return Loader(
        client,  # type: ignore[arg-type]
        Plan("c", None, **plan),
        None,
        reader=Reader(),
        checkpoint=Checkpoint(None, "c"),
        say=lambda text: None,
        sleep=slept.append,
    )


def test_a_busy_service_is_asked_again_when_it_says(tmp_path: Path) -> None:
    slept: list[float] = []
    busy = Busy("later", data={"retry_after_ms": 250})
    client = FakeClient(busy, busy, Disconnected("gone"), None)
    loading = loader(client, slept)
    loading.load(Source(lines(tmp_path / "log.jsonl", "[1,2]")))
    assert slept[:2] == [0.25, 0.25]
    assert len(slept) == 3
    assert loading.counts.inserted == 1


def test_a_service_that_stays_away_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "PATIENCE_SECONDS", -1.0)
    with pytest.raises(ServiceGone, match="gone"):
        loader(FakeClient(Disconnected("gone")), []).load(
            Source(lines(tmp_path / "log.jsonl", "[1,2]"))
        )


def test_a_long_text_is_cut_where_the_service_takes_no_more(tmp_path: Path) -> None:
    client = FakeClient()
    log = lines(tmp_path / "log.jsonl", json.dumps({"id": "x", "tokens": list(range(25))}))
    loader(client, [], sequence_tokens_max=10).load(Source(log))
    assert client.sent == [["x/part-0", "x/part-1", "x/part-2"]]
    assert client.prompts == [[], list(range(10)), list(range(20))]


def test_batches_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "BATCH_TOKENS", 10)
    client = FakeClient()
    log = lines(tmp_path / "log.jsonl", *[f"[{n},2,3,4]" for n in range(9)])
    loader(client, []).load(Source(log))
    assert [len(sent) for sent in client.sent] == [2, 2, 2, 2, 1]


# What is shown.


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_terminals_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN", 0.0)
    source = Source(lines(tmp_path / "log.jsonl", *["[1,2]+"] * 1000))
    terminal, pipe = FakeTerminal(), io.StringIO()
    for stream in (terminal, pipe):
        shown = progress.Progress([source], stream)
        counts = Counts(outputs=1000, tokens=20_000)
        source._raw = io.BytesIO()
        source._raw.write(b"x" * 3500)
        shown.show(source, counts)
        shown.say("a line between")
    assert "50%  1,000 outputs, 20,000 tokens" in terminal.getvalue()
    assert "to go" in terminal.getvalue()
    assert pipe.getvalue() == "a line between\n"


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["--help"])
    said = capsys.readouterr().out
    assert "python -m reprise.ingest --corpus chat --create" in said
    assert "exit codes:" in said


def test_a_chat_template_writes_what_the_model_wrote(tokenizer: str) -> None:
    """The template is a fake. The test holds the part of its text that becomes tokens."""

    class FakeTemplates:
        chat_template = "there is one"

        def apply_chat_template(
            self, messages: list[Any], *, tokenize: bool, add_generation_prompt: bool
        ) -> str:
            text = "".join(f"<{one['role']}>{one['content']}<|end|>" for one in messages)
            return text + ("<assistant>" if add_generation_prompt else "")

    loaded = HuggingFaceTokenizer(tokenizer)
    loaded.__dict__["_rich"] = FakeTemplates()
    rendered = loaded.template(json.loads(chat("what?", "the answer"))["messages"])
    assert rendered is not None
    prompt, tokens = rendered
    assert prompt == loaded.encode(["<user>what?<|end|><assistant>"])[0]
    assert tokens == [*loaded.encode(["the answer"])[0], loaded.token("<|end|>")]
