"""What the generation head reads, learns and writes."""

import math
import re

import pytest
import tokenizers
import torch

from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.generation.adapting import mean_loss
from roots_kg.adaptation.generation.slots import add_slots, contains
from roots_kg.adaptation.generation.writer import SourceTokens, Writer
from roots_kg.adaptation.heads.base import Prediction
from roots_kg.adaptation.heads.generation import GenerationHead, Wanted
from roots_kg.adaptation.task import Task
from roots_kg.encoding.decoding.block_list import BlockList
from roots_kg.encoding.hybrid import HybridEncoder
from roots_kg.encoding.language_model import LanguageModelHead
from roots_kg.encoding.pairs import PairLayout
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.encoding.tokenization import Tokenizer
from roots_kg.encoding.transformer import Transformer, TransformerConfig
from roots_kg.errors import TaskError, UsageError
from roots_kg.fusion.encoder import KnowledgeEncoder

TASK = Task("towns", "generation")
RECORDS = [
    {"source": "where is graz?", "target": "graz is in austria."},
    {"source": "where is ulm?", "target": ["ulm is in germany.", "ulm lies in germany."]},
    {"source": "where is wels?", "target": "wels is in austria."},
    {"source": "where is lund?", "target": "lund is in sweden."},
    {"source": "where is bodo?", "target": "bodo is in norway."},
]


@pytest.fixture(scope="module")
def writing_encoder(letters):
    """A text encoder with random weights and a language-model head, which reads a sentence of letters."""
    torch.manual_seed(0)
    shape = TransformerConfig(60, 32, 2, 4, 48, 96, norm="pre", positions="rotary")
    encoder = TextEncoder(
        HybridEncoder(Transformer(shape)), Tokenizer(letters, 96), LanguageModelHead(32, 60)
    )
    return encoder.requires_grad_(False).eval()


@pytest.fixture(scope="module")
def encode(writing_encoder):
    """A function that encodes texts without a graph."""
    return KnowledgeEncoder(writing_encoder).eval()


@pytest.fixture
def fitted(encode, read):
    head = GenerationHead(TASK, 32, None)
    told = head.fit(read(head, RECORDS), encode, FewShotConfig())
    return head.eval(), told


def test_a_source_and_its_triples_are_one_text(read):
    triples = [["Graz", "located_in", "Austria"], ["a|b", "r", '"1"']]
    head = GenerationHead(TASK, 32, None)
    both, alone = read(
        head,
        [
            {"source": " Where is it? ", "triples": triples, "target": "Graz  is in\nAustria."},
            {"triples": triples, "target": ["x", "y"]},
        ],
    )
    assert both.text == 'Where is it?\nGraz | located_in | Austria\na\\|b | r | "1"'
    assert both.target == Wanted(("Graz is in Austria.",), ("Graz", "Austria", "a|b", "1"))
    assert alone.text == both.text.partition("\n")[2]
    assert alone.target.references == ("x", "y")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"source": "a", "target": " "}, "'target' is empty"),
        ({"source": "a"}, "'target' is missing"),
        ({"source": "a", "target": ["b", ""]}, "'target' is empty"),
        ({"source": "a", "target": []}, "with at least one"),
        ({"source": "a", "target": "\ud800"}, "surrogate"),
        ({"source": "", "target": "b"}, "'source' is empty"),
        ({"target": "b"}, "'source' is missing"),
        ({"triples": "a", "target": "b"}, "must be a list"),
        ({"triples": [["a", "b"]], "target": "b"}, r"triple 1 must be \[head, relation, tail\]"),
        ({"triples": [["a", "b", "c"], ["a", "b", 3]], "target": "b"}, "triple 2 must be"),
        ({"triples": [["a", "b", " "]], "target": "b"}, "triple 1 must be"),
    ],
)
def test_a_line_that_says_nothing_is_refused_with_its_place(read, record, message):
    with pytest.raises(TaskError, match=message) as refused:
        read(GenerationHead(TASK, 32, None), [RECORDS[0], record])
    assert refused.value.line == 2


def test_fitting_lowers_the_loss_of_what_is_held_out_or_leaves_the_model_as_it_is(fitted):
    _, told = fitted
    assert told["examples"] == 5
    assert told["held_out"] == 1
    assert told["held_out_loss"] <= told["held_out_loss_before"]
    assert (told["held_out_loss"] < told["held_out_loss_before"]) == (told["steps"] > 0)


def test_fitting_twice_gives_the_same_and_leaves_the_encoder_as_it_is(fitted, encode, read, writing_encoder):
    head, told = fitted
    before = {name: weight.clone() for name, weight in writing_encoder.state_dict().items()}
    again = GenerationHead(TASK, 32, None)
    assert again.fit(read(again, RECORDS), encode, FewShotConfig()) == told
    for name, weight in head.state_dict().items():
        torch.testing.assert_close(weight, again.state_dict()[name], rtol=0, atol=0)
    for name, weight in writing_encoder.state_dict().items():
        assert torch.equal(weight, before[name])


def test_a_head_made_from_its_settings_and_state_writes_the_same(fitted, encode):
    head, _ = fitted
    other = GenerationHead(TASK, 32, None, head.settings())
    other.load_state_dict(head.state_dict())
    encoded = encode(["where is graz?", "where is bonn?"])
    assert other.eval().decode(encoded) == head.decode(encoded)


def test_texts_come_with_their_probability_best_first(fitted, encode):
    head, _ = fitted
    encoded = encode(["where is graz?"])
    (found,) = head.decode(encoded)
    assert found.value == found.ranked[0][0]
    assert found.probability == found.ranked[0][1]
    probabilities = [probability for _, probability in found.ranked]
    assert probabilities == sorted(probabilities, reverse=True)
    for text, probability in found.ranked:
        assert head.support_of(encoded, text) == [pytest.approx(probability, rel=1e-4)]


def test_what_is_written_obeys_rules_and_names_of_triples_do_so_too(fitted, encode):
    head, _ = fitted
    texts = ["where is graz?", "ulm | located_in | germany"]
    plain = head.decode(encode(texts))
    words = {word for found in plain for text, _ in found.ranked for word in re.findall(r"\w+", text)}
    head.text_rules = (BlockList(sorted(words)),)
    for found in head.decode(encode(texts)):
        for text, probability in found.ranked:
            assert not words.intersection(re.findall(r"\w+", text))
            assert 0 < probability < 1
    head.text_rules = ()
    assert head.decode(encode(texts)) == plain


def test_a_slot_is_refused_where_its_name_is_blocked(letters):
    tokenizer = tokenizers.Tokenizer.from_file(str(letters))
    add_slots(tokenizer, 4)
    tokens = SourceTokens(tokenizer.to_str(), 96)
    torch.manual_seed(0)
    shape = TransformerConfig(64, 32, 2, 4, 48, 96, norm="pre", positions="rotary")
    writer = Writer(
        Transformer(shape).eval(), LanguageModelHead(32, 64).eval(), tokens, PairLayout(True, True), 12, 3
    )
    with torch.no_grad():
        writer.head.bias[tokens.slot_ids] = 2.0
    sources = [tokens.source("", [("Ulm", "near", "Bad Urach")]), tokens.source("", [("Graz", "in", "Ulm")])]
    plain = writer.write(sources)
    for name in ("ulm", "urach", "Graz"):
        assert any(name.lower() in text.lower() for ranked in plain for text, _ in ranked)
        written = writer.write(sources, [BlockList([name])])
        assert not any(contains(text.lower(), name.lower()) for ranked in written for text, _ in ranked)
        assert any(ranked[0][0] for ranked in written)


def test_the_loss_is_the_mean_over_the_tokens_of_all_references(fitted, encode, read):
    head, _ = fitted
    examples = read(head, RECORDS[:2])
    encoded = encode([example.text for example in examples])
    writer = head._writer(encoded)
    sources = [writer.tokens.source(example.text) for example in examples]
    texts = [(0, "graz is in austria."), (1, "ulm is in germany."), (1, "ulm lies in germany.")]
    rows = writer.tokens.pairs(
        [sources[owner] for owner, _ in texts], [text for _, text in texts], head.layout
    )
    loss = head.loss(encoded, [example.target for example in examples])
    assert float(loss) == pytest.approx(mean_loss(writer, rows), rel=1e-4)


def test_a_probability_is_the_geometric_mean_over_the_tokens(fitted, encode):
    head, _ = fitted
    encoded = encode(["where is graz?"])
    writer = head._writer(encoded)
    (row,) = writer.tokens.pairs([writer.tokens.source("where is graz?")], ["graz"], head.layout)
    assert head.support_of(encoded, "graz") == [pytest.approx(math.exp(-mean_loss(writer, [row])))]


def test_triples_that_a_text_brings_or_the_graph_has_are_read(bundle, knowledge, writing_encoder):
    head = GenerationHead(TASK, 32, knowledge).eval()
    encoded = KnowledgeEncoder(writing_encoder, knowledge).eval()(["Where is Graz?", "a | r | b", "Nothing."])
    facts = head._facts(encoded)
    assert ("Graz", "located_in", "Austria") in [fact.triple for fact in facts[0]]
    assert facts[1:] == [[], []]
    assert sum(fact.weight for fact in facts[0]) == pytest.approx(1)
    for fact in facts[0]:
        assert bundle.graph.triple(fact.number) == fact.triple


def test_a_source_that_does_not_fit_is_refused_with_the_way_out(encode):
    head = GenerationHead(TASK, 32, None).eval()
    with pytest.raises(UsageError, match=r"source 2 of 2 has .* tokens") as refused:
        head.decode(encode(["a", "word " * 40]))
    assert "max_positions" in refused.value.hint


def test_examples_that_are_all_too_long_are_refused(encode, read):
    head = GenerationHead(TASK, 32, None)
    with pytest.raises(TaskError, match="every example is longer"):
        head.fit(read(head, [{"source": "word " * 40, "target": "a"}]), encode, FewShotConfig())


def test_examples_that_are_too_long_are_left_out_and_told(encode, read):
    head = GenerationHead(TASK, 32, None)
    told = head.fit(read(head, [*RECORDS, {"source": "word " * 40, "target": "a"}]), encode, FewShotConfig())
    assert told["too_long"] == 1


def test_no_text_is_no_prediction(encode):
    head = GenerationHead(TASK, 32, None, {"layout": {"prefix": False, "segments": False}}).eval()
    assert head.layout == PairLayout(False, False)
    assert head.decode(encode([])) == []


def test_names_count_where_a_reference_has_them_exactly():
    head = GenerationHead(TASK, 32, None)
    wanted = [
        Wanted(("Graz lies in Austria.",), ("Graz", "Austria", "290,000")),
        Wanted(("Ulm has many people.", "Many live in Ulm."), ("Ulm", "126,000")),
    ]
    written = [Prediction("Graz is in Austrian lands.", 1.0, ()), Prediction("126,000 in Ulm", 1.0, ())]
    found = head.metrics(written, wanted)
    assert found["names"] == pytest.approx(2 / 3)
    assert found["names_of_all"] == pytest.approx(3 / 5)
    assert set(found) == set(head.metric_names)


def test_right_texts_have_all_metrics_at_one():
    head = GenerationHead(TASK, 32, None)
    wanted = [Wanted(("Graz lies in the south of Austria.", "another"), ("Graz",))]
    found = head.metrics([Prediction(head.value_of(wanted[0]), 1.0, ())], wanted)
    assert all(value == pytest.approx(1) for value in found.values())
