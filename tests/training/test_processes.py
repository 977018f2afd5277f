"""Several processes, each with a part of the vectors, learn what one does."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from pytorch_lightning.callbacks import Callback
from torch import distributed

from roots_kg.errors import UsageError
from roots_kg.graph.ranking import filtered_ranks, ranking_metrics
from roots_kg.graph.transe import TransEConfig
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.training.runs import Run
from roots_kg.training.transe import train_transe
from roots_kg.training.transe_module import Validation

CONFIG = TransEConfig(dimension=8, epochs=4, batch_size=30, negatives=17, weight_decay=1e-3)


def graph():
    return KnowledgeGraph.from_triples(
        (f"city{number}", f"relation{(number * other) % 5}", f"land{other}")
        for number, other in product(range(13), range(7))
    )


class Curve(Callback):
    """Writes the loss of every step, added up over the processes, to a file."""

    def __init__(self, path):
        self.path, self.losses = path, []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        loss = outputs["loss"].detach().clone()
        if distributed.is_initialized():
            distributed.all_reduce(loss)
        self.losses.append(loss)

    def on_train_end(self, trainer, pl_module):
        if trainer.is_global_zero:
            torch.save(torch.stack(self.losses), self.path)


@pytest.mark.parametrize(
    ("processes", "settings"),
    [
        (2, {}),
        (3, {"reciprocal": False, "sampling": "bernoulli"}),
        (2, {"loss": "self_adversarial", "norm": 1}),
    ],
    ids=["two", "three", "two-L1"],
)
def test_the_loss_curve_and_the_vectors_are_those_of_one_process(tmp_path, processes, settings):
    config = replace(CONFIG, **settings)
    curves, models = [], []
    for count in (1, processes):
        path = tmp_path / f"{count}.pt"
        models.append(train_transe(graph(), config, processes=count, callbacks=[Curve(path)]))
        curves.append(torch.load(path, weights_only=True))
    assert len(curves[0]) == 4 * 4
    torch.testing.assert_close(curves[1], curves[0], atol=1e-5, rtol=0)
    for ours, expected in zip(models[1].parameters(), models[0].parameters(), strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)
        assert not ours.requires_grad


def test_validation_ranks_the_same_over_several_processes():
    whole = graph()
    shown, held_out = whole.without(range(0, len(whole), 9)), slice(0, None, 9)
    test = (whole.head_id[held_out], whole.relation_id[held_out], whole.tail_id[held_out])
    known = [(shown.head_id, shown.relation_id, shown.tail_id)]
    validation = Validation(shown, test, CONFIG)
    model = train_transe(shown, CONFIG, processes=2, validation=validation)
    assert validation.best_epoch > 0
    mrr = ranking_metrics(filtered_ranks(model, test, known)).mrr
    assert mrr == pytest.approx(validation.best_mrr, abs=1e-6)


def test_a_run_to_resume_is_for_one_process(tmp_path):
    with pytest.raises(UsageError, match="one process"):
        train_transe(graph(), CONFIG, processes=2, run=Run(tmp_path, resume=True))


def test_processes_log_once_and_write_no_checkpoint(tmp_path):
    run = Run(tmp_path)
    train_transe(graph(), CONFIG, processes=2, run=run)
    assert run.rows()[-1]["loss"] < run.rows()[0]["loss"]
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
