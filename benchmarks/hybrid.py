"""What the hybrid reading costs beside one pass, with and without an adapter for the causal side.

    python benchmarks/hybrid.py

The shape is that of roots-base, the weights are random. CPU seconds on one thread, medians of paired runs.
"""

from __future__ import annotations

import statistics
import time

import torch
from common import arguments, report

from roots_kg.encoding.adapters import LowRankAdapter
from roots_kg.encoding.hybrid import HybridEncoder, Reading
from roots_kg.encoding.transformer import Transformer, TransformerConfig

SHAPES = ((64, 16), (16, 64), (4, 256))
PAIRS, CALLS = 9, 3


def main() -> None:
    options = arguments(__doc__)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    trunk = Transformer(TransformerConfig())
    encoders = {
        "one trunk": HybridEncoder(trunk).eval(),
        "an adapter": HybridEncoder(trunk, LowRankAdapter(trunk, 128, 64)).eval(),
    }
    rows = []
    for name, encoder in encoders.items():
        for rows_of_batch, length in SHAPES:
            input_ids = torch.randint(trunk.config.vocab_size, (rows_of_batch, length))
            ratios = [pair(encoder, input_ids) for _ in range(PAIRS + 1)][1:]
            rows.append(
                {
                    "causal side": name,
                    "batch": f"{rows_of_batch} rows of {length}",
                    "hybrid / bidirectional": round(statistics.median(ratios), 2),
                    "lowest, highest": f"{min(ratios):.2f}, {max(ratios):.2f}",
                }
            )
    report("The hybrid reading beside one pass", rows, options.json)


@torch.inference_mode()
def pair(encoder: HybridEncoder, input_ids: torch.Tensor) -> float:
    """Return how many times the CPU seconds of one pass the hybrid reading takes."""
    return seconds(encoder, input_ids, "hybrid") / seconds(encoder, input_ids, "bidirectional")


def seconds(encoder: HybridEncoder, input_ids: torch.Tensor, reading: Reading) -> float:
    attention_mask = torch.ones_like(input_ids, dtype=torch.bool)
    attention_mask[-1, -1] = False  # as in most batches, there is some padding
    started = time.process_time()
    for _ in range(CALLS):
        encoder(input_ids, attention_mask, reading)
    return time.process_time() - started


if __name__ == "__main__":
    main()
