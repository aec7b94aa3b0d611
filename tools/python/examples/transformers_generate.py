"""Greedy generation with and without drafts: the same tokens, in fewer passes of the model.

    pip install 'tools/python[fast]' torch transformers
    python tools/python/examples/transformers_generate.py [MODEL]

Without MODEL it uses a tiny model with random weights, which needs no download and no GPU. Such a
model soon repeats itself, so what is saved says nothing about a real one; that the tokens are the
same does.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import torch
from local_service import local_service
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from reprise.engines.transformers import AssistedGeneration


def tiny_model() -> Any:
    torch.manual_seed(1)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=512,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=2048,
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=None,
        )
    ).eval()


class Passes:
    """Counts a model's forward passes."""

    def __init__(self, model: Any) -> None:
        self.count = 0
        model.register_forward_hook(self._hook)

    def _hook(self, *_: Any) -> None:
        self.count += 1


def prompts_for(name: str | None) -> list[dict[str, Any]]:
    if name is None:
        torch.manual_seed(2)
        ids = [torch.randint(0, 512, (1, length)) for length in (8, 24, 60)]
        return [{"input_ids": i, "attention_mask": torch.ones_like(i)} for i in ids]
    tokenizer = AutoTokenizer.from_pretrained(name)
    texts = [
        "def quicksort(items):",
        "Write the numbers from one to fifty as words, one a line.\n",
        '{"name": "Ada", "born": 1815}\n{"name": "Grace", "born": 1906}\n',
    ]
    return [dict(tokenizer(text, return_tensors="pt")) for text in texts]


def main() -> int:
    name = sys.argv[1] if len(sys.argv) > 1 else None
    if name is None:
        torch.set_num_threads(1)  # more would wait for each other longer than they work
    model = tiny_model() if name is None else AutoModelForCausalLM.from_pretrained(name).eval()
    prompts = prompts_for(name)
    passes = Passes(model)
    options: dict[str, Any] = {"max_new_tokens": 256, "do_sample": False}

    with local_service() as socket, torch.inference_mode():
        history = AssistedGeneration("example", socket)
        model.generate(**prompts[0], **options)  # so that the first row is not slower for it
        print("generation                   tokens  passes  tokens a pass  seconds  same tokens")
        expected: list[Any] = []
        are_same = True
        for title in ("without drafts", "with drafts, new to them", "with drafts, the second time"):
            passes.count, tokens, begin = 0, 0, time.perf_counter()
            outputs: list[Any] = []
            for prompt in prompts:
                if title == "without drafts":
                    output = model.generate(**prompt, **options)
                else:
                    output = history.generate(model, **prompt, **options)
                tokens += output.shape[1] - prompt["input_ids"].shape[1]
                outputs.append(output)
            seconds = time.perf_counter() - begin
            expected = expected or outputs
            same = all(torch.equal(a, b) for a, b in zip(outputs, expected, strict=True))
            are_same = are_same and same
            print(
                f"{title:28} {tokens:6} {passes.count:7} {tokens / passes.count:14.2f}"
                f" {seconds:8.2f}  {'yes' if same else 'NO'}"
            )
        history.client.flush()
        print(f"the history has {history.client.corpus_stats('example').tokens} tokens now")
        history.client.close()
    return 0 if are_same else 1


if __name__ == "__main__":
    raise SystemExit(main())
