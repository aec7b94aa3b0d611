"""Tokenizers, by the name that an operator gives: Hugging Face, tiktoken, Mistral.

Token ids of different tokenizers must not be mixed in a corpus, so a corpus names its tokenizer.
A path or a hub's name says too little, and differs between machines; what is used is a fingerprint
of what the tokenizer does: its vocabulary, and how it cuts a text that is hard to cut.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..core._constants import LEAD_IN
from .formats import Messages

#: Characters at the end of a prompt that are made tokens, for its last ones.
LEAD_IN_CHARACTERS = 64 * LEAD_IN.maximum
#: A text that tokenizers of one vocabulary cut differently if they cut anything differently.
PROBE = (
    "The  quick\tbrown fox's 12345.678e-9 jumped!?\r\n\n"
    "    if x_1 == 0x7f: return 'naïve café' # 東京 Ωμέγα 🦊👩‍🚀 "
    "don't WON'T camelCase SCREAMING_SNAKE ﬁ e\u0301 \u200b\u00a0end"
)


class MissingPackage(RuntimeError):
    """A package that a tokenizer needs is not installed; the message says which."""


class Tokenizer(Protocol):
    """Text to ids, without special tokens but those that the text is asked to end with."""

    @property
    def fingerprint(self) -> str:
        """The same for all tokenizers that do the same, wherever they were loaded from."""

    def encode(self, texts: Sequence[str]) -> list[list[int]]: ...

    def token(self, text: str) -> int:
        """The id of one token, such as the one that ends a chat turn.

        Raises:
            ValueError: There is no such token.
        """

    def template(self, messages: Messages) -> tuple[list[int], list[int]] | None:
        """The last tokens before the last message of a chat in the chat template, and those that it
        adds: its text, its tool calls, its end. None if the template rewrites earlier messages.

        Raises:
            ValueError: There is no template.
        """


def load(name: str) -> Tokenizer:
    """Loads `Qwen/Qwen3-8B`, a folder or a `tokenizer.json`, `tiktoken:o200k_base`, or
    `mistral:tekken.json`.

    Raises:
        MissingPackage: See there.
        ValueError: There is no such tokenizer.
    """
    kind, colon, rest = name.partition(":")
    try:
        if colon and kind == "tiktoken":
            return TiktokenTokenizer(rest)
        if colon and kind == "mistral":
            return MistralTokenizer(rest)
        return HuggingFaceTokenizer(rest if colon and kind == "hf" else name)
    except MissingPackage:
        raise
    except Exception as error:
        # Each of the packages has errors of its own for this.
        raise ValueError(f"tokenizer {name!r} cannot be loaded: {error}") from error


def _fingerprint(vocabulary: Iterable[tuple[str, int]], probe: Sequence[int]) -> str:
    digest = hashlib.sha256()
    for token, number in sorted(vocabulary):
        digest.update(json.dumps([token, number]).encode())
    digest.update(json.dumps(list(probe)).encode())
    return f"sha256:{digest.hexdigest()[:32]}"


def _module(name: str, package: str | None = None) -> Any:
    """Imports what only some tokenizers need."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = package or name
        raise MissingPackage(
            f"this needs the package {package}: pip install {package} ({error})"
        ) from None


class HuggingFaceTokenizer:
    """`tokenizers` reads a `tokenizer.json`; `transformers` all else, and chat templates."""

    def __init__(self, name: str) -> None:
        self._name = name
        tokenizers = _module("tokenizers")
        path = Path(name)
        if path.is_dir():
            path /= "tokenizer.json"
        self._fast: Any = None
        if path.is_file():
            self._fast = tokenizers.Tokenizer.from_file(str(path))
        elif not Path(name).exists():
            self._fast = self._from_hub(name)
        if self._fast is None:
            self._fast = self._rich.backend_tokenizer
        # Nothing of a long text is to be left out, nor anything added to a short one.
        self._fast.no_truncation()
        self._fast.no_padding()

    @staticmethod
    def _from_hub(name: str) -> Any:
        """None where the hub has it in another form."""
        try:
            return _module("tokenizers").Tokenizer.from_pretrained(name)
        except Exception:
            return None

    @functools.cached_property
    def _rich(self) -> Any:
        transformers = _module("transformers")
        path = Path(self._name)
        name = str(path.parent) if path.is_file() else self._name
        return transformers.AutoTokenizer.from_pretrained(name)

    @functools.cached_property
    def fingerprint(self) -> str:
        vocabulary: Mapping[str, int] = self._fast.get_vocab(with_added_tokens=True)
        return _fingerprint(vocabulary.items(), self.encode([PROBE])[0])

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        encoded = self._fast.encode_batch(list(texts), add_special_tokens=False)
        return [one.ids for one in encoded]

    def token(self, text: str) -> int:
        number = self._fast.token_to_id(text)
        if number is None:
            raise ValueError(f"the tokenizer has no token {text!r}")
        return int(number)

    def template(self, messages: Messages) -> tuple[list[int], list[int]] | None:
        if not getattr(self._rich, "chat_template", None):
            raise ValueError(f"tokenizer {self._name!r} has no chat template")
        before = self._render(messages[:-1], is_answered=True)
        whole = self._render(messages, is_answered=False)
        if not whole.startswith(before):
            return None
        # What the model writes is cut as a whole, as it was when it was written token by token
        # after the prompt.
        prompt, output = self.encode([before[-LEAD_IN_CHARACTERS:], whole[len(before) :]])
        return prompt, output

    def _render(self, messages: Messages, *, is_answered: bool) -> str:
        text = self._rich.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=is_answered
        )
        return str(text)


class TiktokenTokenizer:
    """An encoding (`o200k_base`), or a model's name."""

    def __init__(self, name: str) -> None:
        tiktoken = _module("tiktoken")
        if name in tiktoken.list_encoding_names():
            self._encoding: Any = tiktoken.get_encoding(name)
        else:
            self._encoding = tiktoken.encoding_for_model(name)

    @functools.cached_property
    def fingerprint(self) -> str:
        encoding = self._encoding
        vocabulary = [
            (token.hex(), encoding.encode_single_token(token))
            for token in encoding.token_byte_values()
        ]
        vocabulary += [
            (f"special {text}", encoding.encode_single_token(text))
            for text in encoding.special_tokens_set
        ]
        return _fingerprint(vocabulary, self.encode([PROBE])[0])

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        threads = os.cpu_count() or 1
        encoded = self._encoding.encode_ordinary_batch(list(texts), num_threads=threads)
        return list(encoded)

    def token(self, text: str) -> int:
        try:
            return int(self._encoding.encode_single_token(text))
        except KeyError:
            raise ValueError(f"the tokenizer has no token {text!r}") from None

    def template(self, messages: Messages) -> tuple[list[int], list[int]] | None:
        raise ValueError("tiktoken has no chat templates")


class MistralTokenizer:
    """A file (`tekken.json`, `tokenizer.model.v3`), or a model of Mistral's on the hub."""

    def __init__(self, name: str) -> None:
        mistral = _module("mistral_common.tokens.tokenizers.mistral", "mistral-common")
        loader = mistral.MistralTokenizer
        whole = loader.from_file(name) if Path(name).exists() else loader.from_hf_hub(name)
        self._tokenizer: Any = whole.instruct_tokenizer.tokenizer

    @functools.cached_property
    def fingerprint(self) -> str:
        vocabulary = enumerate(self._tokenizer.vocab())
        return _fingerprint(
            ((str(token), number) for number, token in vocabulary), self.encode([PROBE])[0]
        )

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [list(self._tokenizer.encode(text, bos=False, eos=False)) for text in texts]

    def token(self, text: str) -> int:
        if text in ("</s>", "eos"):
            return int(self._tokenizer.eos_id)
        try:
            return int(self._tokenizer.get_special_token(text))
        except (AttributeError, ValueError, KeyError):
            raise ValueError(f"the tokenizer has no token {text!r}") from None

    def template(self, messages: Messages) -> tuple[list[int], list[int]] | None:
        raise ValueError("chat templates are for Hugging Face tokenizers")
