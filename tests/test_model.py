import json
import random
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from roots_kg.adaptation.task import Record, Task, read_records
from roots_kg.encoding.adapters import LowRankAdapter
from roots_kg.encoding.backbones import TransformersEncoder
from roots_kg.encoding.encoder_store import save_encoder
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.errors import BundleError, ConfigError, GraphError, RootsError, TaskError, UsageError
from roots_kg.fusion.encoder import Knowledge
from roots_kg.graph.editing import add_triples, remove_triples
from roots_kg.graph.store import GraphBundle
from roots_kg.graph.transe import TransE, TransEConfig
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.model import RootsModel
from roots_kg.training.transe import train_transe

TEXTS = ["The parcel to Wels never arrived.", "Our office in Kiruna is closed.", "", "Nothing known"]
QUESTION = "In which country is Kalmar?"


@pytest.fixture(scope="module")
def questions(encoder, bundle, questions_folder):
    model = RootsModel(encoder, graph=bundle)
    model.adapt(Task.load(questions_folder), shots=24)
    return model


@pytest.fixture(scope="module")
def saved_routing(routing, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "routing"
    routing.save_pretrained(folder)
    return folder


@pytest.fixture
def own(small_encoder, routing_folder, tmp_path):
    """A model with an encoder of its own, whose folder is gone by now."""
    save_encoder(small_encoder, tmp_path / "encoder")
    model = RootsModel.from_pretrained(tmp_path / "encoder")
    model.adapt(Task.load(routing_folder))
    shutil.rmtree(tmp_path / "encoder")
    return model


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["routing", "questions"])
def test_a_saved_model_comes_back_with_bit_identical_predictions(request, name, tmp_path):
    model = request.getfixturevalue(name)
    texts = [*TEXTS, QUESTION]
    model.save_pretrained(tmp_path / "model")
    restored = RootsModel.from_pretrained(tmp_path / "model")
    assert restored.predict(texts) == model.predict(texts)
    assert restored.explain(texts[:1]) == model.explain(texts[:1])


def test_a_restored_model_keeps_its_task(routing, saved_routing):
    task = RootsModel.from_pretrained(saved_routing).head.task
    assert (task.name, task.head, task.labels) == ("routing", "classification", routing.head.task.labels)


def test_a_model_without_a_graph_is_saved_without_one(encoder, routing_folder, tmp_path):
    model = RootsModel(encoder)
    model.adapt(Task.load(routing_folder))
    model.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model" / "knowledge").exists()
    restored = RootsModel.from_pretrained(tmp_path / "model")
    assert restored.knowledge is None
    assert restored.predict(TEXTS) == model.predict(TEXTS)


def test_saving_twice_replaces_the_folder_and_loses_nothing_in_between(routing, saved_routing, tmp_path):
    routing.save_pretrained(tmp_path / "model")
    routing.save_pretrained(tmp_path / "model")
    assert contents(tmp_path / "model") == contents(saved_routing)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_saving_does_not_touch_a_folder_that_holds_something_else(routing, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(BundleError, match="holds something that is not a saved model"):
        routing.save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    "name", ["head-0.safetensors", "fusion.safetensors", "README.md", "knowledge/triples.safetensors"]
)
def test_a_flipped_byte_is_noticed_and_its_file_named(routing, tmp_path, name):
    routing.save_pretrained(tmp_path / "model")
    file = tmp_path / "model" / name
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(BundleError, match=re.escape(name) + ".*differs from what was saved"):
        RootsModel.from_pretrained(tmp_path / "model")


def test_an_unknown_key_in_the_settings_is_refused(routing, tmp_path):
    routing.save_pretrained(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    stated = json.loads(config.read_text())
    stated["settings"]["retreival"] = stated["settings"].pop("retrieval")
    config.write_text(json.dumps(stated))
    with pytest.raises(
        BundleError, match=r"config\.json: unknown key 'retreival' \(did you mean 'retrieval'"
    ):
        RootsModel.from_pretrained(tmp_path / "model")


def test_an_encoder_of_its_own_is_saved_with_a_model_and_predicts_the_same(own, bundle, tmp_path):
    own.save_pretrained(tmp_path / "model")
    assert (tmp_path / "model" / "encoder" / "tokenizer.json").is_file()
    assert "Its own, in `encoder/`" in (tmp_path / "model" / "README.md").read_text()
    (tmp_path / "model").rename(tmp_path / "moved")
    restored = RootsModel.from_pretrained(tmp_path / "moved")
    assert restored.predict(TEXTS) == own.predict(TEXTS)
    assert torch.equal(restored.encode(TEXTS), own.encode(TEXTS))
    restored.save_pretrained(tmp_path / "moved")
    again = RootsModel.from_pretrained(tmp_path / "moved", knowledge=bundle)
    assert torch.equal(again.encode(TEXTS), own.encode(TEXTS))
    assert torch.equal(again.with_graph(bundle).encode(TEXTS), own.encode(TEXTS))


def test_of_a_pretrained_encoder_only_the_name_is_saved(saved_routing):
    settings = json.loads((saved_routing / "config.json").read_text())["settings"]
    assert settings["encoder"] == "roots-base"
    assert not (saved_routing / "encoder").exists()


@pytest.mark.parametrize("name", ["encoder.safetensors", "tokenizer.json", "config.json"])
def test_a_damaged_or_missing_encoder_is_noticed(own, tmp_path, name):
    own.save_pretrained(tmp_path / "model")
    file = tmp_path / "model" / "encoder" / name
    file.write_bytes(file.read_bytes()[:-2])
    with pytest.raises(BundleError, match=rf"encoder/{re.escape(name)}"):
        RootsModel.from_pretrained(tmp_path / "model")
    shutil.rmtree(file.parent)
    with pytest.raises(BundleError, match=r"encoder: .*has no config\.json"):
        RootsModel.from_pretrained(tmp_path / "model")


def test_a_saved_model_cannot_name_a_folder_for_its_encoder(routing, small_encoder, tmp_path):
    save_encoder(small_encoder, tmp_path / "encoder")
    routing.save_pretrained(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    config["settings"]["encoder"] = str(tmp_path / "encoder")
    path.write_text(json.dumps(config))
    with pytest.raises(BundleError, match=r"config\.json: there is no pretrained model"):
        RootsModel.from_pretrained(tmp_path / "model")


def test_a_folder_in_the_layout_of_hugging_face_is_a_model_without_a_task(letters, routing_folder, tmp_path):
    shape = GPT2Config(vocab_size=60, n_embd=32, n_layer=2, n_head=4, n_positions=24)
    GPT2LMHeadModel(shape).save_pretrained(tmp_path / "gpt2")
    shutil.copy(letters, tmp_path / "gpt2")
    model = RootsModel.from_pretrained(tmp_path / "gpt2")
    expected = TextEncoder.from_pretrained(tmp_path / "gpt2").encode(TEXTS, "causal")
    assert torch.equal(model.encode(TEXTS), expected)
    model.adapt(Task.load(routing_folder))
    model.save_pretrained(tmp_path / "model")
    assert RootsModel.from_pretrained(tmp_path / "model").predict(TEXTS) == model.predict(TEXTS)


def test_a_model_with_an_encoder_of_transformers_predicts_and_cannot_be_saved(
    letters, bundle, routing_folder, tmp_path
):
    shape = GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=24)
    GPT2LMHeadModel(shape).save_pretrained(tmp_path / "gpt2")
    shutil.copy(letters, tmp_path / "gpt2")
    model = RootsModel(TransformersEncoder.from_pretrained(causal=tmp_path / "gpt2"), graph=bundle)
    model.adapt(Task.load(routing_folder))
    assert {found.value for found in model.predict(TEXTS)} <= set(model.head.labels)
    with pytest.raises(UsageError, match="belongs to transformers cannot be saved"):
        model.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_triple_taken_out_of_a_saved_model_counts_at_the_next_prediction(questions, bundle, tmp_path):
    questions.save_pretrained(tmp_path / "model")
    saved = tmp_path / "model" / "knowledge"
    (before,) = RootsModel.from_pretrained(tmp_path / "model").predict([QUESTION])
    own = GraphBundle.load(saved)
    stated = [own.graph.triple(index) for index in range(len(own.graph))]
    number = stated.index(("Kalmar", "located_in", "Sweden"))
    GraphBundle(own.graph.without([number]), own.transe, own.config).save(saved)
    (after,) = RootsModel.from_pretrained(tmp_path / "model").predict([QUESTION])
    assert (before.value, after.value) == ("Sweden", "(no answer)")


def test_another_graph_can_be_given_in_place_of_the_models_own(routing, saved_routing, bundle, tmp_path):
    empty = GraphBundle(bundle.graph.without(range(len(bundle.graph))), bundle.transe, bundle.config)
    empty.save(tmp_path / "empty")
    before = routing.predict(TEXTS)
    for knowledge in (empty, tmp_path / "empty"):
        after = RootsModel.from_pretrained(saved_routing, knowledge=knowledge).predict(TEXTS)
        assert before[0].evidence
        assert not after[0].evidence
        assert after[2:] == before[2:]


def test_an_edited_graph_counts_at_the_next_prediction(questions, bundle):
    asked = "In which country is Hallstatt?"
    more, _ = add_triples(bundle, [("Hallstatt", "located_in", "Austria")])
    model = questions.with_graph(more)
    (told,) = model.explain([asked])
    assert told.prediction == "Austria"
    assert told.evidence[0].triple == ("Hallstatt", "located_in", "Austria")
    assert model.predict([QUESTION]) == questions.predict([QUESTION])
    assert questions.predict([asked])[0].value == "(no answer)"
    less, _ = remove_triples(more, [("Hallstatt", "located_in", "Austria")])
    assert model.with_graph(less).predict([asked])[0].value == "(no answer)"


def test_a_model_with_another_graph_leaves_the_encoder_as_others_are_reading_with_it(routing, bundle):
    encoder = routing.layers.encoder.encoder
    merged = encoder.causal_trunk
    for model in (routing.with_graph(bundle), routing.without_graph()):
        assert model.layers.encoder is routing.layers.encoder
        assert not model.layers.training
        assert encoder.causal_trunk is merged


def test_a_model_with_an_edited_graph_is_saved_with_it(routing, bundle, tmp_path):
    model = routing.with_graph(add_triples(bundle, [("Hallstatt", "located_in", "Austria")])[0])
    texts = ["The parcel to Hallstatt never arrived.", *TEXTS]
    model.save_pretrained(tmp_path / "model")
    assert RootsModel.from_pretrained(tmp_path / "model").predict(texts) == model.predict(texts)


def test_a_graph_of_another_shape_is_refused_in_place_of_the_models(routing, bundle):
    flat = GraphBundle(bundle.graph, TransE(50, 3, 8, reciprocal=True), TransEConfig(dimension=8))
    with pytest.raises(UsageError, match="have 8 dimensions, the model's had 16"):
        routing.with_graph(flat)


def test_a_graph_with_a_new_relation_answers_what_the_model_has_learned(questions, bundle):
    more, _ = add_triples(bundle, [("Graz", "twin_town", "Ulm")])
    asked = ["In which country is Kalmar?"]
    (before,), (after,) = (model.predict(asked) for model in (questions, questions.with_graph(more)))
    assert (after.value, after.probability) == (before.value, pytest.approx(before.probability))


def test_a_graph_that_the_head_cannot_walk_is_refused(questions, bundle, tmp_path):
    from roots_kg.graph.transe import TransE
    from roots_kg.graph.triples import KnowledgeGraph

    questions.save_pretrained(tmp_path / "model")
    graph = KnowledgeGraph.from_triples([("Graz", "lies_in", "Austria")])
    other = GraphBundle(graph, TransE(2, 1, 16, reciprocal=True), bundle.config)
    with pytest.raises(GraphError, match="adapt the task again with this graph"):
        RootsModel.from_pretrained(tmp_path / "model", knowledge=other)


@pytest.mark.parametrize("call", ["predict", "explain", "evaluate", "save_pretrained"])
def test_a_model_that_was_not_adapted_says_so(encoder, routing_folder, tmp_path, call):
    argument = {"evaluate": routing_folder / "test.jsonl", "save_pretrained": tmp_path / "model"}
    with pytest.raises(UsageError, match=r"has no task yet.*adapt it first"):
        getattr(RootsModel(encoder), call)(argument.get(call, TEXTS))
    assert not (tmp_path / "model").exists()


def test_adapting_with_the_same_shots_and_seed_gives_the_same_model(encoder, bundle, routing_folder):
    task, states = Task.load(routing_folder), []
    for seed in (1, 1, 2):
        torch.manual_seed(len(states))
        model = RootsModel(encoder, graph=bundle)
        report = model.adapt(task, shots=3, seed=seed)
        states.append((report.fit, model.head.state_dict(), model.predict(TEXTS)))
    first, same, other = states
    assert first[0] == same[0]
    assert all(torch.equal(first[1][name], same[1][name]) for name in first[1])
    assert first[2] == same[2]
    assert not torch.equal(first[1]["weight"], other[1]["weight"])


def test_adapting_uses_as_many_examples_as_asked_for(encoder, routing_folder):
    model, task = RootsModel(encoder), Task.load(routing_folder)
    assert model.adapt(task, shots=2).fit["examples"] == 6
    assert model.adapt(task).fit["examples"] == len(read_records(task.train))
    with pytest.raises(UsageError, match="at least 1, found 0"):
        model.adapt(task, shots=0)


def test_a_failed_adaptation_leaves_the_model_as_it_was(routing, routing_folder):
    before = routing.predict(TEXTS)
    one_class = [Record({"text": text, "label": "andes"}, routing_folder / "x.jsonl", 1) for text in TEXTS]
    with pytest.raises(TaskError, match="one label only"):
        routing.adapt(Task.load(routing_folder), one_class)
    assert routing.predict(TEXTS) == before


def test_a_task_made_in_python_needs_its_examples(encoder, tmp_path):
    model, task = RootsModel(encoder), Task("mood", "classification")
    with pytest.raises(TaskError, match="'mood' has no training examples"):
        model.adapt(task)
    pairs = [
        ("What a lovely day", "good"),
        ("I am so happy", "good"),
        ("This is awful", "bad"),
        ("I hate it", "bad"),
    ]
    model.adapt(task, [Record({"text": text, "label": label}, tmp_path, 1) for text, label in pairs])
    assert [found.value for found in model.predict(["wonderful, thank you", "terrible"])] == ["good", "bad"]


def test_evaluation_reports_the_metrics_of_the_task_over_all_examples(routing, routing_folder, examples):
    path, done = routing_folder / "test.jsonl", []
    report = routing.evaluate(path, progress=done.append)
    predictions = routing.predict([record["text"] for record in examples.routing.test])
    right = [
        found.value == row["label"] for found, row in zip(predictions, examples.routing.test, strict=True)
    ]
    assert report.metrics.keys() == {"accuracy", "f1_macro"}
    assert report.metrics["accuracy"] == pytest.approx(sum(right) / len(right))
    assert report.n == sum(done) == len(right)
    assert routing.evaluate(read_records(path)).metrics == report.metrics


def test_a_very_long_and_an_empty_text_are_predicted_like_any_other(routing):
    long = ("Telecommunications administration responsibilities in Wels. " * 2000)[:100_000]
    found = routing.predict([long, "", TEXTS[0]])
    assert found[0].value == found[2].value == "central"
    assert found[1].value in routing.head.labels
    assert routing.predict([]) == []


def test_a_question_of_100_000_characters_is_read_around_its_first_mentions(questions):
    long = ("In which country is Kalmar? " * 5000)[:100_000]
    assert questions.predict([long])[0].value == "Sweden"


def test_a_text_without_links_is_classified_bit_for_bit_as_without_a_graph(encoder, bundle, routing_folder):
    task = Task.load(routing_folder)
    models = [RootsModel(encoder, graph=graph) for graph in (bundle, None)]
    for model in models:
        model.adapt(task)
    with_graph, without = models
    assert with_graph.head.knowledge_weight > 0
    texts = ["Nothing here is known.", "", "The invoice is wrong."]
    assert torch.equal(*(model.head(model.layers(texts)) for model in models))
    assert with_graph.predict(texts) == without.predict(texts)


def test_a_graph_of_another_dimension_is_refused_with_the_way_out(saved_routing, bundle):
    config = TransEConfig(dimension=8)
    graph = bundle.graph
    other = GraphBundle(graph, TransE(graph.num_entities, graph.num_relations, 8, reciprocal=True), config)
    with pytest.raises(UsageError, match="8 dimensions, the model's had 16"):
        RootsModel.from_pretrained(saved_routing, knowledge=other)


@pytest.fixture(scope="module")
def retrained(bundle):
    """The same graph with vectors from another training."""
    config = TransEConfig(dimension=16, epochs=30, batch_size=32, negatives=32, seed=7)
    return GraphBundle(bundle.graph, train_transe(bundle.graph, config), config)


def test_vectors_from_another_training_are_refused_with_the_way_out(routing, saved_routing, retrained):
    for use in (routing.with_graph, lambda graph: RootsModel.from_pretrained(saved_routing, knowledge=graph)):
        with pytest.raises(UsageError, match="come from another training") as caught:
            use(retrained)
        assert "adapt again" in caught.value.hint
        assert "--project-knowledge" in caught.value.hint


def test_vectors_from_another_training_or_of_another_dimension_are_moved_when_that_is_asked_for(
    routing, saved_routing, retrained, bundle
):
    config = TransEConfig(dimension=24, epochs=30, batch_size=32, negatives=32)
    wide = GraphBundle(bundle.graph, train_transe(bundle.graph, config), config)
    expected = [prediction.value for prediction in routing.predict(TEXTS)]
    for graph in (retrained, wide):
        for model in (
            routing.with_graph(graph, project=True),
            RootsModel.from_pretrained(saved_routing, knowledge=graph, project=True),
        ):
            assert model.knowledge.bundle.space == bundle.space
            assert [prediction.value for prediction in model.predict(TEXTS)] == expected
    with pytest.raises(UsageError, match="no other graph"):
        RootsModel.from_pretrained(saved_routing, project=True)


def test_a_head_that_reads_no_vectors_takes_a_graph_with_any(questions, retrained, bundle):
    flat = GraphBundle(bundle.graph, TransE(50, 3, 8, reciprocal=True), TransEConfig(dimension=8))
    assert not questions.head.reads_vectors
    for graph in (retrained, flat):
        assert questions.with_graph(graph).predict([QUESTION]) == questions.predict([QUESTION])


def test_a_model_that_was_saved_before_spaces_had_names_takes_vectors_of_its_dimension(
    routing, retrained, tmp_path
):
    routing.save_pretrained(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    del config["settings"]["space"]
    path.write_text(json.dumps(config))
    assert RootsModel.from_pretrained(tmp_path / "model").predict(TEXTS) == routing.predict(TEXTS)
    RootsModel.from_pretrained(tmp_path / "model", knowledge=retrained)


def test_evidence_from_several_graphs_names_the_file_of_each(encoder, questions_folder, triples, tmp_path):
    mayors = [("Graz", "mayor", "Elke Kahr"), ("Elke Kahr", "party", "KPÖ")]
    files = [tmp_path / "towns.tsv", tmp_path / "mayors.tsv"]
    for path, facts in zip(files, (triples, mayors), strict=True):
        path.write_text("".join("\t".join(fact) + "\n" for fact in facts), encoding="utf-8")
    config = TransEConfig(dimension=16, epochs=2)
    bundles = []
    for path in files:
        graph = KnowledgeGraph.from_file(path)
        bundles.append(tmp_path / path.stem)
        GraphBundle(graph, train_transe(graph, config), config).save(bundles[-1])
    model = RootsModel.from_pretrained("roots-base", knowledge=bundles)
    asked = [("In which country is Graz?", "Austria"), ("Who is the mayor of Graz?", "Elke Kahr")]
    records = [
        Record({"text": text, "answers": [answer]}, tmp_path / "asked.jsonl", line)
        for line, (text, answer) in enumerate(asked * 3, start=1)
    ]
    model.adapt(Task.load(questions_folder), records)
    for (text, answer), path in zip(asked, files, strict=True):
        (explanation,) = model.explain([text])
        assert explanation.prediction == answer
        assert explanation.evidence[0].source == str(path)


@pytest.mark.parametrize(("key", "value"), [("scael", 3), ("scale", "loud")])
def test_damaged_settings_of_the_head_are_refused(routing, tmp_path, key, value):
    routing.save_pretrained(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    config["settings"]["heads"][0]["settings"][key] = value
    path.write_text(json.dumps(config))
    with pytest.raises(BundleError, match=r"config\.json"):
        RootsModel.from_pretrained(tmp_path / "model")


def test_encoding_has_nothing_to_do_with_the_graph(routing, encoder):
    assert torch.equal(routing.encode(TEXTS), encoder.encode(TEXTS))


def test_a_model_folder_that_is_missing_or_no_model_is_an_error(tmp_path, bundle):
    with pytest.raises(UsageError, match=r"there is no such model folder.*'roots-base'"):
        RootsModel.from_pretrained(tmp_path / "none")
    with pytest.raises(BundleError, match=r"has no config\.json"):
        RootsModel.from_pretrained(tmp_path)
    bundle.save(tmp_path / "graph")
    with pytest.raises(BundleError, match="this is a 'graph' bundle, expected 'model'"):
        RootsModel.from_pretrained(tmp_path / "graph")


def test_every_expected_failure_is_a_roots_error(encoder, routing_folder):
    with pytest.raises(RootsError, match="there is no head 'clasification'"):
        RootsModel(encoder).adapt(Task("x", "clasification", train=routing_folder / "train.jsonl"))


def test_a_model_adapted_in_int8_is_saved_and_read_again_in_int8(encoder, routing_folder, tmp_path):
    model = RootsModel(encoder.to_precision("int8"))
    model.adapt(Task.load(routing_folder))
    model.save_pretrained(tmp_path / "model")
    restored = RootsModel.from_pretrained(tmp_path / "model")
    assert restored.layers.encoder.precision == "int8"
    assert restored.predict(TEXTS) == model.predict(TEXTS)
    full = RootsModel.from_pretrained(tmp_path / "model", precision="float32")
    assert full.layers.encoder.precision == "float32"
    assert [found.value for found in full.predict(TEXTS[:2])] == [
        found.value for found in model.predict(TEXTS[:2])
    ]


def test_a_model_saved_before_there_were_precisions_is_read_in_float32(routing, tmp_path):
    routing.save_pretrained(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    stated = json.loads(config.read_text())
    del stated["settings"]["precision"]
    config.write_text(json.dumps(stated))
    assert RootsModel.from_pretrained(tmp_path / "model").layers.encoder.precision == "float32"


def test_a_pretrained_model_can_be_loaded_in_int8():
    assert RootsModel.from_pretrained("roots-base", precision="int8").layers.encoder.precision == "int8"


def test_a_task_says_how_its_texts_are_read_and_a_saved_model_goes_on_so(
    encoder, bundle, routing_folder, tmp_path
):
    task = replace(Task.load(routing_folder), reading="causal")
    model = RootsModel(encoder, graph=bundle)
    model.adapt(task)
    model.save_pretrained(tmp_path / "model")
    restored = RootsModel.from_pretrained(tmp_path / "model")
    assert restored.head.task.reading == "causal"
    expected = [prediction.ranked for prediction in model.predict(TEXTS)]
    assert [prediction.ranked for prediction in restored.predict(TEXTS)] == expected
    assert [prediction.ranked for prediction in model.with_graph(bundle).predict(TEXTS)] == expected
    both_ways = RootsModel(encoder, graph=bundle)
    both_ways.adapt(Task.load(routing_folder))
    assert [prediction.ranked for prediction in both_ways.predict(TEXTS)] != expected


def test_names_are_encoded_anew_for_another_encoder_or_reading(encoder, bundle, small_encoder):
    knowledge = Knowledge(bundle)
    first = knowledge.names([0, 1], encoder).clone()
    causal = knowledge.names([0, 1], encoder, "causal").clone()
    assert not torch.allclose(first[:2], causal[:2])
    assert knowledge.names([0], small_encoder).shape[1] == small_encoder.hidden_size
    assert torch.equal(knowledge.names([0, 1], encoder)[:2], first[:2])


def test_a_task_file_names_its_reading(routing_folder, tmp_path):
    folder = shutil.copytree(routing_folder, tmp_path / "task")
    path = folder / "task.yaml"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps(settings | {"reading": "hybrid"}))
    assert Task.load(folder).reading == "hybrid"
    path.write_text(json.dumps(settings | {"reading": "sideways"}))
    with pytest.raises(ConfigError, match=r"reading: unknown value 'sideways'"):
        Task.load(folder)


@pytest.fixture(scope="module")
def two_tasks(encoder, bundle, routing_folder, questions_folder):
    model = RootsModel(encoder, graph=bundle)
    model.adapt(Task.load(routing_folder))
    model.adapt(replace(Task.load(routing_folder), name="from the left", reading="causal"), shots=3)
    model.adapt(Task.load(questions_folder), shots=24)
    return model


def test_one_model_serves_several_tasks_and_predicts_as_a_model_for_each_would(two_tasks, routing, questions):
    found = two_tasks.predict_all(TEXTS)
    assert list(found) == ["routing", "from the left", "questions"]
    assert found["routing"] == two_tasks.predict(TEXTS, "routing") == routing.predict(TEXTS)
    assert found["questions"] == two_tasks.predict(TEXTS, "questions") == questions.predict(TEXTS)
    assert found["from the left"] == two_tasks.predict(TEXTS, "from the left")


def test_heads_that_read_alike_share_one_pass_over_the_texts(encoder, routing_folder, monkeypatch):
    model, task = RootsModel(encoder), Task.load(routing_folder)
    for name in ("one", "two", "three"):
        model.adapt(replace(task, name=name), shots=2)
    read = []
    hidden_states = TextEncoder.hidden_states
    monkeypatch.setattr(
        TextEncoder,
        "hidden_states",
        lambda self, texts, *a: read.append(texts) or hidden_states(self, texts, *a),
    )
    assert len(model.predict_all(TEXTS)) == 3
    assert read == [TEXTS]


def test_a_model_with_several_tasks_is_saved_whole(two_tasks, tmp_path):
    two_tasks.save_pretrained(tmp_path / "model")
    assert RootsModel.from_pretrained(tmp_path / "model").predict_all(TEXTS) == two_tasks.predict_all(TEXTS)


def test_with_several_tasks_one_has_to_be_named(two_tasks, tmp_path):
    with pytest.raises(UsageError, match=r"several tasks.*\(name one of routing, from the left, questions\)"):
        two_tasks.predict(TEXTS)
    with pytest.raises(UsageError, match=r"no task 'ruoting' \(did you mean 'routing'\?\)"):
        two_tasks.predict(TEXTS, "ruoting")


def test_what_tuning_changed_in_the_encoder_is_saved_as_an_adapter(encoder, routing_folder, tmp_path):
    adapter = LowRankAdapter(encoder.encoder.trunk, 2, 0).eval()
    torch.nn.init.normal_(adapter.up["blocks/5/output/weight"], std=0.05)
    model = RootsModel(encoder.with_adapter(adapter.requires_grad_(False)))
    model.adapt(Task.load(routing_folder), shots=2)
    model.save_pretrained(tmp_path / "model")
    again = RootsModel.from_pretrained(tmp_path / "model")
    assert again.predict(TEXTS) == model.predict(TEXTS)
    assert torch.equal(again.encode(TEXTS), model.encode(TEXTS))
    assert not torch.equal(again.encode(TEXTS), RootsModel(encoder).encode(TEXTS))
    assert (tmp_path / "model" / "tuning.safetensors").stat().st_size < 1_500_000


def test_sixteen_threads_are_answered_as_one_is(small_encoder, bundle, routing_folder, questions_folder):
    model = RootsModel(small_encoder, bundle)
    for folder, reading in ((routing_folder, "hybrid"), (questions_folder, "bidirectional")):
        model.adapt(replace(Task.load(folder), reading=reading))
    tasks = list(model.heads)
    texts = [
        "A parcel to Graz",
        "Where is Linz?",
        "nothing",
        "",
        "The train to Bergen and to Cusco is late.",
    ] * 4
    fresh = RootsModel(small_encoder, bundle)  # whose names and linker are not there yet
    fresh.heads = model.heads
    expected = {task: [model.predict([text], task) for text in texts] for task in tasks}

    def ask(number):
        task = tasks[number % 2]
        order = random.Random(number).sample(range(len(texts)), len(texts))
        return all(close(fresh.predict([texts[place]], task), expected[task][place]) for place in order)

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(32)))


def close(found, expected):
    (one,), (other,) = found, expected
    return one.value == other.value and abs(one.probability - other.probability) < 1e-5
