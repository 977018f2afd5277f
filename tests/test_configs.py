"""Every file in configs/ trains: a new one is picked up here by itself."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from roots_kg.cli import app
from roots_kg.graph.store import GraphBundle

CONFIGS = sorted((Path(__file__).resolve().parents[1] / "configs").glob("*.y*ml"))


def test_there_are_configs_to_run():
    assert CONFIGS


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.name)
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
