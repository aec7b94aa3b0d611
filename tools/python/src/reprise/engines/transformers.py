"""Reprise in Hugging Face transformers: assisted generation with drafts from the shared history.

    history = AssistedGeneration("qwen3-coder")
    output = history.generate(model, **tokenizer(text, return_tensors="pt"), max_new_tokens=512)

`generate` takes a decoding method of the caller's own (`custom_generate`). This one is
transformers' assisted decoding, with a candidate generator that asks Reprise; the model verifies
each draft in one forward pass. Greedy output is what it is without drafts, sampled output has the
same distribution. Assisted decoding takes one sequence at a time.

Neither torch nor transformers is imported before a model calls.
"""

from __future__ import annotations

import dataclasses
import importlib
from typing import TYPE_CHECKING, Any

from ..client import Client, Session
from ..options import DraftOptions
from .batch import within_vocabulary
from .settings import EngineSettings

if TYPE_CHECKING:
    import os

    from ..address import Address


class AssistedGeneration:
    """A decoding method for `model.generate(..., custom_generate=…)`. One may serve any number of
    models of one tokenizer, and of threads."""

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
        """
        self.client = client if isinstance(client, Client) else Client(client)
        self.corpus = corpus
        self.options = options or DraftOptions()
        self.settings = settings or EngineSettings.from_environment()
        self.client.ensure_corpus(corpus)

    def generate(self, model: Any, *inputs: Any, **arguments: Any) -> Any:
        """`model.generate` with drafts: the same arguments, the same answer."""
        # With this, `generate` prepares for assisted decoding: the kind of cache, what is refused.
        arguments.setdefault("prompt_lookup_num_tokens", max(self.options.max_tokens, 1))
        return model.generate(*inputs, custom_generate=self, **arguments)

    def __call__(self, model: Any, input_ids: Any, **arguments: Any) -> Any:
        """What `generate` calls."""
        generator = HistoryCandidates(
            self,
            input_ids,
            max_length=arguments["generation_config"].max_length,
            vocabulary=model.config.get_text_config().vocab_size,
        )
        output: Any = None
        try:
            output = type(model)._assisted_decoding(
                _WithCandidates(model, generator), input_ids, **arguments
            )
        finally:
            generator.close(getattr(output, "sequences", output))
        return output


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
        self._session: Session = history.client.open_session(
            history.corpus,
            input_ids[0].tolist(),
            share=history.settings.share,
            deadline=history.settings.open_deadline,
        )

    def get_candidates(self, input_ids: Any, **_: Any) -> tuple[Any, None]:
        """The input followed by a draft. Without logits the model's own choice decides."""
        # A token of the model's own follows the draft.
        room = self._max_length - int(input_ids.shape[1]) - 1
        options = self._history.options
        if room < options.max_tokens:
            options = dataclasses.replace(options, max_tokens=max(room, 0))
        draft = self._session.step(
            self._new(input_ids), options, deadline=self._history.settings.deadline
        )
        tokens = within_vocabulary(draft, self._vocabulary).tokens
        if not tokens:
            return input_ids, None
        torch: Any = importlib.import_module("torch")
        return torch.cat([input_ids, input_ids.new_tensor([tokens])], dim=1), None

    def update_candidate_strategy(self, input_ids: Any, scores: Any, num_matches: int) -> None:
        """What was accepted is in the next step's input."""

    def close(self, sequences: Any | None) -> None:
        """Has the output recorded; `sequences` holds all of it, or is None after an error."""
        accept = [] if sequences is None else self._new(sequences)
        self._session.close(accept, record=sequences is not None)

    def _new(self, input_ids: Any) -> list[int]:
        tokens: list[int] = input_ids[0, self._known :].tolist()
        self._known += len(tokens)
        return tokens


class _WithCandidates:
    """The model, but for where its drafts come from. The model itself is not changed, so it may
    generate for others meanwhile."""

    def __init__(self, model: Any, generator: HistoryCandidates) -> None:
        self._model = model
        self._generator = generator

    def _get_candidate_generator(self, *_: Any, **__: Any) -> HistoryCandidates:
        return self._generator

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._model(*arguments, **named)
