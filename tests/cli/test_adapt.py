import shutil

import torch

from roots_kg.encoding.encoder_store import save_encoder
from roots_kg.model import RootsModel


def test_the_graph_is_trusted_on_the_bundled_tickets_and_absent_without_it(routing_models):
    _, told = routing_models
    with_graph, text_only = told["graph"]["metrics"], told["text"]["metrics"]
    assert (with_graph["examples"], with_graph["labels"]) == (40, 8)
    assert with_graph["knowledge_weight"] > 0
    assert text_only["knowledge_weight"] == 0
    assert with_graph["leave_one_out_accuracy"] > text_only["leave_one_out_accuracy"]


def test_the_result_names_the_folder_the_seed_and_the_time(routing_models):
    folder, told = routing_models
    assert told["graph"]["out"] == str(folder / "graph")
    assert told["graph"]["seed"] == 0
    assert told["graph"]["seconds"].keys() == {"encode", "fit"}


def test_the_saved_model_holds_its_own_graph_and_not_the_encoder(routing_models):
    folder, _ = routing_models
    assert (folder / "graph" / "knowledge" / "triples.safetensors").is_file()
    assert not (folder / "text" / "knowledge").exists()
    assert sum(path.stat().st_size for path in (folder / "text").rglob("*")) < 1_000_000


def test_a_task_is_named_or_given_as_a_path_and_adapts_on_fewer_shots(roots, routing_folder, tmp_path):
    shots = ("--shots", 2, "--no-knowledge", "--json", "--out", tmp_path / "out")
    assert roots("adapt", routing_folder, *shots).json["metrics"]["examples"] == 6
    assert roots("adapt", routing_folder / "task.yaml", *shots).json["metrics"]["examples"] == 6
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "mail").symlink_to(routing_folder)
    assert roots("adapt", "mail", *shots, cwd=tmp_path).json["metrics"]["examples"] == 6


def test_the_seed_draws_the_shots(roots, routing_folder, tmp_path):
    weights = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        options = ("--shots", 2, "--no-knowledge", "--seed", seed, "--out", tmp_path / name)
        assert roots("adapt", routing_folder, *options).code == 0
        weights.append((tmp_path / name / "head.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_a_person_sees_what_was_chosen_and_where_the_model_is(roots, routing_folder, tmp_path):
    result = roots("adapt", routing_folder, "--shots", 2, "--no-knowledge", "--out", tmp_path / "out")
    assert result.code == 0
    assert "leave one out accuracy" in result.out
    assert f"The model is in {tmp_path / 'out'}" in result.out


def test_without_a_bundle_the_tasks_own_graph_is_trained_first(
    roots, towns_file, write_task, examples, tmp_path
):
    stated = {"head": "classification", "knowledge": str(towns_file)}
    folder = write_task(tmp_path / "mail", stated, examples.routing.train)
    result = roots("adapt", folder, "--shots", 4, "--out", tmp_path / "out", "--json")
    assert result.json["metrics"]["knowledge_weight"] > 0
    assert f"training vectors for {towns_file} first" in result.err
    assert len(RootsModel.from_pretrained(tmp_path / "out").knowledge.graph) == 48


def test_a_graph_and_no_graph_exclude_each_other(roots, routing_folder, towns, tmp_path):
    result = roots("adapt", routing_folder, "--knowledge", towns, "--no-knowledge", "--out", tmp_path / "out")
    assert result.code == 2
    assert result.err == "error: --knowledge and --no-knowledge exclude each other\n"


def test_a_model_is_adapted_on_another_encoder_and_keeps_it(roots, routing_folder, small_encoder, tmp_path):
    save_encoder(small_encoder, tmp_path / "encoder")
    options = ("--encoder", tmp_path / "encoder", "--shots", 2, "--no-knowledge", "--out", tmp_path / "out")
    assert roots("adapt", routing_folder, *options).code == 0
    shutil.rmtree(tmp_path / "encoder")
    model = RootsModel.from_pretrained(tmp_path / "out")
    assert torch.equal(model.encode(["a parcel"]), small_encoder.encode(["a parcel"]))


def test_an_encoder_that_is_none_is_refused_before_anything_is_done(roots, routing_folder, towns, tmp_path):
    command = ("adapt", routing_folder, "--out", tmp_path / "out", "--encoder")
    unknown = roots(*command, tmp_path / "none")
    assert unknown.code == 2
    assert "there is no pretrained model" in unknown.err
    graph = roots(*command, towns)
    assert graph.code == 1
    assert "this is a 'graph' bundle, expected 'encoder'" in graph.err
    assert not (tmp_path / "out").exists()


def write_head(folder, name):
    """Write a `head.py` that offers classification under another name."""
    (folder / "head.py").write_text(
        "from roots_kg.adaptation.heads.classification import ClassificationHead\n"
        "from roots_kg.registry import register_head\n\n\n"
        f"@register_head({name!r})\n"
        "class OwnHead(ClassificationHead):\n    pass\n"
    )


def test_the_code_of_a_task_runs_only_when_it_is_trusted(roots, write_task, examples, tmp_path):
    folder = write_task(tmp_path / "own", {"head": "shouting"}, examples.routing.train)
    write_head(folder, "shouting")
    command = ("adapt", folder, "--shots", 1, "--out", tmp_path / "out")
    refused = roots(*command)
    assert refused.code == 2
    assert "there is no head 'shouting'" in refused.err
    assert "--trust-task-code" in refused.err
    assert roots(*command, "--trust-task-code").code == 0


def test_a_model_whose_head_a_task_defines_asks_for_its_code_to_be_trusted(
    shell, write_task, examples, tmp_path
):
    folder = write_task(tmp_path / "own", {"head": "whispering"}, examples.routing.train)
    write_head(folder, "whispering")
    shell("adapt", folder, "--shots", 1, "--out", tmp_path / "out", "--trust-task-code")
    refused = shell("predict", tmp_path / "out", "hello")
    assert refused.code == 2
    assert "there is no head 'whispering'" in refused.err
    assert shell("predict", tmp_path / "out", "hello", "--trust-code-of", folder).code == 0
