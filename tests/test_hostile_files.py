"""Saved files that were made to harm: what they ask for is refused before it costs memory, time or trust."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from safetensors.torch import load_file, save_file

from roots_kg.adaptation.meta_learning.store import MetaBundle, load_meta
from roots_kg.adaptation.task import Task, read_records
from roots_kg.bundle import sha256
from roots_kg.encoding.encoder_store import load_encoder, save_encoder
from roots_kg.encoding.safetensors_files import read_json, read_tensors
from roots_kg.encoding.text_files import read_documents
from roots_kg.encoding.tokenization import Tokenizer
from roots_kg.errors import BundleError, DataError, RootsError, TaskError, UsageError, WeightsError
from roots_kg.fusion.layer import FusionConfig, FusionLayer
from roots_kg.fusion.store import FusionBundle, load_fusion
from roots_kg.graph.retrieval import RetrievalConfig
from roots_kg.graph.store import GraphBundle
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.model import RootsModel

HUGE = 10**12


def change(folder, *keys, value):
    """Change one setting of a bundle, deep in its config.json."""
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8"))
    place = config["settings"]
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path.write_text(json.dumps(config), "utf-8")


def exchange(folder, name, content):
    """Put other bytes in place of a file of a bundle, with their hash."""
    (folder / name).write_bytes(content)
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8"))
    config["files"][name] = sha256(folder / name)
    path.write_text(json.dumps(config), "utf-8")


@pytest.fixture(scope="module")
def originals(tmp_path_factory, small_encoder, bundle, encoder, routing, two_heads):
    """A bundle of every kind."""
    folder = tmp_path_factory.mktemp("originals")
    save_encoder(small_encoder, folder / "encoder")
    bundle.save(folder / "graph")
    layer = FusionLayer(encoder.hidden_size, 16, FusionConfig())
    FusionBundle(layer, "roots-base", bundle.space, RetrievalConfig()).save(folder / "fusion")
    MetaBundle.untrained(encoder).save(folder / "meta")
    two_heads.save_pretrained(folder / "model")
    return folder


@pytest.fixture(scope="module")
def two_heads(encoder, bundle, routing_folder, questions_folder):
    model = RootsModel(encoder, graph=bundle)
    model.adapt(Task.load(routing_folder))
    model.adapt(Task.load(questions_folder))
    return model


LOAD = {
    "encoder": load_encoder,
    "graph": GraphBundle.load,
    "fusion": load_fusion,
    "meta": load_meta,
    "model": RootsModel.from_pretrained,
}


@pytest.fixture
def copy(originals, tmp_path):
    """A function that copies a bundle, to be tampered with."""
    return lambda kind: shutil.copytree(originals / kind, tmp_path / kind)


SIZES = [
    ("encoder", "trunk", "vocab_size"),
    ("encoder", "trunk", "hidden_size"),
    ("encoder", "trunk", "num_layers"),
    ("encoder", "trunk", "intermediate_size"),
    ("encoder", "trunk", "max_positions"),
    ("graph", "transe", "dimension"),
    ("fusion", "hidden_size"),
    ("fusion", "dimension"),
    ("fusion", "fusion", "steps"),
    ("meta", "size"),
    ("meta", "knowledge_size"),
    ("meta", "learner", "hidden"),
    ("meta", "learner", "bank", "film"),
    ("meta", "learner", "bank", "low_rank"),
    ("meta", "learner", "bank", "rank"),
    ("model", "fusion", "steps"),
    ("model", "heads", 1, "settings", "hops"),
]


@pytest.mark.parametrize("keys", SIZES, ids=lambda keys: ".".join(map(str, keys)))
@pytest.mark.parametrize("size", [4_000_000, HUGE])
def test_a_size_that_no_file_fills_is_refused_before_memory_is_asked_for(copy, keys, size):
    kind, *places = keys
    if keys[-1] == "max_positions" and size < 1 << 24:
        pytest.skip("rotary positions take no memory")
    folder = copy(kind)
    change(folder, *places, value=size)
    with pytest.raises(BundleError) as caught:
        LOAD[kind](folder)
    assert any(
        told in str(caught.value) for told in ("has shape", "at most", "from 0 to", "is missing", "damaged")
    )
    assert "memory" not in str(caught.value)


@pytest.mark.parametrize("size", [-1, 0])
@pytest.mark.parametrize("keys", SIZES, ids=lambda keys: ".".join(map(str, keys)))
def test_a_size_below_one_is_refused_or_harmless(copy, keys, size):
    kind, *places = keys
    folder = copy(kind)
    change(folder, *places, value=size)
    try:
        LOAD[kind](folder)
    except RootsError:
        return
    assert size == 0


def test_labels_without_weights_are_refused_before_they_get_any(copy):
    folder = copy("model")
    change(folder, "heads", 0, "settings", "labels", value=[str(number) for number in range(300_000)])
    with pytest.raises(BundleError, match=r"head-0\.safetensors: .* expected \(300000, "):
        RootsModel.from_pretrained(folder)


@pytest.mark.parametrize("rows", [[HUGE, HUGE], [10**9, 1], [-1, 0], ["x", 1]])
def test_clues_that_no_file_holds_are_refused(copy, rows):
    folder = copy("model")
    change(folder, "heads", 1, "settings", "completion", value=rows)
    with pytest.raises(BundleError):
        RootsModel.from_pretrained(folder)


@pytest.mark.parametrize("name", ["os:system", "roots_kg.model.RootsModel", "../head"])
def test_a_head_that_is_named_by_an_import_path_is_unknown(copy, name):
    folder = copy("model")
    change(folder, "heads", 0, "task", "head", value=name)
    with pytest.raises(UsageError, match="there is no head"):
        RootsModel.from_pretrained(folder)


@pytest.mark.parametrize("name", ["/etc", "os:system", "hf://owner/model"])
def test_an_encoder_that_is_named_by_a_path_is_unknown(copy, name):
    folder = copy("model")
    change(folder, "encoder", value=name)
    with pytest.raises(BundleError, match="there is no pretrained model"):
        RootsModel.from_pretrained(folder)


@pytest.mark.parametrize("kind", LOAD)
def test_a_bundle_of_a_later_format_is_refused_with_its_version(copy, kind):
    folder = copy(kind)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 7}))
    with pytest.raises(BundleError, match=r"written in format version 7, this release reads 1 \(upgrade"):
        LOAD[kind](folder)


@pytest.mark.parametrize("kind", LOAD)
def test_a_file_beside_those_of_a_bundle_is_refused_whatever_its_kind(copy, kind):
    folder = copy(kind)
    (folder / "head-9.safetensors").write_bytes(b"")
    with pytest.raises(BundleError, match=r"head-9\.safetensors: this file was not saved with the bundle"):
        LOAD[kind](folder)


@pytest.mark.parametrize("name", ["card.json", "head-0.safetensors", "fusion.safetensors"])
def test_a_file_that_was_taken_out_of_the_list_is_not_read(copy, name):
    folder = copy("model")
    path = folder / "config.json"
    config = json.loads(path.read_text())
    del config["files"][name]
    path.write_text(json.dumps(config))
    with pytest.raises(BundleError, match=rf"{name}: this file was not saved with the bundle"):
        RootsModel.from_pretrained(folder)


def test_the_graph_of_a_model_cannot_be_a_link_to_elsewhere(copy, originals):
    folder = copy("model")
    shutil.rmtree(folder / "knowledge")
    (folder / "knowledge").symlink_to(originals / "graph")
    with pytest.raises(BundleError, match="the file 'knowledge' leaves the bundle"):
        RootsModel.from_pretrained(folder)


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b'{"entities": ["\\ud800"], "relations": [], "sources": []}', b"9" * 5_000, b"\xff"],
    ids=["nested deeply", "half a surrogate pair", "a huge number", "not UTF-8"],
)
@pytest.mark.parametrize("name", ["vocabulary.json", "aliases.json"])
def test_names_of_a_graph_that_are_none_are_refused(copy, name, content):
    folder = copy("graph")
    exchange(folder, name, content)
    with pytest.raises(BundleError):
        GraphBundle.load(folder)


def test_numbers_of_entities_that_there_are_not_are_refused(copy):
    folder = copy("graph")
    tensors = load_file(folder / "triples.safetensors")
    for wrong in (-1, 2**31, 10**15):
        moved = {**tensors, "tail_id": tensors["tail_id"].long().fill_(wrong)}
        save_file(moved, folder / "moved")
        content = (folder / "moved").read_bytes()
        (folder / "moved").unlink()
        exchange(folder, "triples.safetensors", content)
        with pytest.raises(BundleError):
            GraphBundle.load(folder)


ODD = {
    "pipe": (lambda path: os.mkfifo(path), "this is a pipe, not a file"),
    "endless device": (lambda path: path.symlink_to("/dev/zero"), "this is a device, not a file"),
    "folder": (lambda path: path.mkdir(), "this is a folder, not a file"),
    "self-link": (lambda path: path.symlink_to(path), "this link leads back to itself"),
}
READERS = {
    "examples": (read_records, TaskError),
    "text": (lambda path: list(read_documents([path])), DataError),
    "triples": (KnowledgeGraph.from_file, DataError),
    "compressed triples": (lambda path: KnowledgeGraph.from_file(path.rename(f"{path}.tsv.gz")), DataError),
    "tokenizer": (Tokenizer, WeightsError),
    "shard": (lambda path: read_tensors(path.rename(path.with_suffix(".safetensors"))), WeightsError),
    "settings": (read_json, WeightsError),
}


@pytest.mark.skipif(os.name == "nt", reason="there are no such files")
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("odd", ODD)
def test_what_is_no_file_is_refused_by_every_reader_of_data_and_not_waited_for(tmp_path, reader, odd):
    (make, reason), (read, error) = ODD[odd], READERS[reader]
    if odd == "self-link" and reader in ("compressed triples", "shard", "settings"):
        pytest.skip("renamed or looked for, it is a link to nothing")
    path = tmp_path / "data.tsv"
    make(path)
    with pytest.raises(error, match=reason):
        read(path)


@pytest.mark.skipif(os.name == "nt", reason="there are no pipes")
def test_a_task_whose_examples_are_a_pipe_is_refused_on_the_command_line(tmp_path, write_task):
    folder = write_task(tmp_path / "task", {"head": "classification"}, None)
    os.mkfifo(folder / "train.jsonl")
    command = [sys.executable, "-m", "roots_kg", "adapt", folder, "--no-knowledge", "--out", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "train.jsonl: this is a pipe, not a file" in done.stderr
