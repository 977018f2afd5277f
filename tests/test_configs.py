"""Every file in configs/ trains: a new one is picked up here by itself."""

from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner

from roots_kg.adaptation.meta_learning.store import load_meta
from roots_kg.cli import app
from roots_kg.config import from_mapping
from roots_kg.encoding.encoder_store import load_encoder, save_encoder
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.fusion.store import load_fusion
from roots_kg.graph.store import GraphBundle
from roots_kg.model import RootsModel
from roots_kg.training.fusion_config import FusionTrainingConfig
from roots_kg.training.meta_config import MetaTrainingConfig
from roots_kg.training.pretraining_config import PretrainingConfig

CONFIGS = sorted((Path(__file__).resolve().parents[1] / "configs").glob("*.y*ml"))
PRETRAINING = [path for path in CONFIGS if "objectives" in yaml.safe_load(path.read_text(encoding="utf-8"))]
KINDS = {path: yaml.safe_load(path.read_text(encoding="utf-8")).get("kind") for path in CONFIGS}
FUSION, GENERATION, META = (
    [path for path, kind in KINDS.items() if kind == wanted] for wanted in ("fusion", "generation", "meta")
)
GRAPHS = [path for path in CONFIGS if path not in PRETRAINING + FUSION + GENERATION + META]


def test_there_are_configs_to_run():
    assert GRAPHS
    assert PRETRAINING
    assert FUSION
    assert GENERATION
    assert META


@pytest.mark.parametrize("config", PRETRAINING, ids=lambda path: path.name)
def test_a_config_pretrains_an_encoder_with_its_own_settings(config, tmp_path):
    stated = yaml.safe_load(config.read_text(encoding="utf-8")) | {"steps": 1}
    arguments = ["pretrain", "--config", str(config), "--out", str(tmp_path / "out"), "--steps", "1"]
    if "text" not in stated:
        (tmp_path / "text.txt").write_text("A horse, a horse, my kingdom for a horse! " * 250)
        arguments.append(str(tmp_path / "text.txt"))
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.exception
    settings = yaml.safe_load((tmp_path / "out" / "pretraining.yaml").read_text(encoding="utf-8"))
    written = from_mapping(PretrainingConfig, settings)
    assert written == from_mapping(PretrainingConfig, stated)
    assert load_encoder(tmp_path / "out").head is not None


@pytest.mark.parametrize("config", FUSION, ids=lambda path: path.name)
def test_a_config_trains_a_fusion_layer_with_its_own_settings(config, bundle, tmp_path):
    bundle.save(tmp_path / "graph")
    arguments = ["train", "--config", str(config), "--knowledge", str(tmp_path / "graph"), "--steps", "1"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "fusion"), "--json"])
    assert result.exit_code == 0, result.exception
    stated = yaml.safe_load(config.read_text(encoding="utf-8")) | {"steps": 1}
    written = from_mapping(FusionTrainingConfig, dict(load_fusion(tmp_path / "fusion").training))
    assert written == from_mapping(FusionTrainingConfig, stated)


@pytest.mark.parametrize("config", GRAPHS, ids=lambda path: path.name)
def test_a_config_trains_a_small_graph_with_its_own_settings(config, tmp_path):
    lines = [f"e{number}\tr{number % 2}\te{number * 7 % 12}\n" for number in range(12)]
    (tmp_path / "triples.tsv").write_text("".join(lines))
    arguments = ["kg", "train", str(tmp_path / "triples.tsv"), "--config", str(config), "--epochs", "1"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "bundle"), "--json"])
    assert result.exit_code == 0, result.exception
    trained = GraphBundle.load(tmp_path / "bundle")
    assert len(trained.graph) == 12
    stated = yaml.safe_load(config.read_text(encoding="utf-8")) | {"epochs": 1}
    assert {name: getattr(trained.config, name) for name in stated} == stated


@pytest.mark.parametrize("config", GENERATION, ids=lambda path: path.name)
def test_a_config_trains_a_model_that_writes_with_its_own_settings(config, write_task, tmp_path):
    lines = [
        {"triples": [[f"Town {number}", "country", "Norway"]], "target": f"Town {number} lies in Norway."}
        for number in range(20)
    ]
    task = write_task(tmp_path / "towns", {"head": "generation"}, lines)
    arguments = ["train", "--config", str(config), "--data", str(task), "--steps", "1"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "model"), "--json"])
    assert result.exit_code == 0, result.exception
    stated = yaml.safe_load(config.read_text(encoding="utf-8"))
    model = RootsModel.from_pretrained(tmp_path / "model")
    shape = model.layers.encoder.encoder.trunk.config
    assert {name: getattr(shape, name) for name in stated["model"]} == stated["model"]
    assert model.head.settings()["beams"] == stated["beams"]


@pytest.mark.parametrize("config", META, ids=lambda path: path.name)
def test_a_config_meta_trains_with_its_own_settings(config, write_task, small_encoder, tmp_path):
    stated = yaml.safe_load(config.read_text(encoding="utf-8"))
    trunk = stated.get("trunk", {}).get("train", "nothing") != "nothing"
    save_encoder(TextEncoder(small_encoder.encoder, small_encoder.tokenizer), tmp_path / "letters")
    settings = stated | {"tasks": 1, "validation": 1, "encoder": str(tmp_path / "letters")}
    small = tmp_path / "small.yaml"
    small.write_text(yaml.safe_dump(settings), encoding="utf-8")
    lines = [
        {"text": f"Ida {verb} in Oslo.", "label": verb}
        | ({"head": {"span": [0, 3]}, "tail": {"span": [13, 17]}} if trunk else {})
        for verb in ("works", "lives", "stays", "sings", "reads", "walks")
        for _ in range(10)
    ]
    head = "relation" if trunk else "classification"
    task = write_task(tmp_path / "verbs", {"head": head}, lines)
    arguments = ["train", "--config", str(small), "--data", str(task), "--steps", "1"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out"), "--json"])
    assert result.exit_code == 0, result.exception
    if trunk:
        before, after = (load_encoder(tmp_path / name).encode(["a"]) for name in ("letters", "out"))
        assert not torch.equal(before, after)
    else:
        written = from_mapping(MetaTrainingConfig, dict(load_meta(tmp_path / "out").training))
        assert written == from_mapping(MetaTrainingConfig, settings | {"steps": 1})
