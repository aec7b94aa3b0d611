"""The private parts of transformers that assisted generation uses; the table tells which.

No class or object of transformers is changed: the decoding is called with a stand-in for the model.
"""

from __future__ import annotations

import sys
from typing import Any

from .patches import Patch

#: transformers' own loop of assisted decoding.
DECODING = Patch(
    module="transformers.generation.utils",
    member="GenerationMixin._assisted_decoding",
    change="nothing: it is called with a stand-in for the model",
    releases="5.23.0 (run), 5.24.0 (run)",
    lost="everything: `generate` raises an AttributeError",
)
#: The method by which that loop asks the model for the source of its drafts.
CANDIDATES = Patch(
    module="transformers.generation.utils",
    member="GenerationMixin._get_candidate_generator",
    change="the stand-in's, which returns the generator that asks Reprise",
    releases="5.23.0 (run), 5.24.0 (run)",
    lost="drafts of Reprise: those of prompt lookup are verified",
)
#: The number of ranks among which a model is sharded.
WORLD_SIZE = Patch(
    module="transformers.generation.utils",
    member="_get_torch_distributed_world_size",
    change="nothing: it is asked, with two checks for sharded models, whether ranks must keep step",
    releases="5.23.0, 5.24.0",
    lost="`synced_gpus` is not found out; the caller must give it",
)
PATCHES = (DECODING, CANDIDATES, WORLD_SIZE)


def assisted_decoding(model: Any, generator: Any, input_ids: Any, **arguments: Any) -> Any:
    """Runs transformers' assisted decoding of a model with another candidate generator."""
    decode = getattr(type(model), DECODING.name)
    return decode(_WithCandidates(model, generator), input_ids, **arguments)


def must_be_synced(model: Any) -> bool:
    """True if all ranks must make as many passes as the one with the longest output, as `generate`
    finds it out (FSDP, and ZeRO's third stage)."""
    utils: Any = sys.modules.get(WORLD_SIZE.module)
    try:
        is_sharded = utils.is_deepspeed_zero3_enabled() or utils.is_fsdp_managed_module(model)
        return bool(is_sharded and getattr(utils, WORLD_SIZE.name)() > 1)
    except AttributeError:
        # Another release, which finds it out otherwise; `synced_gpus` tells it.
        return False


class _WithCandidates:
    """A stand-in for a model that differs in the source of its drafts. The model itself is not
    changed, so it may generate for others meanwhile."""

    def __init__(self, model: Any, generator: Any) -> None:
        self._model = model
        self._generator = generator

    def _get_candidate_generator(self, *_: Any, **__: Any) -> Any:
        return self._generator

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._model(*arguments, **named)
