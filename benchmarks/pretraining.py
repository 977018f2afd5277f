"""Pretraining on novels: what mixing objectives costs and brings, and tokens a second beside a plain GPT-2.

    python benchmarks/pretraining.py --data DIR

The first 95 of 100 novels are trained on, the last 5 are held out. All runs have the same tokens, size, steps
and seed, and differ in nothing but the share of rows that is read for each objective. Then, in turns, so many
steps of ours and of GPT-2 in `transformers` with the same shape, trained by a bare loop.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import tokenizers
import torch
from common import arguments, report, split_novels

from roots_kg.encoding.language_model import LanguageModelHead
from roots_kg.encoding.objectives import Masking
from roots_kg.encoding.text_files import read_documents
from roots_kg.encoding.tokenizer_training import TokenizerConfig, train_tokenizer
from roots_kg.encoding.transformer import Transformer, TransformerConfig
from roots_kg.encoding.words import continues_word, special_tokens
from roots_kg.training.language_model_module import LanguageModelModule, OptimizerConfig
from roots_kg.training.language_model_training import train_language_model
from roots_kg.training.token_file import TokenFile, open_tokens, write_tokens

HELD_OUT = 5
LENGTH, ROWS, STEPS = 128, 16, 1000
VOCABULARY = 4096
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 192, "num_layers": 4, "num_heads": 4, "intermediate_size": 768,
    "max_positions": LENGTH, "token_types": 0, "norm": "pre", "layer_norm_eps": 1e-5,
    "activation": "gelu_tanh",
}  # fmt: skip
MIXES = {
    "causal only": {"causal": 1.0},
    "masked only": {"masked_next": 1.0},
    "mixed, 63 causal to 1 masked": {"causal": 63.0, "masked_next": 1.0},
    "mixed, 31 to 1": {"causal": 31.0, "masked_next": 1.0},
    "mixed, 7 to 1": {"causal": 7.0, "masked_next": 1.0},
    "mixed, 1 to 1": {"causal": 1.0, "masked_next": 1.0},
}
PAIRS, TIMED_STEPS = 5, 20


class _Texts:
    """The paragraphs of files, which can be gone through more than once."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __iter__(self) -> Any:
        return (piece.text for piece in read_documents(self.paths))


def main() -> None:
    options = arguments(__doc__, data="text")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        novels = split_novels(options.data / "text" / "novels100.txt.xz", folder)
        tokenizer = train_tokenizer(_Texts(novels[:20]), TokenizerConfig("bpe", VOCABULARY))
        text = token_file(folder / "text", novels[:-HELD_OUT], tokenizer)
        held_out = token_file(folder / "held_out", novels[-HELD_OUT:], tokenizer)
        rows = []
        for name, mix in MIXES.items():
            module = new_module(tokenizer, text, held_out, mix, STEPS)
            started = time.process_time()
            train_language_model(module, validate_every=STEPS, validation_rows=1, accelerator="cpu")
            spent = time.process_time() - started
            module.weights = {"causal": 1.0, "masked_next": 1.0}
            found = module.evaluate(held_out, len(held_out))
            rows.append(
                {
                    "trained on": name,
                    "causal loss, nats": round(found["causal_loss"], 4),
                    "bits a byte": round(found["causal_bits_per_byte"], 4),
                    "masked accuracy": round(100 * found["masked_next_accuracy"], 2),
                    "CPU s": round(spent),
                }
            )
        tokens = f"{STEPS * ROWS * LENGTH / 1e6:.1f}"
        report(f"Mixing objectives: {tokens} M tokens, {STEPS} steps", rows, options.json)
        report("Tokens a CPU second", [speed(tokenizer, text)], options.json)


def token_file(path: Path, novels: list[Path], tokenizer: tokenizers.Tokenizer) -> TokenFile:
    end_id = tokenizer.token_to_id("[SEP]")
    text_bytes = write_tokens(path, read_documents(novels), tokenizer, end_id=end_id)
    return TokenFile(open_tokens(path, tokenizer), LENGTH, tokenizer.token_to_id("[CLS]"), text_bytes)


def new_module(
    tokenizer: tokenizers.Tokenizer, text: TokenFile, held_out: TokenFile | None, mix: Any, steps: int
) -> LanguageModelModule:
    torch.manual_seed(0)
    masking = Masking(
        tokenizer.token_to_id("[MASK]"), VOCABULARY, continues_word(tokenizer), special_tokens(tokenizer)
    )
    optimizer = OptimizerConfig(learning_rate=2e-3, warmup=100, final=0.1, weight_decay=0.05)
    shape = TransformerConfig(**SHAPE)
    head = LanguageModelHead(shape.hidden_size, VOCABULARY, transform=False, bias=False)
    return LanguageModelModule(
        Transformer(shape),
        head,
        text,
        held_out,
        masking,
        mix,
        optimizer,
        batch_size=ROWS,
        accumulate=1,
        steps=steps,
    )


def speed(tokenizer: tokenizers.Tokenizer, text: TokenFile) -> dict[str, Any]:
    """Time steps of ours and of a bare loop in turns; medians of tokens a CPU second, and of their ratios."""
    ours, theirs = [], []
    for _ in range(PAIRS + 1):  # the first pair is the warm-up
        module = new_module(tokenizer, text, None, {"causal": 1.0}, TIMED_STEPS)
        started = time.process_time()
        train_language_model(module, validate_every=10**6, accelerator="cpu")
        ours.append(TIMED_STEPS * ROWS * LENGTH / (time.process_time() - started))
        theirs.append(TIMED_STEPS * ROWS * LENGTH / bare_loop(text))
    ratios = [mine / other for mine, other in zip(ours[1:], theirs[1:], strict=True)]
    return {
        "roots pretrain": round(statistics.median(ours[1:])),
        "transformers, bare loop": round(statistics.median(theirs[1:])),
        "ratio": round(statistics.median(ratios), 2),
        "ratios": " ".join(f"{ratio:.2f}" for ratio in ratios),
    }


def bare_loop(text: TokenFile) -> float:
    """Return the CPU seconds of training GPT-2 in `transformers` for the timed steps."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=LENGTH, n_embd=SHAPE["hidden_size"], n_layer=SHAPE["num_layers"],
        n_head=SHAPE["num_heads"], resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    order = torch.randperm(len(text))
    started = time.process_time()
    for step in range(TIMED_STEPS):
        rows = text.rows(order[step * ROWS : (step + 1) * ROWS])
        loss = model(input_ids=rows, labels=rows).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return time.process_time() - started


if __name__ == "__main__":
    main()
