"""Outer gradients of second-order MAML: `torch.func` on all tasks at once beside learn2learn's loop.

64 tasks of 5-way 5-shot with 5 queries a class, 5 second-order steps on an adapter (FiLM and a low-rank map
of rank 8) and a linear head. Both sides run the same model, in pairs in one process on one thread; the
figures are medians of their CPU seconds. The model is written in two ways that are equal: one module after
the other, or with the adapter folded into the head, so that no text's vector is made anew. learn2learn has to
be installed where this runs; docs/meta_learning.md says how to build it.

    python benchmarks/meta_learning.py [--pairs 11]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import product

import torch
from common import report
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional

from roots_kg.adaptation.meta_learning.engine import TASKS_TOGETHER
from roots_kg.adaptation.meta_learning.inner_loop import descend
from roots_kg.adaptation.modules import FeatureModule

TASKS, WAY, SHOTS, QUERIES, STEPS, RATE, RANK = 64, 5, 5, 5, 5, 0.1, 8
SIZES = 384, 768
"""The size of a text vector of all-MiniLM-L6-v2, and that of two depths of it side by side."""

Gradients = dict[str, Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=11, help="how often both sides are run")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for size, folded in product(SIZES, (False, True)):
        model, tasks = make(size, folded, torch.float32)
        sides = {"ours": at_once, "loop": learn2learn_loop}
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for pair in range(-1, options.pairs):  # the first one warms up
            for name, side in sides.items():
                taken = timed(side, model, tasks)
                if pair >= 0:
                    seconds[name].append(taken)
        ratios = [loop / ours for ours, loop in zip(seconds["ours"], seconds["loop"], strict=True)]
        exact = make(size, folded, torch.float64)
        ours, theirs = at_once(*exact), learn2learn_loop(*exact)
        rows.append(
            {
                "size of a vector": size,
                "adapter": "folded into the head" if folded else "before the head",
                "torch.func, CPU s": f"{statistics.median(seconds['ours']):.3f}",
                "learn2learn, CPU s": f"{statistics.median(seconds['loop']):.3f}",
                "times as fast": f"{statistics.median(ratios):.1f}",
                "slowest and fastest pair": f"{min(ratios):.1f} to {max(ratios):.1f}",
                "largest difference of gradients, float64": f"{largest_difference(ours, theirs):.0e}",
            }
        )
    report(f"Second-order MAML, {TASKS} tasks, {WAY}-way {SHOTS}-shot, {STEPS} steps", rows, options.json)


class FoldedAdapter(nn.Module):
    """A linear head W, b on x + x ⊙ γ + β + U V x, as one map: W (1 + γ) + (W U) V, and W β + b.

    Args:
        adapter: the adapter.
        head: the head.
    """

    def __init__(self, adapter: FeatureModule, head: nn.Linear) -> None:
        super().__init__()
        for name, value in (*adapter.named_parameters(), *head.named_parameters()):
            self.register_parameter(name, value)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the logits of vectors, (…, f) to (…, N)."""
        weight = self.weight * (1 + self.scale) + (self.weight @ self.up) @ self.down
        return functional.linear(vectors, weight, self.weight @ self.shift + self.bias)


def make(size: int, folded: bool, dtype: torch.dtype) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return an adapter with a head, and the tasks: vectors and classes of the support and query sets."""
    torch.manual_seed(0)
    adapter, head = FeatureModule.of_shape(size, RANK), nn.Linear(size, WAY)
    model = (FoldedAdapter(adapter, head) if folded else nn.Sequential(adapter, head)).to(dtype)
    centres = torch.randn(TASKS, WAY, size)
    tasks = []
    for count in (SHOTS, QUERIES):
        labels = torch.arange(WAY).repeat_interleave(count)
        vectors = centres[:, labels] + 2 * torch.randn(TASKS, WAY * count, size)
        tasks += [functional.normalize(vectors, dim=-1).to(dtype) * 4, labels.expand(TASKS, -1)]
    return model, tuple(tasks)


def at_once(model: nn.Module, tasks: tuple[Tensor, ...]) -> Gradients:
    """Return the outer gradients by `vmap` over tasks."""
    start = dict(model.named_parameters())

    def loss(parameters: dict[str, Tensor], vectors: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(functional_call(model, parameters, (vectors,)), labels)

    def outer(support: Tensor, support_labels: Tensor, query: Tensor, query_labels: Tensor) -> Tensor:
        learned = descend(lambda parameters: loss(parameters, support, support_labels), start, RATE, STEPS)
        return loss(learned, query, query_labels)

    model.zero_grad()
    vmap(outer, chunk_size=TASKS_TOGETHER)(*tasks).mean().backward()
    return gradients(model)


def learn2learn_loop(model: nn.Module, tasks: tuple[Tensor, ...]) -> Gradients:
    """Return the outer gradients the way learn2learn's examples do it."""
    from learn2learn.algorithms import MAML

    maml = MAML(model, lr=RATE, first_order=False)
    model.zero_grad()
    for support, support_labels, query, query_labels in zip(*tasks, strict=True):
        learner = maml.clone()
        for _ in range(STEPS):
            learner.adapt(functional.cross_entropy(learner(support), support_labels))
        (functional.cross_entropy(learner(query), query_labels) / TASKS).backward()
    return gradients(model)


def timed(side: Callable[..., Gradients], model: nn.Module, tasks: tuple[Tensor, ...]) -> float:
    """Return the CPU seconds that one side takes."""
    started = time.process_time()
    side(model, tasks)
    return time.process_time() - started


def gradients(model: nn.Module) -> Gradients:
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def largest_difference(first: Gradients, second: Gradients) -> float:
    return max(float((first[name] - second[name]).abs().max()) for name in first)


if __name__ == "__main__":
    main()
