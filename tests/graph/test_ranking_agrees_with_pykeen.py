"""Our ranks are those of PyKEEN's evaluator on the same vectors; runs only where PyKEEN is installed."""

import dataclasses

import numpy as np
import pytest
import torch

from roots_kg.graph.ranking import filtered_ranks, ranking_metrics
from roots_kg.graph.transe import TransE

E, R, K = 60, 3, 4

NAMES = {
    "mrr": "inverse_harmonic_mean_rank",
    "hits_at_1": "hits_at_1",
    "hits_at_3": "hits_at_3",
    "hits_at_10": "hits_at_10",
    "mean_rank": "arithmetic_mean_rank",
}


@pytest.fixture(scope="module", autouse=True)
def _pykeen(tmp_path_factory):
    """PyKEEN makes a folder in the home folder when it is imported: here it makes it in a scratch one."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("pykeen")
        patch.setenv("PYSTOW_HOME", str(home))
        patch.setenv("PYKEEN_HOME", str(home))
        pytest.importorskip("pykeen", reason="PyKEEN is not installed")
        yield


def splits(seed):
    """Train, valid and test triples that share many heads, relations and tails, (T, 3) each."""
    draw = np.random.default_rng(seed)
    facts = np.unique(np.stack([draw.integers(n, size=600) for n in (E, R, E)], axis=1), axis=0)
    return np.split(draw.permutation(facts), [300, 400])


def random_vectors(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(E, K, generator=generator), torch.randn(R, K, generator=generator)


def vectors_with_twins(seed):
    """Half of the entities have a twin with the same vector; whole numbers make further ties, exact ones."""
    generator = torch.Generator().manual_seed(seed)
    half = torch.randint(-2, 3, (E // 2, K), generator=generator).float()
    return half.repeat(2, 1), torch.randint(-2, 3, (R, K), generator=generator).float()


def pykeen_metrics(entity, relation, train, valid, test):
    from pykeen.evaluation import RankBasedEvaluator
    from pykeen.models import TransE as PykeenTransE
    from pykeen.nn.init import PretrainedInitializer
    from pykeen.triples import CoreTriplesFactory

    train, valid, test = map(torch.from_numpy, (train, valid, test))
    model = PykeenTransE(
        triples_factory=CoreTriplesFactory(train, num_entities=E, num_relations=R),
        embedding_dim=K,
        scoring_fct_norm=2,
        entity_initializer=PretrainedInitializer(entity),
        entity_constrainer=None,
        relation_initializer=PretrainedInitializer(relation),
        random_seed=0,
    )
    evaluated = RankBasedEvaluator(filtered=True).evaluate(
        model, test, additional_filter_triples=[train, valid], batch_size=32, use_tqdm=False
    )
    return {ours: evaluated.get_metric(f"both.realistic.{theirs}") for ours, theirs in NAMES.items()}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("vectors", [random_vectors, vectors_with_twins])
def test_the_metrics_of_the_same_vectors_are_those_of_pykeen_also_with_ties(vectors, seed):
    entity, relation = vectors(seed)
    train, valid, test = splits(seed)
    model = TransE(E, R, K)
    with torch.no_grad():
        model.entity.weight.copy_(entity)
        model.relation.weight.copy_(relation)
    ranks = filtered_ranks(model, tuple(test.T), [tuple(train.T), tuple(valid.T)])
    assert vectors is random_vectors or any(rank % 1 for rank in ranks.tolist())
    ours = dataclasses.asdict(ranking_metrics(ranks))
    theirs = pykeen_metrics(entity, relation, train, valid, test)
    assert {name: ours[name] for name in NAMES} == pytest.approx(theirs, abs=1e-6)
