"""Random tasks on feature vectors, and learners that have learned something."""

import pytest
import torch
from torch.nn import functional

from roots_kg.adaptation.meta_learning.learner import Episode, LearnerConfig, MetaLearner
from roots_kg.adaptation.modules import BankShape

SIZE, KNOWN = 10, 4


def random_vectors(generator, *shape):
    return functional.normalize(torch.randn(shape, generator=generator, dtype=torch.double), dim=-1)


@pytest.fixture
def episodes():
    """A function that returns T tasks in float64, N-way with three support and two query examples a class."""

    def make(tasks=3, way=4, known=KNOWN, seed=0):
        generator = torch.Generator().manual_seed(seed)
        support, query = (torch.arange(way).repeat_interleave(shots) for shots in (3, 2))
        knowledge = [random_vectors(generator, tasks, size, known) for size in (3 * way, 2 * way, way)]
        knowledge[0][:, ::2] = 0.0
        return Episode(
            random_vectors(generator, tasks, 3 * way, SIZE),
            support.expand(tasks, -1),
            random_vectors(generator, tasks, 2 * way, SIZE),
            query.expand(tasks, -1),
            random_vectors(generator, tasks, way, SIZE),
            random_vectors(generator, tasks, SIZE),
            *knowledge,
        )

    return make


@pytest.fixture
def learner():
    """A function that returns a learner in float64 whose last layer is not zero any more."""

    def make(algorithm, known=KNOWN, **settings):
        torch.manual_seed(0)
        shape = BankShape(film=2, low_rank=2, rank=2)
        config = LearnerConfig(algorithm=algorithm, steps=3, bank=shape, hidden=8, **settings)
        made = MetaLearner(SIZE, known, config).double()
        with torch.no_grad():
            for weight in (made.network.last.weight, made.class_weight, made.class_knowledge):
                weight.normal_(0, 0.3)
        return made

    return make
