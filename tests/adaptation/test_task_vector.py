from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.task_vector import (
    STATISTICS,
    TaskVectorNetwork,
    TaskVectors,
    adjusted,
    moved_share,
    task_vector,
)

SIZE, KNOWN = 8, 3


def some_task(classes=4, shots=3, known=KNOWN, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def vectors(*shape):
        return functional.normalize(torch.randn(shape, generator=generator, dtype=torch.double), dim=-1)

    labels = torch.arange(classes).repeat(shots)
    knowledge = vectors(len(labels), known)
    knowledge[::2] = 0.0
    return TaskVectors(vectors(len(labels), SIZE), labels, vectors(classes, SIZE), vectors(SIZE), knowledge)


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(12)), st.permutations(range(4)))
def test_the_order_of_examples_and_of_labels_does_not_matter(examples, labels):
    task = some_task()
    place = torch.tensor(labels).argsort()  # where each label is now
    moved = TaskVectors(
        task.support[examples],
        place[task.labels[examples]],
        task.names[labels],
        task.description,
        task.knowledge[examples],
    )
    torch.testing.assert_close(task_vector(moved), task_vector(task), rtol=1e-9, atol=1e-9)


def test_it_has_one_size_for_tasks_of_any_size():
    sizes = [(2, 1, 0), (5, 1, KNOWN), (10, 5, KNOWN)]
    found = [task_vector(some_task(*size)) for size in sizes]
    assert {len(vector) for vector in found} == {3 * SIZE + STATISTICS}
    assert all(vector.isfinite().all() for vector in found)


def test_a_label_without_examples_counts_for_nothing_but_its_name():
    task = some_task()
    more = replace(task, names=torch.cat([task.names, task.names[:1]]))
    assert task_vector(more).isfinite().all()
    mean_class = slice(2 * SIZE, 3 * SIZE)
    torch.testing.assert_close(task_vector(more)[mean_class], task_vector(task)[mean_class])


def test_the_statistics_tell_tasks_apart_whose_classes_are_close_or_far():
    far, near = some_task(), some_task()
    far.support[:] = far.names[far.labels]
    assert not torch.allclose(task_vector(far)[-STATISTICS:], task_vector(near)[-STATISTICS:], atol=1e-2)


def test_a_new_network_changes_nothing():
    torch.manual_seed(0)
    changes = TaskVectorNetwork(SIZE, modules=5)(torch.randn(3 * SIZE + STATISTICS))
    assert not any(value.any() for value in vars(changes).values())
    assert changes.mixture.shape == (5,)
    config = FewShotConfig()
    assert adjusted(config, changes) == config


def test_changes_adjust_the_fit_and_stay_within_bounds():
    network = TaskVectorNetwork(SIZE, modules=1)
    with torch.no_grad():
        network.last.bias[:] = torch.tensor([100.0, -100.0, 0.5, 0.0, 100.0, 100.0])
    changes = network(torch.zeros(3 * SIZE + STATISTICS))
    config = adjusted(FewShotConfig(), changes)
    assert config.scale == pytest.approx(16 * torch.tensor(2.0).exp().item())
    assert config.name_weights[0] == pytest.approx(0.5 / torch.tensor(2.0).exp().item())
    assert config.regularisation > FewShotConfig().regularisation
    assert config.knowledge_weights[0] == 0
    assert all(0 < weight < 1 for weight in config.knowledge_weights[1:])
    assert config.knowledge_weights[1] > FewShotConfig().knowledge_weights[1]
    assert changes.mixture.abs().max() <= 1


def test_a_share_moves_by_its_odds():
    assert moved_share(0.5, 3.0) == pytest.approx(0.75)
    assert moved_share(0.2, 1.0) == 0.2
    assert moved_share(0.0, 7.0) == 0.0
