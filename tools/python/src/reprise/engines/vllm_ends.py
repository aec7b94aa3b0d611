"""The end of an output in vLLM, as its scheduler decides it."""

from __future__ import annotations

import functools
import importlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

from .notices import log
from .rows import UNKNOWN_END, OutputEnd

VLLM_TOKENIZERS = "vllm.tokenizers"


def output_end(parameters: Any, tokenizer: Tokenizer) -> OutputEnd:
    """Where an output with these `SamplingParams` ends, as vLLM's scheduler decides it."""
    if parameters is None:
        return UNKNOWN_END
    ids = set(parameters.stop_token_ids or ())
    if hasattr(parameters, "eos_token_id"):
        if parameters.eos_token_id is not None:
            ids.add(parameters.eos_token_id)
    elif not parameters.ignore_eos:
        # Older releases have the model's own end among these alone.
        ids.update(getattr(parameters, "all_stop_token_ids", ()))
    strings = getattr(parameters, "stop", None) or ()
    if isinstance(strings, str):
        strings = (strings,)
    if strings:
        tokenizer.load()
    return OutputEnd(
        max_tokens=parameters.max_tokens,
        ids=frozenset(ids),
        excess=functools.partial(tokenizer.excess, tuple(strings)) if strings else None,
    )


class Tokenizer:
    """vLLM's tokenizer of the model, for outputs that a stop string ends: the runner does not learn
    where. It is loaded on a thread when the first such request is seen."""

    def __init__(self, model_config: Any) -> None:
        self._model_config = model_config
        self._decode: Callable[[Sequence[int]], str] | None = None
        self._thread: threading.Thread | None = None

    def excess(self, strings: Sequence[str], output: Sequence[int]) -> int | None:
        """The number of an output's last tokens that stand past the one with which the first stop
        string is complete. None while the tokenizer is not loaded."""
        if self._decode is None:
            self.load()
            return None
        tokens = list(output)

        def is_over(count: int) -> bool:
            assert self._decode is not None
            text = self._decode(tokens[:count])
            return any(string in text for string in strings)

        if not is_over(len(tokens)):
            return 0
        low, high = 0, len(tokens)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if is_over(middle) else (middle, high)
        return len(tokens) - high

    def load(self) -> None:
        """Loads it in the background, once."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._load, name="reprise-tokenizer", daemon=True
            )
            self._thread.start()

    def _load(self) -> None:
        try:
            module = importlib.import_module(VLLM_TOKENIZERS)
            self._decode = module.cached_tokenizer_from_config(self._model_config).decode
        except Exception as error:
            log.warning(
                "reprise: outputs that a stop string ends are recorded without their last pass: "
                "vLLM's tokenizer cannot be loaded (%r)",
                error,
            )


def model_end_ids(model_config: Any) -> frozenset[int]:
    """Tokens that end an output as the model is configured; requests may differ."""
    ids = getattr(getattr(model_config, "hf_config", None), "eos_token_id", None)
    if ids is None:
        return frozenset()
    return frozenset([ids] if isinstance(ids, int) else ids)
