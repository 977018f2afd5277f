from dataclasses import replace

import pytest
import torch
from pytorch_lightning.callbacks import Callback

from roots_kg.errors import ConfigError, GraphError
from roots_kg.fusion.encoder import Knowledge, KnowledgeEncoder, MarkedText
from roots_kg.fusion.layer import FusionConfig, FusionLayer
from roots_kg.graph.linking import Link, Mention
from roots_kg.training.fusion import train_fusion
from roots_kg.training.fusion_config import FusionTrainingConfig
from roots_kg.training.runs import Run
from roots_kg.training.trainer_config import TrainerConfig

CONFIG = FusionTrainingConfig(steps=3, batch_size=8, negatives=2)


@pytest.fixture(scope="module")
def learned(small_encoder, bundle):
    """A layer that was trained long enough to learn, with links that are often wrong."""
    config = FusionTrainingConfig(steps=100, batch_size=16, wrong=0.4, learning_rate=3e-3, closing=2.0)
    return train_fusion(small_encoder, bundle, config)


def test_training_is_the_same_whenever_it_is_run(small_encoder, bundle):
    first, second = (train_fusion(small_encoder, bundle, CONFIG) for _ in range(2))
    for name, weight in first.fusion.layer.state_dict().items():
        assert torch.equal(weight, second.fusion.layer.state_dict()[name])
    other = train_fusion(small_encoder, bundle, replace(CONFIG, seed=1))
    assert not torch.equal(other.fusion.layer.gate.value.weight, first.fusion.layer.gate.value.weight)


@pytest.mark.parametrize("augmentation", ["none", "fgm", "generator"])
def test_two_processes_that_share_a_batch_learn_what_one_does(small_encoder, bundle, augmentation):
    config = replace(CONFIG, augmentation=augmentation)
    alone = train_fusion(small_encoder, bundle, config)
    shared = train_fusion(small_encoder, bundle, replace(config, trainer=TrainerConfig(devices=2)))
    for name, weight in alone.fusion.layer.state_dict().items():
        torch.testing.assert_close(
            shared.fusion.layer.state_dict()[name], weight, atol=1e-5, rtol=0, msg=name
        )
    assert (shared.loss, *shared.openness) == pytest.approx((alone.loss, *alone.openness), abs=1e-5)


def test_bfloat16_learns_much_the_same_on_every_device(small_encoder, bundle, on):
    config = replace(CONFIG, steps=20, augmentation="fgm")
    whole = train_fusion(small_encoder, bundle, config)
    lower = train_fusion(small_encoder, bundle, replace(config, precision="bf16", trainer=on))
    assert lower.loss == pytest.approx(whole.loss, rel=0.05)
    weights = lower.fusion.layer.state_dict().values()
    assert {(weight.device.type, weight.dtype) for weight in weights} == {("cpu", torch.float32)}


def test_training_changes_the_fusion_layer_and_neither_the_encoder_nor_the_vectors(small_encoder, bundle):
    before = {name: weight.clone() for name, weight in small_encoder.state_dict().items()}
    vectors = bundle.transe.entity.weight.clone()
    result = train_fusion(small_encoder, bundle, CONFIG)
    for name, weight in small_encoder.state_dict().items():
        assert torch.equal(weight, before[name])
    assert torch.equal(bundle.transe.entity.weight, vectors)
    untrained = FusionLayer(small_encoder.hidden_size, 16, FusionConfig())
    moved = [
        not torch.equal(after, untrained.state_dict()[name])
        for name, after in result.fusion.layer.state_dict().items()
    ]
    assert all(moved)
    assert not any(weight.requires_grad for weight in result.fusion.layer.parameters())


def test_names_are_recovered_better_after_training_than_before(small_encoder, bundle, learned):
    config = FusionTrainingConfig(steps=10, batch_size=16, wrong=0.4, learning_rate=1e-9, closing=2.0)
    assert learned.loss < 0.8 * train_fusion(small_encoder, bundle, config).loss


def test_the_gate_closes_where_a_link_is_wrong(small_encoder, bundle, learned):
    layers = KnowledgeEncoder(small_encoder, Knowledge(bundle)).eval()
    layers.fusion.load_state_dict(learned.fusion.layer.state_dict())
    graph = bundle.graph

    def let_in(text, meant):
        mention = Mention((Link(0, len(text), text, graph.entity_id(meant), 1.0),))
        gates = layers([MarkedText(text, (mention,))]).gates[0]
        return sum(gate for _, _, gate in gates) / len(gates)

    towns = ["Graz", "Bergen", "Cusco", "Kiruna", "Linz", "Arica", "Ulm", "Lund"]
    right = [let_in(town, town) for town in towns]
    wrong = [let_in(town, other) for town in towns for other in towns if town != other]
    assert sum(wrong) / len(wrong) < 0.6 * sum(right) / len(right)
    assert learned.openness[1] < learned.openness[0]


def test_lines_that_mention_something_are_read(small_encoder, bundle, tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text(
        "The train to Graz is late.\nNothing is known.\n\n" + "Graz " * 500 + "\n", encoding="utf-8"
    )
    assert train_fusion(small_encoder, bundle, CONFIG, [path]).lines == 1


def test_an_augmentation_is_given_the_vectors_and_what_computes_the_loss(small_encoder, bundle):
    seen = []

    def augment(vectors, loss):
        seen.append(vectors.shape[1])
        moved = vectors.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(loss(moved), moved)
        assert gradient.any()
        return 0.5 * loss(vectors) + 0.5 * loss(vectors + 0.1 * gradient)

    augmented = train_fusion(small_encoder, bundle, CONFIG, augment=augment).fusion.layer
    assert seen == [16] * CONFIG.steps
    plain = train_fusion(small_encoder, bundle, CONFIG).fusion.layer
    assert not torch.equal(augmented.gate.value.weight, plain.gate.value.weight)


@pytest.mark.parametrize("name", ["noise", "mix", "fgm"])
def test_the_config_names_an_augmentation(small_encoder, bundle, name):
    config = replace(CONFIG, steps=2, augmentation=name)
    moved = train_fusion(small_encoder, bundle, config).fusion.layer
    plain = train_fusion(small_encoder, bundle, replace(CONFIG, steps=2)).fusion.layer
    assert not torch.equal(moved.gate.value.weight, plain.gate.value.weight)


def test_an_augmentation_that_changes_what_is_right_cannot_be_used(small_encoder, bundle):
    with pytest.raises(ConfigError, match="moves targets"):
        train_fusion(small_encoder, bundle, replace(CONFIG, augmentation="counterfactual"))


def test_a_graph_without_triples_teaches_nothing(small_encoder, bundle):
    empty = replace(bundle, graph=bundle.graph.without(range(len(bundle.graph))))
    with pytest.raises(GraphError, match="without triples has nothing to learn from"):
        train_fusion(small_encoder, empty, CONFIG)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"removed": 1.5}, "removed must be from 0 to 1"),
        ({"held": -1.0}, "held must be at least 0"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"masked": 0.0, "pooled": 0.0}, "nothing to learn"),
        ({"steps": 0}, "at least 1"),
        ({"batch_size": 1}, "batch_size must be from 2 to 256"),
    ],
)
def test_settings_that_make_no_sense_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        FusionTrainingConfig(**setting)


@pytest.mark.parametrize("augmentation", ["none", "noise", "generator"])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(small_encoder, bundle, augmentation, tmp_path):
    config = replace(CONFIG, steps=10, augmentation=augmentation)

    class Stop(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.global_step == 6:
                raise RuntimeError("stopped")

    whole = train_fusion(small_encoder, bundle, config)
    with pytest.raises(RuntimeError, match="stopped"):
        train_fusion(small_encoder, bundle, config, run=Run(tmp_path, every=5), callbacks=[Stop()])
    resumed = train_fusion(small_encoder, bundle, config, run=Run(tmp_path, resume=True))
    weights = resumed.fusion.layer.state_dict()
    for name, weight in whole.fusion.layer.state_dict().items():
        assert torch.equal(weight, weights[name]), name
    assert (resumed.loss, resumed.openness) == (whole.loss, whole.openness)
    assert [row["loss"] for row in Run(tmp_path).rows()][-1] > 0
