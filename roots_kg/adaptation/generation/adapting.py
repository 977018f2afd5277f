"""Learning to write from a handful of examples, on top of a trunk that has learned to write something."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from roots_kg.adaptation.generation.writer import Writer
from roots_kg.encoding.adapters import AdaptedTransformer, LowRankAdapter
from roots_kg.encoding.pairs import Pair, log_probabilities, parts_of_similar_length

__all__ = ["Adapted", "adapt_trunk", "mean_loss"]

RANK = 8
LEARNING_RATE, CLIP = 2e-3, 1.0
STEPS, LOOK_EVERY, PATIENCE = 40, 5, 3
BATCH_TOKENS = 512


@dataclass(frozen=True)
class Adapted:
    """What came of it.

    Args:
        adapter: of the trunk's matrices; its embeddings stay.
        steps: after how many the loss that chose was lowest.
        before: that loss before, in nats a token.
        after: and then.
    """

    adapter: LowRankAdapter
    steps: int
    before: float
    after: float


def adapt_trunk(writer: Writer, rows: Sequence[Pair], judged_by: Sequence[Pair], seed: int = 0) -> Adapted:
    """Fit a low-rank adapter to some rows by a bounded number of steps of AdamW.

    Args:
        writer: the model, which stays as it is.
        rows: to learn from.
        judged_by: the rows whose loss tells when to stop: best those that were held out.
        seed: of all that is drawn.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        adapter = LowRankAdapter(writer.trunk, RANK, 0).requires_grad_(True).train()
        live = replace(writer, trunk=AdaptedTransformer(writer.trunk, adapter))
        optimizer = torch.optim.AdamW(adapter.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
        before = best = mean_loss(live, judged_by)
        kept, steps, draw = _copied(adapter), 0, random.Random(seed)
        batches: list[list[int]] = []
        for step in range(1, STEPS + 1):
            if not batches:
                batches = list(parts_of_similar_length(rows, BATCH_TOKENS))
                draw.shuffle(batches)
            loss = live.loss([rows[number] for number in batches.pop()])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(adapter.parameters(), CLIP)
            optimizer.step()
            if step % LOOK_EVERY:
                continue
            found = mean_loss(live, judged_by)
            if found < best:
                best, kept, steps = found, _copied(adapter), step
            elif step - steps >= PATIENCE * LOOK_EVERY:
                break
        adapter.load_state_dict(kept)
    return Adapted(adapter.requires_grad_(False).eval(), steps, before, best)


def mean_loss(writer: Writer, rows: Sequence[Pair]) -> float:
    """Return the mean of −log p over all tokens that are written in some rows, in nats."""
    found = log_probabilities(writer.trunk, writer.head, rows, writer.layout)
    return -sum(total for total, _ in found) / sum(count for _, count in found)


def _copied(adapter: LowRankAdapter) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in adapter.state_dict().items()}
