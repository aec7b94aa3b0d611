"""Settings of an engine's operator: environment variables, which reach every worker process."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..core._constants import CORPUS_NAME_CHARACTERS_MAX
from ..core.options import BatchBounds, known_policy
from .notices import log

if TYPE_CHECKING:
    from ..core.options import DraftOptions, Policy, Share, VerifyCost


@dataclasses.dataclass(frozen=True, slots=True)
class EngineSettings:
    """How an engine uses its history. A value that cannot be read is said once, and the default
    is taken: an engine must not stay down because of its drafter."""

    corpus: str | None = None
    """`REPRISE_CORPUS`; the model's name where it is not set."""
    share: Share = "live"
    """`REPRISE_SHARE`: when tokens join the history that all workers share."""
    deadline: float = 0.005
    """`REPRISE_DEADLINE_MS`: how long a step waits for its drafts."""
    open_deadline: float = 0.020
    """`REPRISE_OPEN_DEADLINE_MS`: how long a step waits for new requests' prompts to be indexed."""
    idle: float = 60.0
    """`REPRISE_IDLE_S`: a request that no step has held for so long is closed and recorded."""
    verify_cost: VerifyCost | None = None
    """`REPRISE_VERIFY_COST`: the time of one more drafted token as a fraction of a step, or a file
    with a JSON array of [tokens, time] of measured steps. As many tokens are drafted as are worth
    it, by the policy `estimate`; the engine's options decide where it is not set."""
    policy: Policy | None = None
    """`REPRISE_POLICY`: the drafting policy, suffixdecoding or estimate; that of the options where
    it is not set."""

    def drafting(self, options: DraftOptions) -> DraftOptions:
        """The options with which drafts are asked for."""
        # Costs need estimates: by the other policy, what followed once is certain.
        policy = self.policy if self.verify_cost is None else "estimate"
        return options if policy is None else dataclasses.replace(options, policy=policy)

    @staticmethod
    def from_environment(environment: Mapping[str, str] = os.environ) -> EngineSettings:
        defaults = EngineSettings()

        def seconds(name: str, unit: float, default: float) -> float:
            text = environment.get(name, "")
            if not text:
                return default
            try:
                value = float(text) * unit
            except ValueError:
                value = -1.0
            if not 0 <= value < math.inf:
                log.warning(
                    "reprise: %s is %r, expected a number; %g s is used", name, text, default
                )
                return default
            return value

        share: Share = defaults.share
        match environment.get("REPRISE_SHARE", ""):
            case "live" | "close" | "never" as known:
                share = known
            case "":
                pass
            case unknown:
                # What was to be kept apart must not be shared because of a misspelling.
                share = "never"
                log.warning(
                    "reprise: REPRISE_SHARE is %r, expected live, close or never; "
                    "nothing is shared",
                    unknown,
                )
        verify_cost: VerifyCost | None = None
        if text := environment.get("REPRISE_VERIFY_COST", ""):
            try:
                verify_cost = _verify_cost(text)
            except (OSError, ValueError, TypeError) as error:
                log.warning(
                    "reprise: REPRISE_VERIFY_COST is %r, expected a number from 0 to 1, or a file "
                    "with a JSON array of [tokens, time]; it is not used (%s)",
                    text,
                    error,
                )
        policy = known_policy(environment.get("REPRISE_POLICY", ""))
        if policy is None and (text := environment.get("REPRISE_POLICY", "")):
            log.warning(
                "reprise: REPRISE_POLICY is %r, expected suffixdecoding or estimate; it is ignored",
                text,
            )
        return EngineSettings(
            verify_cost=verify_cost,
            policy=policy,
            corpus=environment.get("REPRISE_CORPUS") or None,
            share=share,
            deadline=seconds("REPRISE_DEADLINE_MS", 1e-3, defaults.deadline),
            open_deadline=seconds("REPRISE_OPEN_DEADLINE_MS", 1e-3, defaults.open_deadline),
            idle=seconds("REPRISE_IDLE_S", 1.0, defaults.idle),
        )


def _verify_cost(text: str) -> VerifyCost:
    """The cost that is a number, or is in a file.

    Raises:
        OSError, ValueError, TypeError: It is neither, or out of its range.
    """
    try:
        cost: VerifyCost = float(text)
    except ValueError:
        points = json.loads(Path(text).read_text(encoding="utf-8"))
        cost = [(int(tokens), float(time)) for tokens, time in points]
    BatchBounds(verify_cost=cost)
    return cost


def corpus_name(model: str) -> str:
    """A corpus's name for a model: `Qwen/Qwen3-8B` becomes `Qwen-Qwen3-8B`.

    A name that is too long ends in a hash, so that two models never share one by its being cut.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", model).lstrip(".-") or "model"
    if len(name) > CORPUS_NAME_CHARACTERS_MAX:
        digest = hashlib.sha256(model.encode()).hexdigest()[:8]
        name = f"{name[: CORPUS_NAME_CHARACTERS_MAX - 9]}-{digest}"
    return name
