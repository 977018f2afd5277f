"""Where augmentations are used: linear classifiers on knowledge, and the completion of missing edges."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from roots_kg.adaptation.few_shot import FewShotConfig, fit_linear
from roots_kg.adaptation.reasoning import completion as completing
from roots_kg.adaptation.reasoning.clues import ReadQuestion, gather_clues
from roots_kg.adaptation.reasoning.completion import Completion
from roots_kg.errors import ConfigError
from roots_kg.fusion.augmentation import AUGMENTATIONS
from roots_kg.fusion.encoder import Knowledge
from roots_kg.graph.store import GraphBundle
from roots_kg.graph.transe import TransE, TransEConfig
from roots_kg.graph.triples import KnowledgeGraph

OTHERS = sorted(AUGMENTATIONS.keys() - {"none"})
CLASSES, SHOTS, TEXT, KNOWLEDGE = 3, 4, 10, 6


@pytest.fixture
def support():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(CLASSES).repeat_interleave(SHOTS)
    centres = torch.randn(CLASSES, TEXT + KNOWLEDGE, generator=generator)
    noise = torch.randn(len(labels), TEXT + KNOWLEDGE, generator=generator)
    parts = (centres[labels] + noise).split([TEXT, KNOWLEDGE], dim=1)
    inputs = torch.cat([0.5**0.5 * functional.normalize(part, dim=1) for part in parts], dim=1)
    return inputs, labels, functional.normalize(centres, dim=1)


def plain_fit(inputs, labels, start, config):
    """The fit written out: one run of L-BFGS on the examples as they are."""
    weight, bias = start.clone().requires_grad_(), torch.zeros(len(start), requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=config.steps, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        fit = functional.cross_entropy(config.scale * (inputs @ weight.T + bias), labels)
        total = fit + config.regularisation / len(start) * (weight - start).square().sum()
        total.backward()
        return total

    optimizer.step(loss)
    return weight.detach(), bias.detach()


def test_without_augmentation_a_classifier_is_bit_for_bit_the_plain_fit(support):
    fitted = fit_linear(*support, FewShotConfig(), KNOWLEDGE)
    weight, bias = plain_fit(*support, FewShotConfig())
    assert torch.equal(fitted.weight, weight)
    assert torch.equal(fitted.bias, bias)


@pytest.mark.parametrize("name", OTHERS)
def test_an_augmentation_changes_a_classifier_that_has_knowledge(name, support):
    inputs, labels, _ = support
    plain = fit_linear(*support, FewShotConfig(), KNOWLEDGE)
    fitted = fit_linear(*support, FewShotConfig(augmentation=name), KNOWLEDGE)
    assert not torch.equal(fitted.weight, plain.weight)
    assert torch.equal((inputs @ fitted.weight.T + fitted.bias).argmax(dim=1), labels)
    again = fit_linear(*support, FewShotConfig(augmentation=name), KNOWLEDGE)
    assert torch.equal(fitted.weight, again.weight)


@pytest.mark.parametrize("name", OTHERS)
def test_where_there_is_no_knowledge_no_augmentation_changes_anything(name, support):
    inputs, labels, start = support
    unlinked = torch.cat([inputs[:, :TEXT], torch.zeros(len(labels), KNOWLEDGE)], dim=1)
    for given, size in ((inputs, 0), (unlinked, KNOWLEDGE)):
        plain = fit_linear(given, labels, start, FewShotConfig(), size)
        fitted = fit_linear(given, labels, start, FewShotConfig(augmentation=name), size)
        assert torch.equal(fitted.weight, plain.weight)


def test_counterfactuals_teach_a_classifier_to_look_at_the_knowledge(support):
    inputs, labels, start = support
    swapped = torch.cat([inputs[:, :TEXT], inputs.roll(SHOTS, dims=0)[:, TEXT:]], dim=1)
    losses = {}
    for name in ("none", "counterfactual"):
        fitted = fit_linear(inputs, labels, start, FewShotConfig(augmentation=name), KNOWLEDGE)
        losses[name] = functional.cross_entropy(
            16 * (swapped @ fitted.weight.T + fitted.bias), labels.roll(SHOTS)
        )
    assert losses["counterfactual"] < losses["none"]


def test_a_config_refuses_an_unknown_augmentation():
    with pytest.raises(ConfigError, match="there is no augmentation 'nosie'"):
        FewShotConfig(augmentation="nosie")


@pytest.fixture(scope="module")
def broken_paths():
    """A graph whose films' directors are partly missing, and questions that tell some of them."""
    triples = [(f"film {n}", "in", str(1990 + n % 3)) for n in range(40)]
    triples += [(f"film {n}", "by", f"director {n % 5}") for n in range(20, 40)]
    graph = KnowledgeGraph.from_triples(triples)
    random = torch.Generator().manual_seed(0)
    transe = TransE(graph.num_entities, graph.num_relations, 8, generator=random)
    table, by = transe.entity.weight.data, graph.relation("by")
    for n in range(40):
        film, director = graph.entity_id(f"film {n}"), graph.entity_id(f"director {n % 5}")
        table[film] = table[director] - transe.relation.weight.data[by]
        table[film] += 0.3 * table[film].norm() * torch.randn(8, generator=random) / 8**0.5
    knowledge = Knowledge(GraphBundle(graph, transe.requires_grad_(False), TransEConfig(dimension=8)))
    questions = [
        ReadQuestion(graph.entity_id(f"film {n}"), (by,), frozenset([graph.entity_id(f"director {n % 5}")]))
        for n in range(15)
    ]
    return knowledge, gather_clues(graph, questions)


def fitted_completion(broken_paths, name):
    knowledge, gathered = broken_paths
    completion = Completion(knowledge, gathered.clues.summed())
    completion.fit(gathered.broken, gathered.clues, augmentation=name)
    return completion


def test_without_augmentation_a_completion_is_fitted_once_a_direction_to_real_questions(
    broken_paths, monkeypatch
):
    plain, calls = completing._fit, []

    def recorded(examples, start, strength, virtual=()):
        calls.append(len(virtual))
        return plain(examples, start, strength, virtual)

    monkeypatch.setattr(completing, "_fit", recorded)
    fitted_completion(broken_paths, "none")
    assert calls == [0, 0]
    calls.clear()
    fitted_completion(broken_paths, "noise")
    assert calls == [0, 0, 15]


@pytest.mark.parametrize("name", OTHERS)
def test_an_augmentation_changes_the_weights_of_the_directions_that_break_off(name, broken_paths):
    plain, other = (fitted_completion(broken_paths, each) for each in ("none", name))
    graph = plain.knowledge.graph
    by = graph.relation("by")
    changed = (plain.weight != other.weight).any(dim=1)
    assert changed.tolist() == [direction == by for direction in range(2 * graph.num_relations)]
    assert other.weight.isfinite().all()
    _, ends, shares = other.complete(np.array([graph.entity_id("film 15")]), by)
    assert len(ends)
    assert shares.sum() <= 1 + 1e-6


def test_a_completion_refuses_an_unknown_augmentation(broken_paths):
    with pytest.raises(ConfigError, match="there is no augmentation"):
        fitted_completion(broken_paths, "nosie")
