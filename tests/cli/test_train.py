import json

import pytest
import yaml

from roots_kg.encoding.encoder_store import save_encoder
from roots_kg.errors import BundleError, ConfigError, UsageError
from roots_kg.fusion.store import load_fusion

TINY = {"kind": "fusion", "steps": 2, "batch_size": 4, "negatives": 2}


@pytest.fixture
def place(tmp_path, bundle, small_encoder, monkeypatch):
    """A folder with a graph, an encoder, a config and a file of text."""
    monkeypatch.setenv("ROOTS_DEBUG", "1")
    bundle.save(tmp_path / "graph")
    save_encoder(small_encoder, tmp_path / "encoder")
    (tmp_path / "lines.txt").write_text("The train to Graz is late.\nNothing is known.\n", encoding="utf-8")
    stated = {**TINY, "encoder": str(tmp_path / "encoder"), "knowledge": "graph", "text": ["*.txt"]}
    (tmp_path / "fusion.yaml").write_text(yaml.safe_dump(stated), encoding="utf-8")
    return tmp_path


def test_a_layer_is_trained_with_what_the_config_names(roots, place):
    result = roots("train", "--config", place / "fusion.yaml", "--out", place / "out", "--json").json
    assert result["metrics"]["lines"] == 1
    assert result["metrics"]["triples"] == 48
    found = load_fusion(place / "out")
    assert found.training["steps"] == 2
    assert found.encoder == ""


def test_options_win_and_figures_are_shown(roots, place, bundle):
    (place / "graph").rename(place / "elsewhere")
    (place / "mine.text").write_text("Nothing is known.\n", encoding="utf-8")
    options = ["--knowledge", place / "elsewhere", "--text", place / "mine.text", "--steps", 1, "--seed", 3]
    result = roots("train", "--config", place / "fusion.yaml", "--out", place / "out", *options)
    assert result.code == 0
    assert "gate where a link is wrong" in result.out
    training = load_fusion(place / "out").training
    assert (training["steps"], training["seed"]) == (1, 3)
    assert load_fusion(place / "out").space == bundle.space


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"kind": None}, ConfigError, "the key 'kind' is missing"),
        ({"kind": "fusoin"}, ConfigError, "did you mean 'fusion'"),
        ({"stepps": 3}, ConfigError, "did you mean 'steps'"),
        ({"augmentation": "nois"}, ConfigError, "did you mean 'noise'"),
        ({"knowledge": None}, UsageError, "no graph to learn from"),
        ({"knowledge": "nowhere"}, BundleError, "nowhere"),
        ({"text": ["*.nothing"]}, ConfigError, "no file fits"),
    ],
)
def test_what_cannot_be_trained_is_refused_and_nothing_is_written(
    place, roots, monkeypatch, change, error, message
):
    monkeypatch.delenv("ROOTS_DEBUG")
    stated = yaml.safe_load((place / "fusion.yaml").read_text(encoding="utf-8")) | change
    stated = {key: value for key, value in stated.items() if value is not None}
    (place / "fusion.yaml").write_text(yaml.safe_dump(stated), encoding="utf-8")
    result = roots("train", "--config", place / "fusion.yaml", "--out", place / "out")
    assert result.code == error("").exit_code
    assert message in result.err
    assert not (place / "out").exists()


def test_a_folder_with_something_else_is_not_replaced(place, roots):
    (place / "out").mkdir()
    (place / "out" / "letter.txt").write_text("dear", encoding="utf-8")
    result = roots("train", "--config", place / "fusion.yaml", "--out", place / "out")
    assert result.code != 0
    assert (place / "out" / "letter.txt").read_text(encoding="utf-8") == "dear"


def test_a_trained_layer_is_used_by_adapt(roots, place, routing_folder):
    roots("train", "--config", place / "fusion.yaml", "--out", place / "out")
    options = ["--encoder", place / "encoder", "--knowledge", place / "graph", "--fusion", place / "out"]
    result = roots("adapt", routing_folder, *options, "--out", place / "model", "--json")
    assert result.json["metrics"]["examples"] == 36
    expected = (place / "out" / "fusion.safetensors").read_bytes()
    assert (place / "model" / "fusion.safetensors").read_bytes() == expected
    settings = json.loads((place / "model" / "config.json").read_text(encoding="utf-8"))["settings"]
    assert settings["space"] == load_fusion(place / "out").space


def test_a_trained_layer_needs_a_graph_and_the_one_it_was_trained_with(roots, place, routing_folder, bundle):
    roots("train", "--config", place / "fusion.yaml", "--out", place / "out")
    encoder = ["--encoder", place / "encoder", "--fusion", place / "out", "--out", place / "model"]
    assert "needs a graph" in roots("adapt", routing_folder, *encoder).err
    assert "excludes" in roots("adapt", routing_folder, *encoder, "--no-knowledge").err
    (place / "facts.tsv").write_text(
        "Graz\tlocated_in\tAustria\nLinz\tlocated_in\tAustria\n", encoding="utf-8"
    )
    roots("kg", "train", place / "facts.tsv", "--dimension", 16, "--epochs", 1, "--out", place / "other")
    result = roots("adapt", routing_folder, *encoder, "--knowledge", place / "other")
    assert "come from another training" in result.err
    assert "train the fusion layer again" in result.err


def test_a_saved_model_takes_vectors_of_another_training_when_told_to(
    roots, place, routing_folder, bundle, examples
):
    files = {
        "train.tsv": [bundle.graph.triple(index) for index in range(len(bundle.graph))],
    }
    for name, facts in files.items():
        (place / name).write_text("".join("\t".join(fact) + "\n" for fact in facts), encoding="utf-8")
    roots("kg", "train", place / "train.tsv", "--dimension", 8, "--epochs", 2, "--out", place / "other")
    encoder = ["--encoder", place / "encoder", "--knowledge", place / "graph"]
    roots("adapt", routing_folder, *encoder, "--out", place / "model")
    asked = [place / "model", "--knowledge", place / "other"]
    refused = roots("predict", *asked, "The parcel to Graz.")
    assert "--project-knowledge" in refused.err
    told = roots("predict", *asked, "--project-knowledge", "The parcel to Graz.", "--json").json
    assert len(told["predictions"]) == 1
    test = routing_folder / "test.jsonl"
    judged = roots("evaluate", *asked, "--project-knowledge", "--test", test, "--json").json
    assert judged["n"] == len(examples.routing.test)
