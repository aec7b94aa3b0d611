"""Files of logs, compressed or not, or standard input; and how far each was read."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import hashlib
import importlib
import io
import json
import lzma
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

#: A longer line is no record of a request.
LINE_BYTES_MAX = 256 << 20
#: Bytes at a file's beginning by which it is known again.
HEAD_BYTES = 1 << 16

STANDARD_INPUT = "-"


class SourceError(RuntimeError):
    """A file cannot be read, or what was noted of it."""


class Source:
    """One input."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_standard_input = name == STANDARD_INPUT
        self.bytes_total: int | None = None
        if not self.is_standard_input:
            try:
                self.bytes_total = os.stat(name).st_size
            except OSError as error:
                raise SourceError(f"{name}: {error.strerror}") from None
        self._raw: IO[bytes] | None = None

    @property
    def bytes_read(self) -> int:
        """Bytes of the file as it lies that are read: of a compressed one, compressed bytes."""
        with contextlib.suppress(OSError, ValueError):
            return self._raw.tell() if self._raw is not None else 0
        return 0

    @property
    def key(self) -> str:
        return os.path.abspath(self.name)

    def head(self) -> str:
        """A hash of the file's beginning: a log that has grown is the same, one that was replaced
        is another. A short file is known by what it has, so it may be read again."""
        with open(self.name, "rb") as file:
            return hashlib.sha256(file.read(HEAD_BYTES)).hexdigest()[:32]

    def lines(self) -> Iterator[str]:
        """The lines, with their ends.

        Raises:
            SourceError: It cannot be read on.
        """
        try:
            with self._open() as file:
                while line := file.readline(LINE_BYTES_MAX + 1):
                    if len(line) > LINE_BYTES_MAX:
                        raise SourceError(
                            f"{self.name}: a line is longer than {LINE_BYTES_MAX} bytes"
                        )
                    yield line.decode("utf-8", errors="replace")
        except (OSError, EOFError, lzma.LZMAError) as error:
            raise SourceError(f"{self.name}: {error}") from None

    def text(self) -> str:
        return "".join(self.lines())

    @contextlib.contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        if self.is_standard_input:
            yield sys.stdin.buffer
            return
        with open(self.name, "rb") as raw:
            self._raw = raw
            try:
                with _decompressed(raw, Path(self.name).suffix) as file:
                    yield file
            finally:
                self._raw = None


@contextlib.contextmanager
def _decompressed(raw: IO[bytes], suffix: str) -> Iterator[IO[bytes]]:
    if suffix == ".gz":
        with gzip.open(raw) as file:
            yield io.BufferedReader(file)
    elif suffix == ".xz":
        with lzma.open(raw) as file:
            yield io.BufferedReader(file)
    elif suffix == ".zst":
        with _zstandard(raw) as file:
            yield file
    else:
        yield raw


def _zstandard(raw: IO[bytes]) -> Any:
    """Python has it from 3.14 on; before, the package zstandard does."""
    with contextlib.suppress(ImportError):
        return io.BufferedReader(importlib.import_module("compression.zstd").open(raw))
    try:
        zstandard = importlib.import_module("zstandard")
    except ImportError:
        raise SourceError(
            "reading .zst needs the package zstandard: pip install zstandard"
        ) from None
    return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(raw))


@dataclasses.dataclass(slots=True)
class _Noted:
    head: str
    lines: int


class Checkpoint:
    """How many lines of each file are inserted, in a small file that a later run begins from.

    It is written after the service has said so, so it may say too little, never too much; what is
    read twice is inserted once.
    """

    def __init__(self, path: str | None, corpus: str) -> None:
        self._path = path
        self._corpus = corpus
        self._files: dict[str, _Noted] = {}
        if path is None or not os.path.exists(path):
            return
        try:
            noted = json.loads(Path(path).read_text(encoding="utf-8"))
            if noted["corpus"] != corpus:
                raise SourceError(
                    f"{path} is about corpus {noted['corpus']}, not {corpus}; give another file"
                )
            self._files = {
                key: _Noted(str(file["head"]), int(file["lines"]))
                for key, file in noted["files"].items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SourceError(f"{path} is no checkpoint of this program: {error!r}") from None

    def lines_done(self, source: Source) -> int:
        """Lines that need not be read again."""
        if self._path is None or source.is_standard_input:
            return 0
        noted = self._files.get(source.key)
        return noted.lines if noted is not None and noted.head == source.head() else 0

    def note(self, source: Source, lines: int) -> None:
        """Everything up to this line is inserted."""
        if self._path is None or source.is_standard_input:
            return
        self._files[source.key] = _Noted(source.head(), lines)
        files = {key: dataclasses.asdict(noted) for key, noted in self._files.items()}
        text = json.dumps({"corpus": self._corpus, "files": files}, indent=1) + "\n"
        # Whole or not at all, however this ends.
        beside = f"{self._path}.new"
        try:
            Path(beside).write_text(text, encoding="utf-8")
            os.replace(beside, self._path)
        except OSError as error:
            raise SourceError(f"{self._path} cannot be written: {error.strerror}") from None
