import pytest
import torch

from roots_kg.graph.store import GraphBundle


def test_train_saves_a_bundle_that_can_be_loaded(roots, towns_file, tmp_path):
    options = ("--epochs", 3, "--dimension", 8, "--seed", 5)
    found = roots("kg", "train", towns_file, "--out", tmp_path / "out", *options, "--json").json
    assert (found["metrics"]["triples"], found["metrics"]["entities"]) == (48, 50)
    assert (found["settings"]["epochs"], found["settings"]["dimension"], found["settings"]["seed"]) == (
        3,
        8,
        5,
    )
    assert found["out"] == str(tmp_path / "out")
    loaded = GraphBundle.load(tmp_path / "out")
    assert loaded.transe.entity.weight.shape == (50, 8)
    assert loaded.graph.sources == (str(towns_file),)


def test_train_gives_the_same_vectors_for_the_same_seed(roots, towns_file, tmp_path):
    vectors = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        roots(
            "kg",
            "train",
            towns_file,
            "--out",
            tmp_path / name,
            "--epochs",
            2,
            "--dimension",
            8,
            "--seed",
            seed,
        )
        vectors.append(GraphBundle.load(tmp_path / name).transe.entity.weight)
    assert torch.equal(vectors[0], vectors[1])
    assert not torch.equal(vectors[0], vectors[2])


def test_an_option_wins_over_the_settings_file(roots, towns_file, tmp_path):
    (tmp_path / "transe.yaml").write_text("dimension: 4\nepochs: 2\n")
    arguments = ("--config", tmp_path / "transe.yaml", "--epochs", 1, "--json")
    settings = roots("kg", "train", towns_file, "--out", tmp_path / "out", *arguments).json["settings"]
    assert (settings["dimension"], settings["epochs"]) == (4, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [("epoch: 3", "unknown key 'epoch' (did you mean 'epochs'?)"), ("epochs: 0", "epochs must be above 0")],
)
def test_wrong_settings_are_wrong_use(roots, towns_file, tmp_path, content, message):
    (tmp_path / "transe.yaml").write_text(content)
    result = roots("kg", "train", towns_file, "--out", tmp_path / "out", "--config", tmp_path / "transe.yaml")
    assert result.code == 2
    assert result.err.startswith(f"error: {tmp_path / 'transe.yaml'}: {message}")
    assert not (tmp_path / "out").exists()


def test_a_choice_that_there_is_not_is_wrong_use_and_names_those_there_are(roots, towns_file, tmp_path):
    result = roots("kg", "train", towns_file, "--out", tmp_path / "out", "--loss", "hinge")
    assert result.code == 2
    assert "loss" in result.err
    assert "self_adversarial" in result.err
    assert "Traceback" not in result.err


def test_validation_triples_are_ranked_and_the_best_vectors_kept(roots, towns_file, tmp_path):
    arguments = ("--valid", towns_file, "--epochs", 6, "--patience", 2, "--dimension", 8, "--json")
    found = roots("kg", "train", towns_file, "--out", tmp_path / "out", *arguments).json["metrics"]
    assert 1 <= found["best_epoch"] <= 6
    again = roots("kg", "evaluate", tmp_path / "out", "--test", towns_file, "--json").json["metrics"]
    assert again["mrr"] == pytest.approx(found["validation_mrr"])


def test_patience_without_validation_triples_is_wrong_use(roots, towns_file, tmp_path):
    result = roots("kg", "train", towns_file, "--out", tmp_path / "out", "--patience", 2)
    assert result.code == 2
    assert "--valid" in result.err


def test_processes_and_mapped_files_give_the_vectors_of_one_process_in_memory(roots, towns_file, tmp_path):
    common = ("kg", "train", towns_file, "--epochs", 2, "--dimension", 8)
    assert roots(*common, "--out", tmp_path / "one").code == 0
    assert roots(*common, "--out", tmp_path / "two", "--processes", 2).code == 0
    assert roots(*common, "--out", tmp_path / "mapped", "--mapped", tmp_path / "files").code == 0
    one, two, mapped = (
        GraphBundle.load(tmp_path / name).transe.entity.weight for name in ("one", "two", "mapped")
    )
    assert torch.equal(mapped, one)
    torch.testing.assert_close(two, one, atol=1e-5, rtol=0)


def test_a_folder_for_the_vectors_that_holds_something_is_left_alone(roots, towns_file, tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "entity.safetensors").write_text("mine")
    result = roots("kg", "train", towns_file, "--out", tmp_path / "out", "--mapped", tmp_path / "files")
    assert result.code == 2
    assert "must be empty" in result.err
    assert (tmp_path / "files" / "entity.safetensors").read_text() == "mine"
