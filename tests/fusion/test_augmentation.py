import pytest
import torch
from torch.nn import functional

from roots_kg.errors import ConfigError
from roots_kg.fusion.augmentation import (
    AUGMENTATIONS,
    WEIGHT,
    Linked,
    augment_vectors,
    augmented_loss,
    make_augmentation,
    require_augmentation,
)
from roots_kg.fusion.augmentation.base import REACH

EXAMPLES, ENTITIES, SIZE = 12, 40, 16


@pytest.fixture
def table():
    return torch.randn(ENTITIES, SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def linked(table):
    ids = torch.arange(EXAMPLES)
    return Linked(table[ids], ids % 3, entity_ids=ids)


@pytest.fixture
def loss():
    weight = torch.randn(SIZE, 3, generator=torch.Generator().manual_seed(1))
    return lambda examples: functional.cross_entropy(examples.vectors @ weight, examples.targets)


def moved(virtual, linked):
    return (virtual.vectors - linked.vectors).norm(dim=1)


def test_without_augmentation_nothing_is_virtual(table, linked, loss):
    assert make_augmentation("none", table).virtual(linked, loss) is None
    assert torch.equal(augmented_loss(loss, linked, None), loss(linked))


def test_the_augmented_loss_is_a_weighted_mean(linked, loss):
    other = linked.at(linked.vectors + 1)
    expected = (loss(linked) + WEIGHT * loss(other)) / (1 + WEIGHT)
    torch.testing.assert_close(augmented_loss(loss, linked, other), expected)


@pytest.mark.parametrize("name", ["noise", "fgm", "generator"])
def test_steps_have_one_norm_and_end_nearer_to_their_entity_than_to_any_other(name, table, linked, loss):
    virtual = make_augmentation(name, table).virtual(linked, loss)
    distance = torch.cdist(table, table).fill_diagonal_(torch.inf).amin(dim=1)
    torch.testing.assert_close(moved(virtual, linked), REACH * distance[linked.entity_ids])
    assert torch.equal(torch.cdist(virtual.vectors, table).argmin(dim=1), linked.entity_ids)


def test_a_gradient_step_is_its_formula(table, linked, loss):
    vectors = linked.vectors.clone().requires_grad_()
    loss(linked.at(vectors)).backward()
    step = make_augmentation("fgm", table).virtual(linked, loss).vectors - linked.vectors
    torch.testing.assert_close(
        functional.normalize(step, dim=1), functional.normalize(vectors.grad, dim=1), rtol=1e-3, atol=1e-4
    )


def test_a_gradient_step_raises_the_loss_more_than_noise_does(table, linked, loss):
    step, noise = (loss(make_augmentation(name, table).virtual(linked, loss)) for name in ("fgm", "noise"))
    assert step > noise
    assert step > loss(linked)


def test_the_generator_learns_to_raise_the_loss(table, linked, loss):
    generator = make_augmentation("generator", table)
    losses = [float(loss(generator.virtual(linked, loss))) for _ in range(60)]
    assert sum(losses[-10:]) > sum(losses[:10])


def test_the_generator_moves_towards_one_of_the_nearest_entities(table, linked, loss):
    virtual = make_augmentation("generator", table).virtual(linked, loss)
    step = virtual.vectors - linked.vectors
    away = functional.normalize(table[None] - linked.vectors[:, None], dim=2)
    cosine = (functional.normalize(step, dim=1)[:, None] * away).sum(dim=2)
    torch.testing.assert_close(cosine.amax(dim=1), torch.ones(EXAMPLES))


def test_a_mixture_is_at_least_half_its_own_entity(table, linked, loss):
    virtual = make_augmentation("mix", table).virtual(linked, loss)
    furthest = torch.cdist(linked.vectors, table).sort(dim=1)[0][:, 8]
    assert (moved(virtual, linked) > 0).all()
    assert (moved(virtual, linked) <= 0.5 * furthest + 1e-5).all()
    assert torch.equal(virtual.targets, linked.targets)


def test_within_a_batch_what_is_mixed_in_has_another_target(loss):
    directions = torch.eye(SIZE)[[0, 0, 5, 5]] * torch.tensor([[1.0], [1.1], [1.0], [1.1]])
    linked = Linked(directions, torch.tensor([0, 0, 1, 1]))
    virtual = make_augmentation("mix").virtual(linked, loss)
    assert (virtual.vectors[:2, 5] > 0).all()
    assert (virtual.vectors[2:, 0] > 0).all()


def test_a_counterfactual_moves_vector_and_target_together(table, linked, loss):
    virtual = make_augmentation("counterfactual", table).virtual(linked, loss)
    assert (virtual.targets != linked.targets).all()
    assert torch.equal(virtual.vectors, table[virtual.entity_ids])
    assert torch.equal(virtual.targets, virtual.entity_ids % 3)


def test_only_examples_of_one_type_change_places(table, loss):
    ids = torch.arange(4)
    linked = Linked(table[ids], torch.tensor([0, 1, 0, 1]), ids, types=torch.tensor([0, 0, 1, 2]))
    virtual = make_augmentation("counterfactual", table).virtual(linked, loss)
    assert virtual.entity_ids.tolist() == [1, 0, 2, 3]


def test_an_unknown_augmentation_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match="there is no augmentation 'fgn'") as refused:
        require_augmentation("fgn")
    assert "fgm" in refused.value.hint


def test_the_registry_cannot_be_changed():
    with pytest.raises(TypeError):
        AUGMENTATIONS["more"] = AUGMENTATIONS["none"]


def test_a_trainer_that_knows_only_vectors_gets_the_augmented_loss(table, linked, loss):
    seen = []

    def of_vectors(vectors):
        seen.append(vectors)
        return loss(linked.at(vectors))

    total = augment_vectors(make_augmentation("noise", table))(linked.vectors, of_vectors)
    virtual, real = seen
    assert torch.equal(real, linked.vectors)
    torch.testing.assert_close(
        total, (loss(linked) + WEIGHT * loss(linked.at(virtual))) / (1 + WEIGHT), rtol=1e-6, atol=1e-6
    )
    plain = augment_vectors(make_augmentation("none", table))(linked.vectors, of_vectors)
    assert torch.equal(plain, loss(linked))


def test_where_targets_cannot_move_an_augmentation_that_moves_them_is_refused():
    with pytest.raises(ConfigError, match="moves targets"):
        augment_vectors(make_augmentation("counterfactual"))
