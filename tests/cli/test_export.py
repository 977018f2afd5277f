import json
import sys

import pytest


def test_the_file_is_written_and_told_with_its_size(roots, small_model, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    out = tmp_path / "made" / "encoder.onnx"
    result = roots("export", small_model, "--out", out, "--json").json
    assert result == {"metrics": {"bytes": out.stat().st_size}, "out": str(out)}
    session = runtime.InferenceSession(out, providers=["CPUExecutionProvider"])
    found = session.run(None, {"input_ids": [[101, 102]], "attention_mask": [[1, 1]]})
    assert [part.shape for part in found] == [(1, 2, 384), (1, 384)]
    assert session.get_modelmeta().custom_metadata_map["reading"] == "bidirectional"


def test_without_the_extra_the_way_to_install_it_is_told(roots, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    result = roots("export", "roots-base", "--out", tmp_path / "encoder.onnx")
    message = 'the export to ONNX needs the package onnx (pip install "roots-kg[onnx]")'
    assert (result.code, result.out, result.err) == (2, "", f"error: {message}\n")
    assert not list(tmp_path.iterdir())


def test_an_unknown_model_is_one_line(roots, tmp_path):
    result = roots("export", "rootsbase", "--out", tmp_path / "encoder.onnx")
    assert result.code == 2
    assert result.err.startswith("error: rootsbase: there is no such model folder")


def test_an_unknown_reading_is_refused(roots, tmp_path):
    result = roots("export", "roots-base", "--reading", "prefix", "--out", tmp_path / "encoder.onnx")
    assert result.code == 2
    assert "prefix" in result.err


def test_adapting_in_int8_is_remembered_and_can_be_overruled(roots, routing_folder, tmp_path):
    out = tmp_path / "out"
    adapted = roots("adapt", routing_folder, "--no-knowledge", "--precision", "int8", "--out", out)
    assert adapted.code == 0
    assert json.loads((out / "config.json").read_text())["settings"]["precision"] == "int8"

    def probability(*options):
        (found,) = roots("predict", out, "The parcel to Wels is late", *options, "--json").json["predictions"]
        return found["probability"]

    assert probability() == probability("--precision", "int8") != probability("--precision", "float32")
    test = ("--test", routing_folder / "test.jsonl")
    assert roots("evaluate", out, *test, "--precision", "float32").code == 0


def test_an_unknown_precision_is_refused(roots, routing_folder, tmp_path):
    result = roots("adapt", routing_folder, "--precision", "int4", "--out", tmp_path / "out")
    assert result.code == 2
    assert "int4" in result.err
