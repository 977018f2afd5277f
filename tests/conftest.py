"""What many tests share: the pretrained encoder, a small graph of towns, and two tasks about them."""

import json
import os
from types import SimpleNamespace

import pytest
import tokenizers
import torch
from hypothesis import settings

from roots_kg.adaptation.task import Task
from roots_kg.encoding.hybrid import HybridEncoder
from roots_kg.encoding.language_model import LanguageModelHead
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.encoding.tokenization import Tokenizer
from roots_kg.encoding.transformer import Transformer, TransformerConfig
from roots_kg.fusion.encoder import Knowledge, KnowledgeEncoder
from roots_kg.graph.store import GraphBundle
from roots_kg.graph.transe import TransEConfig
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.model import RootsModel
from roots_kg.training.transe import train_transe

# a busy machine takes as long as it takes
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# one thread, here and in processes that tests start: on a busy machine more of them wait for each other
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"


os.environ.pop("COLUMNS", None)  # which xdist sets: tables are to be as wide as in a file


@pytest.fixture(scope="session", autouse=True)
def roots_home(tmp_path_factory):
    """A memory of trusted code that is the tests' own, here and in processes that they start."""
    os.environ["ROOTS_HOME"] = str(tmp_path_factory.mktemp("roots_home"))


COUNTRIES = {
    "Austria": ("euro", "Central Europe", "Graz Linz Villach Bregenz Dornbirn Wels"),
    "Germany": ("euro", "Central Europe", "Kassel Rostock Chemnitz Bochum Ulm Fulda"),
    "Sweden": ("Swedish krona", "Scandinavia", "Gävle Kiruna Malmö Lund Örebro Kalmar"),
    "Norway": ("Norwegian krone", "Scandinavia", "Bergen Tromsø Bodø Molde Hamar Ålesund"),
    "Peru": ("sol", "South America", "Cusco Arequipa Tacna Puno Piura Ayacucho"),
    "Chile": ("Chilean peso", "South America", "Arica Iquique Temuco Talca Osorno Calama"),
}
TEAMS = {
    "central": "Austria and Germany",
    "nordic": "Sweden and Norway",
    "andes": "Peru and Chile",
}
TEAM_OF = {
    "Austria": "central",
    "Germany": "central",
    "Sweden": "nordic",
    "Norway": "nordic",
    "Peru": "andes",
    "Chile": "andes",
}
TICKETS = ("The parcel to {} never arrived.", "Our office in {} needs a new invoice.")
QUESTIONS = {
    "In which country is {}?": lambda country: [country],
    "Which country does {} belong to?": lambda country: [country],
    "What money do people use in {}?": lambda country: [COUNTRIES[country][0]],
    "Which currency do I need in {}?": lambda country: [COUNTRIES[country][0]],
}


def towns(first, last):
    """Return (town, country) of some towns of every country, by their places in the lists above."""
    return [(town, country) for country, row in COUNTRIES.items() for town in row[2].split()[first:last]]


@pytest.fixture(scope="session")
def encoder():
    """The pretrained text encoder."""
    return TextEncoder.from_pretrained()


@pytest.fixture(scope="session")
def letters(tmp_path_factory):
    """A `tokenizer.json` like BERT's that knows no words, only letters."""
    alphabet = "abcdefghijklmnopqrstuvwxyz.?"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *alphabet, *(f"##{letter}" for letter in alphabet)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    path = tmp_path_factory.mktemp("letters") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@pytest.fixture(scope="session")
def small_encoder(letters):
    """A text encoder with random weights and a language-model head."""
    torch.manual_seed(0)
    shape = TransformerConfig(
        vocab_size=60,
        hidden_size=32,
        num_layers=2,
        num_heads=4,
        intermediate_size=48,
        max_positions=24,
        token_types=0,
        norm="pre",
        positions="rotary",
        activation="gelu_tanh",
    )
    encoder = TextEncoder(
        HybridEncoder(Transformer(shape)), Tokenizer(letters, 20), LanguageModelHead(32, 60), "hybrid"
    )
    torch.nn.init.normal_(encoder.encoder.gate.scale)
    return encoder.requires_grad_(False).eval()


@pytest.fixture(scope="session")
def triples():
    """Towns in countries, which have a currency and lie in a region."""
    found = []
    for country, (currency, region, names) in COUNTRIES.items():
        found += [(country, "currency", currency), (country, "region", region)]
        found += [(town, "located_in", country) for town in names.split()]
    return found


@pytest.fixture(scope="session")
def bundle(triples):
    """The small graph with TransE vectors."""
    config = TransEConfig(dimension=16, epochs=30, batch_size=32, negatives=32)
    graph = KnowledgeGraph.from_triples(triples, aliases={"Austria": ["Austria", "Österreich"]})
    return GraphBundle(graph, train_transe(graph, config), config)


@pytest.fixture(scope="session")
def knowledge(bundle):
    """The small graph made ready for use."""
    return Knowledge(bundle)


@pytest.fixture(scope="session")
def layers(encoder, knowledge):
    """Layers 1 and 2 with the small graph."""
    return KnowledgeEncoder(encoder, knowledge).eval()


@pytest.fixture(scope="session")
def text_layers(encoder):
    """Layers 1 and 2 without a graph."""
    return KnowledgeEncoder(encoder).eval()


@pytest.fixture(scope="session")
def examples():
    """Labelled examples of both tasks; the towns of test occur nowhere in train."""

    def routing(part):
        return [
            {"text": ticket.format(town), "label": TEAM_OF[country]}
            for town, country in part
            for ticket in TICKETS
        ]

    def questions(part):
        return [
            {"text": question.format(town), "answers": answers(country)}
            for town, country in part
            for question, answers in QUESTIONS.items()
        ]

    train, test = towns(0, 3), towns(3, 6)
    return SimpleNamespace(
        routing=SimpleNamespace(train=routing(train), test=routing(test)),
        questions=SimpleNamespace(train=questions(train), test=questions(test)),
    )


@pytest.fixture(scope="session")
def write_task():
    """A function that writes a task folder: what `task.yaml` says, and its examples."""

    def write(folder, stated, train, test=None):
        folder.mkdir(parents=True, exist_ok=True)
        stated = {"train": "train.jsonl", **stated}
        for split, records in (("train", train), ("test", test)):
            if records is not None:
                lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
                (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
                stated[split] = f"{split}.jsonl"
        (folder / "task.yaml").write_text(json.dumps(stated), encoding="utf-8")  # JSON is YAML
        return folder

    return write


@pytest.fixture(scope="session")
def routing_folder(tmp_path_factory, write_task, examples):
    """A classification task: the team that answers a ticket."""
    stated = {"name": "routing", "head": "classification", "labels": TEAMS}
    folder = tmp_path_factory.mktemp("tasks") / "routing"
    return write_task(folder, stated, examples.routing.train, examples.routing.test)


@pytest.fixture(scope="session")
def questions_folder(tmp_path_factory, write_task, examples):
    """An answer task: questions over one and over two relations."""
    folder = tmp_path_factory.mktemp("tasks") / "questions"
    return write_task(folder, {"head": "answer"}, examples.questions.train, examples.questions.test)


@pytest.fixture(scope="session")
def routing(encoder, bundle, routing_folder):
    """A model for the small routing task with the small graph."""
    model = RootsModel(encoder, graph=bundle)
    model.adapt(Task.load(routing_folder))
    return model
