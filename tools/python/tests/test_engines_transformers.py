"""Assisted generation in transformers.

What needs torch and transformers runs a tiny model with random weights on the CPU, and is not part
of a run without them. The rest uses fakes that are named so.
"""

from __future__ import annotations

import importlib.util
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_support import eventually
from service import Service

from reprise import Client, DraftOptions
from reprise.engines.settings import EngineSettings
from reprise.engines.transformers import AssistedGeneration, HistoryCandidates

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
    assert history.client.corpus_stats(history.corpus).tokens == 200


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
    assert history.client.corpus_stats(history.corpus).tokens == written


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
    assert history.client.corpus_stats(history.corpus).tokens == 0


def test_a_draft_leaves_room_for_the_models_own_token(history: AssistedGeneration) -> None:
    wanted: list[int] = []

    class FakeSession:
        def step(self, accept: Any, options: DraftOptions, *, deadline: float) -> Any:
            wanted.append(options.max_tokens)
            return types.SimpleNamespace(tokens=[])

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
