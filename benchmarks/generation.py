"""What a generated token costs: with the cache, without it, in transformers, and at the least.

Greedy continuations of random prompts by random weights in the size of roots-base, on one thread. Every
comparison is the median of paired runs that take turns. "Without the cache" reads the whole text again
for each token, and asks for the logits of the last one only. transformers runs GPT-2's layout in the
same size, and ours runs it too, with the same weights. The least a step can cost is the reading of all
weights at the memory's speed or the arithmetic at the speed of a large matrix product, whichever takes
longer; both are measured here. A single text is bound by the memory, so its figures are worth something
on a quiet machine only.

    python benchmarks/generation.py [--runs 5] [--new-tokens 128] [--json]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import torch
from common import report
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from roots_kg.encoding.decoding.config import GenerationConfig
from roots_kg.encoding.generation import generate_tokens
from roots_kg.encoding.language_model import LanguageModelHead
from roots_kg.encoding.transformer import Transformer, TransformerConfig

PROMPT_LENGTH = 16
BATCHES = (1, 8)
BANDWIDTH_BYTES, MATRIX = 1 << 28, 1024

Model = tuple[Transformer, LanguageModelHead]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    bert, (gpt2, theirs) = _bert(), _gpt2()
    bandwidth, flops = _bandwidth(), _flops()
    new, rows = options.new_tokens, []
    for batch in BATCHES:
        prompts = torch.randint(1000, bert[0].config.vocab_size, (batch, PROMPT_LENGTH))
        cases = {
            "with the cache": lambda prompts=prompts: _with_cache(bert, prompts, new),
            "without": lambda prompts=prompts: _without_cache(bert, prompts, new),
            "GPT-2's layout, ours": lambda prompts=prompts: _with_cache(gpt2, prompts, new),
            "GPT-2's layout, transformers": lambda prompts=prompts: _theirs(theirs, prompts, new),
        }
        _ensure_equal(cases)
        seconds = _paired(cases, options.runs)
        least = {
            name: _least(model, batch, bandwidth, flops) * new
            for name, model in (("with the cache", bert), ("GPT-2's layout, ours", gpt2))
        }
        for name, times in seconds.items():
            reference = {"without": "with the cache", "GPT-2's layout, transformers": "GPT-2's layout, ours"}
            ratios = [one / own for one, own in zip(times, seconds[reference.get(name, name)], strict=True)]
            spent = statistics.median(times)
            rows.append(
                {
                    "batch": batch,
                    "generation": name,
                    "CPU s": f"{spent:.3f}",
                    "tokens/s": f"{batch * new / spent:,.0f}",
                    "× ours": f"{statistics.median(ratios):.2f}",
                    "× the least": f"{spent / least[name]:.2f}" if name in least else "",
                }
            )
    report(
        f"{new} new tokens after {PROMPT_LENGTH}, one thread, median of {options.runs} paired runs; memory "
        f"{bandwidth / 1e9:.1f} GB/s, arithmetic {flops / 1e9:.0f} GFLOP/s",
        rows,
        options.json,
    )


def _bert() -> Model:
    config = TransformerConfig()
    return Transformer(config).eval(), LanguageModelHead(config.hidden_size, config.vocab_size).eval()


def _gpt2() -> tuple[Model, GPT2LMHeadModel]:
    """Return GPT-2's layout in the size of roots-base, ours and theirs with the same weights."""
    shape = TransformerConfig()
    theirs = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=shape.vocab_size,
            n_positions=shape.max_positions,
            n_embd=shape.hidden_size,
            n_layer=shape.num_layers,
            n_head=shape.num_heads,
            n_inner=shape.intermediate_size,
            bos_token_id=None,
            eos_token_id=None,
        )
    ).eval()
    ours = Transformer(
        TransformerConfig(token_types=0, layer_norm_eps=1e-5, norm="pre", activation="gelu_tanh")
    )
    state = {name.removeprefix("transformer."): value for name, value in theirs.state_dict().items()}
    names = {
        "query_key_value": "attn.c_attn",
        "attention_output": "attn.c_proj",
        "attention_norm": "ln_1",
        "intermediate": "mlp.c_fc",
        "output": "mlp.c_proj",
        "output_norm": "ln_2",
    }
    weights = {
        "token_embedding.weight": state["wte.weight"],
        "position_embedding.weight": state["wpe.weight"],
        "norm.weight": state["ln_f.weight"],
        "norm.bias": state["ln_f.bias"],
    }
    for layer in range(shape.num_layers):
        for part, name in names.items():
            for kind in ("weight", "bias"):
                weights[f"blocks.{layer}.{part}.{kind}"] = state[f"h.{layer}.{name}.{kind}"].t()
    ours.load_state_dict(weights)
    head = LanguageModelHead(shape.hidden_size, shape.vocab_size, transform=False, bias=False)
    return (ours.eval(), head.eval()), theirs


def _with_cache(model: Model, prompts: Tensor, new: int) -> list[list[int]]:
    found = generate_tokens(*model, prompts.tolist(), [new] * len(prompts), GenerationConfig())
    return [row for (row,) in found]


@torch.inference_mode()
def _without_cache(model: Model, prompts: Tensor, new: int) -> list[list[int]]:
    trunk, head = model
    tokens = prompts
    for _ in range(new):
        hidden, _ = trunk(tokens, causal=True)
        logits = head(hidden[:, -1], trunk.token_embedding.weight)
        tokens = torch.cat([tokens, logits.argmax(dim=1, keepdim=True)], dim=1)
    return tokens[:, PROMPT_LENGTH:].tolist()


def _theirs(model: GPT2LMHeadModel, prompts: Tensor, new: int) -> list[list[int]]:
    found = model.generate(
        prompts, attention_mask=torch.ones_like(prompts), do_sample=False, max_new_tokens=new, pad_token_id=0
    )
    return found[:, PROMPT_LENGTH:].tolist()


def _ensure_equal(cases: dict[str, Callable[[], list[list[int]]]]) -> None:
    with_cache, without, ours, theirs = (run() for run in cases.values())
    if with_cache != without or ours != theirs:
        raise SystemExit("the tokens are not the same")


def _paired(cases: dict[str, Callable[[], list[list[int]]]], runs: int) -> dict[str, list[float]]:
    """Return CPU seconds of every case, all of them once a run."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(runs):
        for name, run in cases.items():
            started = time.process_time()
            run()
            seconds[name].append(time.process_time() - started)
    return seconds


def _least(model: Model, batch: int, bandwidth: float, flops: float) -> float:
    """Return the seconds that a step takes at least."""
    trunk, head = model
    parameters = [*trunk.blocks.parameters(), *head.parameters(), trunk.token_embedding.weight]
    size = sum(parameter.numel() for parameter in parameters)
    return max(4 * size / bandwidth, 2 * batch * size / flops)


def _bandwidth() -> float:
    """Return how many bytes of memory are read in a second, the best of several times."""
    block = torch.ones(BANDWIDTH_BYTES // 4)
    return BANDWIDTH_BYTES / min(_seconds(block.sum) for _ in range(5))


def _flops() -> float:
    """Return how many additions and multiplications of a matrix product are done in a second."""
    matrix = torch.ones(MATRIX, MATRIX)
    return 2 * MATRIX**3 / min(_seconds(lambda: matrix @ matrix) for _ in range(5))


def _seconds(run: Callable[[], object]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
