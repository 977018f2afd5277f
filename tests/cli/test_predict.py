import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from roots_kg.adaptation.task import Record
from roots_kg.cli.predict import _read
from roots_kg.encoding.encoder_store import save_encoder
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.errors import UsageError

TEXTS = ("The parcel to Wels never arrived.", "Our office in Kiruna needs an invoice.")


def test_texts_are_answered_in_their_order_with_ranked_probabilities(roots, small_model):
    found = roots("predict", small_model, *TEXTS, "--json").json["predictions"]
    assert [row["text"] for row in found] == list(TEXTS)
    assert [row["prediction"] for row in found] == ["central", "nordic"]
    for row in found:
        assert row["ranked"][0] == [row["prediction"], row["probability"]]
        assert sum(share for _, share in row["ranked"]) == pytest.approx(1, abs=1e-4)


def test_texts_are_read_from_a_file_too(roots, small_model, tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text, "id": 7}) + "\n" for text in TEXTS))
    from_file = roots("predict", small_model, "--input", path, "--json").json
    assert from_file == roots("predict", small_model, *TEXTS, "--json").json


def test_an_explanation_shows_links_triples_with_their_effects_and_gates(shell, routing_models):
    folder, _ = routing_models
    text = "My parcel to Steiermark is late"
    (found,) = shell("predict", folder / "graph", text, "--explain", "--json").json["predictions"]
    assert found["prediction"] == "dach"
    assert [link["name"] for link in found["links"]] == ["Steiermark"]
    effects = [item["effect"] for item in found["evidence"]]
    assert effects == sorted(effects, reverse=True)
    assert any("Austria" in item["triple"] for item in found["evidence"])
    assert all(item["source"].endswith("triples.tsv") for item in found["evidence"])
    assert "".join(gate["text"] for gate in found["gates"]) == text.replace(" ", "")


def test_a_person_sees_the_answer_and_the_triples_behind_it(roots, small_model):
    result = roots("predict", small_model, TEXTS[0], "Nothing known", "--explain")
    assert result.code == 0
    assert "→ central" in result.out
    assert "Wels · located_in · Austria" in result.out
    assert "nothing in the text is linked to the graph" in result.out
    plain = roots("predict", small_model, *TEXTS)
    assert "central" in plain.out
    assert "nordic" in plain.out


def test_a_triple_taken_out_of_the_models_graph_counts_at_the_next_prediction(
    roots, towns, questions_folder, tmp_path
):
    from roots_kg.graph.store import GraphBundle

    model, question = tmp_path / "model", "In which country is Kalmar?"
    assert roots("adapt", questions_folder, "--knowledge", towns, "--shots", 24, "--out", model).code == 0
    before = roots("predict", model, question, "--explain", "--json").json["predictions"][0]
    assert before["prediction"] == "Sweden"
    own = GraphBundle.load(model / "knowledge")
    cited = tuple(before["evidence"][0]["triple"])
    number = [own.graph.triple(index) for index in range(len(own.graph))].index(cited)
    GraphBundle(own.graph.without([number]), own.transe, own.config).save(model / "knowledge")
    after = roots("predict", model, question, "--json").json["predictions"][0]
    assert after["prediction"] != "Sweden"


@pytest.mark.parametrize("given", [(), ("a text", "--input", "texts.jsonl")], ids=["nothing", "both"])
def test_either_texts_or_a_file_must_be_given(roots, small_model, given):
    result = roots("predict", small_model, *given)
    assert (result.code, result.err) == (2, "error: give either texts or --input\n")


def test_a_model_with_several_tasks_answers_for_all_of_them(roots, small_model, two_tasks):
    found = roots("predict", two_tasks, *TEXTS, "--json").json["tasks"]
    assert list(found) == ["routing", "questions"]
    assert found["routing"] == roots("predict", small_model, *TEXTS, "--json").json["predictions"]
    one = roots("predict", two_tasks, *TEXTS, "--task", "questions", "--json").json["predictions"]
    assert found["questions"] == one
    shown = roots("predict", two_tasks, *TEXTS).out
    assert shown.split()[:4] == ["routing", "probability", "questions", "probability"]


def test_each_of_several_tasks_is_explained(roots, two_tasks):
    found = roots("predict", two_tasks, "In which country is Wels?", "--explain", "--json").json["tasks"]
    assert found["questions"][0]["evidence"][0]["triple"] == ["Wels", "located_in", "Austria"]
    shown = roots("predict", two_tasks, "In which country is Wels?", "--explain").out
    assert shown.index("== routing") < shown.index("== questions") < shown.rindex("Wels · located_in")


def test_a_task_that_the_model_does_not_have_is_refused(roots, two_tasks):
    result = roots("predict", two_tasks, "Hello", "--task", "ruoting")
    assert result.code != 0
    assert "did you mean 'routing'?" in result.err


def test_lines_that_tasks_read_differently_need_a_task(tmp_path):
    record = Record({"text": "Where is it?"}, tmp_path / "lines.jsonl", 7)
    heads = [
        SimpleNamespace(
            task=SimpleNamespace(name=name), text=lambda record, read=read: read(record.text("text"))
        )
        for name, read in (("one", str), ("two", str.upper))
    ]
    assert _read([record], heads[:1]) == ["Where is it?"]
    with pytest.raises(UsageError, match=r"lines\.jsonl:7: the tasks one, two .*--task"):
        _read([record], heads)


def lines_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_texts(path, count):
    rows = [{"text": f"Parcel {number} to {'Graz' if number % 2 else 'Bergen'}"} for number in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_large_file_is_answered_line_by_line_into_a_file(roots, small_model, tmp_path):
    texts = write_texts(tmp_path / "texts.jsonl", 300)
    whole = roots("predict", small_model, "--input", texts, "--json").json["predictions"]
    result = roots("predict", small_model, "--input", texts, "--output", tmp_path / "out.jsonl")
    assert result.out == f"What was predicted for 300 texts is in {tmp_path / 'out.jsonl'}\n"
    found = lines_of(tmp_path / "out.jsonl")
    assert [row["text"] for row in found] == [row["text"] for row in whole]
    assert [row["prediction"] for row in found] == [row["prediction"] for row in whole]
    assert [row["probability"] for row in found] == pytest.approx(
        [row["probability"] for row in whole], abs=1e-5
    )


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe has no name there")
@pytest.mark.parametrize("looked_on", [False, True], ids=["alone", "with a person looking on"])
def test_a_pipe_is_read_like_a_file(roots, small_model, tmp_path, monkeypatch, looked_on):
    monkeypatch.setattr("roots_kg.cli.predict.shows_progress", lambda: looked_on)
    texts = write_texts(tmp_path / "texts.jsonl", 3)
    reader, writer = os.pipe()
    try:
        os.write(writer, texts.read_bytes())
        os.close(writer)
        arguments = ("--input", f"/dev/fd/{reader}", "--output", tmp_path / "out.jsonl")
        assert roots("predict", small_model, *arguments).code == 0
    finally:
        os.close(reader)
    assert [row["text"] for row in lines_of(tmp_path / "out.jsonl")] == [
        row["text"] for row in lines_of(texts)
    ]


def test_explanations_and_several_tasks_are_written_likewise(roots, two_tasks, tmp_path):
    texts = write_texts(tmp_path / "texts.jsonl", 3)
    arguments = (
        "predict",
        two_tasks,
        "--input",
        texts,
        "--output",
        tmp_path / "out.jsonl",
        "--explain",
        "--json",
    )
    assert roots(*arguments).json["metrics"]["texts"] == 3
    first = lines_of(tmp_path / "out.jsonl")[0]
    assert len(first) == 2
    assert all("evidence" in each for each in first.values())


def test_a_bad_line_late_in_a_large_file_leaves_the_old_output(roots, small_model, tmp_path):
    texts = write_texts(tmp_path / "texts.jsonl", 300)
    with texts.open("a") as stream:
        stream.write("{broken\n")
    out = tmp_path / "out.jsonl"
    out.write_text("old")
    result = roots("predict", small_model, "--input", texts, "--output", out)
    assert (result.code, f"{texts}:301: " in result.err) == (1, True)
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "texts.jsonl"]


def test_where_the_output_cannot_go_is_told_before_any_work(roots, small_model, tmp_path):
    texts = write_texts(tmp_path / "texts.jsonl", 2)
    for arguments, message in (
        (("a text", "--output", tmp_path / "out"), "--output is for --input"),
        (("--input", texts, "--output", texts), "this is the file that is read"),
        (("--input", texts, "--output", tmp_path), "this is a folder"),
    ):
        result = roots("predict", small_model, *arguments)
        assert (result.code, message in result.err) == (2, True)


@pytest.mark.skipif(sys.platform == "win32", reason="it tells no peak of memory")
def test_memory_does_not_grow_with_the_file(roots, routing_folder, towns, small_encoder, tmp_path):
    save_encoder(TextEncoder(small_encoder.encoder, small_encoder.tokenizer), tmp_path / "letters")
    model, options = tmp_path / "model", ("--encoder", tmp_path / "letters", "--knowledge", towns)
    assert roots("adapt", routing_folder, *options, "--out", model).code == 0
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom roots_kg.cli import predict\n"
        "peaks, read = [], predict._read\n"
        "def watched(*arguments):\n"
        "    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n    return read(*arguments)\n"
        "predict._read = watched\nimport atexit\n"
        "atexit.register(lambda: print(peaks[len(peaks) // 4], peaks[-1], file=sys.stderr))\n"
        "from roots_kg.cli import main\nmain()\n"
    )
    texts = write_texts(tmp_path / "texts.jsonl", 5_000)
    command = ["predict", str(model), "--input", str(texts), "--output", str(tmp_path / "out.jsonl")]
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=True)
    early, late = map(int, done.stderr.split())
    assert late - early < 4 * 1024  # KB


def test_a_block_list_is_for_models_that_write(roots, small_model, tmp_path):
    path = tmp_path / "blocked.txt"
    path.write_text("dog", encoding="utf-8")
    result = roots("predict", small_model, "a text", "--block-list", path)
    assert (result.code, "--block-list is for tasks whose answers are written texts" in result.err) == (
        2,
        True,
    )
    result = roots("predict", small_model, "a text", "--block-list", tmp_path / "none.txt")
    assert (result.code, "the block list cannot be read" in result.err) == (1, True)
