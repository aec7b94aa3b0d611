"""Assisted generation in transformers.

What needs torch and transformers runs a tiny model with random weights on the CPU, and is not part
of a run without them. The rest uses fakes that are named so.
"""

from __future__ import annotations

import importlib.util
import inspect
import pickle
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_support import eventually
from service import Service

from reprise import Client, Draft, DraftOptions
from reprise.engines.settings import EngineSettings
from reprise.engines.transformers import REFUSED, AssistedGeneration, HistoryCandidates

SLOW = EngineSettings(deadline=2.0, open_deadline=2.0)
HAS_TRANSFORMERS = all(importlib.util.find_spec(name) for name in ("torch", "transformers"))
needs_transformers = pytest.mark.skipif(
    not HAS_TRANSFORMERS, reason="needs torch and transformers, which are not installed"
)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with Service() as service:
        yield service


@pytest.fixture
def history(service: Service, request: pytest.FixtureRequest) -> Iterator[AssistedGeneration]:
    corpus = request.node.name.replace("[", "-").replace("]", "")[:64]
    history = AssistedGeneration(corpus, service.socket, settings=SLOW)
    yield history
    history.client.close()


# With a model.


@pytest.fixture(scope="module")
def model() -> Any:
    torch: Any = importlib.import_module("torch")
    transformers: Any = importlib.import_module("transformers")
    torch.manual_seed(1)
    torch.set_num_threads(1)
    config = transformers.LlamaConfig(
        vocab_size=512,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    model = transformers.LlamaForCausalLM(config).eval()
    model.passes = 0

    def count(*_: Any) -> None:
        model.passes += 1

    model.register_forward_hook(count)
    return model


def prompt(length: int, seed: int = 3) -> dict[str, Any]:
    torch: Any = importlib.import_module("torch")
    ids = torch.randint(0, 512, (1, length), generator=torch.Generator().manual_seed(seed))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


@needs_transformers
@pytest.mark.parametrize("length", [1, 7, 40])
def test_greedy_output_is_the_same_and_takes_fewer_passes(
    model: Any, history: AssistedGeneration, length: int
) -> None:
    options: dict[str, Any] = {"max_new_tokens": 100, "do_sample": False}
    expected = model.generate(**prompt(length), **options)
    passes = []
    for _ in range(2):
        before = model.passes
        output = history.generate(model, **prompt(length), **options)
        passes.append(model.passes - before)
        assert output.tolist() == expected.tolist()
        assert history.client.flush()
    assert passes[1] < passes[0] <= 100
    assert passes[1] < 100 / 4
    # Every token is recorded, also those after the last draft, and each once.
    assert history.client.corpus_stats(history.corpus).output_tokens == 200


@needs_transformers
def test_an_answer_of_any_form_is_recorded_up_to_its_end(
    model: Any, history: AssistedGeneration
) -> None:
    options: dict[str, Any] = {"max_new_tokens": 60, "do_sample": False}
    plain = model.generate(**prompt(9), **options)
    end = int(plain[0, 9 + 20])
    options |= {"eos_token_id": end, "return_dict_in_generate": True, "output_scores": True}
    expected = model.generate(**prompt(9), **options)
    output = history.generate(model, **prompt(9), **options)
    assert output.sequences.tolist() == expected.sequences.tolist()
    assert len(output.scores) == len(expected.scores)
    assert history.client.flush()
    written = output.sequences.shape[1] - 9
    assert history.client.corpus_stats(history.corpus).output_tokens == written


@needs_transformers
def test_sampling_goes_on(model: Any, history: AssistedGeneration) -> None:
    torch: Any = importlib.import_module("torch")
    torch.manual_seed(4)
    output = history.generate(model, **prompt(9), max_new_tokens=50, do_sample=True)
    assert output.shape[1] == 9 + 50


@needs_transformers
def test_the_plain_argument_of_generate_does_too(model: Any, history: AssistedGeneration) -> None:
    options: dict[str, Any] = {"max_new_tokens": 30, "do_sample": False}
    expected = model.generate(**prompt(9), **options)
    output = model.generate(**prompt(9), **options, custom_generate=history)
    assert output.tolist() == expected.tolist()


@needs_transformers
def test_a_model_generates_the_same_without_a_service(model: Any, tmp_path: Path) -> None:
    history = AssistedGeneration("none", str(tmp_path / "nowhere.sock"))
    options: dict[str, Any] = {"max_new_tokens": 30, "do_sample": False}
    expected = model.generate(**prompt(9), **options)
    before = model.passes
    assert history.generate(model, **prompt(9), **options).tolist() == expected.tolist()
    assert model.passes - before == 30
    history.client.close(0)


@needs_transformers
def test_several_sequences_are_refused_as_assisted_decoding_does(
    model: Any, history: AssistedGeneration
) -> None:
    torch: Any = importlib.import_module("torch")
    ids = torch.ones((2, 4), dtype=torch.long)
    with pytest.raises(ValueError, match="batch_size"):
        history.generate(
            model, input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=4
        )


class Collected:
    """A streamer that keeps what it gets."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.puts = 0
        self.is_ended = False

    def put(self, value: Any) -> None:
        self.puts += 1
        self.tokens += value.reshape(-1).tolist()

    def end(self) -> None:
        self.is_ended = True


@needs_transformers
def test_a_streamer_gets_all_and_the_end(model: Any, history: AssistedGeneration) -> None:
    """It got the prompt, no output and no end: whoever read from it waited for ever."""
    plain, streamer = Collected(), Collected()
    options: dict[str, Any] = {"max_new_tokens": 30, "do_sample": False}
    model.generate(**prompt(9), **options, streamer=plain, prompt_lookup_num_tokens=5)
    output = history.generate(model, **prompt(9), **options, streamer=streamer)
    assert streamer.tokens == plain.tokens == output[0].tolist()
    assert streamer.is_ended
    assert streamer.puts > 2


def letter(token: int) -> str:
    """The text of a token. transformers looks for some plain letters."""
    return "abcdef"[token] if token < 6 else chr(0x4E00 + token)


@pytest.fixture
def tokenizer() -> Any:
    """One whose tokens are letters, among those of the model."""
    tokenizers: Any = pytest.importorskip("tokenizers")
    transformers: Any = importlib.import_module("transformers")
    letters = {letter(number): number for number in range(512)}
    made = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=letters, merges=[]))
    made.decoder = tokenizers.decoders.Fuse()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made)


@needs_transformers
@pytest.mark.parametrize("where", ["argument", "configuration", "model"])
def test_stop_strings_end_the_output(
    model: Any,
    history: AssistedGeneration,
    tokenizer: Any,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They were refused for want of a tokenizer, which had been given."""
    transformers: Any = importlib.import_module("transformers")
    options: dict[str, Any] = {"max_new_tokens": 60, "do_sample": False}
    plain = model.generate(**prompt(9), **options)
    stop = "".join(map(letter, plain[0, 9 + 20 : 9 + 22].tolist()))
    if where == "configuration":
        options = {"generation_config": transformers.GenerationConfig(**options, stop_strings=stop)}
    elif where == "argument":
        options["stop_strings"] = stop
    else:
        monkeypatch.setattr(model.generation_config, "stop_strings", [stop])
    expected = model.generate(**prompt(9), **options, tokenizer=tokenizer)
    assert expected.shape[1] < plain.shape[1]
    given: list[Any] = []

    def criterion(input_ids: Any, scores: Any, **_: Any) -> Any:
        given.append(input_ids)
        return input_ids.new_zeros(1, dtype=importlib.import_module("torch").bool)

    own = transformers.StoppingCriteriaList([criterion])
    output = history.generate(
        model, **prompt(9), **options, tokenizer=tokenizer, stopping_criteria=own
    )
    assert output[0, : expected.shape[1]].tolist() == expected[0].tolist()
    # A pass may go on behind the string; what is returned is what is recorded.
    assert output.shape[1] < plain.shape[1]
    assert given
    assert history.client.flush()
    assert history.client.corpus_stats(history.corpus).output_tokens == output.shape[1] - 9
    with pytest.raises(ValueError, match="needs the model's tokenizer"):
        history.generate(model, **prompt(9), **options)


# Parameters of transformers' `generate` by what becomes of them; those that are not here are new.
REACHING = {
    "inputs",
    "generation_config",
    "logits_processor",
    "stopping_criteria",
    "prefix_allowed_tokens_fn",
    "synced_gpus",
    "streamer",
    "negative_prompt_ids",
    "negative_prompt_attention_mask",
}


@needs_transformers
def test_each_named_parameter_of_generate_reaches_the_decoding_or_is_refused(
    model: Any, history: AssistedGeneration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers drops several where the decoding method is the caller's own."""
    torch: Any = importlib.import_module("torch")
    transformers: Any = importlib.import_module("transformers")
    named = [
        parameter.name
        for parameter in inspect.signature(type(model).generate).parameters.values()
        if parameter.name != "self" and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    assert set(named) == REACHING | (set(REFUSED) & set(named))
    for name in REFUSED:
        with pytest.raises(ValueError, match=f"{name} cannot be used"):
            history.generate(model, **prompt(5), max_new_tokens=5, **{name: object()})
    seen: dict[str, Any] = {}
    original = type(model)._assisted_decoding

    def decode(self: Any, input_ids: Any, **arguments: Any) -> Any:
        seen.update(arguments, input_ids=input_ids)
        # Nothing is synchronised here, where there is one process.
        return original(self, input_ids, **{**arguments, "synced_gpus": False})

    monkeypatch.setattr(type(model), "_assisted_decoding", decode)
    asked: list[str] = []
    streamer = Collected()

    def process(input_ids: Any, scores: Any) -> Any:
        asked.append("logits_processor")
        return scores

    def stop(input_ids: Any, scores: Any, **_: Any) -> Any:
        asked.append("stopping_criteria")
        return input_ids.new_zeros(1, dtype=torch.bool)

    def allow(batch: int, input_ids: Any) -> list[int]:
        asked.append("prefix_allowed_tokens_fn")
        return list(range(512))

    ids = prompt(5)["input_ids"]
    by_place = (
        ids,
        transformers.GenerationConfig(max_new_tokens=6, do_sample=False),
        transformers.LogitsProcessorList([process]),
        transformers.StoppingCriteriaList([stop]),
        allow,
        True,
    )
    for arguments in (
        dict(zip(named, by_place, strict=False)),
        {"": by_place},
    ):
        seen.clear()
        asked.clear()
        inputs = arguments.pop("", ())
        output = history.generate(model, *inputs, **arguments, streamer=streamer)
        assert output.shape[1] == 5 + 6
        assert set(asked) == {"logits_processor", "stopping_criteria", "prefix_allowed_tokens_fn"}
        assert seen["streamer"] is streamer
        assert seen["synced_gpus"] is True
        assert seen["input_ids"].tolist() == ids.tolist()
        assert seen["generation_config"].max_length == 11
    with pytest.raises(TypeError, match="by place"):
        history.generate(model, *[None] * 20)
    # What guidance is told by, which transformers makes a processor of logits.
    history.generate(
        model,
        ids,
        max_new_tokens=4,
        do_sample=False,
        guidance_scale=1.5,
        negative_prompt_ids=ids,
        negative_prompt_attention_mask=torch.ones_like(ids),
    )
    (guidance,) = (
        processor
        for processor in seen["logits_processor"]
        if isinstance(processor, transformers.UnbatchedClassifierFreeGuidanceLogitsProcessor)
    )
    assert guidance.unconditional_context["input_ids"] is not None


@needs_transformers
def test_a_prompt_with_an_id_beyond_the_vocabulary_has_no_drafts(
    model: Any, history: AssistedGeneration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model.config, "vocab_size", 100)
    before = model.passes
    output = history.generate(model, **prompt(9), max_new_tokens=10, do_sample=False)
    assert output.shape[1] == 19
    assert model.passes - before == 10
    assert history.client.flush()
    assert history.client.counters.opened_sessions == 0


# Without.


class FakeTensor:
    """One row of token ids, with what is used of a tensor."""

    def __init__(self, *tokens: int) -> None:
        self.tokens = list(tokens)
        self.shape = (1, len(tokens))

    def __getitem__(self, place: Any) -> Any:
        _, part = place if isinstance(place, tuple) else (0, slice(None))
        return types.SimpleNamespace(tolist=lambda: self.tokens[part])


def test_an_error_while_generating_leaves_nothing_in_the_history(
    history: AssistedGeneration,
) -> None:
    class FakeModel:
        config = types.SimpleNamespace(
            get_text_config=lambda: types.SimpleNamespace(vocab_size=100)
        )

        def _assisted_decoding(self, input_ids: Any, **_: Any) -> Any:
            generator = self._get_candidate_generator()  # type: ignore[attr-defined]
            generator.get_candidates(FakeTensor(1, 2, 3))
            raise RuntimeError("out of memory")

    config = types.SimpleNamespace(max_length=50)
    with pytest.raises(RuntimeError, match="out of memory"):
        history(FakeModel(), FakeTensor(1, 2), generation_config=config)
    eventually(history.client.flush)
    assert history.client.corpus_stats(history.corpus).output_tokens == 0


def test_a_draft_leaves_room_for_the_models_own_token(history: AssistedGeneration) -> None:
    wanted: list[int] = []

    class FakeSession:
        def step(self, accept: Any, options: DraftOptions, *, deadline: float) -> Any:
            wanted.append(options.max_tokens)
            return Draft()

    generator = HistoryCandidates(history, FakeTensor(1, 2, 3), max_length=10, vocabulary=100)
    assert generator._session is not None
    generator._session.close(record=False)
    generator._session = FakeSession()  # type: ignore[assignment]
    for length in (3, 8, 9, 10):
        generator.get_candidates(FakeTensor(*range(length)))
    assert wanted == [6, 1, 0, 0]


def test_one_history_serves_a_client_that_is_there_already(service: Service) -> None:
    with Client(service.socket) as client:
        history = AssistedGeneration("given", client)
        assert history.client is client


class RecordingModel:
    """A model whose `generate` has the parameters of transformers 5.23, and keeps what it gets."""

    config = types.SimpleNamespace(get_text_config=lambda: types.SimpleNamespace(vocab_size=100))

    def __init__(self) -> None:
        self.decoded: dict[str, Any] = {}

    def generate(
        self,
        inputs: Any = None,
        generation_config: Any = None,
        logits_processor: Any = None,
        stopping_criteria: Any = None,
        prefix_allowed_tokens_fn: Any = None,
        synced_gpus: Any = None,
        assistant_model: Any = None,
        streamer: Any = None,
        negative_prompt_ids: Any = None,
        negative_prompt_attention_mask: Any = None,
        custom_generate: Any = None,
        **kwargs: Any,
    ) -> Any:
        # As transformers does for a decoding method that is given.
        assert streamer is None
        assert synced_gpus is None
        assert "tokenizer" not in kwargs
        config = types.SimpleNamespace(max_length=9)
        return custom_generate(self, inputs, generation_config=config)

    def _assisted_decoding(self, input_ids: Any, **arguments: Any) -> Any:
        model: Any = self
        model._model.decoded = arguments
        return input_ids


def test_what_generate_does_not_pass_on_is_bound(history: AssistedGeneration) -> None:
    class Prompt(FakeTensor):
        def cpu(self) -> Any:
            return self

    model, streamer = RecordingModel(), types.SimpleNamespace(put=lambda value: put.append(value))
    put: list[Any] = []
    ids = Prompt(1, 2)
    history.generate(model, ids, streamer=streamer, synced_gpus=True)
    assert model.decoded["streamer"] is streamer
    assert model.decoded["synced_gpus"] is True
    assert put == [ids]
    history.generate(model, ids, tokenizer=object(), synced_gpus=False)
    assert model.decoded.keys() == {"generation_config"}
    for name in REFUSED:
        with pytest.raises(ValueError, match=f"{name} cannot be used"):
            history.generate(model, ids, **{name: object()})
    with pytest.raises(ValueError, match="needs the model's tokenizer"):
        history.generate(model, ids, stop_strings="end")


@pytest.mark.parametrize("bad", [-100, 100, 2**40])
def test_an_id_that_is_none_costs_an_output_its_drafts(
    history: AssistedGeneration, bad: int
) -> None:
    def candidates(*tokens: int) -> HistoryCandidates:
        return HistoryCandidates(history, FakeTensor(*tokens), max_length=50, vocabulary=100)

    in_prompt = candidates(1, bad, 2)
    assert in_prompt.get_candidates(FakeTensor(1, bad, 2, 3))[1] is None
    in_prompt.close(FakeTensor(1, bad, 2, 3, 4))
    later = candidates(1, 2)
    for text in ((1, 2, 3), (1, 2, 3, bad), (1, 2, 3, bad, 4)):
        assert later.get_candidates(FakeTensor(*text))[1] is None
    later.close(FakeTensor(1, 2, 3, bad, 4, 5))
    at_end = candidates(1, 2)
    at_end.get_candidates(FakeTensor(1, 2, 3))
    at_end.close(FakeTensor(1, 2, 3, bad))
    assert history.client.flush()
    stats = history.client.corpus_stats(history.corpus)
    assert (stats.tokens, stats.open_tokens) == (0, 0)


def test_a_history_may_be_copied_to_another_process(history: AssistedGeneration) -> None:
    other = pickle.loads(pickle.dumps(history))
    assert (other.corpus, other.options, other.settings) == (
        history.corpus,
        history.options,
        history.settings,
    )
    assert other.client.address == history.client.address
    other.client.close(0.0)


@pytest.mark.parametrize("corpus", ["a/b", ""])
def test_a_name_that_no_corpus_has_is_refused(service: Service, corpus: str) -> None:
    with pytest.raises(ValueError, match="no name of a corpus"):
        AssistedGeneration(corpus, service.socket)
