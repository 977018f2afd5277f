"""Tiny tasks, one a head: what `roots tasks new` writes, and what the head's contract is checked with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "ANSWER",
    "CLASSIFICATION",
    "GENERATION",
    "MULTILABEL",
    "PAIRS",
    "RELATION",
    "SPAN",
    "TAGGING",
    "SampleTask",
]


@dataclass(frozen=True)
class SampleTask:
    """A task of a few lines that shows what a head reads, and from which it can learn.

    Args:
        description: what the task is, in a sentence.
        train: lines to learn from, as they stand in a JSONL file.
        test: other lines of the same kind.
        labels: from a label to what it stands for; empty for a head without labels.
        triples: a graph of (head entity, relation, tail entity), for a head that needs one or uses one.
        broken: lines that the head must refuse.
        bar: what each of the head's default metrics must reach on `test` after fitting to `train`.
        evidence: whether some of the predictions must come with triples.
    """

    description: str
    train: tuple[Mapping[str, Any], ...]
    test: tuple[Mapping[str, Any], ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    triples: tuple[tuple[str, str, str], ...] = ()
    broken: tuple[Mapping[str, Any], ...] = ()
    bar: float = 0.8
    evidence: bool = False


CLASSIFICATION = SampleTask(
    description="What is this message to a shop about?",
    labels={
        "delivery": "where a parcel is and when it comes",
        "payment": "invoices, cards and money back",
        "account": "logging in, passwords and personal data",
    },
    train=(
        {"text": "My parcel has not arrived yet.", "label": "delivery"},
        {"text": "When will you ship my order?", "label": "delivery"},
        {"text": "The courier left the box at the wrong door.", "label": "delivery"},
        {"text": "I was charged twice for one order.", "label": "payment"},
        {"text": "Please send the invoice once more.", "label": "payment"},
        {"text": "My card was declined at the checkout.", "label": "payment"},
        {"text": "I forgot my password.", "label": "account"},
        {"text": "How do I change the e-mail address of my profile?", "label": "account"},
        {"text": "I cannot log in since this morning.", "label": "account"},
    ),
    test=(
        {"text": "The tracking page says that my parcel is still in the depot.", "label": "delivery"},
        {"text": "How long does shipping to Norway take?", "label": "delivery"},
        {"text": "When is my money paid back?", "label": "payment"},
        {"text": "Why was my credit card refused?", "label": "payment"},
        {"text": "Please delete my profile and my data.", "label": "account"},
        {"text": "The link to reset my password does not work.", "label": "account"},
    ),
    broken=(
        {"text": "Where is my parcel?"},
        {"text": "Where is my parcel?", "label": "delivry"},
        {"label": "delivery"},
    ),
)

PAIRS = SampleTask(
    description="Do these two messages to a shop ask the same?",
    labels={"same": "both ask the same", "other": "they ask different things"},
    train=(
        {"text": "Where is my parcel?", "text_pair": "When does my parcel arrive?", "label": "same"},
        {"text": "I forgot my password.", "text_pair": "I cannot remember the password.", "label": "same"},
        {"text": "Please send the invoice.", "text_pair": "I need an invoice.", "label": "same"},
        {"text": "My card was declined.", "text_pair": "You refused my credit card.", "label": "same"},
        {"text": "Where is my parcel?", "text_pair": "Please delete my profile.", "label": "other"},
        {"text": "I forgot my password.", "text_pair": "Do you ship to Norway?", "label": "other"},
        {"text": "Please send the invoice.", "text_pair": "The box was wet.", "label": "other"},
        {"text": "My card was declined.", "text_pair": "How do I change my address?", "label": "other"},
    ),
    test=(
        {"text": "How do I log out?", "text_pair": "What must I do to log out?", "label": "same"},
        {"text": "Can I pay by card?", "text_pair": "Is payment by card possible?", "label": "same"},
        {"text": "How do I log out?", "text_pair": "The courier was rude.", "label": "other"},
        {"text": "Can I pay by card?", "text_pair": "My parcel is damaged.", "label": "other"},
    ),
    broken=(
        {"text": "Where is my parcel?", "text_pair": 7, "label": "same"},
        {"text_pair": "Where is my parcel?", "label": "same"},
        {"text": "Where is my parcel?", "text_pair": "Where is it?"},
    ),
)

MULTILABEL = SampleTask(
    description="Which of these does a guest of a hotel write about?",
    labels={
        "food": "breakfast, dinner and drinks",
        "staff": "the people who work there",
        "room": "beds, bathrooms and noise at night",
    },
    train=(
        {"text": "Breakfast was delicious.", "labels": ["food"]},
        {"text": "The soup came cold and the wine warm.", "labels": ["food"]},
        {"text": "The receptionist helped us with everything.", "labels": ["staff"]},
        {"text": "A rude waiter ignored us.", "labels": ["staff"]},
        {"text": "The bed was hard and the street loud.", "labels": ["room"]},
        {"text": "A spotless bathroom with a large bathtub.", "labels": ["room"]},
        {"text": "Great dinner, and such friendly people.", "labels": ["food", "staff"]},
        {"text": "The cleaner left our bed unmade.", "labels": ["room", "staff"]},
        {"text": "The bus stops two streets away.", "labels": []},
        {"text": "We stayed for three nights in May.", "labels": []},
    ),
    test=(
        {"text": "Lunch was tasty.", "labels": ["food"]},
        {"text": "The porter was very kind.", "labels": ["staff"]},
        {"text": "My bed was too short.", "labels": ["room"]},
        {"text": "Good coffee, and a friendly waitress.", "labels": ["food", "staff"]},
    ),
    broken=(
        {"text": "Breakfast was delicious."},
        {"text": "Breakfast was delicious.", "labels": "food"},
        {"text": "Breakfast was delicious.", "labels": ["fod"]},
        {"text": "Breakfast was delicious.", "labels": ["food", "food"]},
        {"text": "Breakfast was delicious.", "labels": [7]},
        {"labels": ["food"]},
    ),
    bar=0.6,
)

ANSWER = SampleTask(
    description="Questions about towns, answered with entities of the graph.",
    triples=(
        ("Graz", "located_in", "Austria"),
        ("Linz", "located_in", "Austria"),
        ("Kassel", "located_in", "Germany"),
        ("Rostock", "located_in", "Germany"),
        ("Kiruna", "located_in", "Sweden"),
        ("Lund", "located_in", "Sweden"),
        ("Cusco", "located_in", "Peru"),
        ("Tacna", "located_in", "Peru"),
        ("Austria", "currency", "euro"),
        ("Germany", "currency", "euro"),
        ("Sweden", "currency", "Swedish krona"),
        ("Peru", "currency", "sol"),
    ),
    train=(
        {"text": "In which country is Graz?", "answers": ["Austria"]},
        {"text": "In which country is Kiruna?", "answers": ["Sweden"]},
        {"text": "Which country does Cusco belong to?", "answers": ["Peru"]},
        {"text": "Which country does Kassel belong to?", "answers": ["Germany"]},
        {"text": "What money do people use in Graz?", "answers": ["euro"]},
        {"text": "What money do people use in Kiruna?", "answers": ["Swedish krona"]},
        {"text": "Which currency do I need in Cusco?", "answers": ["sol"]},
        {"text": "Which currency do I need in Kassel?", "answers": ["euro"]},
    ),
    test=(
        {"text": "In which country is Rostock?", "answers": ["Germany"]},
        {"text": "Which country does Tacna belong to?", "answers": ["Peru"]},
        {"text": "What money do people use in Lund?", "answers": ["Swedish krona"]},
        {"text": "Which currency do I need in Linz?", "answers": ["euro"]},
    ),
    broken=(
        {"text": "Where is Graz?"},
        {"text": "Where is Graz?", "answers": []},
        {"text": "Where is Graz?", "answers": ["Atlantis"]},
        {"answers": ["Austria"]},
    ),
    evidence=True,
)

RELATION = SampleTask(
    description="What is the head to the tail?",
    labels={
        "birthplace": "the town in which the head was born",
        "employer": "the firm for which the head works",
        "author": "the person who wrote the book that is the head",
    },
    triples=(
        ("Anna Berg", "employer", "Nordlys"),
        ("Oslo", "country", "Norway"),
        ("Graz", "country", "Austria"),
    ),
    train=(
        {
            "text": "Anna Berg was born in Oslo in 1961.",
            "head": {"span": [0, 9], "id": "Anna Berg"},
            "tail": {"span": [22, 26], "id": "Oslo"},
            "label": "birthplace",
        },
        {
            "text": "Graz is the native town of Peter Hahn.",
            "head": {"span": [27, 37]},
            "tail": {"span": [0, 4]},
            "label": "birthplace",
        },
        {
            "text": "Maria Rossi, born in Rome, left Italy early.",
            "head": {"span": [0, 11]},
            "tail": {"span": [21, 25]},
            "label": "birthplace",
        },
        {
            "text": "Anna Berg is an engineer at Nordlys.",
            "head": {"span": [0, 9], "id": "Anna Berg"},
            "tail": {"span": [28, 35], "id": "Nordlys"},
            "label": "employer",
        },
        {
            "text": "Last year Acme hired John Smith.",
            "head": {"span": [21, 31]},
            "tail": {"span": [10, 14]},
            "label": "employer",
        },
        {
            "text": "Laura Klein has worked for Siemens since 2010.",
            "head": {"span": [0, 11]},
            "tail": {"span": [27, 34]},
            "label": "employer",
        },
        {
            "text": "Silent Rivers is a novel by Clara Holm.",
            "head": {"span": [0, 13]},
            "tail": {"span": [28, 38]},
            "label": "author",
        },
        {
            "text": "In 1987 Ivan Petrov published The Long Road.",
            "head": {"span": [30, 43]},
            "tail": {"span": [8, 19]},
            "label": "author",
        },
        {
            "text": "The Glass House, written by Emma Stone, sold well.",
            "head": {"span": [0, 15]},
            "tail": {"span": [28, 38]},
            "label": "author",
        },
    ),
    test=(
        {
            "text": "David Jones was born in Cardiff.",
            "head": {"span": [0, 11]},
            "tail": {"span": [24, 31]},
            "label": "birthplace",
        },
        {
            "text": "Lyon is where Paul Blanc was born.",
            "head": {"span": [14, 24]},
            "tail": {"span": [0, 4]},
            "label": "birthplace",
        },
        {
            "text": "Nina Weber works for Bosch as a chemist.",
            "head": {"span": [0, 10]},
            "tail": {"span": [21, 26]},
            "label": "employer",
        },
        {
            "text": "Volvo has hired Erik Lund as an engineer.",
            "head": {"span": [16, 25]},
            "tail": {"span": [0, 5]},
            "label": "employer",
        },
        {
            "text": "Winter Light was written by Jonas Falk.",
            "head": {"span": [0, 12]},
            "tail": {"span": [28, 38]},
            "label": "author",
        },
        {
            "text": "Ada Moore is known for her novel Paper Boats.",
            "head": {"span": [33, 44]},
            "tail": {"span": [0, 9]},
            "label": "author",
        },
    ),
    broken=(
        {"text": "Anna was born in Oslo.", "head": {"span": [0, 4]}, "tail": {"span": [17, 21]}},
        {"text": "Anna was born in Oslo.", "head": {"span": [0, 4]}, "label": "birthplace"},
        {
            "text": "Anna was born in Oslo.",
            "head": {"span": [0, 4]},
            "tail": {"span": [17, 31]},
            "label": "birthplace",
        },
        {
            "text": "Anna was born in Oslo.",
            "head": {"span": [0, 4]},
            "tail": {"span": [4, 4]},
            "label": "birthplace",
        },
        {
            "text": "Anna was born in Oslo.",
            "head": {"span": [0, 4]},
            "tail": {"span": [2, 8]},
            "label": "birthplace",
        },
        {
            "text": "Anna was born in Oslo.",
            "head": {"span": [0, 4]},
            "tail": {"span": [17.0, 21.0]},
            "label": "birthplace",
        },
        {
            "text": "Anna was born in Oslo.",
            "head": {"span": [0, 4]},
            "tail": {"span": [17, 21]},
            "label": "birthplce",
        },
        {
            "text": "Anna was born in Oslo.",
            "head": {"span": [0, 4], "id": 7},
            "tail": {"span": [17, 21]},
            "label": "birthplace",
        },
    ),
)

SPAN = SampleTask(
    description="Who does what, and when?",
    train=(
        {
            "text": "Who runs the bakery?",
            "context": "The bakery in Mill Street is run by Anna Berg. It opens at seven.",
            "answers": [{"text": "Anna Berg", "start": 36}],
        },
        {
            "text": "When does the bakery open?",
            "context": "The bakery in Mill Street is run by Anna Berg. It opens at seven.",
            "answers": [{"text": "seven", "start": 59}],
        },
        {
            "text": "Who teaches the course?",
            "context": "The course begins on Monday. Peter Hahn teaches it.",
            "answers": [{"text": "Peter Hahn", "start": 29}],
        },
        {
            "text": "When does the course begin?",
            "context": "The course begins on Monday. Peter Hahn teaches it.",
            "answers": [{"text": "Monday", "start": 21}],
        },
        {
            "text": "Who repairs the clock?",
            "context": "The clock is repaired by John Smith on Friday.",
            "answers": [{"text": "John Smith", "start": 25}],
        },
        {
            "text": "When is the clock repaired?",
            "context": "The clock is repaired by John Smith on Friday.",
            "answers": [{"text": "Friday", "start": 39}],
        },
        {
            "text": "Who paid the invoice?",
            "context": "On Tuesday the invoice was paid by Laura Klein.",
            "answers": [{"text": "Laura Klein", "start": 35}],
        },
        {
            "text": "When was the invoice paid?",
            "context": "On Tuesday the invoice was paid by Laura Klein.",
            "answers": [{"text": "Tuesday", "start": 3}],
        },
        {
            "text": "Who wrote the report?",
            "context": "The new bridge is made of steel.",
            "answers": [],
        },
        {
            "text": "When does the shop close?",
            "context": "Most people like the garden.",
            "answers": [],
        },
    ),
    test=(
        {
            "text": "Who cleans the office?",
            "context": "The office is cleaned by Maria Rossi on Thursday.",
            "answers": [{"text": "Maria Rossi", "start": 25}],
        },
        {
            "text": "When is the office cleaned?",
            "context": "The office is cleaned by Maria Rossi on Thursday.",
            "answers": [{"text": "Thursday", "start": 40}],
        },
        {
            "text": "Who drives the bus?",
            "context": "The river is deep and cold.",
            "answers": [],
        },
    ),
    broken=(
        {"text": "Who runs it?", "context": "Anna Berg runs it."},
        {"text": "Who runs it?", "answers": []},
        {"text": "?", "context": " ", "answers": []},
        {"text": "", "context": "Anna Berg runs it.", "answers": []},
        {"text": "Who runs it?", "context": "Anna Berg runs it.", "answers": ["Anna Berg"]},
        {"text": "Who runs it?", "context": "Anna Berg runs it.", "answers": [{"text": "Anna", "start": 1}]},
        {"text": "Who runs it?", "context": "Anna Berg runs it.", "answers": [{"text": "", "start": 0}]},
        {"text": "Who runs it?", "context": "Anna Berg runs it.", "answers": [{"text": "Anna ", "start": 0}]},
        {
            "text": "Who runs it?",
            "context": "Anna Berg runs it.",
            "answers": [{"text": "Anna", "start": -18}],
        },
    ),
)

TAGGING = SampleTask(
    description="Who writes from where?",
    labels={"person": "the name of a person", "town": "the name of a town"},
    train=(
        {
            "text": "My name is Anna Berg and I live in Oslo.",
            "spans": [
                {"start": 11, "end": 20, "label": "person"},
                {"start": 35, "end": 39, "label": "town"},
            ],
        },
        {
            "text": "Please call Peter Hahn in Vienna tomorrow.",
            "spans": [
                {"start": 12, "end": 22, "label": "person"},
                {"start": 26, "end": 32, "label": "town"},
            ],
        },
        {
            "tokens": ["Our", "office", "in", "Madrid", "is", "closed", "."],
            "tags": ["O", "O", "O", "B-town", "O", "O", "O"],
        },
        {
            "tokens": ["Greetings", "from", "Rome", ",", "Maria", "Rossi"],
            "tags": ["O", "O", "B-town", "O", "B-person", "I-person"],
        },
        {
            "text": "I have asked John Smith twice.",
            "spans": [{"start": 13, "end": 23, "label": "person"}],
        },
        {"text": "Thank you, the parcel is here.", "spans": []},
    ),
    test=(
        {
            "text": "Please call Laura Klein in Berlin.",
            "spans": [
                {"start": 12, "end": 23, "label": "person"},
                {"start": 27, "end": 33, "label": "town"},
            ],
        },
        {
            "text": "My name is David Jones and I live in Paris.",
            "spans": [
                {"start": 11, "end": 22, "label": "person"},
                {"start": 37, "end": 42, "label": "town"},
            ],
        },
    ),
    broken=(
        {"text": "Call Anna."},
        {"text": "Call Anna.", "spans": [{"start": 5, "end": 5, "label": "person"}]},
        {"text": "Call Anna.", "spans": [{"start": 5, "end": 19, "label": "person"}]},
        {"text": "Call Anna.", "spans": [{"start": 5, "end": 9, "label": "persn"}]},
        {
            "text": "Call Anna Berg.",
            "spans": [
                {"start": 5, "end": 14, "label": "person"},
                {"start": 10, "end": 14, "label": "town"},
            ],
        },
        {"text": " ", "spans": []},
        {"tokens": [], "tags": []},
        {"tokens": ["Call", "Anna"], "tags": ["O"]},
        {"tokens": ["Call", "Anna"], "tags": ["O", "I-person"]},
        {"tokens": ["Call", "Anna"], "tags": ["O", "S-person"]},
    ),
)

GENERATION = SampleTask(
    description="Facts about towns, told in a sentence.",
    triples=(
        ("Graz", "located_in", "Austria"),
        ("Linz", "located_in", "Austria"),
        ("Kassel", "located_in", "Germany"),
        ("Rostock", "located_in", "Germany"),
        ("Kiruna", "located_in", "Sweden"),
        ("Lund", "located_in", "Sweden"),
    ),
    train=(
        {"source": "Where is Graz?", "target": "Graz is in Austria."},
        {"source": "Where is Kassel?", "target": "Kassel is in Germany."},
        {"triples": [["Cusco", "located_in", "Peru"]], "target": "Cusco is in Peru."},
        {
            "source": "Tell me about Kiruna.",
            "triples": [["Kiruna", "located_in", "Sweden"]],
            "target": ["Kiruna is in Sweden.", "Kiruna lies in Sweden."],
        },
    ),
    test=(
        {"source": "Where is Lund?", "target": "Lund is in Sweden."},
        {"triples": [["Tacna", "located_in", "Peru"]], "target": ["Tacna is in Peru."]},
    ),
    broken=(
        {"source": "Where is Graz?"},
        {"source": "Where is Graz?", "target": " "},
        {"source": "Where is Graz?", "target": []},
        {"source": "Where is Graz?", "target": ["Graz is in Austria.", ""]},
        {"source": " ", "target": "Graz is in Austria."},
        {"target": "Graz is in Austria."},
        {"triples": [], "target": "Graz is in Austria."},
        {"triples": [["Graz", "located_in"]], "target": "Graz is in Austria."},
        {"triples": [["Graz", "located_in", ""]], "target": "Graz is in Austria."},
        {"triples": [["Graz", "population", 290000]], "target": "Graz has 290000 people."},
    ),
    bar=0.0,  # an encoder that was never trained to write does not learn it from four lines
    evidence=True,
)
