"""Missing edges lead where vectors, frequency and answered questions say."""

import numpy as np
import pytest
import torch

from roots_kg.adaptation.reasoning.clues import ReadQuestion, gather_clues
from roots_kg.adaptation.reasoning.completion import Completion
from roots_kg.fusion.encoder import Knowledge
from roots_kg.graph.store import GraphBundle
from roots_kg.graph.transe import TransE, TransEConfig
from roots_kg.graph.triples import KnowledgeGraph

FILMS = [(f"film {n}", "by", f"director {n % 5}") for n in range(40)]
FILMS += [(f"film {n}", "in", str(1990 + n % 3)) for n in range(40)]


def world(triples, seed=0):
    """A graph whose directors' vectors lie where their films' vectors and the relation point."""
    graph = KnowledgeGraph.from_triples(triples)
    transe = TransE(graph.num_entities, graph.num_relations, 8, generator=torch.Generator().manual_seed(seed))
    table = transe.entity.weight.data
    for n in range(40):
        film, director = graph.entity_id(f"film {n}"), graph.entity_id(f"director {n % 5}")
        table[film] = table[director] - transe.relation.weight.data[graph.relation("by")]
    return Knowledge(GraphBundle(graph, transe.requires_grad_(False), TransEConfig(dimension=8)))


@pytest.fixture
def knowledge():
    missing = {("film 0", "by"), ("film 1", "by"), ("film 2", "in")}
    return world([triple for triple in FILMS if triple[:2] not in missing])


def best(completion, entity, relation):
    graph = completion.knowledge.graph
    owner, ends, shares = completion.complete(np.array([graph.entity_id(entity)]), graph.relation(relation))
    assert owner.tolist() == [0] * len(ends)
    assert shares.sum() <= 1 + 1e-6
    assert np.all(np.diff(shares) <= 0)
    return graph.entities[ends[0]], float(shares[0])


def test_without_clues_the_vectors_say_where_an_edge_leads(knowledge):
    completion = Completion(knowledge)
    assert best(completion, "film 0", "by")[0] == "director 0"
    assert best(completion, "film 1", "by")[0] == "director 1"


def test_an_answered_question_outweighs_the_vectors(knowledge):
    graph = knowledge.graph
    by, film = graph.relation("by"), graph.entity_id("film 0")
    question = ReadQuestion(film, (by,), frozenset([graph.entity_id("director 3")]))
    weights = Completion(knowledge, gather_clues(graph, [question]).clues.summed())
    weights.weight[:, 2:] = 5.0
    assert best(weights, "film 0", "by")[0] == "director 3"
    assert best(weights, "film 1", "by")[0] == "director 1"


def test_fitting_makes_the_right_ends_likelier(knowledge):
    graph = knowledge.graph
    by = graph.relation("by")
    questions = [
        ReadQuestion(graph.entity_id(f"film {n}"), (by,), frozenset([graph.entity_id(f"director {n}")]))
        for n in (0, 1)
    ]
    gathered = gather_clues(graph, questions)
    completion = Completion(knowledge, gathered.clues.summed())
    before = best(Completion(knowledge), "film 0", "by")[1]
    completion.fit(gathered.broken, gathered.clues)
    assert best(completion, "film 0", "by")[1] > before
    assert completion.weight[by, 0] > Completion(knowledge).weight[by, 0]


def test_a_question_does_not_teach_by_its_own_clue(knowledge):
    """Each question's answer is told by nothing but itself, so that its clue must not look trustworthy."""
    graph = knowledge.graph
    by = graph.relation("by")
    films = [graph.entity_id(f"film {n}") for n in (0, 1)]
    answers = [frozenset([graph.entity_id(name)]) for name in ("director 4", "director 3")]
    questions = [ReadQuestion(film, (by,), answer) for film, answer in zip(films, answers, strict=True)]
    gathered = gather_clues(graph, questions)
    completion = Completion(knowledge, gathered.clues.summed())
    completion.fit(gathered.broken, gathered.clues)
    assert torch.allclose(completion.weight[by, 2:], Completion(knowledge).weight[by, 2:], atol=1e-3)


def test_an_entity_is_never_completed_with_itself(knowledge):
    completion = Completion(knowledge)
    graph = knowledge.graph
    director = graph.entity_id("director 0")
    _, ends, _ = completion.complete(np.array([director]), graph.relation("by"))
    assert director not in ends.tolist()


def test_several_entities_are_completed_as_one_by_one(knowledge):
    graph = knowledge.graph
    by = graph.relation("by")
    films = np.array([graph.entity_id("film 0"), graph.entity_id("film 1")])
    owner, ends, shares = Completion(knowledge).complete(films, by)
    for position, film in enumerate(films):
        _, alone, share = Completion(knowledge).complete(np.array([film]), by)
        assert ends[owner == position].tolist() == alone.tolist()
        assert shares[owner == position] == pytest.approx(share)


def test_saved_clues_are_found_again_in_a_graph_with_other_ids(knowledge):
    graph = knowledge.graph
    by = graph.relation("by")
    question = ReadQuestion(graph.entity_id("film 0"), (by,), frozenset([graph.entity_id("director 3")]))
    completion = Completion(knowledge, gather_clues(graph, [question]).clues.summed())
    completion.weight[:, 2:] = 5.0
    others = reversed([triple for triple in FILMS if triple[:2] != ("film 0", "by")])
    other = world([("Nobody", "by", "nothing"), *others])
    assert other.graph.relations == graph.relations
    assert other.graph.entity_id("film 0") != graph.entity_id("film 0")
    restored = Completion(other, rows=completion.rows)
    restored.load_state_dict(completion.state_dict())
    assert best(restored, "film 0", "by")[0] == "director 3"
