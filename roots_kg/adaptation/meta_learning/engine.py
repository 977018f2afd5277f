"""Running many tasks: at once under `torch.func.vmap`, or one after the other with learners."""

from __future__ import annotations

from functools import partial

import torch
from torch.func import vmap

from roots_kg.adaptation.meta_learning.inner_loop import Backend, descend_with
from roots_kg.adaptation.meta_learning.learner import Episode, MetaLearner, Outcome

__all__ = ["outcomes"]

TASKS_TOGETHER = 32
"""Of so many tasks at a time, what inner steps make still fits into the caches of a processor."""


def outcomes(learner: MetaLearner, episodes: Episode, backend: Backend = "vmap") -> Outcome:
    """Return what comes of each of T tasks, (T,) losses and accuracies.

    Args:
        learner: what is learned over tasks; the losses have gradients to its parameters.
        episodes: T tasks of the same shape.
        backend: all at once, or in a loop with learners of ours or of learn2learn, which gives the same.

    Raises:
        UsageError: if learn2learn cannot be imported.
    """
    if backend == "vmap":
        return Outcome(*vmap(learner.outcome, chunk_size=TASKS_TOGETHER)(episodes))
    tasks = [Episode(*parts) for parts in zip(*episodes, strict=True)]
    found = [learner.outcome(task, partial(descend_with, backend)) for task in tasks]
    return Outcome(*(torch.stack(parts) for parts in zip(*found, strict=True)))
