from collections import Counter

import numpy as np
import pytest
import torch

from roots_kg.encoding.adapters import LowRankAdapter
from roots_kg.encoding.language_model import LanguageModelHead
from roots_kg.encoding.objectives import Masking
from roots_kg.encoding.transformer import Transformer, TransformerConfig
from roots_kg.training.language_model_module import LanguageModelModule, OptimizerConfig, shares
from roots_kg.training.language_model_training import log_frequencies, train_language_model
from roots_kg.training.runs import Run
from roots_kg.training.token_file import TokenFile
from roots_kg.training.trainer_config import TrainerConfig

VOCABULARY, LENGTH, START, SEPARATOR, MASK = 32, 12, 2, 3, 4
MASKING = Masking(MASK, VOCABULARY, torch.arange(VOCABULARY) >= 26, torch.arange(VOCABULARY) < 5)
EVERYTHING = {"causal": 2.0, "masked": 1.0, "masked_next": 1.0, "next_sentence": 1.0}


def text(tokens=3000, seed=0):
    """Tokens of which each but the first is mostly the one before, plus one."""
    generator = np.random.default_rng(seed)
    steps = np.where(generator.random(tokens) < 0.9, 1, generator.integers(0, 20, tokens))
    return TokenFile((5 + np.cumsum(steps) % (VOCABULARY - 5)).astype(np.uint16), LENGTH, START)


def module(weights=None, *, steps=10, adapter=False, dropout=0.1, **options):
    torch.manual_seed(0)
    size = TransformerConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_layers=2,
        num_heads=2,
        intermediate_size=32,
        max_positions=LENGTH,
        dropout=dropout,
    )
    trunk = Transformer(size)
    options = {"batch_size": 4, "accumulate": 2, "separator_id": SEPARATOR, **options}
    return LanguageModelModule(
        trunk,
        LanguageModelHead(16, VOCABULARY),
        text(),
        text(600, seed=1),
        MASKING,
        weights or EVERYTHING,
        OptimizerConfig(learning_rate=1e-2, warmup=2),
        steps=steps,
        adapter=LowRankAdapter(trunk, 2) if adapter else None,
        **options,
    )


def train(made, folder, **options):
    folder.mkdir(exist_ok=True)
    options = {"accelerator": "cpu", "precision": "32", "validate_every": 5, "validation_rows": 8, **options}
    run = Run(folder, options.pop("resume", False), every=5)
    return train_language_model(made, run, **options)


@pytest.mark.parametrize(
    ("options", "strategy"),
    [
        ({}, "ddp"),
        ({"sampled": 6, "batch_size": 5}, "ddp"),
        ({"weights": {"causal": 1.0}, "adapter": True}, "ddp"),
        ({"weights": {"causal": 2.0, "masked": 1.0}}, "fsdp"),
    ],
    ids=["all objectives", "sampled", "adapter", "divided weights"],
)
def test_two_processes_that_share_a_batch_learn_what_one_does(tmp_path, options, strategy):
    # Adam makes steps of full size of gradients that are 0 but for rounding, so that must be small here.
    alone, shared = (module(dropout=0.0, **options).double() for _ in range(2))
    curve = train(alone, tmp_path / "alone")
    found = train(shared, tmp_path / "shared", on=TrainerConfig(devices=2, strategy=strategy))
    for name, weight in weights(alone).items():
        torch.testing.assert_close(weights(shared)[name], weight, atol=1e-5, rtol=0, msg=name)
    for one, two in zip(curve, found, strict=True):
        assert {**two, "cpu_seconds": 0} == pytest.approx({**one, "cpu_seconds": 0}, abs=1e-5)


def weights(made):
    return {name: weight.clone() for name, weight in made.state_dict().items()}


def test_ten_steps_equal_five_a_resume_and_five_more_bitwise(tmp_path):
    whole = module()
    curve = train(whole, tmp_path / "whole")

    class Stop(Exception):
        pass

    from pytorch_lightning.callbacks import Callback

    class StopAfterFive(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.global_step == 5:
                raise Stop

    with pytest.raises(Stop):
        train(module(), tmp_path / "parts", callbacks=[StopAfterFive()])
    resumed = module()
    torch.manual_seed(123)  # what was drawn in the meantime must not matter
    second = train(resumed, tmp_path / "parts", resume=True)
    for name, weight in weights(whole).items():
        assert torch.equal(weight, weights(resumed)[name]), name
    same = [{name: value for name, value in point.items() if name != "cpu_seconds"} for point in curve]
    assert [{name: point[name] for name in point if name != "cpu_seconds"} for point in second] == same


def test_the_curve_has_a_point_for_every_look_and_the_log_a_row_for_every_step(tmp_path):
    curve = train(module(), tmp_path)
    assert [point["step"] for point in curve] == [5, 10]
    assert curve[-1]["tokens"] == 10 * 2 * 4 * LENGTH
    assert {"causal", "masked", "held_out_causal_loss", "held_out_masked_next_accuracy"} <= set(curve[-1])
    rows = Run(tmp_path).rows()
    looks = [row for row in rows if "held_out_causal_loss" in row]
    assert [row["step"] for row in looks] == [5, 10]
    assert looks[-1]["held_out_causal_loss"] == pytest.approx(curve[-1]["held_out_causal_loss"])
    assert {row["step"] for row in rows if "causal_loss" in row} == set(range(10))


@pytest.mark.parametrize("objective", ["causal", "masked", "masked_next"])
def test_each_objective_is_learnt(objective, tmp_path):
    made = module({objective: 1.0}, steps=300, accumulate=1, dropout=0.0, batch_size=16)
    before = made.evaluate(made.held_out, 40)
    after = train(made, tmp_path, validate_every=300, validation_rows=40)[-1]
    assert after[f"held_out_{objective}_loss"] < 0.85 * before[f"{objective}_loss"]
    assert after[f"held_out_{objective}_accuracy"] > before[f"{objective}_accuracy"] + 0.2


def test_an_adapter_learns_while_the_trunk_stays_as_it_was(tmp_path):
    made = module({"causal": 1.0}, steps=60, accumulate=1, adapter=True, dropout=0.0)
    trunk = {name: weight.clone() for name, weight in made.trunk.state_dict().items()}
    curve = train(made, tmp_path, validate_every=20)
    assert all(torch.equal(weight, trunk[name]) for name, weight in made.trunk.state_dict().items())
    assert curve[-1]["held_out_causal_loss"] < curve[0]["held_out_causal_loss"]
    assert made.adapter.up["blocks/0/output/weight"].abs().sum() > 0


def test_adding_up_gradients_is_a_larger_batch(tmp_path):
    options = {"weights": {"causal": 1.0}, "steps": 3, "dropout": 0.0}
    small, large = (
        module(batch_size=4, accumulate=2, **options),
        module(batch_size=8, accumulate=1, **options),
    )
    train(small, tmp_path / "small")
    train(large, tmp_path / "large")
    for name, weight in weights(small).items():
        torch.testing.assert_close(weight, weights(large)[name], atol=1e-5, rtol=1e-4)


def test_rows_get_objectives_in_proportion_to_the_weights_in_every_stretch():
    mix = {"causal": 3.0, "masked": 1.0, "masked_next": 0.0}
    assert Counter(shares(mix, 0, 1000)) == {"causal": 750, "masked": 250}
    for first in range(0, 200, 7):
        assert 2 <= Counter(shares(mix, first, 16))["masked"] <= 6
    assert shares(mix, 0, 8) + shares(mix, 8, 8) == shares(mix, 0, 16)


def test_an_objective_without_weight_is_never_trained_nor_judged():
    made = module({"causal": 1.0, "masked": 0.0})
    assert made.next_sentence is None
    assert set(made.evaluate(made.held_out, 8)) == {"causal_loss", "causal_accuracy"}


def test_the_rate_rises_to_its_height_and_falls_to_its_end():
    settings = OptimizerConfig(learning_rate=1.0, warmup=10, final=0.1)
    rates = [settings.rate(step, 110) for step in range(111)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[60] == pytest.approx(0.55)
    assert rates[110] == pytest.approx(0.1)
    assert sorted(rates[10:], reverse=True) == rates[10:]


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": 0},
        {"clip": -1},
        {"final": 2},
        {"warmup": -1},
        {"betas": (0.9,)},
        {"betas": (1.0, 0.9)},
    ],
)
def test_settings_of_the_optimizer_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"must be|are two numbers"):
        OptimizerConfig(**wrong)


def test_log_frequencies_grow_with_the_count_and_have_a_mean_of_zero():
    rows = TokenFile(np.array([1, 1, 1, 2], dtype=np.uint16), 8, None)
    found = log_frequencies(rows, 4)
    assert found[1] > found[2] > found[0] == found[3]
    assert float(found.mean()) == pytest.approx(0, abs=1e-6)
