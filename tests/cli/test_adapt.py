import shutil

import pytest
import torch

from roots_kg.encoding.encoder_store import save_encoder
from roots_kg.encoding.text_encoder import TextEncoder
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
        weights.append((tmp_path / name / "head-0.safetensors").read_bytes())
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


def test_texts_of_the_test_file_that_are_learned_from_are_warned_of_with_their_count(
    roots, write_task, examples, tmp_path
):
    train = examples.routing.train
    test = [{"text": train[0]["text"].upper() + " ", "label": "central"}, *train[1:3], {"text": 3}]
    folder = write_task(tmp_path / "leaky", {"head": "classification"}, train, test)
    result = roots("adapt", folder, "--out", tmp_path / "out", "--json")
    assert f"warning: 3 of the {len(train)} examples to learn from have a text that is also in" in result.err
    assert result.json["metrics"]["examples"] == len(train)
    (folder / "test.jsonl").unlink()
    assert "warning" not in roots("adapt", folder, "--out", tmp_path / "out").err


def test_only_the_examples_that_were_drawn_are_compared_with_the_test_file(
    roots, write_task, examples, tmp_path
):
    train = examples.routing.train
    folder = write_task(tmp_path / "leaky", {"head": "classification"}, train, train)
    result = roots("adapt", folder, "--shots", 2, "--out", tmp_path / "out")
    assert "warning: 6 of the 6 examples" in result.err


def test_a_task_that_is_added_leaves_the_others_as_they_are(roots, small_model, two_tasks, routing_folder):
    test = ("--test", routing_folder / "test.jsonl", "--json")
    before = roots("evaluate", small_model, *test).json["metrics"]
    assert roots("evaluate", two_tasks, *test, "--task", "routing").json["metrics"] == before
    result = roots("evaluate", two_tasks, *test)
    assert result.code != 0
    assert "several tasks" in result.err


def test_a_task_is_added_in_place_where_no_other_folder_is_named(
    roots, small_model, questions_folder, tmp_path
):
    model = tmp_path / "model"
    shutil.copytree(small_model, model)
    assert roots("adapt", questions_folder, "--add-to", model).code == 0
    assert list(roots("predict", model, "In which country is Wels?", "--json").json["tasks"]) == [
        "routing",
        "questions",
    ]


@pytest.mark.parametrize("option", [("--no-knowledge",), ("--encoder", "roots-base"), ("--misspelt",)])
def test_what_a_model_has_of_its_own_cannot_be_said_anew(roots, small_model, questions_folder, option):
    result = roots("adapt", questions_folder, "--add-to", small_model, *option)
    assert result.code != 0
    assert f"--add-to and {option[0]} exclude each other" in result.err


def test_without_a_folder_to_write_nothing_is_done(roots, questions_folder):
    result = roots("adapt", questions_folder)
    assert result.code != 0
    assert "--out" in result.err


def test_the_encoder_is_tuned_once_and_for_one_task(
    roots, small_encoder, routing_folder, questions_folder, tmp_path
):
    save_encoder(TextEncoder(small_encoder.encoder, small_encoder.tokenizer), tmp_path / "encoder")
    own = ("--encoder", tmp_path / "encoder", "--no-knowledge")
    told = roots("adapt", routing_folder, *own, "--tune-encoder", "--out", tmp_path / "model", "--json").json
    assert {"tuned", "held_out", "passes"} <= told["metrics"].keys()
    assert told["seconds"]["tune"] > 0
    again = roots("adapt", routing_folder, "--add-to", tmp_path / "model", "--tune-encoder")
    other = roots("adapt", questions_folder, "--add-to", tmp_path / "model", "--tune-encoder")
    assert other.code != 0
    assert "rely on it" in other.err
    assert (again.code != 0) == told["metrics"]["tuned"]


def test_what_was_meta_trained_says_how_a_task_is_learned_and_the_model_keeps_it(
    roots, towns, routing_folder, tmp_path
):
    config = tmp_path / "meta.yaml"
    config.write_text(
        "kind: meta\nlearner: {algorithm: protomaml}\nepisodes: {way: [2], shots: [1], examples: 3}\n"
        "graph: {tails: 2}\ntasks: 2\nsteps: 3\nheld_out: 0.0\nlearning_rate: 0.05\n"
    )
    trained = roots(
        "train",
        "--config",
        config,
        "--data",
        routing_folder,
        "--knowledge",
        towns,
        "--out",
        tmp_path / "meta",
        "--json",
    )
    assert trained.json["metrics"]["labels"] == 9  # three teams, and six countries
    options = ("--knowledge", towns, "--meta", tmp_path / "meta", "--out", tmp_path / "out", "--json")
    told = roots("adapt", routing_folder, *options).json["metrics"]
    assert told["meta_algorithm"] == "protomaml"
    model = RootsModel.from_pretrained(tmp_path / "out")
    assert model.head.module is not None
    wrong = roots("adapt", routing_folder, "--meta", towns, "--out", tmp_path / "other")
    assert wrong.code == 1
    assert "this is a 'graph' bundle, expected 'meta'" in wrong.err
