import pytest
import torch
from torch.nn import functional

from roots_kg.adaptation.few_shot import centred, class_means
from roots_kg.adaptation.meta_learning.algorithms import ALGORITHMS
from roots_kg.adaptation.meta_learning.engine import outcomes
from roots_kg.adaptation.meta_learning.inner_loop import descend
from roots_kg.adaptation.meta_learning.learner import Episode, LearnerConfig, MetaLearner
from roots_kg.adaptation.modules import apply_module


def one(episodes, number):
    return Episode(*(part[number] for part in episodes))


def gradients(learner, loss):
    learner.zero_grad()
    loss.backward()
    return {name: value.grad for name, value in learner.named_parameters() if value.grad is not None}


def naive_outcome(learner, task):
    """Do what a learner does in one plain loop with autograd, from the papers and not from the code."""
    config = learner.config
    changes = learner.changes(task.vectors)
    module, way = learner.bank.mixed(changes.mixture), len(task.names)
    support = apply_module(module, task.support)
    centre = support.mean(dim=0)
    name_weight = config.name_weight * changes.name_weight.exp()
    if config.algorithm in ("prototypical", "protomaml"):
        sides = [
            (centred(support, centre), centred(apply_module(module, task.names), centre)),
            (task.support_knowledge, task.name_knowledge),
        ]
        weight, known = (
            functional.normalize(
                functional.normalize(class_means(vectors, task.support_labels, way), dim=1)
                + name_weight * names,
                dim=1,
            )
            for vectors, names in sides
        )
    else:
        weight, known = (vector.expand(way, -1) for vector in (learner.class_weight, learner.class_knowledge))
    head = {
        "weight": weight,
        "knowledge": known,
        "bias": torch.zeros(way, dtype=torch.double, requires_grad=True),
    }
    share = config.knowledge_weight
    odds = share / (1 - share) * changes.knowledge_weight.exp()
    scale = config.scale * changes.scale.exp()

    def logits(head, module, vectors, knowledge):
        support = apply_module(module, task.support)
        cosines = centred(apply_module(module, vectors), support.mean(dim=0)) @ head["weight"].T
        part = odds / (1 + odds) * (knowledge != 0).any(dim=1, keepdim=True)
        mixed = (1 - part) * cosines + part * (knowledge @ head["knowledge"].T)
        return scale * (mixed + head["bias"])

    def loss(head, module):
        total = functional.cross_entropy(
            logits(head, module, task.support, task.support_knowledge), task.support_labels
        )
        held = config.regularisation * changes.regularisation.exp() / way
        moved = (head["weight"] - weight).square().sum() + (head["knowledge"] - known).square().sum()
        return total + held * moved

    module = {name: value.clone() for name, value in module.items()}  # prototypes stay where they are
    steps = 0 if config.algorithm == "prototypical" else config.steps
    rate = learner.log_rate.exp() * changes.rate.exp()
    for _ in range(steps):
        names = [("head", name) for name in head]
        if config.algorithm != "anil":
            names += [("module", name) for name in module]
        values = [(head if where == "head" else module)[name] for where, name in names]
        found = torch.autograd.grad(
            loss(head, module), values, retain_graph=True, create_graph=not config.first_order
        )
        moved = {key: value - rate * part for key, value, part in zip(names, values, found, strict=True)}
        head = {name: moved["head", name] for name in head}
        module = {name: moved.get(("module", name), value) for name, value in module.items()}
    found = logits(head, module, task.query, task.query_knowledge)
    return functional.cross_entropy(found, task.query_labels)


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("algorithm", ["prototypical", "anil", "maml", "protomaml"])
def test_losses_and_outer_gradients_are_those_of_a_naive_loop(algorithm, first_order, episodes, learner):
    made, tasks = learner(algorithm, first_order=first_order), episodes()
    losses = outcomes(made, tasks).loss
    found = gradients(made, losses.sum())
    naive = torch.stack([naive_outcome(made, one(tasks, number)) for number in range(3)])
    torch.testing.assert_close(losses, naive, rtol=0, atol=1e-10)
    expected = gradients(made, naive.sum())
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=1e-10)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_all_at_once_is_what_one_after_the_other_is(algorithm, episodes, learner):
    made, tasks = learner(algorithm, known=0), episodes(tasks=35, known=0)
    first, second = outcomes(made, tasks), outcomes(made, tasks, "loop")
    torch.testing.assert_close(first.loss, second.loss, rtol=0, atol=1e-10)
    assert torch.equal(first.accuracy, second.accuracy)
    for ours, theirs in zip(
        gradients(made, first.loss.sum()).values(), gradients(made, second.loss.sum()).values(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_reptile_asks_the_start_to_come_to_where_steps_on_all_examples_lead(episodes, learner):
    made, maml, task = learner("reptile", known=0), learner("maml", known=0), one(episodes(known=0), 0)
    outcome = made.outcome(task)
    gradient = gradients(made, outcome.loss)["class_weight"]
    everything = task._replace(
        support=torch.cat([task.support, task.query]),
        support_labels=torch.cat([task.support_labels, task.query_labels]),
        support_knowledge=torch.cat([task.support_knowledge, task.query_knowledge]),
    )
    start, fixed = maml._start(everything, made.changes(task.vectors))
    end = maml._learn(everything, made.changes(task.vectors), start, fixed, descend, first_order=True)
    expected = (made.class_weight.expand(4, -1) - end["weight"]).sum(dim=0)
    torch.testing.assert_close(gradient, expected.detach())
    distance = sum((start[name] - end[name]).square().sum() for name in start)
    torch.testing.assert_close(outcome.loss, distance / 2)


@pytest.mark.parametrize("algorithm", ["prototypical", "anil", "maml", "protomaml"])
def test_the_order_of_examples_and_labels_does_not_matter(algorithm, episodes, learner):
    made, task = learner(algorithm), one(episodes(), 0)
    generator = torch.Generator().manual_seed(1)
    examples = torch.randperm(12, generator=generator)
    labels = torch.randperm(4, generator=generator)
    place = labels.argsort()
    moved = task._replace(
        support=task.support[examples],
        support_labels=place[task.support_labels[examples]],
        support_knowledge=task.support_knowledge[examples],
        query_labels=place[task.query_labels],
        names=task.names[labels],
        name_knowledge=task.name_knowledge[labels],
    )
    torch.testing.assert_close(made.outcome(moved), made.outcome(task), rtol=0, atol=1e-10)


def test_an_untrained_prototypical_learner_is_prototypes(episodes):
    task = one(episodes(known=0), 0)
    made = MetaLearner(10, 0, LearnerConfig()).double()
    support = centred(task.support, task.support.mean(dim=0))
    names = centred(task.names, task.support.mean(dim=0))
    prototypes = functional.normalize(
        functional.normalize(class_means(support, task.support_labels, 4), dim=1) + 0.5 * names, dim=1
    )
    logits = 16.0 * centred(task.query, task.support.mean(dim=0)) @ prototypes.T
    expected = functional.cross_entropy(logits, task.query_labels)
    torch.testing.assert_close(made.outcome(task).loss, expected, rtol=1e-12, atol=0)


def test_a_fixed_rate_is_not_learned(episodes, learner):
    made = learner("maml", learned_rate=False)
    assert "log_rate" not in gradients(made, outcomes(made, episodes()).loss.sum())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 0.0}, "rate must be above 0"),
        ({"name_weight": -1.0}, "name_weight must be at least 0"),
        ({"knowledge_weight": 1.0}, "from 0 to below 1"),
        ({"steps": 0}, "at least 1"),
    ],
)
def test_settings_without_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LearnerConfig(**settings)
