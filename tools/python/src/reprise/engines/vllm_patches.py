"""The parts of vLLM that are replaced in its processes; the table tells why and since when.

Nothing here imports vLLM: the parts are looked up among the modules that vLLM has imported.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
import types
from collections.abc import Callable, Mapping
from importlib.machinery import ModuleSpec
from typing import Any

from .notices import log
from .patches import Patch

ARCTIC = "arctic_inference"

#: The package from which vLLM's suffix proposer takes its cache.
CACHE = Patch(
    module=f"{ARCTIC}.suffix_decoding",
    member="",
    change="a module whose `SuffixDecodingCache` is Reprise's, entered into `sys.modules`, so that "
    "vLLM finds the package",
    releases="0.20.2, 0.23.0, 0.32.0 (run), 0.33.0",
    lost="everything: vLLM asks for arctic-inference",
)
#: The proposer that asks its cache for one request after the other.
PROPOSE = Patch(
    module="vllm.v1.spec_decode.suffix_decoding",
    member="SuffixDecodingProposer.propose",
    change="a method that hands the whole batch over; it needs the arguments `input_batch` and "
    "`sampled_token_ids`",
    releases="0.20.2, 0.23.0, 0.32.0 (run), 0.33.0 (after 0.23.0 with `num_speculative_tokens`)",
    lost="one line a step: drafts go through `reprise.compat`, one call a request",
)
#: The method of the runner that takes finished requests out of its batch.
UPDATE_STATES = Patch(
    module="vllm.v1.worker.gpu_model_runner",
    member="GPUModelRunner._update_states",
    change="a wrapper that tells which requests have finished, and how long outputs may be",
    releases="0.20.2, 0.23.0, 0.32.0 (run), 0.33.0",
    lost="ends: a request ends after `REPRISE_IDLE_S` idle seconds, and is recorded without its "
    "newest pass",
)
PATCHES = (CACHE, PROPOSE, UPDATE_STATES)


def stand_in(cache: Callable[..., Any]) -> bool:
    """Stands in for arctic-inference. False where that package is installed and
    `REPRISE_OVERRIDE_ARCTIC` does not say to take its place.

    Args:
        cache: The function that vLLM calls under the name `SuffixDecodingCache`.
    """
    if getattr(sys.modules.get(CACHE.module), "is_reprise", False):
        return True
    is_installed = importlib.util.find_spec(ARCTIC) is not None
    if is_installed and os.environ.get("REPRISE_OVERRIDE_ARCTIC") != "1":
        return False
    if not is_installed:
        _add_module(ARCTIC, is_package=True)
    module = _add_module(CACHE.module)
    module.__dict__.update(is_reprise=True, SuffixDecodingCache=cache)
    return True


def _add_module(name: str, *, is_package: bool = False) -> types.ModuleType:
    module = types.ModuleType(name, "Stands in for arctic-inference; see reprise.engines.vllm.")
    # vLLM looks for the package by `find_spec`, which wants one.
    module.__spec__ = ModuleSpec(name, None, is_package=is_package)
    if is_package:
        module.__path__ = []
    sys.modules[name] = module
    return module


def join_calls(batch_cache: type[Any]) -> bool:
    """Has the suffix proposer hand over whole batches. False where its `propose` is not known.

    Args:
        batch_cache: The class of caches that take whole batches; others are asked as before.
    """

    def make(original: Callable[..., Any]) -> Callable[..., Any] | None:
        # The arguments' order and number have changed between releases, their names have not.
        signature = inspect.signature(original)
        if not {"input_batch", "sampled_token_ids"} <= signature.parameters.keys():
            return None

        def propose(self: Any, *args: Any, **kwargs: Any) -> Any:
            cache = self.suffix_cache
            if not isinstance(cache, batch_cache):
                return original(self, *args, **kwargs)
            given = signature.bind(self, *args, **kwargs).arguments
            return cache.propose(
                given["input_batch"],
                given["sampled_token_ids"],
                given.get("num_speculative_tokens", self.num_speculative_tokens),
            )

        return propose

    return PROPOSE.wrap(make)


def tell_ends(batch_cache: type[Any]) -> bool:
    """Has the model runner tell which requests have finished. False where that cannot be done.

    Args:
        batch_cache: The class of caches that are told.
    """

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def _update_states(self: Any, scheduler_output: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(self, scheduler_output, *args, **kwargs)
            cache = getattr(getattr(self, "drafter", None), "suffix_cache", None)
            if isinstance(cache, batch_cache):
                states: Mapping[str, Any] = getattr(self, "requests", {})
                cache.states = states
                cache.finish(scheduler_output.finished_req_ids)
            return result

        return _update_states

    return UPDATE_STATES.wrap(make)


class Hint:
    """Looks for arctic-inference after all others, finds nothing, and tells what is missing: vLLM
    ends with the advice to install that package."""

    def __init__(self) -> None:
        self._is_told = False

    @staticmethod
    def install() -> None:
        """Has it looked at, once in a process."""
        if not any(isinstance(finder, Hint) for finder in sys.meta_path):
            sys.meta_path.append(Hint())

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == ARCTIC and not self._is_told and not os.environ.get("REPRISE_SOCKET"):
            self._is_told = True
            log.warning(
                "reprise: Reprise is installed and could draft, but REPRISE_SOCKET is not set: set "
                "it to the service's socket (and name reprise in VLLM_PLUGINS, if that is set); "
                "arctic-inference is not needed then"
            )
