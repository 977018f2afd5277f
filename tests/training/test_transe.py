"""Training learns a graph with a structure, the same way every time."""

from dataclasses import replace
from itertools import chain, product

import pytest
import torch
from pytorch_lightning.callbacks import Callback

from roots_kg.errors import GraphError
from roots_kg.graph.ranking import filtered_ranks, ranking_metrics
from roots_kg.graph.transe import TransEConfig
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.training.runs import Run
from roots_kg.training.transe import train_transe
from roots_kg.training.transe_module import TripleBatches, Validation

TINY = TransEConfig(dimension=8, epochs=2, batch_size=32, negatives=24)
FAMILIES = [("w", "first", "x"), ("x", "first", "y"), ("w", "second", "y"), ("y", "third", "z")]


def families():
    """Four families of six; where one is related to another, every member is to every member."""
    members = range(6)
    return KnowledgeGraph.from_triples(
        (f"{one}{number}", relation, f"{other}{partner}")
        for one, relation, other in FAMILIES
        for number, partner in product(members, repeat=2)
    )


def ids(graph):
    return graph.head_id, graph.relation_id, graph.tail_id


def weights(model):
    return torch.cat([table.flatten() for table in model.parameters()])


@pytest.mark.parametrize("reciprocal", [True, False])
def test_what_was_learnt_ranks_facts_first_also_facts_that_were_never_shown(reciprocal):
    graph = families()
    held_out = range(3, len(graph), 11)
    shown = graph.without(held_out)
    config = TransEConfig(dimension=16, epochs=20, batch_size=32, negatives=24, reciprocal=reciprocal)
    model = train_transe(shown, config)
    assert ranking_metrics(filtered_ranks(model, ids(shown), [])).mrr > 0.9
    test = tuple(part[held_out] for part in ids(graph))
    assert ranking_metrics(filtered_ranks(model, test, [ids(shown)])).mrr > 0.9


def test_the_same_seed_gives_the_same_vectors_to_the_last_bit_and_another_seed_others():
    graph = families()
    torch.manual_seed(1)
    first = weights(train_transe(graph, TINY))
    torch.manual_seed(2)
    assert torch.equal(first, weights(train_transe(graph, TINY)))
    other = replace(TINY, seed=1)
    assert not torch.equal(first, weights(train_transe(graph, other)))


def test_trained_vectors_are_ready_for_use():
    model = train_transe(families(), TINY)
    assert (model.entity.weight.shape, model.relation.weight.shape) == ((24, 8), (3, 8))
    assert not any(table.requires_grad for table in model.parameters())
    assert weights(model).isfinite().all()


@pytest.mark.parametrize(
    ("triples", "counts"),
    [([("a", "r", "a")], "has 1 and 1"), ([], "has 0 and 0")],
    ids=["one entity", "empty"],
)
def test_a_graph_with_nothing_to_learn_from_is_refused(triples, counts):
    with pytest.raises(GraphError, match=counts):
        train_transe(KnowledgeGraph.from_triples(triples), TINY)


def test_a_graph_that_lost_all_its_triples_is_refused():
    graph = families()
    with pytest.raises(GraphError, match="a graph needs two entities and a triple"):
        train_transe(graph.without(range(len(graph))), TINY)


def test_the_smallest_graph_can_be_learnt():
    assert weights(train_transe(KnowledgeGraph.from_triples([("a", "r", "b")]), TINY)).isfinite().all()


def test_every_epoch_shows_every_triple_once_in_a_new_order():
    batches = TripleBatches(10, 4, seed=0, step=lambda: 0)
    first = [batch.tolist() for batch in batches]
    second = [batch.tolist() for batch in TripleBatches(10, 4, seed=0, step=lambda: 3)]
    assert len(batches) == len(first) == 3
    assert [len(batch) for batch in first] == [4, 4, 2]
    assert sorted(chain(*first)) == sorted(chain(*second)) == list(range(10))
    assert first != second
    assert first == [batch.tolist() for batch in batches]


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "self_adversarial", "margin": 2.0},
        {"sampling": "bernoulli"},
        {"norm": 1, "learning_rate": 0.05, "temperature": 1.0},
        {"filtered": False},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_every_way_of_training_learns_the_facts_it_was_shown(settings):
    graph = families()
    config = TransEConfig(**({"dimension": 16, "epochs": 20, "batch_size": 32, "negatives": 24} | settings))
    model = train_transe(graph, config)
    assert model.norm == config.norm
    assert ranking_metrics(filtered_ranks(model, ids(graph), [])).mrr > 0.9


def test_validation_keeps_the_best_vectors_and_stops_when_patience_ends():
    graph = families()
    shown = graph.without(range(0, len(graph), 11))
    test = tuple(part[::11] for part in ids(graph))
    config = replace(TINY, epochs=60, patience=3, validate_every=2, dimension=16)
    validation = Validation(shown, test, config)
    seen = []

    class Watch(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            seen.append(trainer.current_epoch + 1)

    model = train_transe(shown, config, validation=validation, callbacks=[Watch()])
    assert ranking_metrics(filtered_ranks(model, test, [ids(shown)])).mrr == validation.best_mrr
    assert validation.best_epoch % 2 == 0
    assert seen[-1] == min(60, validation.best_epoch + 3 * 2)


@pytest.mark.parametrize("step", [3, 5, 7, 10])
def test_a_run_that_was_stopped_anywhere_goes_on_to_the_same_bits(step, tmp_path):
    graph, config = families(), replace(TINY, epochs=4, validate_every=1)
    held_out = tuple(part[::5] for part in ids(graph))

    class Stop(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.global_step == step + 1:
                raise RuntimeError("stopped")

    def train(run=None, **options):
        validation = Validation(graph, held_out, config)
        return weights(train_transe(graph, config, validation=validation, run=run, **options)), validation

    whole, judged = train()
    with pytest.raises(RuntimeError, match="stopped"):
        train(Run(tmp_path, every=step), callbacks=[Stop()])
    resumed, rejudged = train(Run(tmp_path, resume=True))
    assert torch.equal(whole, resumed)
    assert (judged.best_mrr, judged.best_epoch) == (rejudged.best_mrr, rejudged.best_epoch)


def test_progress_goes_to_standard_error(capsys):
    train_transe(families(), TINY, progress=True)
    captured = capsys.readouterr()
    assert "TransE" in captured.err
    assert "triples/s" in captured.err
    assert captured.out == ""


def test_threads_are_as_many_as_asked_for_while_it_trains():
    seen = []

    class Watch(Callback):
        def on_train_start(self, trainer, pl_module):
            seen.append(torch.get_num_threads())

    before = torch.get_num_threads()
    for threads in (1, 2):
        train_transe(families(), TINY, threads=threads, callbacks=[Watch()])
    assert seen == [1, 2]
    assert torch.get_num_threads() == before
