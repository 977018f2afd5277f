"""Whatever stands where a verb expects a file or a folder, a person is told in a line what is wrong."""

import os

import pytest
import typer

from roots_kg.cli import app

# Of each verb a call that works; what stands in braces is a place where something else may stand.
CALLS = {
    "init": ["{out}"],
    "kg check": ["{triples}", "--aliases", "{aliases}"],
    "kg train": ["{triples}", "--config", "{transe}", "--valid", "{triples}", "--out", "{out}"],
    "kg evaluate": ["{graph}", "--test", "{triples}", "--filter", "{triples}"],
    "kg complete": ["{graph}", "--head", "Graz", "--relation", "located_in"],
    "kg similar": ["{graph}", "Graz"],
    "kg add": ["{graph}", "--from", "{triples}", "--dry-run"],
    "kg remove": ["{graph}", "--from", "{triples}", "--dry-run"],
    "kg show": ["{graph}", "--entity", "Graz", "--out", "{page}"],
    "tasks list": [],
    "tasks new": ["mail", "--head", "classification"],
    "tasks check": ["{task}"],
    "configs ls": [],
    "configs cp": ["fusion", "{page}"],
    "configs validate": ["{transe}"],
    "adapt": ["{task}", "--knowledge", "{graph}", "--out", "{out}"],
    "add-class": ["{model}", "refund", "--examples", "{examples}", "--out", "{out}"],
    "predict": ["{model}", "--input", "{examples}", "--knowledge", "{graph}"],
    "evaluate": ["{model}", "--test", "{examples}", "--knowledge", "{graph}"],
    "report": ["{model}", "--test", "{examples}", "--task", "{task}", "--seeds", "1", "--html", "page.html"],
    "serve": ["{model}", "--port", "x", "--api-key-file", "{examples}"],
    "export": ["{model}", "--out", "encoder.onnx"],
    "pretrain": ["{text}", "--config", "{pretraining}", "--out", "{out}"],
    "train": ["--config", "{fusion}", "--knowledge", "{graph}", "--text", "{text}", "--out", "{out}"],
    "generate": ["{model}", "--input", "{text}", "--max-new-tokens", "1"],
    "tokenizer train": ["{text}", "--vocab-size", "300", "--out", "{page}"],
}
# The same, of a verb that is called in a second way.
OTHERS = [("report", ["{model}", "--test", "{examples}", "--bias", "--groups", "{groups}"])]
FILES = {
    "groups": "kinds: {towns: {groups: {north: [Lund], south: [Graz]}}}\n",
    "aliases": "Graz\tGrazer Stadt\n",
    "transe": "kind: transe\nepochs: 1\ndimension: 4\n",
    "pretraining": "kind: pretraining\nsteps: 1\nlength: 8\nbatch_size: 1\ntokenizer: {vocab_size: 60}\n"
    "model: {hidden_size: 8, num_layers: 1, num_heads: 1, intermediate_size: 8}\n",
    "fusion": "kind: fusion\nsteps: 1\nbatch_size: 2\n",
    "text": "The parcel to Graz is late.\nIt was late last week, too.\n" * 20,
    "examples": '{"text": "The parcel to Graz is late.", "label": "central"}\n' * 2,
}
NONSENSE = {
    "missing": lambda path: None,
    "empty": lambda path: path.write_bytes(b""),
    "noise": lambda path: path.write_bytes(bytes(range(256)) * 8),
    "zeros": lambda path: path.write_bytes(bytes(4096)),
    "words": lambda path: path.write_text("a line\nand one more: [\n"),
    "json": lambda path: path.write_text('[{"a": [' * 2000),
    "folder": lambda path: path.mkdir(),
    "bundle": lambda path: (path.mkdir(), (path / "config.json").write_text('{"format": "roots-kg"}')),
    "loop": lambda path: path.symlink_to(path),
}


def places(words):
    return sorted({word[1:-1] for word in words if word.startswith("{")})


def verbs(group, path=()):
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        yield from verbs(command, (*path, name)) if hasattr(command, "list_commands") else [(*path, name)]


def test_every_verb_is_called_here():
    assert sorted(CALLS) == sorted(" ".join(path) for path in verbs(typer.main.get_command(app)))


@pytest.fixture
def standing(tmp_path, small_model, towns, towns_file, routing_folder):
    """What stands at each place of a call that works."""
    found = {"graph": towns, "model": small_model, "triples": towns_file, "task": routing_folder}
    for name, text in FILES.items():
        found[name] = tmp_path / name
        found[name].write_text(text, encoding="utf-8")
    return {**found, "out": tmp_path / "out", "page": tmp_path / "page.html"}


@pytest.mark.parametrize(
    ("verb", "call", "place"),
    [(verb, call, place) for verb, call in [*CALLS.items(), *OTHERS] for place in places(call)],
)
def test_nonsense_in_place_of_a_path_is_told_in_a_line(roots, standing, tmp_path, verb, call, place):
    work = tmp_path / "work"
    work.mkdir()
    odd = {name: work / name for name in NONSENSE}
    for name, make in NONSENSE.items():
        make(odd[name])
    odd |= {"long": work / ("x" * 300), "device": "/dev/null", "surrogate": work / os.fsdecode(b"\xff")}
    for name, path in odd.items():
        words = standing | {place: path}
        result = roots(*verb.split(), *(str(word).format_map(words) for word in call), cwd=work)
        told = f"{verb} with {name} as {place}: {result.err}"
        assert "Traceback" not in result.err, told
        assert "internal error" not in result.err, told
        assert result.code in (0, 1, 2), told
        if result.code:
            assert result.err.rstrip("\n").splitlines()[-1].lower().startswith("error: "), told
        if name == "missing" and place not in ("out", "page"):
            assert result.code, told
