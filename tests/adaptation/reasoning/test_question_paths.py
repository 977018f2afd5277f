"""The loss of choosing paths is that of a plain sum over topics and paths."""

import math

import pytest
import torch

from roots_kg.adaptation.reasoning.policy import QuestionPolicy
from roots_kg.adaptation.reasoning.question_paths import QuestionPaths, Topic
from roots_kg.graph.triples import KnowledgeGraph

GRAPH = KnowledgeGraph.from_triples(
    [("a", "r", "b"), ("a", "r", "c"), ("b", "s", "d"), ("c", "s", "e"), ("f", "r", "d")]
)


def topic(name, question, score=1.0):
    return Topic(GRAPH.entity_id(name), torch.tensor(question), torch.tensor([math.log(score), 0.0, 0.0]))


def ids(*names):
    return {GRAPH.entity_id(name) for name in names}


@pytest.fixture
def policy():
    policy = QuestionPolicy(hops=2, directions=4, size=2, scale=2.0)
    generator = torch.Generator().manual_seed(1)
    for parameter in policy.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return policy


def test_the_loss_sums_topics_and_paths(policy):
    candidates = [topic("a", [1.0, 0.0]), topic("f", [0.0, 1.0], 0.5)]
    paths = QuestionPaths.collect(GRAPH, [candidates], [ids("d")], 2, [()])
    questions = torch.stack([candidate.question for candidate in candidates])
    direction, hops = policy.log_directions(questions).exp(), policy.log_hops(questions).exp()
    prior = policy.topic_logits(
        questions, torch.stack([candidate.features for candidate in candidates])
    ).softmax(dim=0)
    by, lies = GRAPH.relation("r"), GRAPH.relation("s")
    arrives = prior[0] * hops[0, 1] * direction[0, 0, by] * direction[0, 1, lies] * 0.5
    arrives = arrives + prior[1] * hops[1, 0] * direction[1, 0, by]
    assert paths.loss(policy, 0.01).item() == pytest.approx(-math.log(float(arrives) + 0.01), rel=1e-4)


def test_what_is_asked_several_times_is_kept_once():
    topics = [[topic("a", [1.0, 0.0])], [topic("f", [1.0, 0.0])], [topic("f", [0.0, 1.0])]]
    paths = QuestionPaths.collect(GRAPH, topics, [ids("d"), ids("d"), ids("d")], 2, [()] * 3)
    assert paths.questions.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert paths.topic_question.tolist() == [0, 0, 1]
    assert paths.reached == 3


def test_questions_that_no_path_answers_are_left_out(policy):
    topics = [[topic("a", [1.0, 0.0])], [], [topic("d", [0.0, 1.0])]]
    paths = QuestionPaths.collect(GRAPH, topics, [ids("f"), ids("d"), ids("b")], 1, [()] * 3)
    assert paths.reached == 1
    assert paths.questions.tolist() == [[0.0, 1.0]]
    nothing = QuestionPaths.collect(GRAPH, [[]], [ids("d")], 1, [()])
    assert nothing.reached == 0
    assert nothing.loss(policy, 0.01) == 0


def test_triples_that_are_left_out_are_no_path():
    paths = QuestionPaths.collect(GRAPH, [[topic("f", [1.0, 0.0])]], [ids("d")], 1, [{4}])
    assert paths.reached == 0


def test_a_path_may_come_back_to_its_topic_if_it_is_said_to():
    asked = ([[topic("a", [1.0, 0.0])]], [ids("a")], 2, [()])
    assert QuestionPaths.collect(GRAPH, *asked).reached == 0
    assert QuestionPaths.collect(GRAPH, *asked, returns=True).reached == 1


def test_a_likelier_answer_beyond_the_graph_makes_a_far_fetched_path_matter_less(policy):
    paths = QuestionPaths.collect(GRAPH, [[topic("a", [1.0, 0.0])]], [ids("d")], 2, [()])
    policy.requires_grad_(True)
    sizes = []
    for unanswerable in (1e-6, 0.5):
        policy.zero_grad()
        paths.loss(policy, unanswerable).backward()
        sizes.append(float(policy.direction_weight.grad.norm()))
    assert sizes[1] < sizes[0]
