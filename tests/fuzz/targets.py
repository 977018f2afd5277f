"""What the fuzzers feed: one target for everything that reads bytes from outside.

A target is built in a folder of its own and fed bytes. It may accept them or refuse them with one of our
errors; anything else that it raises is a finding. Of the server any answer of 500 and above is one.
"""

import contextlib
import gzip
import hashlib
import io
import json
import logging
import lzma
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pyarrow
import pyarrow.parquet
import tokenizers
import yaml
from safetensors.torch import save

from roots_kg.adaptation.task import Record, Task, read_records, scan_records
from roots_kg.adaptation.task_check import check_task
from roots_kg.bundle import ensure_replaceable
from roots_kg.cli.settings import settings_kind
from roots_kg.config import from_mapping, load_yaml, to_mapping
from roots_kg.encoding.checkpoint_layouts import LAYOUTS
from roots_kg.encoding.checkpoints import load_checkpoint
from roots_kg.encoding.decoding.text import TextCodec
from roots_kg.encoding.encoder_store import load_encoder
from roots_kg.encoding.preprocessing import Pipeline
from roots_kg.encoding.safetensors_files import read_tensors
from roots_kg.encoding.text_files import read_documents
from roots_kg.encoding.tokenization import Tokenizer, library_tokenizer
from roots_kg.encoding.transformer import Transformer, TransformerConfig
from roots_kg.encoding.words import continues_word
from roots_kg.errors import RootsError
from roots_kg.evaluation.bias import load_groups
from roots_kg.fusion.encoder import Knowledge
from roots_kg.graph.card import read_card
from roots_kg.graph.readers import Source, read_aliases
from roots_kg.graph.store import GraphBundle
from roots_kg.graph.transe import TransE, TransEConfig
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.model import RootsModel
from roots_kg.model_card import ModelCard
from roots_kg.registry import BUILT_IN, get_head
from roots_kg.training.pretraining_config import PretrainingConfig
from roots_kg.trust import CodeFile, TrustStore

__all__ = ["TARGETS", "Target", "try_on"]

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "tests" / "formats" / "1" / "model"
LOCAL = "http://127.0.0.1"


@dataclass(frozen=True)
class Target:
    """Something that reads bytes.

    Args:
        feed: gives it bytes.
        examples: bytes that it accepts, which fuzzers begin with.
    """

    feed: Callable[[bytes], object]
    examples: tuple[bytes, ...]


TARGETS: dict[str, Callable[[Path], Target]] = {}
"""How each target is built, in an empty folder."""


def try_on(target, content):
    """Feed a target; return whether it accepted what it got."""
    with contextlib.suppress(RootsError):
        target.feed(content)
        return True
    return False


def target(name):
    def register(build):
        TARGETS[name] = build
        return build

    return register


def of_file(name, read, *examples):
    """Return how a target is built that reads a file of this name, alone in its folder."""

    def build(folder):
        path = folder / name

        def feed(content):
            path.write_bytes(content)
            read(path)

        return Target(feed, examples)

    return build


# graphs


def parquet(**columns):
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), stream, compression="none")
    return stream.getvalue()


RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
STATEMENTS = b"""<http://e/a> <http://e/r> <http://e/b> .
<http://e/a> <http://e/r> "text"@en .
_:x <http://e/r> "1"^^<http://e/int> .
"""
READERS = {
    "tab": (b"Bonn\tin\tGermany\nRome\tin\tItaly\n", "head\trelation\ttail\nKöln\tin\tGermany\r\n".encode()),
    "pipe": (b"Bonn|in|Germany\nRome|in|Italy\n",),
    "comma": (b'Bonn,in,Germany\n"a ""b"", c",in,Italy\n',),
    "jsonl": (
        b'["Bonn", "in", "Germany"]\n{"head": "a", "relation": "r", "tail": {"value": 5, "type": "t"}}\n',
        b'{"subject": "a", "predicate": "r", "object": 1.5e3}\n["a", "r", {"value": "x", "lang": "\\u00e4"}]',
    ),
    "parquet": (
        parquet(head=["Bonn", "Rome"], relation=["in", "in"], tail=["Germany", "Italy"]),
        parquet(head=["Bonn", "Rome"], relation=["size", "size"], tail=[1.5, None]),
    ),
    "ntriples": (STATEMENTS,),
    "turtle": (
        b'@prefix e: <http://e/> .\ne:a e:r e:b, "text"@en, 5, true ; a e:C .\n'
        b'[ e:r ( e:a e:b ) ] e:r """x""" .\n',
    ),
    "jsonld": (
        b'{"@context": {"r": {"@id": "http://e/r", "@type": "@id"}}, "@id": "http://e/a", "r": ["http://e/b"]}',
        b'[{"@id": "http://e/a", "http://e/r": [{"@value": "x", "@language": "en"}, {"@list": [1, true]}]}]',
    ),
    "rdfxml": (
        f'<!DOCTYPE r:RDF [<!ENTITY e "http://e/">]><r:RDF xmlns:r="{RDF}" xmlns:b="http://e/">'
        '<r:Description r:about="http://e/a"><b:r r:resource="&e;b"/><b:s xml:lang="en">x</b:s>'
        "</r:Description></r:RDF>".encode(),
    ),
}
OPTIONS = (
    {},
    {"on_error": "quarantine"},
    {"on_error": "quarantine", "literals": "entities"},
    {"on_error": "quarantine", "literals": "ignore"},
)


def read_graph(path, format=None):
    """Read a triples file in every way, whether or not the first way succeeds."""
    refusal = None
    for options in OPTIONS:
        try:
            graph, report = KnowledgeGraph.read([path], format=format, **options)
        except RootsError as error:
            refusal = error
            continue
        assert all(map(str.strip, graph.entities)), "an entity without a name"
        assert all(reject.reason for reject in report.rejects), "a line was set aside without a reason"
        str(graph.fingerprint)
    if refusal is not None:
        raise refusal


for _format, _examples in READERS.items():
    TARGETS[f"graph {_format}"] = of_file(
        "graph", lambda path, name=_format: read_graph(path, name), *_examples
    )
TARGETS["graph of any format"] = of_file("graph", read_graph, *(rows[0] for rows in READERS.values()))
TARGETS["graph compressed"] = of_file("graph.tsv.gz", read_graph, gzip.compress(READERS["tab"][0]))


@target("graph aliases")
def _(folder):
    triples = folder / "triples.tsv"
    triples.write_bytes(READERS["tab"][0])

    def read(path):
        list(read_aliases(Source(path, on_error="quarantine")))
        KnowledgeGraph.from_file(triples, aliases=path)

    return of_file("aliases.tsv", read, "Bonn\tBundesstadt\nRome\tRoma\nRome\tРим\n".encode())(folder)


# settings and tasks


def read_settings(path):
    settings = load_yaml(path)
    kind = settings_kind(settings, path)
    yaml.safe_dump(to_mapping(from_mapping(kind.settings(), settings, path=path)), allow_unicode=True)


def read_pipeline(path):
    """Read settings of a pretraining and build the preprocessing that they state."""
    settings = {"kind": "pretraining", **load_yaml(path)}
    Pipeline(from_mapping(PretrainingConfig, settings, path=path).preprocessing)("A <b>text</b>.")


TARGETS["settings"] = of_file(
    "settings.yaml", read_settings, *(path.read_bytes() for path in sorted((ROOT / "configs").glob("*.yaml")))
)
TARGETS["settings of preprocessing"] = of_file(
    "settings.yaml",
    read_pipeline,
    b"preprocessing:\n  - {step: unicode, form: NFC}\n  - {step: markup}\n  - step: lower\n"
    b"  - step: deduplicate\n  - {step: stop_words, language: en}\n",
)
TARGETS["graph card"] = of_file(
    "card.yaml",
    read_card,
    b"source: mine\nlicence: CC0\nname: towns\ncounts: {triples: 2, by_relation: {in: 2}}\n",
)
TARGETS["groups of words"] = of_file(
    "groups.yaml", load_groups, (ROOT / "roots_kg" / "evaluation" / "bias_terms.yaml").read_bytes()
)
TARGETS["task"] = of_file(
    "task.yaml",
    lambda path: Task.load(path.parent),
    b"name: mail\nhead: classification\ndescription: x\nlabels: {a: one, b: two}\ntrain: train.jsonl\n"
    b"test: test.jsonl\nmetrics: [accuracy]\nknowledge: ../towns\nreading: hybrid\n",
    b"head: answer\ntrain: &t train.jsonl\nlabels: [a, b]\ntest: *t\n",
)


def lines(records):
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def untrained(triples):
    """Return a graph whose vectors say nothing."""
    graph = KnowledgeGraph.from_triples(triples)
    config = TransEConfig(dimension=4)
    return GraphBundle(graph, TransE(graph.num_entities, graph.num_relations, 4), config)


def examples_of(head):
    """Return how a target is built that reads examples as a head does."""

    def build(folder):
        head_type = get_head(head)
        sample = head_type.sample_task
        knowledge = Knowledge(untrained(sample.triples)) if sample.triples else None

        def read(path):
            task = Task(name="task", head=head, labels=dict(sample.labels), train=path)
            reader = head_type(task, 4, knowledge)
            for found in scan_records(path):
                if isinstance(found, Record):
                    for one in (reader.example, reader.text):
                        with contextlib.suppress(RootsError):
                            one(found)
            str(check_task(task, reader).problems)
            read_records(path)

        return of_file("train.jsonl", read, lines(sample.train[:3]), lines(sample.broken))(folder)

    return build


for _head in BUILT_IN:
    TARGETS[f"examples {_head}"] = examples_of(_head)


@target("trusted code")
def _(folder):
    code = folder / "head.py"
    code.write_bytes(b"")
    resolved = str(code.resolve())

    def read(path):
        store = TrustStore(path)
        store.remembered()
        store.state(CodeFile.read(code))

    return of_file("trusted.json", read, json.dumps({"head.py": {resolved: "0" * 64}}).encode())(folder)


TARGETS["code of a task"] = of_file(
    "head.py",
    lambda path: CodeFile.read(path).heads,
    b'from roots_kg import register_head\n@register_head("mine")\nclass Mine:\n    x = f"{1}"\n',
)


# saved folders


def in_model(name, load, place="."):
    """Return how a target is built that loads a saved folder with one file replaced.

    The SHA-256 in its `config.json` is set right, as someone with bad intentions would, so that the file is
    really read.

    Args:
        name: the file.
        load: loads the folder.
        place: where in the saved model the folder is.
    """

    def build(folder):
        copy = folder / "model"
        shutil.copytree(MODEL / place, copy)
        file, config = copy / name, copy / "config.json"
        stated = json.loads(config.read_bytes())
        if name == "values.json":
            stated["settings"]["values"] = 1
        example = file.read_bytes() if file.exists() else b'{"Wels": [["population", "5", null, null]]}'

        def feed(content):
            file.write_bytes(content)
            if file != config:
                stated["files"][name] = hashlib.sha256(content).hexdigest()
                config.write_text(json.dumps(stated), encoding="utf-8")
            try:
                load(copy)
            finally:
                with contextlib.suppress(RootsError):
                    ensure_replaceable(copy, kind="model")

        return Target(feed, (example,))

    return build


TARGETS["model config"] = in_model("config.json", RootsModel.from_pretrained)
TARGETS["model card"] = of_file(
    "card.json",
    lambda path: ModelCard.from_json(path.read_text("utf-8", errors="replace"), path),
    (MODEL / "card.json").read_bytes(),
)
TARGETS["model weights of a head"] = in_model("head-0.safetensors", RootsModel.from_pretrained)
TARGETS["encoder config"] = in_model("config.json", load_encoder, "encoder")
TARGETS["encoder weights"] = in_model("encoder.safetensors", load_encoder, "encoder")
for _file in ("config.json", "vocabulary.json", "aliases.json", "values.json", "triples.safetensors"):
    TARGETS[f"saved graph {_file}"] = in_model(_file, GraphBundle.load, "knowledge")


# weights and tokenizers of others


def a_safetensors_file():
    import torch

    return save({"a": torch.arange(4.0), "b": torch.zeros(1, 2, dtype=torch.int64)}, {"format": "pt"})


DTYPES = "BOOL U8 I8 F8_E5M2 F8_E4M3 F8_E8M0 F4 F6_E2M3 F6_E3M2 I16 U16 F16 BF16 I32 U32 F32 F64 I64 U64 C64"


def safetensors_of(dtype, size):
    header = json.dumps({"a": {"dtype": dtype, "shape": [8], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)


TARGETS["safetensors"] = of_file(
    "model.safetensors",
    read_tensors,
    a_safetensors_file(),
    *(safetensors_of(dtype, size) for dtype in DTYPES.split() for size in (4, 6, 8, 16, 32, 64)),
)


@target("safetensors index")
def _(folder):
    (folder / "part.safetensors").write_bytes(a_safetensors_file())
    index = {"metadata": {"total_size": 32}, "weight_map": dict.fromkeys("ab", "part.safetensors")}
    return of_file("model.safetensors.index.json", read_tensors, json.dumps(index).encode())(folder)


@target("checkpoint config")
def _(folder):
    config = TransformerConfig(
        vocab_size=60, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=8, max_positions=16
    )
    tensors = {}
    for name, tensor in Transformer(config).state_dict().items():
        part, kind = name.removeprefix("blocks.0.").rsplit(".", 1)
        theirs = LAYOUTS["bert"].trunk[part]
        for their, piece in zip(theirs, tensor.chunk(len(theirs)), strict=True):
            tensors[f"{their.format(0)}.{kind}"] = piece.clone()
    (folder / "model.safetensors").write_bytes(save(tensors))
    shutil.copy(MODEL / "encoder" / "tokenizer.json", folder)
    bert = {"model_type": "bert", "vocab_size": 60, "hidden_size": 8, "num_hidden_layers": 1}
    bert |= {"num_attention_heads": 2, "intermediate_size": 8, "max_position_embeddings": 16}
    gpt2 = {"model_type": "gpt2", "vocab_size": 60, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 16}
    examples = (json.dumps(stated).encode() for stated in (bert, gpt2, {**bert, "hidden_act": "relu"}))
    return of_file("config.json", lambda path: load_checkpoint(path.parent), *examples)(folder)


def read_tokenizer(path):
    tokenizer = Tokenizer(path, max_length=16)
    for text in ("", "a few words?", "Zürich 東京 🙂 \0", "word " * 40):
        with contextlib.suppress(RootsError):  # it may have no token for the unknown
            list(tokenizer.batches([text]))
    continues_word(library_tokenizer(tokenizer.to_json()))
    codec = TextCodec(tokenizer.to_json())
    codec.encode(["a few words?"])
    codec.forbidden(tokenizer.vocab_size)


def tokenizer_examples():
    pieces = {token: number for number, token in enumerate(["[UNK]", "[CLS]", "[SEP]", *"abc ", "ab"])}
    kinds = (
        tokenizers.models.BPE(pieces, [("a", "b")], unk_token="[UNK]"),
        tokenizers.models.Unigram([(token, -1.0) for token in pieces], 0),
        tokenizers.models.WordLevel(pieces, unk_token="[UNK]"),
    )
    for model in kinds:
        tokenizer = tokenizers.Tokenizer(model)
        tokenizer.normalizer = tokenizers.normalizers.Sequence(
            [tokenizers.normalizers.NFKC(), tokenizers.normalizers.Replace("x", "y")]
        )
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
            [tokenizers.pre_tokenizers.Digits(True), tokenizers.pre_tokenizers.ByteLevel()]
        )
        tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
        )
        tokenizer.add_special_tokens(["[CLS]", "[SEP]"])
        tokenizer.enable_padding(length=8)
        tokenizer.enable_truncation(8, stride=2)
        yield tokenizer.to_str().encode()


TARGETS["tokenizer"] = of_file(
    "tokenizer.json",
    read_tokenizer,
    json.dumps(json.loads((MODEL / "encoder" / "tokenizer.json").read_bytes())).encode(),
    *tokenizer_examples(),
)


# texts


@target("markup")
def _(folder):
    steps = [
        {"step": "markup"},
        {"step": "unicode", "form": "NFKC"},
        {"step": "lower"},
        {"step": "deduplicate"},
    ]
    config = from_mapping(PretrainingConfig, {"kind": "pretraining", "preprocessing": steps})

    def feed(content):
        Pipeline(config.preprocessing)(content.decode("utf-8", errors="surrogateescape"))

    page = (
        "<!DOCTYPE html><p class='a'>one &amp; <b>two</b><br/><![CDATA[<x>]]><script>var a = '<p>'</script>ü"
    )
    return Target(feed, (page.encode(), b'<!-- c --><style>p{}</style><a href="x>y">&#x41;&#0;&bogus;</a>'))


def read_text(path):
    for documents in ("file", "line"):
        pieces = list(read_documents([path], documents))
        assert all(piece.text.strip() for piece in pieces), "a blank piece of text"
        middle = pieces[len(pieces) // 2]
        assert list(read_documents([path], documents, middle.position)) == pieces[len(pieces) // 2 + 1 :]


TEXT = "A paragraph\nof two lines.\n\n  Zürich 東京\r\nlast".encode()
TARGETS["text"] = of_file("text.txt", read_text, TEXT, b"\xef\xbb\xbf" + TEXT, b"a\rb\r\r" + b"x " * 500)
TARGETS["text gz"] = of_file("text.txt.gz", read_text, gzip.compress(TEXT))
TARGETS["text xz"] = of_file("text.txt.xz", read_text, lzma.compress(TEXT))


# the server


class ServerError(Exception):
    """An answer of 500 and above."""


def asked(route, *examples, method="POST"):
    """Return how a target is built that sends a body to a route; of GET it is the rest of the path."""

    def build(folder):
        from starlette.testclient import TestClient

        from roots_kg.serve import ServeConfig, make_app
        from roots_kg.serve.service import Service

        logging.getLogger("roots_kg.serve").setLevel(logging.CRITICAL)
        model = RootsModel.from_pretrained(MODEL)
        service = Service(model, "model")
        app = make_app(service, ServeConfig(allow_edits=True, max_new_tokens=8, max_texts=16))
        client = TestClient(app, base_url=LOCAL, raise_server_exceptions=False)
        client.__enter__()  # which starts what answers; it ends with the process

        def feed(content):
            if method == "GET":
                answer = client.get(f"{route}/{quote(content)}")
            else:
                answer = client.post(route, content=content, headers={"content-type": "application/json"})
            if answer.status_code >= 500:
                raise ServerError(f"{answer.status_code}: {answer.text}")
            service.model, service._text_only = model, None  # as it was before an edit
            if answer.status_code >= 400:
                raise RootsError(answer.text)

        return Target(feed, examples)

    return build


TARGETS["POST /predict"] = asked(
    "/predict",
    b'{"texts": ["My parcel to Wels", "x"], "task": "routing", "graph": false}',
    b'{"texts": [{"text": "In which country is Wels?"}], "task": "questions"}',
    b'{"texts": [""]}',
)
TARGETS["POST /explain"] = asked("/explain", b'{"texts": ["My parcel to Wels", ""], "task": "routing"}')
TARGETS["POST /encode"] = asked("/encode", b'{"texts": ["My parcel to Wels", "\\u00e4\\ud83d\\ude42"]}')
TARGETS["POST /generate"] = asked(
    "/generate",
    b'{"prompt": "a", "max_new_tokens": 3, "no_repeat_ngram_size": 2, "stop": ["b"]}',
    b'{"prompt": "b", "max_new_tokens": 2, "sample": true, "top_k": 5, "top_p": 0.9, "seed": 1}',
)
TARGETS["POST /graph"] = asked(
    "/graph",
    b'{"add": [["Steyr", "located_in", "Austria"]], "remove": [["Wels", "located_in", "Austria"]]}',
)
TARGETS["GET /graph"] = asked("/graph", b"Wels", "Österreich".encode(), method="GET")
