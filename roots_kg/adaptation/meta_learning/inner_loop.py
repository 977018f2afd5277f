"""Inner steps: gradient descent on one task that can itself be differentiated.

Two ways give the same numbers: `descend`, on `torch.func`, which can be run on many tasks at once with
`torch.func.vmap`; and learners that are cloned and adapted step by step, the contract of learn2learn, for
loops over tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.func import grad

from roots_kg.errors import UsageError, nearest

__all__ = ["Backend", "Learner", "Parameters", "PlainLearner", "descend", "descend_with", "new_learner"]

Parameters = dict[str, Tensor]

Loss = Callable[[Parameters], Tensor]
"""From parameters to the loss on one task's support set."""

Backend = Literal["vmap", "loop", "learn2learn"]
"""All tasks at once with `torch.func.vmap`, or one after the other with learners of ours or learn2learn's."""


def descend(
    loss: Loss, start: Parameters, rate: Tensor | float, steps: int, *, first_order: bool = False
) -> Parameters:
    """Take steps of gradient descent, θ ← θ − α ∇L(θ).

    Args:
        loss: L.
        start: θ; gradients of the result reach it.
        rate: α.
        steps: how many.
        first_order: treat ∇L as a constant, so that no second derivative is taken.
    """
    gradient = grad(loss)
    for _ in range(steps):
        if first_order:
            found = {name: part.detach() for name, part in gradient(_detached(start)).items()}
        else:
            found = gradient(start)
        start = {name: value - rate * found[name] for name, value in start.items()}
    return start


class Learner(Protocol):
    """Parameters that can be cloned, and moved by a step against the gradient of a loss."""

    @property
    def parameters_now(self) -> Parameters:
        """The parameters by name, through which gradients reach those that the learner was made with."""

    def clone(self) -> Learner:
        """Return a learner of its own that starts where this one is."""

    def adapt(self, loss: Tensor) -> None:
        """Take one step against the gradient of a loss of `parameters_now`."""


class PlainLearner:
    """The contract in plain torch.

    Args:
        parameters: where it starts.
        rate: α.
        first_order: take no second derivatives.
    """

    def __init__(
        self, parameters: Mapping[str, Tensor], rate: Tensor | float, first_order: bool = False
    ) -> None:
        self._parameters = {name: differentiable(value) for name, value in parameters.items()}
        self._rate, self._first_order = rate, first_order

    @property
    def parameters_now(self) -> Parameters:
        """The parameters by name."""
        return dict(self._parameters)

    def clone(self) -> PlainLearner:
        """Return a learner of its own that starts where this one is."""
        copies = {name: value.clone() for name, value in self._parameters.items()}
        return PlainLearner(copies, self._rate, self._first_order)

    def adapt(self, loss: Tensor) -> None:
        """Take one step against the gradient of a loss."""
        gradients = torch.autograd.grad(
            loss, list(self._parameters.values()), create_graph=not self._first_order
        )
        self._parameters = {
            name: value - self._rate * gradient
            for (name, value), gradient in zip(self._parameters.items(), gradients, strict=True)
        }


def new_learner(
    backend: Backend, parameters: Mapping[str, Tensor], rate: Tensor | float, first_order: bool = False
) -> Learner:
    """Return a learner of a backend.

    Raises:
        UsageError: if there is no such backend of learners, or if learn2learn cannot be imported.
    """
    if backend == "loop":
        return PlainLearner(parameters, rate, first_order)
    if backend == "learn2learn":
        from roots_kg.adaptation.meta_learning.learn2learn_backend import Learn2LearnLearner

        return Learn2LearnLearner.start(parameters, rate, first_order)
    raise UsageError(f"no learners are called {backend!r}", hint=nearest(backend, ("loop", "learn2learn")))


def descend_with(
    backend: Backend,
    loss: Loss,
    start: Parameters,
    rate: Tensor | float,
    steps: int,
    *,
    first_order: bool = False,
) -> Parameters:
    """Do what `descend` does, with a learner of a backend."""
    learner = new_learner(backend, start, rate, first_order).clone()
    for _ in range(steps):
        learner.adapt(loss(learner.parameters_now))
    return learner.parameters_now


def differentiable(value: Tensor) -> Tensor:
    """Return a tensor by which a loss can be differentiated: itself, if that is so already."""
    return value if value.requires_grad else value.detach().requires_grad_()


def _detached(parameters: Parameters) -> Parameters:
    return {name: value.detach() for name, value in parameters.items()}
