import json
import signal

import pytest
import yaml
from typer.testing import CliRunner

from roots_kg.cli import app
from roots_kg.errors import ConfigError, DataError, UsageError
from roots_kg.training.language_model_module import LanguageModelModule

TINY = {
    "text": ["text.txt"],
    "validation": ["text.txt"],
    "tokenizer": {"kind": "bpe", "vocab_size": 300},
    "model": {"hidden_size": 16, "num_layers": 2, "num_heads": 2, "intermediate_size": 32},
    "length": 16,
    "batch_size": 4,
    "steps": 3,
    "validate_every": 3,
}


@pytest.fixture
def config(tmp_path):
    (tmp_path / "text.txt").write_text("the cat sat on the mat and looked at the dog.\n" * 60)
    path = tmp_path / "pretrain.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path


def pretrain(*arguments):
    return CliRunner().invoke(app, ["pretrain", *map(str, arguments)])


def test_figures_are_printed_and_the_encoder_generates(config, tmp_path):
    result = pretrain("--config", config, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.exception
    assert "held out causal loss" in result.output
    assert f"The encoder is in {tmp_path / 'out'}" in result.output
    command = ["generate", str(tmp_path / "out"), "--prompt", "the cat", "--max-length", "8"]
    generated = CliRunner().invoke(app, command)
    assert generated.exit_code == 0, generated.exception
    assert generated.output.startswith("the cat")


def test_json_is_one_object_with_the_curve(config, tmp_path):
    result = pretrain("--config", config, "--out", tmp_path / "out", "--json", "--steps", 2)
    printed = json.loads(result.stdout)
    assert printed["metrics"]["step"] == 2
    assert printed["curve"][-1]["held_out_causal_loss"] == printed["metrics"]["held_out_causal_loss"]


def test_files_on_the_command_line_stand_in_for_those_of_the_config(config, tmp_path):
    (tmp_path / "other.txt").write_text("a b c d e f g h i j k l m n o p\n" * 80)
    results = [
        json.loads(pretrain("--config", config, "--out", tmp_path / name, "--json", *more).stdout)
        for name, more in (
            ("own", []),
            ("other", [tmp_path / "other.txt", "--validation", tmp_path / "other.txt"]),
        )
    ]
    own, other = (result["metrics"]["text_tokens"] for result in results)
    assert own != other


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"stpes": 3}, ConfigError, "did you mean 'steps'"),
        ({"text": ["none.txt"]}, DataError, "none.txt: there is no such file"),
        ({"text": ["*.none"]}, ConfigError, "no file fits"),
        ({"text": []}, UsageError, "no text to train on"),
        ({"text": ["pretrain.bin"]}, DataError, "pretrain.bin"),
    ],
)
def test_what_cannot_be_trained_is_refused_by_name(settings, error, message, config, tmp_path):
    (tmp_path / "pretrain.bin").write_bytes(bytes(range(256)) * 40)
    config.write_text(yaml.safe_dump(TINY | settings))
    result = pretrain("--config", config, "--out", tmp_path / "out")
    assert isinstance(result.exception, error)
    assert message in str(result.exception)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.work").exists()


def test_a_run_that_is_interrupted_says_how_to_go_on_and_goes_on(config, tmp_path, roots, monkeypatch):
    config.write_text(yaml.safe_dump(TINY | {"steps": 6, "validate_every": 2}))
    command = ("pretrain", "--config", config, "--out", tmp_path / "out")
    step, handler = LanguageModelModule.training_step, signal.getsignal(signal.SIGINT)

    def interrupted(module, batch, number):
        if module.global_step == 3:
            raise KeyboardInterrupt
        return step(module, batch, number)

    with monkeypatch.context() as patch:
        patch.setattr(LanguageModelModule, "training_step", interrupted)
        stopped = roots(*command)
    signal.signal(signal.SIGINT, handler)  # which Lightning has turned off
    assert stopped.code == 130
    assert "--resume" in stopped.err
    assert (tmp_path / "out.work" / "last.ckpt").exists()
    assert not (tmp_path / "out").exists()
    resumed = roots(*command, "--resume", "--json").json
    assert [point["step"] for point in resumed["curve"]] == [2, 4, 6]
    assert not (tmp_path / "out.work").exists()
