"""What a question asks for is three distributions, which start from names and links."""

import pytest
import torch

from roots_kg.adaptation.reasoning.policy import TOPIC_FEATURES, QuestionPolicy


@pytest.fixture
def policy():
    return QuestionPolicy(hops=2, directions=6, size=4, scale=8.0)


def test_directions_and_hops_are_distributions(policy):
    questions = torch.randn(5, 4)
    assert policy.log_directions(questions).shape == (5, 2, 6)
    assert torch.allclose(policy.log_directions(questions).exp().sum(dim=2), torch.ones(5, 2))
    assert torch.allclose(policy.log_hops(questions).exp().sum(dim=1), torch.ones(5))
    assert policy.hops == 2


def test_a_new_policy_knows_nothing_but_that_better_links_are_likelier(policy):
    questions, features = torch.randn(2, 4), torch.zeros(2, TOPIC_FEATURES)
    assert torch.allclose(policy.log_directions(questions).exp(), torch.full((2, 2, 6), 1 / 6))
    features[:, 0] = torch.tensor([0.8, 1.0]).log()
    worse, better = policy.topic_logits(questions, features).tolist()
    assert worse < better


def test_the_likeliest_direction_is_the_one_whose_weights_are_like_the_question(policy):
    start = torch.nn.functional.normalize(
        torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), dim=1
    )
    policy.direction_weight.data = start.expand(2, -1, -1).clone()
    assert policy.log_directions(start).argmax(dim=2).tolist() == [[row, row] for row in range(6)]
    assert policy.distance(start) == 0
    policy.hops_weight.data += 1
    assert policy.distance(start) == 8
