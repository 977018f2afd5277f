"""Bad input of every kind ends in one line that says what, where and the way out, and loses nothing."""

import gzip
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from roots_kg.graph.store import GraphBundle
from roots_kg.graph.transe import TransE, TransEConfig
from roots_kg.graph.triples import KnowledgeGraph

CLASSIFICATION = {"head": "classification"}
TRAIN = [{"text": "refund me", "label": "billing"}, {"text": "lost password", "label": "login"}]


@dataclass(frozen=True)
class Case:
    """A command that must fail.

    Args:
        arguments: of `roots`.
        named: what the message must begin with after "error: ", usually the file and the line.
        message: what it must hold as well.
        code: the exit code.
    """

    arguments: tuple
    named: str
    message: str
    code: int = 1


@dataclass(frozen=True)
class Place:
    """Where a case is made: an empty folder, an output that exists, and what others made before."""

    folder: Path
    out: Path
    write_task: object
    small_model: Path
    towns: Path

    def write(self, name, content):
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def adapt(self, stated, train, name="mail"):
        folder = self.write_task(self.folder / name, stated, train)
        return ("adapt", folder, "--no-knowledge", "--out", self.out), folder

    def train(self, path):
        return ("kg", "train", path, "--epochs", 1, "--dimension", 4, "--out", self.out)

    def copy(self, source):
        return Path(shutil.copytree(source, self.folder / "copy"))


def malformed_line(place):
    path = place.write("graph.tsv", "a\tr\tb\na\tr\nb\tr\tc\n")
    return Case(place.train(path), f"{path}:2: ", "expected 3 columns, found 2")


def malformed_line_in_test(place):
    path = place.write("test.tsv", "Graz\tlocated_in\tAustria\nGraz\t\tAustria\n")
    return Case(
        ("kg", "evaluate", place.towns, "--test", path), f"{path}:2: ", "the relation column is empty"
    )


def empty_triples(place):
    path = place.write("graph.tsv", "")
    return Case(place.train(path), f"{path}: ", "the file is empty")


def no_columns(place):
    path = place.write("graph.tsv", "just some prose\nand more\n")
    return Case(place.train(path), f"{path}: ", "no line has three columns")


def header_alone(place):
    path = place.write("graph.tsv", "head\trelation\ttail\n")
    return Case(place.train(path), f"{path}: ", "holds no triple")


def missing_triples(place):
    path = place.folder / "none.tsv"
    return Case(place.train(path), f"{path}: ", "there is no such file")


def misspelt_graph(place):
    (place.folder / "knowledge" / "towns").mkdir(parents=True)
    (place.folder / "knowledge" / "towns" / "triples.tsv").write_text("a\tr\tb\n")
    return Case(place.train("twons"), "twons: ", "did you mean 'towns'?")


def graph_with_one_entity(place):
    path = place.write("graph.tsv", "a\tr\ta\n")
    return Case(place.train(path), f"{path}: ", "two entities")


def triples_that_are_not_utf8(place):
    path = place.write("graph.tsv", "Zürich\tin\tCH\nGenève\tin\tCH\n".encode("latin-1"))
    return Case(place.train(path), f"{path}:1: ", "not UTF-8: byte 0xfc")


def damaged_gzip(place):
    path = place.write("graph.tsv.gz", b"not gzip at all")
    return Case(place.train(path), f"{path}: ", "this is not gzip")


def gzip_that_ends_early(place):
    whole = gzip.compress(b"".join(b"a%d\tr\tb\n" % number for number in range(5000)))
    path = place.write("graph.tsv.gz", whole[: len(whole) // 2])
    return Case(place.train(path), f"{path}:", "the compressed data end too early")


def gzip_without_its_name(place):
    path = place.write("graph.tsv", gzip.compress(b"a\tr\tb\n"))
    return Case(place.train(path), f"{path}: ", "this is a gzip file (let its name end in .gz)")


def nul_byte(place):
    path = place.write("graph.tsv", b"a\tr\tb\n\0\tr\tb\n")
    return Case(place.train(path), f"{path}:2: ", "the line holds a NUL byte")


def old_mac_line_ends(place):
    path = place.write("graph.tsv", b"a\tr\tb\rc\tr\td\r")
    return Case(place.train(path), f"{path}: ", "its lines end in a carriage return alone")


def carriage_return_within_a_line(place):
    path = place.write("graph.tsv", b"a\tr\tb\r\nc\tr\td\re\tr\tf\r\n")
    return Case(place.train(path), f"{path}:2: ", "a carriage return that does not end it")


def line_of_ten_megabytes(place):
    path = place.write("graph.tsv", b"a\tr\tb\n" + b"x" * 10_000_000 + b"\tr\tb\n")
    return Case(place.train(path), f"{path}:2: ", "the line is 10,000,004 bytes long")


def empty_relation_column(place):
    path = place.write("graph.csv", "head,relation,tail\na,r,b\na,,b\n")
    return Case(place.train(path), f"{path}:3: ", "the relation column is empty")


def folder_in_place_of_triples(place):
    return Case(place.train(place.folder), f"{place.folder}: ", "this folder has no triples.tsv")


def json_lines_that_are_no_json(place):
    path = place.write("graph.jsonl", '["a", "r", "b"]\n["a", "r"\n')
    return Case(place.train(path), f"{path}:2: ", "not JSON: ")


def json_lines_nested_too_deep(place):
    path = place.write("graph.jsonl", "[" * 100_000 + "\n")
    return Case(place.train(path), f"{path}:1: ", "nested too deep")


def turtle_cut_in_half(place):
    path = place.write("graph.ttl", "@prefix e: <http://e/> .\ne:a e:r e:b .\ne:a e:r <http")
    return Case(place.train(path), f"{path}:3: ", "not valid Turtle")


def context_on_the_network(place):
    path = place.write("graph.jsonld", '{"@context": "http://schema.org/", "name": "x"}')
    return Case(place.train(path), f"{path}: ", "contexts are not fetched from the network")


def truncated_parquet(place):
    path = place.write("graph.parquet", b"PAR1\x15\x04\x15")
    return Case(place.train(path), f"{path}: ", "cannot be read as Parquet")


def tab_separated_file_called_parquet(place):
    path = place.write("graph.parquet", "a\tr\tb\n")
    return Case(place.train(path), f"{path}: ", "cannot be read as Parquet")


def unknown_format(place):
    path = place.write("graph.tsv", "a\tr\tb\n")
    arguments = (*place.train(path), "--format", "turtel")
    return Case(arguments, "unknown format 'turtel'", "did you mean 'turtle'?", code=2)


def unknown_key_in_a_card(place):
    folder = place.folder / "knowledge" / "towns"
    folder.mkdir(parents=True)
    (folder / "triples.tsv").write_text("a\tr\tb\n")
    (folder / "card.yaml").write_text("source: me\nlicense: none\n")
    return Case(place.train("towns"), f"{folder / 'card.yaml'}: ", "did you mean 'licence'?", code=2)


def aliases_of_nothing(place):
    path = place.write("graph.tsv", "a\tr\tb\n")
    aliases = place.write("aliases.tsv", "x\tthe X\n")
    return Case((*place.train(path), "--aliases", aliases), f"{aliases}: ", "none of its entities")


def examples_that_are_not_utf8(place):
    arguments, folder = place.adapt(CLASSIFICATION, TRAIN)
    (folder / "train.jsonl").write_bytes('{"text": "ok", "label": "a"}\n{"text": "grün"}\n'.encode("latin-1"))
    return Case(arguments, f"{folder / 'train.jsonl'}:2: ", "not UTF-8: byte 0xfc")


def examples_that_are_not_json(place):
    arguments, folder = place.adapt(CLASSIFICATION, TRAIN)
    (folder / "train.jsonl").write_text('{"text": "ok", "label": "a"}\n{"text": "ok"\n')
    return Case(arguments, f"{folder / 'train.jsonl'}:2: ", "not a JSON object")


def example_without_text(place):
    arguments, folder = place.adapt(CLASSIFICATION, [*TRAIN, {"label": "login"}])
    return Case(arguments, f"{folder / 'train.jsonl'}:3: ", "'text' is missing")


def empty_examples(place):
    arguments, folder = place.adapt(CLASSIFICATION, [])
    return Case(arguments, f"{folder / 'train.jsonl'}: ", "the file holds no example")


def missing_examples(place):
    arguments, folder = place.adapt(CLASSIFICATION, TRAIN)
    (folder / "train.jsonl").unlink()
    return Case(arguments, f"{folder / 'train.jsonl'}: ", "there is no such file")


def one_class(place):
    arguments, folder = place.adapt(CLASSIFICATION, TRAIN[:1] * 3)
    return Case(arguments, f"{folder / 'train.jsonl'}: ", "one label only, 'billing'")


def label_that_the_task_does_not_list(place):
    arguments, folder = place.adapt({**CLASSIFICATION, "labels": ["billing", "log_in"]}, TRAIN)
    return Case(arguments, f"{folder / 'train.jsonl'}:2: ", "unknown label 'login' (did you mean 'log_in'?)")


def unknown_head(place):
    arguments, folder = place.adapt({"head": "clasification"}, TRAIN)
    return Case(arguments, f"{folder / 'task.yaml'}: ", "did you mean 'classification'?", code=2)


def unknown_key_in_a_task(place):
    arguments, folder = place.adapt({**CLASSIFICATION, "desription": "x"}, TRAIN)
    return Case(arguments, f"{folder / 'task.yaml'}: ", "did you mean 'description'?", code=2)


def task_that_is_not_yaml(place):
    arguments, folder = place.adapt(CLASSIFICATION, TRAIN)
    (folder / "task.yaml").write_text("head: classification\ntrain: [a\n")
    return Case(arguments, f"{folder / 'task.yaml'}:", "not valid YAML", code=2)


def examples_outside_the_task(place):
    arguments, folder = place.adapt(CLASSIFICATION, TRAIN)
    (folder / "task.yaml").write_text("head: classification\ntrain: ../../secret.jsonl\n")
    return Case(arguments, f"{folder / 'task.yaml'}: ", "leaves its folder")


def unknown_task(place):
    place.adapt(CLASSIFICATION, TRAIN, name="tasks/mail")
    return Case(("adapt", "mial", "--out", place.out), "there is no task 'mial'", "did you mean 'mail'?")


def head_that_needs_a_graph(place):
    arguments, _ = place.adapt({"head": "answer"}, [{"text": "Where is Graz?", "answers": ["Austria"]}])
    return Case(arguments, "the head 'answer' needs a graph", "--knowledge")


def no_shots(place):
    arguments, _ = place.adapt(CLASSIFICATION, TRAIN)
    return Case((*arguments, "--shots", 0), "--shots must be at least 1", "found 0", code=2)


def label_that_training_never_had(place):
    path = place.write("test.jsonl", '{"text": "a", "label": "andes"}\n{"text": "b", "label": "nordics"}\n')
    arguments = ("evaluate", place.small_model, "--test", path)
    return Case(arguments, f"{path}:2: ", "unknown label 'nordics' (did you mean 'nordic'?)")


def missing_test_file(place):
    path = place.folder / "none.jsonl"
    return Case(("evaluate", place.small_model, "--test", path), f"{path}: ", "there is no such file")


def texts_without_text(place):
    path = place.write("texts.jsonl", '{"text": "ok"}\n{"txt": "ok"}\n')
    return Case(("predict", place.small_model, "--input", path), f"{path}:2: ", "'text' is missing")


def predict_without_texts(place):
    return Case(("predict", place.small_model), "give either texts or --input", "", code=2)


def missing_model(place):
    path = place.folder / "none"
    return Case(("predict", path, "a text"), f"{path}: ", "there is no such model folder", code=2)


def graph_in_place_of_a_model(place):
    return Case(("predict", place.towns, "a text"), f"{place.towns}: ", "expected 'model'")


def model_in_place_of_a_graph(place):
    arguments = ("kg", "similar", place.small_model, "Graz")
    return Case(arguments, f"{place.small_model}: ", "expected 'graph'")


def flipped_byte_in_a_model(place):
    model = place.copy(place.small_model)
    flip(model / "head-0.safetensors")
    return Case(
        ("predict", model, "a text"), f"{model / 'head-0.safetensors'}: ", "differs from what was saved"
    )


def flipped_byte_in_a_graph(place):
    graph = place.copy(place.towns)
    flip(graph / "transe.safetensors")
    arguments = ("kg", "similar", graph, "Graz")
    return Case(arguments, f"{graph / 'transe.safetensors'}: ", "differs from what was saved")


def missing_file_in_a_bundle(place):
    graph = place.copy(place.towns)
    (graph / "aliases.json").unlink()
    return Case(("kg", "similar", graph, "Graz"), f"{graph / 'aliases.json'}: ", "is missing")


def cut_config(place):
    graph = place.copy(place.towns)
    text = (graph / "config.json").read_text()
    (graph / "config.json").write_text(text[: len(text) // 2])
    return Case(("kg", "similar", graph, "Graz"), f"{graph / 'config.json'}: ", "damaged")


def unknown_key_in_a_bundle(place):
    graph = place.copy(place.towns)
    edit(graph / "config.json", lambda stated: stated.update(kidn="graph"))
    return Case(("kg", "similar", graph, "Graz"), f"{graph / 'config.json'}: ", "did you mean 'kind'?")


def unknown_setting_in_a_bundle(place):
    graph = place.copy(place.towns)
    edit(graph / "config.json", lambda stated: stated["settings"]["transe"].update(dimensoin=3))
    return Case(("kg", "similar", graph, "Graz"), f"{graph / 'config.json'}: ", "did you mean 'dimension'?")


def bundle_of_a_later_release(place):
    graph = place.copy(place.towns)
    edit(graph / "config.json", lambda stated: stated.update(version=99))
    return Case(("kg", "similar", graph, "Graz"), f"{graph / 'config.json'}: ", "format version 99")


def unknown_entity(place):
    arguments = ("kg", "complete", place.towns, "--head", "Grazz", "--relation", "located_in")
    return Case(arguments, "the graph has no entity 'Grazz'", "did you mean 'Graz'?")


def unknown_relation(place):
    arguments = ("kg", "complete", place.towns, "--head", "Graz", "--relation", "locatd_in")
    return Case(arguments, "the graph has no relation 'locatd_in'", "did you mean 'located_in'?")


def unknown_entity_in_similar(place):
    return Case(("kg", "similar", place.towns, "Atlantis"), "the graph has no entity 'Atlantis'", "(")


def answer_that_the_graph_lacks(place):
    graph = KnowledgeGraph.from_triples([("Graz", "lies_in", "Austria")])
    config = TransEConfig(dimension=4)
    other = place.folder / "other"
    GraphBundle(graph, TransE(2, 1, 4, reciprocal=True), config).save(other)
    _, folder = place.adapt({"head": "answer"}, [{"text": "Where is Graz?", "answers": ["Peru"]}])
    arguments = ("adapt", folder, "--knowledge", other, "--out", place.out)
    return Case(arguments, f"{folder / 'train.jsonl'}:1: ", "the graph has no entity 'Peru'")


def label_that_yaml_takes_for_true(place):
    arguments, folder = place.adapt({**CLASSIFICATION, "labels": ["billing", True]}, TRAIN)
    return Case(arguments, f"{folder / 'task.yaml'}: ", "found True (put it in quotes to make it text)", 2)


def label_that_yaml_takes_for_true_with_a_name(place):
    arguments, folder = place.adapt(CLASSIFICATION, TRAIN)
    stated = "head: classification\ntrain: train.jsonl\nlabels: {yes: it does, no: it does not}\n"
    (folder / "task.yaml").write_text(stated, encoding="utf-8")
    return Case(arguments, f"{folder / 'task.yaml'}: ", "found True (put it in quotes to make it text)", 2)


def label_that_is_a_number(place):
    arguments, folder = place.adapt(CLASSIFICATION, [*TRAIN, {"text": "a", "label": 3}])
    message = """'label' is 3, not a text (put it in quotes to make it text: "label": "3")"""
    return Case(arguments, f"{folder / 'train.jsonl'}:3: ", message)


def label_that_is_null(place):
    arguments, folder = place.adapt(CLASSIFICATION, [*TRAIN, {"text": "a", "label": None}])
    return Case(
        arguments, f"{folder / 'train.jsonl'}:3: ", "the label is null, which stands for out of scope"
    )


def rejecting_without_two_examples_of_a_label(place):
    arguments, folder = place.adapt(CLASSIFICATION, TRAIN)
    arguments = (*arguments, "--reject", "0.1")
    return Case(arguments, f"{folder / 'train.jsonl'}: ", "no label has two examples")


CASES = [
    label_that_yaml_takes_for_true,
    label_that_yaml_takes_for_true_with_a_name,
    label_that_is_a_number,
    label_that_is_null,
    rejecting_without_two_examples_of_a_label,
    malformed_line,
    malformed_line_in_test,
    empty_triples,
    no_columns,
    header_alone,
    missing_triples,
    misspelt_graph,
    graph_with_one_entity,
    triples_that_are_not_utf8,
    damaged_gzip,
    gzip_that_ends_early,
    gzip_without_its_name,
    nul_byte,
    old_mac_line_ends,
    carriage_return_within_a_line,
    line_of_ten_megabytes,
    empty_relation_column,
    folder_in_place_of_triples,
    json_lines_that_are_no_json,
    json_lines_nested_too_deep,
    turtle_cut_in_half,
    context_on_the_network,
    truncated_parquet,
    tab_separated_file_called_parquet,
    unknown_format,
    unknown_key_in_a_card,
    aliases_of_nothing,
    examples_that_are_not_utf8,
    examples_that_are_not_json,
    example_without_text,
    empty_examples,
    missing_examples,
    one_class,
    label_that_the_task_does_not_list,
    unknown_head,
    unknown_key_in_a_task,
    task_that_is_not_yaml,
    examples_outside_the_task,
    unknown_task,
    head_that_needs_a_graph,
    no_shots,
    label_that_training_never_had,
    missing_test_file,
    texts_without_text,
    predict_without_texts,
    missing_model,
    graph_in_place_of_a_model,
    model_in_place_of_a_graph,
    flipped_byte_in_a_model,
    flipped_byte_in_a_graph,
    missing_file_in_a_bundle,
    cut_config,
    unknown_key_in_a_bundle,
    unknown_setting_in_a_bundle,
    bundle_of_a_later_release,
    unknown_entity,
    unknown_relation,
    unknown_entity_in_similar,
    answer_that_the_graph_lacks,
]


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit(path, change):
    stated = json.loads(path.read_text(encoding="utf-8"))
    change(stated)
    path.write_text(json.dumps(stated), encoding="utf-8")


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def place(tmp_path, write_task, small_model, towns):
    return Place(tmp_path / "work", tmp_path / "out", write_task, small_model, towns)


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_bad_input_ends_in_one_line_that_says_where_and_loses_nothing(roots, place, make):
    place.folder.mkdir()
    case = make(place)
    before = place.small_model if case.arguments[0] == "adapt" else place.towns
    shutil.copytree(before, place.out)
    result = roots(*case.arguments, cwd=place.folder)
    assert result.code == case.code, result.err
    assert re.fullmatch(r"error: [^\n]+\n", result.err)
    assert result.err.startswith(f"error: {case.named}")
    assert case.message in result.err
    assert "Traceback" not in result.err
    assert len(result.err) < 600
    assert result.out == ""
    assert contents(place.out) == contents(before)
    assert [path.name for path in place.out.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("verb", ["train", "adapt"])
def test_an_output_folder_with_other_things_in_it_is_not_touched(roots, place, towns_file, verb):
    place.folder.mkdir()
    place.out.mkdir()
    (place.out / "thesis.txt").write_text("years of work")
    arguments = place.train(towns_file) if verb == "train" else place.adapt(CLASSIFICATION, TRAIN)[0]
    result = roots(*arguments)
    assert result.code == 1
    assert result.err.startswith(f"error: {place.out}: this folder holds something that is not a saved")
    assert result.err.count("\n") == 1
    assert contents(place.out) == {Path("thesis.txt"): b"years of work"}


@pytest.mark.parametrize("command", [("kg", "train", "none.tsv"), ("adapt", "none")], ids=" ".join)
def test_a_wrong_output_is_noticed_before_anything_is_read(roots, tmp_path, command):
    (tmp_path / "thesis.txt").write_text("years of work")
    result = roots(*command, "--out", tmp_path)
    assert result.code == 1
    assert result.err.startswith(f"error: {tmp_path}: this folder holds something")


def test_an_output_that_is_a_file_is_not_touched(roots, place, towns_file):
    place.out.write_text("mine")
    result = roots(*place.train(towns_file))
    assert result.code == 1
    assert result.err == f"error: {place.out}: this is a file (name a folder for the output)\n"
    assert place.out.read_text() == "mine"


def test_a_model_is_not_replaced_by_a_graph(roots, place, towns_file):
    shutil.copytree(place.small_model, place.out)
    assert roots(*place.train(towns_file)).code == 1
    assert contents(place.out) == contents(place.small_model)


def test_a_process_of_its_own_fails_the_same_way(shell, place):
    place.folder.mkdir()
    path = place.write("graph.tsv", "a\tr\tb\na\tr\n")
    result = shell("kg", "check", path)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"error: {path}:2: expected 3 columns, found 2")
    assert result.err.count("\n") == 1


def test_an_empty_and_a_very_long_text_are_predicted_like_any_other(roots, small_model):
    long = ("Telecommunications administration responsibilities in Wels. " * 2000)[:100_000]
    found = roots("predict", small_model, "", long, " ", "\x00\u202e🙂", "--json").json["predictions"]
    assert [row["text"] for row in found] == ["", long, " ", "\x00\u202e🙂"]
    assert found[1]["prediction"] == "central"
    assert all(0 <= row["probability"] <= 1 for row in found)
    explained = roots("predict", small_model, "", "--explain", "--json").json["predictions"]
    assert explained[0]["evidence"] == []
