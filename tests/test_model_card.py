"""A model's card says what was measured, says what was not, and stays text whatever a task is called."""

import json
import shutil
from types import SimpleNamespace

import pytest
import yaml
from huggingface_hub import HfApi, constants
from hypothesis import given
from hypothesis import strategies as st

from roots_kg import hub
from roots_kg.adaptation.task import Task
from roots_kg.bundle import Bundle
from roots_kg.config import to_mapping
from roots_kg.errors import BundleError, ConfigError, UsageError, WeightsError
from roots_kg.graph.card import Card
from roots_kg.model import RootsModel
from roots_kg.model_card import Described, GraphFacts, Judgement, ModelCard, TaskCard, render_card

TASK = Described("mail", "classification", "Routes mail.", {"billing": "invoices", "login": "passwords"})
GRAPH = GraphFacts(3, 2, 1, [Card(source="a survey", licence="CC0-1.0", name="towns")])


def front(text):
    _, fields, rest = text.split("---\n", 2)
    return yaml.safe_load(fields), rest


def card():
    made = ModelCard()
    made.learned("mail", ["billing", "billing"], {"temperature": 2.0, "left_out": 3})
    return made


@pytest.fixture
def model(small_encoder, bundle, routing_folder):
    made = RootsModel(small_encoder, bundle)
    made.adapt(Task.load(routing_folder))
    return made


def test_a_card_tells_the_task_the_data_the_graph_and_its_licence():
    fields, text = front(render_card(card(), [TASK], "roots-base.", GRAPH, 256))
    assert fields["library_name"] == "roots-kg"
    assert fields["pipeline_tag"] == "text-classification"
    assert "model-index" not in fields
    for told in (
        "# mail",
        "Learned from 2 examples.",
        "| `billing` | invoices | 2 |",
        "| `login` | passwords | 0 |",
        "towns: a survey. Licence: CC0-1.0.",
        "3 triples, 2 entities and 1 relations",
        "| temperature | 2.0000 |",
    ):
        assert told in text


def test_what_was_not_measured_stands_among_the_limits_until_it_is():
    made = card()
    text = render_card(made, [TASK], "roots-base.", GRAPH)
    assert "it was not judged on examples that are held out" in text
    assert "what its graph is worth was not measured" in text
    assert "whether it treats groups of people alike was not measured; `roots report --bias" in text
    assert "1 labels have no example" in text
    made.judged("mail", Judgement("test.jsonl", 12, {"accuracy": 0.75}, {"accuracy": (0.5, 0.9)}))
    made.reported("mail", "knowledge", "The graph helps.")
    made.reported("mail", "robustness", "It bends.")
    made.reported("mail", "bias", "Two flips.")
    fields, text = front(render_card(made, [TASK], "roots-base.", GRAPH))
    assert "was not" not in text
    assert "12 examples are few to judge by" in text
    assert "| accuracy | 0.7500 | 0.5000 to 0.9000 |" in text
    assert "The graph helps." in text
    assert "### Bias\n\nTwo flips." in text
    (result,) = fields["model-index"][0]["results"]
    assert result["metrics"] == [{"type": "accuracy", "value": 0.75}]


def test_a_card_names_no_report_of_bias_for_a_head_that_it_is_not_for():
    made = ModelCard({"sentences": TaskCard(examples=3)})
    text = render_card(made, [Described("sentences", "generation", "", {})], "roots-base.", None)
    assert "whether it treats groups of people alike was not measured." in text
    assert "--bias" not in text


def test_a_file_that_is_judged_again_replaces_what_was_known_of_it():
    made = card()
    for value in (0.5, 0.6):
        made.judged("mail", Judgement("a.jsonl", 50, {"accuracy": value}))
    made.judged("mail", Judgement("b.jsonl", 50, {"accuracy": 0.7}))
    assert [each.metrics["accuracy"] for each in made.tasks["mail"].judgements] == [0.6, 0.7]


def test_learning_anew_or_more_forgets_what_was_measured_before():
    made = card()
    made.judged("mail", Judgement("a.jsonl", 50, {"accuracy": 0.5}))
    made.learned_more("mail", "login", 3)
    known = made.tasks["mail"]
    assert (known.examples, known.labels, known.judgements) == (5, {"billing": 2, "login": 3}, ())


@given(st.text(), st.text(), st.dictionaries(st.text(), st.text(), max_size=3))
def test_any_text_stays_within_its_place(name, description, labels):
    made = ModelCard({name: TaskCard(examples=1, labels=dict.fromkeys(labels, 1))})
    made.judged(name, Judgement(name, 1, {"accuracy": 1.0}))
    text = render_card(made, [Described(name, "classification", description, labels)], "x.", None)
    fields = yaml.safe_load(text.removeprefix("---\n").partition("\n---\n")[0])
    told = " ".join(name.replace("|", "\\|").split())
    assert fields["model-index"][0]["results"][0]["dataset"]["name"] == told
    assert ModelCard.from_json(made.to_json(), "card.json") == made


@pytest.mark.parametrize("text", ["", "[]", '{"tasks": 3}', '{"taks": {}}', '{"tasks": {"a": {"n": 1}}}'])
def test_what_is_no_card_is_refused(text):
    with pytest.raises(ConfigError, match=r"card\.json"):
        ModelCard.from_json(text, "card.json")


def test_a_saved_model_carries_its_card_and_takes_in_what_is_found_later(model, tmp_path):
    (name,) = model.heads
    assert model.card.tasks[name].examples > 0
    model.save_pretrained(tmp_path / "model")
    before = {path.name: path.read_bytes() for path in (tmp_path / "model").glob("*.safetensors")}
    model.card.judged(name, Judgement("t.jsonl", 40, {"accuracy": 0.5}))
    model.save_card(tmp_path / "model")
    again = RootsModel.from_pretrained(tmp_path / "model")
    assert to_mapping(again.card) == to_mapping(model.card)
    assert "On the 40 examples of `t.jsonl`" in (tmp_path / "model" / "README.md").read_text()
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "model").glob("*.safetensors")}


def test_a_damaged_card_is_named(model, tmp_path):
    model.save_pretrained(tmp_path / "model")
    Bundle.amend(tmp_path / "model", "model", {"card.json": b"{}x"})
    with pytest.raises(BundleError, match=r"card\.json"):
        RootsModel.from_pretrained(tmp_path / "model")


def test_a_model_is_pushed_whole_and_comes_back(model, tmp_path, monkeypatch):
    def upload(self, *, repo_id, folder_path, **_):
        shutil.copytree(folder_path, tmp_path / "hub" / repo_id)
        return f"https://hub/{repo_id}"

    def fetch(name, *, local_dir, **_):
        return shutil.copytree(tmp_path / "hub" / name, local_dir)

    monkeypatch.setattr(HfApi, "create_repo", lambda self, repo_id, **_: SimpleNamespace(repo_id=repo_id))
    monkeypatch.setattr(HfApi, "upload_folder", upload)
    monkeypatch.setattr(hub, "snapshot_download", fetch)
    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "home"))
    assert model.push_to_hub("ida/mail") == "https://hub/ida/mail"
    pushed = tmp_path / "hub/ida/mail"
    files = {path.suffix for path in pushed.rglob("*") if path.is_file()}
    assert files <= {".json", ".safetensors", ".md"}
    assert json.loads((pushed / "config.json").read_text())["format"] == "roots-kg"
    assert (pushed / "README.md").read_text().startswith("---\nlibrary_name: roots-kg")
    texts = ["a letter from Graz", ""]
    back = RootsModel.from_pretrained("hf://ida/mail")
    assert [found.value for found in back.predict(texts)] == [found.value for found in model.predict(texts)]


def test_a_model_without_a_task_is_not_pushed(small_encoder):
    with pytest.raises(UsageError, match="no task yet"):
        RootsModel(small_encoder).push_to_hub("ida/mail")


def test_without_a_network_the_way_out_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="neither here nor can the hub be reached"):
        RootsModel.from_pretrained("hf://ida/mail")
    with pytest.raises(WeightsError, match="cannot be had"):
        RootsModel.from_pretrained("hf://ida/ma il/x")
