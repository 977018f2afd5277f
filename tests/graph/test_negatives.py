"""Negatives are drawn as the setting says, and what must not count is found."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from roots_kg.graph.negatives import NegativeSampler, TrueAnswers
from roots_kg.graph.transe import TransEConfig
from roots_kg.graph.triples import KnowledgeGraph

ids = st.integers(0, 4).map(str)


@given(
    st.lists(st.tuples(ids, st.sampled_from("rs"), ids), min_size=1, max_size=15),
    st.sets(st.integers(0, 4)),
    st.data(),
)
@settings(max_examples=100, deadline=None)
def test_the_true_answers_among_some_candidates_are_those_of_a_search(triples, candidates, data):
    graph = KnowledgeGraph.from_triples(triples)
    candidates = sorted(entity for entity in candidates if entity < graph.num_entities)
    queries = data.draw(st.lists(st.integers(0, 2 * len(graph) - 1), max_size=6))
    rows, columns = TrueAnswers(graph).among(
        torch.tensor(queries, dtype=torch.long), torch.tensor(candidates, dtype=torch.long)
    )

    known = set(zip(graph.head_id.tolist(), graph.relation_id.tolist(), graph.tail_id.tolist(), strict=True))
    expected = set()
    for row, query in enumerate(queries):
        triple = query % len(graph)
        head, relation, tail = (
            int(part[triple]) for part in (graph.head_id, graph.relation_id, graph.tail_id)
        )
        for position, entity in enumerate(candidates):
            fact = (head, relation, entity) if query < len(graph) else (entity, relation, tail)
            if fact in known:
                expected.add((row, position))
    found = list(zip(rows.tolist(), columns.tolist(), strict=True))
    assert len(found) == len(set(found))
    assert set(found) == expected


CITIES = KnowledgeGraph.from_triples(
    [(f"city{number}", "in", f"land{number % 3}") for number in range(12)]
    + [(f"land{number}", "borders", f"land{(number + 1) % 3}") for number in range(3)]
)


def draw(graph, triples, seed=0, **config):
    sampler = NegativeSampler(graph, TransEConfig(**config))
    return sampler.draw(torch.tensor(triples), torch.Generator().manual_seed(seed))


def excluded_pairs(negatives):
    rows, columns = negatives.excluded
    return set(zip(negatives.queries[rows].tolist(), negatives.candidates[columns].tolist(), strict=True))


@pytest.mark.parametrize("sampling", ["uniform", "bernoulli", "typed"])
def test_candidates_are_distinct_ascending_and_the_same_for_the_same_seed(sampling):
    first, second = (draw(CITIES, [0, 3, 12], sampling=sampling, negatives=9) for _ in range(2))
    assert torch.equal(first.candidates, second.candidates)
    assert (first.candidates.diff() > 0).all()
    assert len(first.candidates) <= 9


def test_uniform_negatives_ask_both_sides_of_every_triple_tails_first():
    assert draw(CITIES, [4, 2], negatives=5).queries.tolist() == [4, 2, len(CITIES) + 4, len(CITIES) + 2]


def test_known_answers_are_excluded_when_filtered_and_not_otherwise():
    pairs = excluded_pairs(draw(CITIES, [0], negatives=500))
    land = CITIES.entity_id("land0")
    assert pairs == {(0, land)} | {(len(CITIES), CITIES.entity_id(f"city{n}")) for n in (0, 3, 6, 9)}
    assert not excluded_pairs(draw(CITIES, [0], negatives=500, filtered=False))


def test_bernoulli_negatives_corrupt_one_side_and_mostly_the_one_with_fewer_true_answers():
    # "in" has one land a city and four cities a land: a corrupted head is true too often
    asked = torch.cat(
        [
            draw(CITIES, list(range(12)), seed, sampling="bernoulli", negatives=3).queries
            for seed in range(200)
        ]
    )
    assert len(asked) == 12 * 200
    assert (asked < len(CITIES)).double().mean().item() == pytest.approx(4 / 5, abs=0.03)
    assert set((asked % len(CITIES)).tolist()) == set(range(12))


def test_typed_negatives_count_only_where_the_relation_has_such_an_entity_somewhere():
    negatives = draw(CITIES, [0, 12], negatives=500, sampling="typed", filtered=False)
    names = [CITIES.entities[entity] for entity in negatives.candidates.tolist()]
    counted = set(range(len(negatives.queries))), set(range(len(names)))
    rows, columns = (part.tolist() for part in negatives.excluded)
    allowed = {(row, column) for row in counted[0] for column in counted[1]} - set(
        zip(rows, columns, strict=True)
    )
    tails, heads = ({names[column] for row, column in allowed if row == wanted} for wanted in (0, 2))
    assert tails == {"land0", "land1", "land2"}
    assert heads == {f"city{number}" for number in range(12)}
