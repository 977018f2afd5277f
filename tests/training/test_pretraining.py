import csv
import gzip
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from roots_kg.config import from_mapping, load_yaml, to_mapping
from roots_kg.encoding.decoding.config import GenerationConfig
from roots_kg.encoding.encoder_store import load_encoder
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.errors import BundleError, ConfigError, DataError, UsageError
from roots_kg.training.pretraining import pretrain
from roots_kg.training.pretraining_config import PretrainingConfig, find_texts
from roots_kg.training.runs import METRICS, work_folder

SENTENCE = "the {} cat sat on the {} mat, and the {} dog looked at the {} cat.\n\n"
WORDS = "red blue green small large old young quiet".split()
TINY = {
    "tokenizer": {"kind": "bpe", "vocab_size": 300},
    "model": {"hidden_size": 16, "num_layers": 2, "num_heads": 2, "intermediate_size": 32},
    "objectives": {"causal": 1, "masked_next": 1},
    "length": 16,
    "batch_size": 4,
    "steps": 4,
    "validate_every": 2,
    "validation_rows": 4,
}


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    lines = [SENTENCE.format(*(WORDS[(3 * row + place) % 8] for place in range(4))) for row in range(60)]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def config(**settings):
    return from_mapping(PretrainingConfig, {**TINY, **settings})


def run(settings, text, out, **options):
    return pretrain(settings, [text], [text], out, **{"accelerator": "cpu", **options})


def test_bfloat16_learns_much_the_same_on_every_device(text, tmp_path, on):
    whole = run(config(precision="32"), text, tmp_path / "whole")
    made = config(precision="bf16", trainer={"accelerator": on.accelerator})
    lower = run(made, text, tmp_path / "lower", accelerator=None)
    name = "held_out_causal_loss"
    assert lower.curve[-1][name] == pytest.approx(whole.curve[-1][name], rel=0.02)
    assert {weight.device.type for weight in lower.encoder.parameters()} == {"cpu"}


def test_text_becomes_an_encoder_that_is_saved_with_its_settings_and_its_curve(text, tmp_path):
    result = run(config(), text, tmp_path / "out")
    loaded = load_encoder(tmp_path / "out")
    sentence = ["the red cat sat"]
    assert torch.equal(loaded.encode(sentence), result.encoder.encode(sentence))
    generation = GenerationConfig(max_new_tokens=5)
    assert loaded.generate(sentence, generation) == result.encoder.generate(sentence, generation)
    assert [point["step"] for point in result.curve] == [2, 4]
    rows = list(csv.DictReader((tmp_path / "out" / METRICS).open()))
    looks = [float(row["held_out_causal_loss"]) for row in rows if row["held_out_causal_loss"]]
    assert looks == [pytest.approx(point["held_out_causal_loss"]) for point in result.curve]
    assert (tmp_path / "out/training/curves.png").read_bytes().startswith(b"\x89PNG")
    stated = yaml.safe_load((tmp_path / "out" / "pretraining.yaml").read_text())
    assert from_mapping(PretrainingConfig, stated) == config()
    assert not work_folder(tmp_path / "out").exists()


def test_a_causal_encoder_reads_causally_by_itself(text, tmp_path):
    causal = run(config(objectives={"causal": 1}), text, tmp_path / "causal").encoder
    assert causal.reading == "causal"
    assert run(config(), text, tmp_path / "mixed").encoder.reading == "bidirectional"


def test_the_same_settings_give_the_same_weights_and_another_seed_others(text, tmp_path):
    first, again, other = (
        run(config(seed=seed), text, tmp_path / str(number)).encoder.state_dict()
        for number, seed in enumerate((0, 0, 1))
    )
    assert all(torch.equal(weight, again[name]) for name, weight in first.items())
    assert not all(torch.equal(weight, other[name]) for name, weight in first.items())


def test_compressed_text_and_a_tokenizer_of_ones_own_give_the_same_encoder(text, tmp_path):
    plain = run(config(), text, tmp_path / "plain")
    packed = tmp_path / "text.txt.gz"
    packed.write_bytes(gzip.compress(text.read_bytes()))
    own = config(tokenizer=str(tmp_path / "plain" / "tokenizer.json"))
    other = run(own, packed, tmp_path / "packed").encoder.state_dict()
    assert all(torch.equal(weight, other[name]) for name, weight in plain.encoder.state_dict().items())


def test_a_stopped_run_goes_on_to_the_weights_that_it_would_have_had(text, tmp_path):
    from pytorch_lightning.callbacks import Callback

    class Stop(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.global_step == 3:
                raise RuntimeError("stopped")

    whole = run(config(), text, tmp_path / "whole")
    out = tmp_path / "parts"
    with pytest.raises(RuntimeError, match="stopped"):
        run(config(), text, out, callbacks=[Stop()])
    assert not out.exists()
    with pytest.raises(UsageError, match="--resume"):
        run(config(), text, out)
    with pytest.raises(ConfigError, match="not those of the run that was stopped"):
        run(config(steps=5), text, out, resume=True)
    resumed = run(config(), text, out, resume=True)
    weights = resumed.encoder.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in whole.encoder.state_dict().items())
    assert not work_folder(out).exists()


def test_there_is_nothing_to_resume_before_a_run(text, tmp_path):
    with pytest.raises(UsageError, match="no run to resume"):
        run(config(), text, tmp_path / "out", resume=True)


def test_a_run_that_fails_before_its_first_checkpoint_leaves_nothing(tmp_path):
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(DataError):
        run(config(), tmp_path / "empty.txt", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.txt"]


def test_an_output_folder_that_holds_something_else_is_left_alone(text, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letters.txt").write_text("mine")
    with pytest.raises(BundleError):
        run(config(), text, tmp_path / "out")
    assert (tmp_path / "out" / "letters.txt").read_text() == "mine"
    assert not work_folder(tmp_path / "out").exists()


def test_preprocessing_reaches_the_tokens(text, tmp_path):
    twice = tmp_path / "twice.txt"
    twice.write_text(text.read_text() * 2)
    once = run(config(preprocessing=[{"step": "deduplicate"}]), twice, tmp_path / "once")
    assert once.tokens < 0.6 * run(config(), twice, tmp_path / "all").tokens


def test_too_little_text_for_one_batch_is_refused(tmp_path):
    (tmp_path / "little.txt").write_text("only these few words stand here")
    with pytest.raises(ConfigError, match="not one batch of 4 rows of 16"):
        run(config(), tmp_path / "little.txt", tmp_path / "out")


def test_an_adapter_gives_a_pretrained_encoder_a_causal_side_and_leaves_its_vectors(text, tmp_path, encoder):
    settings = from_mapping(
        PretrainingConfig,
        {
            "base": "roots-base",
            "adapter": {"rank": 2, "embedding_rank": 2},
            "sampled": 50,
            **{
                key: TINY[key]
                for key in ("length", "batch_size", "steps", "validate_every", "validation_rows")
            },
        },
    )
    result = run(settings, text, tmp_path / "out")
    loaded = load_encoder(tmp_path / "out")
    assert torch.equal(loaded.encode(["a cat"]), encoder.encode(["a cat"]))
    assert result.encoder.encoder.adapter is not None
    assert loaded.generate(["the red"], GenerationConfig(max_new_tokens=3))
    assert not torch.equal(
        loaded.encode(["a cat"], "causal"), TextEncoder.encode(encoder, ["a cat"], "causal")
    )


def test_going_on_with_a_saved_encoder_starts_where_it_ended(text, tmp_path):
    first = run(config(steps=40), text, tmp_path / "first").curve[-1]
    base = {key: value for key, value in TINY.items() if key not in ("tokenizer", "model")}
    more = from_mapping(PretrainingConfig, {**base, "base": str(tmp_path / "first"), "steps": 2})
    second = run(more, text, tmp_path / "second").curve[-1]
    assert second["held_out_causal_loss"] < first["held_out_causal_loss"] + 0.1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"objectives": {"causal": 0}}, "one of them above"),
        ({"objectives": {"causal": -1}}, "at least 0"),
        ({"objectives": {"clm": 1}}, "unknown key 'clm'"),
        ({"length": 4}, "at least 8"),
        ({"mask_rate": 1.5}, "below 1"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"base": "roots-base"}, "leave these out"),
        ({"adapter": {"rank": 4}}, "needs a base"),
        ({"preprocessing": [{"step": "lowercase"}]}, "lower"),
        ({"tokenizer": {"kind": "words"}}, "wordpiece"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(wrong, message):
    with pytest.raises(ConfigError, match=message):
        config(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model": {**TINY["model"], "vocab_size": 10}}, "leave vocab_size out"),
        ({"model": {**TINY["model"], "layers": 2}}, "unknown key 'layers'"),
        ({"model": {**TINY["model"], "max_positions": 8}}, "length is 16, and the model has 8 positions"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_and_leaves_nothing(wrong, message, text, tmp_path):
    with pytest.raises(ConfigError, match=message):
        run(config(**wrong), text, tmp_path / "out")
    assert not work_folder(tmp_path / "out").exists()


def test_wildcards_are_looked_for_beside_the_config(tmp_path):
    for name in ("b.txt", "a.txt"):
        (tmp_path / name).write_text("x")
    found = find_texts(["*.txt", "a.txt"], tmp_path, None)
    assert found == [tmp_path / "a.txt", tmp_path / "b.txt"]
    with pytest.raises(ConfigError, match=r"no file fits '\*\.md'"):
        find_texts(["*.md"], tmp_path, None)


def test_the_settings_survive_being_written_down():
    settings = config(preprocessing=[{"step": "unicode", "form": "NFKC"}, {"step": "lower"}])
    assert from_mapping(PretrainingConfig, to_mapping(settings)) == settings
    shipped = load_yaml(Path(__file__).resolve().parents[2] / "configs" / "pretrain.yaml")
    assert replace(from_mapping(PretrainingConfig, shipped), steps=1).steps == 1
