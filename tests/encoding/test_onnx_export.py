import sys

import pytest
import tokenizers
import torch
from torch import nn
from torch.nn import functional

from roots_kg.encoding import onnx_export
from roots_kg.encoding.adapters import LowRankAdapter
from roots_kg.encoding.hybrid import HybridEncoder
from roots_kg.encoding.onnx_export import export_onnx
from roots_kg.encoding.text_encoder import TextEncoder, pool_tokens
from roots_kg.encoding.transformer import Transformer, TransformerConfig
from roots_kg.errors import DataError, UsageError

BERT = {"token_types": 2}
GPT2 = {"norm": "pre", "token_types": 0, "activation": "gelu_tanh"}
LENGTHS = ([1], [13, 7, 1, 4], [24, 24])


def small(encoder, adapter=False, **shape):
    """A small random encoder with the tokenizer of the pretrained one."""
    torch.manual_seed(0)
    config = TransformerConfig(
        vocab_size=encoder.tokenizer.vocab_size,
        hidden_size=16,
        num_layers=2,
        num_heads=2,
        intermediate_size=24,
        max_positions=24,
        **shape,
    )
    trunk = Transformer(config)
    hybrid = HybridEncoder(trunk, LowRankAdapter(trunk, rank=2) if adapter else None)
    for weight in hybrid.parameters():
        if weight.dim() > 1:
            nn.init.normal_(weight, std=0.4)
    nn.init.normal_(hybrid.gate.scale)
    return TextEncoder(hybrid, encoder.tokenizer).eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("shape", "adapter", "reading"),
    [(BERT, False, "bidirectional"), (BERT, True, "hybrid"), (GPT2, False, "causal")],
    ids=["bidirectional", "hybrid", "causal"],
)
def test_the_file_gives_the_states_and_vectors_of_the_encoder(encoder, tmp_path, shape, adapter, reading):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    exported = small(encoder, adapter, **shape)
    export_onnx(exported, tmp_path / "encoder.onnx", reading)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(tmp_path / "encoder.onnx", options, providers=["CPUExecutionProvider"])
    for lengths in LENGTHS:
        ids = torch.randint(30_000, (len(lengths), max(lengths)))
        mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        with torch.inference_mode():
            states = exported.encoder(ids, mask, reading)[0]
        vectors = functional.normalize(pool_tokens(states, mask), dim=-1)
        inputs = {"input_ids": ids.numpy(), "attention_mask": mask.long().numpy()}
        names = ["last_hidden_state", "sentence_embedding"]
        found, pooled = map(torch.from_numpy, session.run(names, inputs))
        torch.testing.assert_close(found[mask], states[mask], atol=1e-5, rtol=0)
        torch.testing.assert_close(pooled, vectors, atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def file(encoder, tmp_path_factory):
    pytest.importorskip("onnxscript")
    path = tmp_path_factory.mktemp("onnx") / "encoder.onnx"
    export_onnx(small(encoder, **BERT).to_precision("int8"), path)
    return path


def test_the_file_brings_its_tokenizer_window_and_reading(encoder, file):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(file, providers=["CPUExecutionProvider"])
    told = session.get_modelmeta().custom_metadata_map
    read = tokenizers.Tokenizer.from_str(told["tokenizer"])
    (row,) = encoder.tokenizer.rows(["The parcel to Graz never arrived."])
    assert read.encode("The parcel to Graz never arrived.").ids == row.input_ids
    assert (told["max_length"], told["reading"]) == ("256", "bidirectional")


def test_the_file_is_one_file_and_nothing_else_is_left(file):
    assert list(file.parent.iterdir()) == [file]


def test_what_stood_there_stays_when_the_file_cannot_be_written(encoder, tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    path = tmp_path / "encoder.onnx"
    path.write_bytes(b"older")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(onnx_export, "_export", lambda *_: onnx.ModelProto())
    monkeypatch.setattr(onnx, "save_model", full)
    with pytest.raises(DataError, match=r"encoder\.onnx: cannot be written: No space left"):
        export_onnx(small(encoder, **BERT), path)
    assert path.read_bytes() == b"older"
    assert [file.name for file in tmp_path.iterdir()] == ["encoder.onnx"]


def test_a_reading_that_needs_more_than_a_mask_is_refused(encoder, tmp_path):
    with pytest.raises(UsageError, match=r"'prefix' cannot be exported \(these can: bidirectional, causal"):
        export_onnx(encoder, tmp_path / "encoder.onnx", "prefix")


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_missing_package_is_named_with_the_way_to_install_it(encoder, tmp_path, monkeypatch, package):
    if package == "onnxscript":
        pytest.importorskip("onnx")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=rf'needs the package {package} \(pip install "roots-kg\[onnx\]"\)'):
        export_onnx(encoder, tmp_path / "encoder.onnx")
    assert not list(tmp_path.iterdir())
