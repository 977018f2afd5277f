"""learn2learn as a backend of inner steps: the one file that imports it.

It is unmaintained: its releases do not build on Python 3.11 and later without regenerating their Cython
code, and importing it imports gym and torchvision, of which any may fail with an exception of any kind.
All of that ends here, as one error that says what happened and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from roots_kg.adaptation.meta_learning.inner_loop import differentiable
from roots_kg.errors import UsageError

__all__ = ["Learn2LearnLearner"]


class Learn2LearnLearner:
    """The contract `inner_loop.Learner`, kept by `learn2learn.algorithms.MAML`.

    Args:
        maml: the wrapped parameters.
    """

    def __init__(self, maml: Any) -> None:
        self._maml = maml

    @classmethod
    def start(
        cls, parameters: Mapping[str, Tensor], rate: Tensor | float, first_order: bool = False
    ) -> Learn2LearnLearner:
        """Return a learner that starts at these parameters.

        Raises:
            UsageError: if learn2learn cannot be imported.
        """
        return cls(_maml()(_Holder(parameters), lr=rate, first_order=first_order))

    @property
    def parameters_now(self) -> dict[str, Tensor]:
        """The parameters by name."""
        return dict(self._maml.module.named_parameters())

    def clone(self) -> Learn2LearnLearner:
        """Return a learner of its own that starts where this one is."""
        return Learn2LearnLearner(self._maml.clone())

    def adapt(self, loss: Tensor) -> None:
        """Take one step against the gradient of a loss."""
        self._maml.adapt(loss)


class _Holder(nn.Module):
    """Holds tensors as parameters, also those that were computed from others, as learn2learn does itself."""

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name, value in parameters.items():
            self._parameters[name] = differentiable(value)  # type: ignore[assignment]


def _maml() -> Any:
    try:
        from learn2learn.algorithms import MAML
    except (Exception, SystemExit) as error:  # whatever it imports may raise anything
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UsageError(
            f"learn2learn cannot be used here: {reason}",
            hint="leave `backend` at vmap, which needs nothing; docs/meta_learning.md says how to build it",
        ) from error
    return MAML
