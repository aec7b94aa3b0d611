"""Reprise in Hugging Face transformers: assisted generation with drafts from the shared history.

    history = AssistedGeneration("qwen3-coder")
    output = history.generate(model, **tokenizer(text, return_tensors="pt"), max_new_tokens=512)

`generate` takes a decoding method of the caller's own (`custom_generate`). This one is
transformers' assisted decoding, with a candidate generator that asks Reprise; the model verifies
each draft in one forward pass. Greedy output is what it is without drafts, sampled output has the
same distribution. Assisted decoding takes one sequence at a time.

transformers drops some arguments of `generate` where the decoding method is the caller's own: the
streamer, `synced_gpus`, and the tokenizer that stop strings need. `AssistedGeneration.generate`
brings these to the decoding itself, and refuses what cannot come there.

Neither torch nor transformers is imported before a model calls.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import time
from typing import TYPE_CHECKING, Any

from ..core.drafts import EMPTY_DRAFT, Draft
from ..core.options import DraftOptions
from ..transports.client import Client, Session
from .notices import Notices, show_lines
from .settings import EngineSettings
from .transformers_patches import assisted_decoding, must_be_synced

if TYPE_CHECKING:
    import os

    from ..transports.address import Address

#: Arguments of transformers' `generate` that do not go with drafts of Reprise, and why.
REFUSED = {
    "assistant_model": "drafts come from Reprise, not from a model",
    "assistant_tokenizer": "drafts come from Reprise, not from a model",
    "custom_generate": "Reprise is the decoding method",
    "token_healing": "transformers has no tokenizer for it where the decoding method is given",
}


class AssistedGeneration:
    """A decoding method for `model.generate(..., custom_generate=…)`. One may serve any number of
    models of one tokenizer, and of threads. A copy, or what is unpickled, has connections of its
    own."""

    def __init__(
        self,
        corpus: str,
        client: Client | str | os.PathLike[str] | Address | None = None,
        *,
        options: DraftOptions | None = None,
        settings: EngineSettings | None = None,
    ) -> None:
        """
        Args:
            corpus: The history of the models' tokenizer. It is made where it isn't there.
            client: A client, or a service's address; `REPRISE_SOCKET` where it is not given.
            options: What drafts are wanted.

        Raises:
            ValueError: `corpus` is no corpus's name, or there is no address.
        """
        show_lines()
        if not isinstance(client, Client):
            client = Client(client, engine="transformers")
        self.client = client
        self.corpus = corpus
        self.settings = settings or EngineSettings.from_environment()
        self.options = self.settings.drafting(options or DraftOptions())
        self.client.ensure_corpus(corpus)
        self.notices = Notices(self.client, corpus)

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(
            AssistedGeneration,
            self.corpus,
            self.client,
            options=self.options,
            settings=self.settings,
        ), ()

    def generate(self, model: Any, *inputs: Any, **arguments: Any) -> Any:
        """`model.generate` with drafts: the same arguments, the same answer.

        Raises:
            ValueError: An argument does not go with drafts, or stop strings come without a
                tokenizer.
        """
        arguments = {**_named(model.generate, inputs), **arguments}
        for name, reason in REFUSED.items():
            if _given(model, arguments, name):
                raise ValueError(f"{name} cannot be used with Reprise: {reason}; leave it out")
        # With this, `generate` prepares for assisted decoding: the kind of cache, what is refused.
        arguments.setdefault("prompt_lookup_num_tokens", max(self.options.max_tokens, 1))
        _bring_stop_strings(model, arguments)
        # `generate` passes neither to a decoding method that is given.
        streamer = arguments.pop("streamer", None)
        synced = arguments.pop("synced_gpus", None)
        bound: dict[str, Any] = {}
        if streamer is not None:
            bound["streamer"] = streamer
        if synced or (synced is None and must_be_synced(model)):
            bound["synced_gpus"] = True
        method = functools.partial(self._decode, bound=bound) if bound else self
        return model.generate(custom_generate=method, **arguments)

    def __call__(self, model: Any, input_ids: Any, **arguments: Any) -> Any:
        """The decoding method that `generate` calls."""
        return self._decode(model, input_ids, bound={}, **arguments)

    def _decode(
        self, model: Any, input_ids: Any, *, bound: dict[str, Any], **arguments: Any
    ) -> Any:
        if "streamer" in bound:
            # `generate` gives the prompt to a streamer that it knows of.
            bound["streamer"].put(input_ids.cpu())
        generator = HistoryCandidates(
            self,
            input_ids,
            max_length=arguments["generation_config"].max_length,
            vocabulary=model.config.get_text_config().vocab_size,
        )
        output: Any = None
        try:
            output = assisted_decoding(model, generator, input_ids, **{**arguments, **bound})
        finally:
            generator.close(getattr(output, "sequences", output))
        return output


def _named(generate: Any, inputs: tuple[Any, ...]) -> dict[str, Any]:
    """The arguments that were given by place, with their names.

    Raises:
        TypeError: There are more than `generate` takes by place.
    """
    if not inputs:
        return {}
    names = [
        parameter.name
        for parameter in inspect.signature(generate).parameters.values()
        if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]
    if len(inputs) > len(names):
        raise TypeError(f"generate takes {len(names)} arguments by place, {len(inputs)} were given")
    return dict(zip(names, inputs, strict=False))


def _given(model: Any, arguments: dict[str, Any], name: str) -> Any:
    """An argument of `generate`, or of its configuration where it is not given."""
    if arguments.get(name) is not None:
        return arguments[name]
    configured = getattr(arguments.get("generation_config"), name, None)
    if configured is not None:
        return configured
    return getattr(getattr(model, "generation_config", None), name, None)


def _bring_stop_strings(model: Any, arguments: dict[str, Any]) -> None:
    """Replaces stop strings and their tokenizer by the criterion that `generate` would make."""
    tokenizer = arguments.pop("tokenizer", None)
    strings = _given(model, arguments, "stop_strings")
    if strings is None:
        return
    if tokenizer is None:
        raise ValueError("stop_strings needs the model's tokenizer; give it as tokenizer=")
    transformers: Any = importlib.import_module("transformers")
    criterion = transformers.StopStringCriteria(tokenizer=tokenizer, stop_strings=strings)
    given = arguments.get("stopping_criteria") or ()
    arguments["stopping_criteria"] = transformers.StoppingCriteriaList([*given, criterion])
    # It overrides what is configured.
    arguments["stop_strings"] = None


class HistoryCandidates:
    """A candidate generator, as transformers' assisted decoding asks it."""

    #: It looks at the tokens alone.
    requires_model_outputs = False

    def __init__(
        self, history: AssistedGeneration, input_ids: Any, *, max_length: int, vocabulary: int
    ) -> None:
        self._history = history
        self._max_length = max_length
        self._vocabulary = vocabulary
        self._known = int(input_ids.shape[1])
        self._session: Session | None = None
        try:
            prompt = self._checked(input_ids[0].tolist())
            self._session = history.client.open_session(
                history.corpus,
                prompt,
                share=history.settings.share,
                vocabulary=vocabulary,
                deadline=history.settings.open_deadline,
            )
        except (ValueError, TypeError) as error:
            self._spoil(error)

    def get_candidates(self, input_ids: Any, **_: Any) -> tuple[Any, None]:
        """The input followed by a draft. Without logits the model's own choice decides."""
        # A token of the model's own follows the draft.
        room = self._max_length - int(input_ids.shape[1]) - 1
        options = self._history.options
        if room < options.max_tokens:
            options = dataclasses.replace(options, max_tokens=max(room, 0))
        tokens = self._draft(input_ids, options).within(self._vocabulary).tokens
        if not tokens:
            return input_ids, None
        torch: Any = importlib.import_module("torch")
        return torch.cat([input_ids, input_ids.new_tensor([tokens])], dim=1), None

    def _draft(self, input_ids: Any, options: DraftOptions) -> Draft:
        if self._session is None:
            self._history.client.counters.unrecorded_rows += 1
            return EMPTY_DRAFT
        try:
            tokens = self._new(input_ids)
            deadline = self._history.settings.deadline
            draft = self._session.step(tokens, options, deadline=deadline)
        except (ValueError, TypeError) as error:
            self._spoil(error)
            return EMPTY_DRAFT
        self._history.notices.look(time.monotonic())
        return draft

    def update_candidate_strategy(self, input_ids: Any, scores: Any, num_matches: int) -> None:
        """The accepted tokens are in the next step's input."""

    def close(self, sequences: Any | None) -> None:
        """Has the output recorded; `sequences` holds all of it, or is None after an error."""
        if self._session is None:
            return
        try:
            accept = [] if sequences is None else self._new(sequences)
            self._session.close(accept, record=sequences is not None)
        except (ValueError, TypeError) as error:
            self._spoil(error)

    def _new(self, input_ids: Any) -> list[int]:
        tokens = self._checked(input_ids[0, self._known :].tolist())
        self._known += len(tokens)
        return tokens

    def _checked(self, tokens: list[int]) -> list[int]:
        if tokens and not (min(tokens) >= 0 and max(tokens) < self._vocabulary):
            raise ValueError(f"a token id is not in 0…{self._vocabulary - 1}")
        return tokens

    def _spoil(self, error: Exception) -> None:
        """Has the request be neither drafted nor recorded."""
        session, self._session = self._session, None
        self._history.client.counters.unrecorded_rows += 1
        self._history.notices.once(
            "unrecorded", "reprise: an output has no drafts and is not recorded: %s", error
        )
        if session is not None:
            session.close(record=False)
