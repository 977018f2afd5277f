import json
from pathlib import Path

import pytest

from roots_kg.evaluation.controls import shuffled_graph


@pytest.fixture(scope="module")
def tickets(tmp_path_factory):
    """Every other ticket of the bundled test set."""
    bundled = Path(__file__).resolve().parents[2] / "tasks" / "region_routing" / "test.jsonl"
    path = tmp_path_factory.mktemp("evaluate") / "test.jsonl"
    path.write_text(
        "".join(bundled.read_text(encoding="utf-8").splitlines(keepends=True)[::2]), encoding="utf-8"
    )
    return path


def test_the_graph_adds_twenty_points_of_accuracy_on_places_never_seen(roots, routing_models, tickets):
    folder, _ = routing_models
    with_graph, text_only = (
        roots("evaluate", folder / name, "--test", tickets, "--json").json for name in ("graph", "text")
    )
    assert with_graph["n"] == text_only["n"] == 200
    assert with_graph["metrics"]["accuracy"] >= text_only["metrics"]["accuracy"] + 0.2
    assert with_graph["metrics"].keys() == {"accuracy", "f1_macro"}
    assert with_graph["seconds"]["wall"] > 0


def test_a_process_of_its_own_prints_one_json_object_and_no_noise(shell, small_model, routing_folder):
    result = shell("evaluate", small_model, "--test", routing_folder / "test.jsonl", "--json")
    assert result.json["metrics"]["accuracy"] >= 0.9
    assert result.err == ""


def test_a_person_sees_the_metrics_of_the_file(roots, small_model, routing_folder):
    result = roots("evaluate", small_model, "--test", routing_folder / "test.jsonl")
    assert result.code == 0
    assert f"{routing_folder / 'test.jsonl'}: 36 examples" in result.out
    assert "accuracy" in result.out


def test_another_graph_can_be_judged_in_place_of_the_models_own(
    roots, small_model, routing_folder, bundle, tmp_path
):
    shuffled_graph(bundle, seed=0).save(tmp_path / "wrong")
    command = ("evaluate", small_model, "--test", routing_folder / "test.jsonl", "--json")
    own, wrong = roots(*command).json, roots(*command, "--knowledge", tmp_path / "wrong").json
    assert wrong["metrics"]["accuracy"] < own["metrics"]["accuracy"] - 0.1


def test_accuracy_is_the_share_of_right_predictions(roots, small_model, routing_folder):
    test = routing_folder / "test.jsonl"
    labels = [json.loads(line)["label"] for line in test.read_text(encoding="utf-8").splitlines()]
    predicted = roots("predict", small_model, "--input", test, "--json").json["predictions"]
    right = [found["prediction"] == label for found, label in zip(predicted, labels, strict=True)]
    found = roots("evaluate", small_model, "--test", test, "--json").json
    assert found["metrics"]["accuracy"] == pytest.approx(sum(right) / len(right))
