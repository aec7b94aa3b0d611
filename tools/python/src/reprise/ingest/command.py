"""The command line of `python -m reprise.ingest`."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence

from ..core.errors import RepriseError
from ..transports.client import Client
from .formats import FORMATS, Reader
from .load import Loader, Plan, ServiceGone, StrictError, check_corpus
from .progress import Progress
from .sources import STANDARD_INPUT, Checkpoint, Source, SourceError
from .tokenizers import MissingPackage, Tokenizer, load

EXIT_DONE = 0
EXIT_BAD_INPUT = 1
EXIT_USAGE = 2
EXIT_SERVICE = 3
EXIT_INTERRUPTED = 130

DESCRIPTION = """\
Inserts what models wrote, from logs, into a corpus. It may be run again over the same logs: each
output has an id that depends on the log alone, and inserting an id twice changes nothing.
"""

EXAMPLES = """\
formats:
{formats}

tokenizers:
  Qwen/Qwen3-8B, a folder, a tokenizer.json   Hugging Face  (pip install tokenizers)
  tiktoken:o200k_base, tiktoken:gpt-4o        tiktoken      (pip install tiktoken)
  mistral:tekken.json, mistral:NAME           Mistral       (pip install mistral-common)

examples:
  # Chats of last week, into a corpus that is made for them.
  python -m reprise.ingest --corpus chat --create --tokenizer Qwen/Qwen3-8B logs/*.jsonl.gz

  # As the model's chat template writes them: with tool calls, and with what ends a chat turn.
  python -m reprise.ingest --corpus chat --tokenizer Qwen/Qwen3-8B --chat-template logs/*.jsonl

  # A server's own log, which may have the token ids.
  python -m reprise.ingest --corpus chat --tokenizer Qwen/Qwen3-8B --format vllm server.log

  # What is tokenised already, from a pipe.
  zcat rollouts.jsonl.gz | jq -c .response_ids | python -m reprise.ingest --corpus rl --create

  # A long load that may be cut off, and goes on where it was.
  python -m reprise.ingest --corpus chat --tokenizer Qwen/Qwen3-8B --resume chat.done logs/*.xz

exit codes:
  0  done; bad lines were passed over and counted
  1  a line was bad and --strict was given, or there was no output at all
  2  wrong arguments, a package that is missing, a file that cannot be read
  3  the service is not there, or refused, or the corpus holds another tokenizer's tokens
"""


def parser() -> argparse.ArgumentParser:
    formats = "\n".join(f"  {name:6} {what}" for name, what in FORMATS.items())
    parser = argparse.ArgumentParser(
        prog="python -m reprise.ingest",
        description=DESCRIPTION,
        epilog=EXAMPLES.format(formats=formats),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "files", nargs="*", metavar="FILE", help="logs, also .gz, .xz and .zst; - or none for stdin"
    )
    add("--corpus", help="the corpus they go to")
    add("--create", action="store_true", help="make it, for this tokenizer, if it isn't there")
    add("--tokenizer", metavar="NAME", help="see below; not needed for token ids")
    add("--any-tokenizer", action="store_true", help="insert into a corpus that names no tokenizer")
    add("--format", choices=list(FORMATS), default="auto", help="see below (auto)")
    add(
        "--ids",
        choices=["auto", "content", "position"],
        default="auto",
        help="auto: the log's ids, else a hash of the line; content: the hash, so that equal lines "
        "count once; position: file and line, so that they count each time (auto)",
    )
    add("--include-prompt", action="store_true", help="also insert what was written to the model")
    add("--chat-template", action="store_true", help="chats as the model's template writes them")
    add("--end-token", metavar="TOKEN", help="add this token to each output, such as <|im_end|>")
    add(
        "--resume", metavar="PATH", help="note there how far each file is inserted, and go on there"
    )
    add("--strict", action="store_true", help="stop at the first line that cannot be read")
    add("--dry-run", action="store_true", help="read and tokenise, and insert nothing")
    add("--print-fingerprint", action="store_true", help="print the tokenizer's, and nothing else")
    add("--socket", metavar="ADDRESS", help="the service: a path or host:port (REPRISE_SOCKET)")
    add("--quiet", action="store_true", help="say only what goes wrong")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command. Returns its exit code."""
    commands = parser()
    options = commands.parse_args(arguments)
    try:
        return _run(commands, options)
    except (MissingPackage, SourceError, ValueError) as error:
        return _fail(str(error), EXIT_USAGE)
    except StrictError as error:
        return _fail(str(error), EXIT_BAD_INPUT)
    except (RepriseError, ServiceGone) as error:
        return _fail(str(error), EXIT_SERVICE)
    except KeyboardInterrupt:
        return _fail("interrupted; run it again to go on", EXIT_INTERRUPTED)


def _fail(text: str, code: int) -> int:
    print(f"reprise.ingest: {text}", file=sys.stderr)
    return code


def _run(commands: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    tokenizer = load(options.tokenizer) if options.tokenizer else None
    fingerprint = tokenizer.fingerprint if tokenizer is not None else None
    if options.print_fingerprint:
        if fingerprint is None:
            commands.error("--print-fingerprint needs --tokenizer")
        print(fingerprint)
        return EXIT_DONE
    if not options.corpus:
        commands.error("--corpus is needed")
    plan = Plan(
        corpus=options.corpus,
        fingerprint=None if options.any_tokenizer else fingerprint,
        include_prompt=options.include_prompt,
        end_token=_end_token(tokenizer, options.end_token),
        chat_template=options.chat_template,
        strict=options.strict,
    )
    if plan.chat_template and tokenizer is None:
        commands.error("--chat-template needs --tokenizer")
    if options.dry_run:
        return _load(None, plan, tokenizer, options)
    with Client(options.socket) as client:
        wrong = check_corpus(client, plan.corpus, plan.fingerprint, create=options.create)
        if wrong is not None:
            return _fail(wrong, EXIT_SERVICE)
        most = client.server_info().limits["sequence_tokens"]
        plan = dataclasses.replace(plan, sequence_tokens_max=most)
        return _load(client, plan, tokenizer, options)


def _end_token(tokenizer: Tokenizer | None, text: str | None) -> int | None:
    if text is None:
        return None
    if tokenizer is None:
        raise ValueError("--end-token needs --tokenizer")
    return tokenizer.token(text)


def _load(
    client: Client | None,
    plan: Plan,
    tokenizer: Tokenizer | None,
    options: argparse.Namespace,
) -> int:
    sources = [Source(name) for name in options.files or [STANDARD_INPUT]]
    progress = Progress(sources)
    loader = Loader(
        client,
        plan,
        tokenizer,
        reader=Reader(options.format, options.ids),
        checkpoint=Checkpoint(None if options.dry_run else options.resume, plan.corpus),
        say=progress.say,
        on_progress=lambda source: progress.show(source, loader.counts),
    )
    begin = time.monotonic()
    try:
        for source in sources:
            loader.load(source, is_one_text=options.format == "text")
            progress.finish(source)
    finally:
        progress.clear()
        if not options.quiet:
            print(_summary(loader, time.monotonic() - begin), file=sys.stderr)
    counts = loader.counts
    if counts.outputs == 0 and counts.lines > 0:
        return _fail("there was no output in any line; is --format right?", EXIT_BAD_INPUT)
    return EXIT_DONE


def _summary(loader: Loader, seconds: float) -> str:
    counts = loader.counts
    text = f"{counts.outputs:,} outputs of {counts.tokens:,} tokens in {counts.lines:,} lines"
    text += f", {counts.inserted:,} inserted, {counts.duplicates:,} there already"
    for number, what in (
        (counts.lines_skipped, "lines done before"),
        (counts.lines_bad, "bad lines"),
        (counts.conflicts, "ids that stand for other tokens"),
        (counts.unrenderable, "outputs that the chat template cannot write"),
    ):
        if number:
            text += f", {number:,} {what}"
    return f"{text}; {seconds:.1f} s"
