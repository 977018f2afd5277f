"""A graph and its vectors come back from disk bit for bit, or not at all."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roots_kg.bundle import sha256
from roots_kg.errors import BundleError, UsageError
from roots_kg.graph.card import Card, Counts
from roots_kg.graph.editing import add_triples, remove_triples
from roots_kg.graph.store import GraphBundle
from roots_kg.graph.transe import TransE, TransEConfig
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.graph.values import Value
from roots_kg.training.transe import train_transe


def bundle_of(graph, *, dimension=3, reciprocal=True, seed=0):
    config = TransEConfig(dimension=dimension, reciprocal=reciprocal, seed=seed, learning_rate=1 / 3)
    generator = torch.Generator().manual_seed(seed)
    sizes = (graph.num_entities, graph.num_relations, dimension)
    return GraphBundle(graph, TransE(*sizes, reciprocal=reciprocal, generator=generator), config)


def small(**options):
    graph = KnowledgeGraph.from_triples(
        [("Q40", "capital", "Q1741"), ("Q183", "capital", "Q64"), ("Q40", "borders", "Q183")],
        aliases={"Q40": ("Österreich", "Austria")},
        source="triples.tsv",
    )
    return bundle_of(graph, **options)


def assert_same(read, written):
    for name in ("entities", "relations", "sources", "cards"):
        assert getattr(read.graph, name) == getattr(written.graph, name)
    assert dict(read.graph.aliases) == dict(written.graph.aliases)
    assert dict(read.graph.values) == dict(written.graph.values)
    for name in ("head_id", "relation_id", "tail_id", "source_id"):
        here, there = getattr(read.graph, name), getattr(written.graph, name)
        assert here.dtype == there.dtype
        assert np.array_equal(here, there)
    assert read.graph.fingerprint == written.graph.fingerprint
    assert read.config == written.config
    here, there = read.transe.state_dict(), written.transe.state_dict()
    assert here.keys() == there.keys()
    assert all(torch.equal(here[name], there[name]) for name in there)


@pytest.mark.parametrize("reciprocal", [True, False])
def test_a_bundle_is_read_back_bit_for_bit(tmp_path, reciprocal):
    written = small(reciprocal=reciprocal)
    written.save(tmp_path / "bundle")
    assert_same(GraphBundle.load(tmp_path / "bundle"), written)


def test_the_same_bundle_is_written_as_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        small().save(tmp_path / name)
    first, second = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "ab")
    assert first == second
    assert set(first) == {
        "config.json",
        "triples.safetensors",
        "transe.safetensors",
        "vocabulary.json",
        "aliases.json",
        "README.md",
    }


def test_a_loaded_graph_answers_like_the_first(tmp_path):
    small().save(tmp_path / "bundle")
    graph = GraphBundle.load(tmp_path / "bundle").graph
    assert graph.entity_id("Austria") == 0
    assert graph.triple(2) == ("Österreich", "borders", "Q183")


def test_a_loaded_model_is_ready_for_use_and_not_for_training(tmp_path):
    small().save(tmp_path / "bundle")
    transe = GraphBundle.load(tmp_path / "bundle").transe
    assert not transe.training
    assert not any(parameter.requires_grad for parameter in transe.parameters())


odd = st.text(min_size=1, max_size=6) | st.sampled_from(
    ["a\nb", '"', "\\", "👩‍🚀", "\r\n", "\0", "\u2028", "null", " "]
)


values = st.builds(Value, odd, odd, st.none() | odd, st.none() | odd)
counts = st.none() | st.integers(0, 1 << 40)
cards = st.builds(
    Card,
    odd,
    odd,
    name=odd,
    counts=st.builds(Counts, counts, counts, by_relation=st.dictionaries(odd, st.integers(0, 9), max_size=2)),
    generator=st.dictionaries(odd, odd, max_size=2),
)


@given(
    st.lists(st.tuples(odd, odd, odd), min_size=1, max_size=6),
    st.lists(st.lists(odd, min_size=1, max_size=2), max_size=2),
    st.lists(st.lists(values, min_size=1, max_size=3), max_size=2),
    st.lists(cards, max_size=2),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_names_and_values_of_any_kind_survive_the_way_to_disk(
    tmp_path_factory, triples, names, literals, stated
):
    keys = KnowledgeGraph.from_triples(triples).entities
    aliases = dict(zip(keys, map(tuple, names), strict=False))
    graph = replace(
        KnowledgeGraph.from_triples(triples, aliases=aliases, source=triples[0][0]),
        values=dict(zip(keys, map(tuple, literals), strict=False)),
        cards=tuple(stated),
    )
    written = bundle_of(graph)
    path = tmp_path_factory.getbasetemp() / "odd_names"
    written.save(path)
    assert_same(GraphBundle.load(path), written)


def exchange(path, name, content=None, settings=None):
    """Put other content into a file of a bundle, or other settings, and make its hashes right again."""
    if content is not None:
        (path / name).write_bytes(content)
    config = json.loads((path / "config.json").read_text("utf-8"))
    config["files"][name] = sha256(path / name)
    config["settings"] |= settings or {}
    (path / "config.json").write_text(json.dumps(config), "utf-8")


def with_value():
    bundle = small()
    card = Card("an atlas", "CC0-1.0", name="Borders")
    graph = replace(bundle.graph, values={"Q40": (Value("area", "83879", "km2"),)}, cards=(card,))
    return replace(bundle, graph=graph)


def test_source_and_licence_travel_with_the_graph(tmp_path):
    with_value().save(tmp_path / "bundle")
    assert GraphBundle.load(tmp_path / "bundle").graph.cards[0].licence == "CC0-1.0"
    assert "Borders: an atlas. Licence: CC0-1.0." in (tmp_path / "bundle" / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    "content", [b"[]", b'{"Q40": 3}', b'{"Q40": [["area"]]}', b'{"Q40": [[1, 2, 3, 4]]}', b"{"]
)
def test_values_that_make_no_sense_are_refused_even_with_their_hash(tmp_path, content):
    with_value().save(tmp_path / "bundle")
    exchange(tmp_path / "bundle", "values.json", content)
    with pytest.raises(BundleError):
        GraphBundle.load(tmp_path / "bundle")


def test_a_bundle_from_before_there_were_values_and_cards_is_read(path):
    config = json.loads((path / "config.json").read_text("utf-8"))
    del config["settings"]["values"], config["settings"]["cards"]
    (path / "config.json").write_text(json.dumps(config), "utf-8")
    assert GraphBundle.load(path).graph.values == {}


@pytest.fixture
def path(tmp_path):
    small().save(tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.mark.parametrize("name", ["transe.safetensors", "triples.safetensors", "vocabulary.json"])
def test_a_file_of_another_bundle_is_refused_even_with_its_hash(path, tmp_path, name):
    bundle_of(KnowledgeGraph.from_triples([("a", "r", "b"), ("b", "r", "a")])).save(tmp_path / "other")
    exchange(path, name, (tmp_path / "other" / name).read_bytes())
    with pytest.raises(BundleError, match=r"make (it|the bundle) again") as caught:
        GraphBundle.load(path)
    assert caught.value.path in (path, path / "transe.safetensors")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("vocabulary.json", b"not json"),
        ("vocabulary.json", b"[]"),
        ("vocabulary.json", b"{}"),
        ("vocabulary.json", b'{"entities": 3, "relations": [], "sources": []}'),
        ("vocabulary.json", b'{"entities": [1, 2, 3, 4], "relations": ["r", "s"], "sources": []}'),
        ("aliases.json", b"[1]"),
        ("aliases.json", b'{"Q40": 3}'),
        ("aliases.json", b"\xff"),
        ("triples.safetensors", b"not safetensors"),
        ("transe.safetensors", b""),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_even_with_its_hash(path, name, content):
    exchange(path, name, content)
    with pytest.raises(BundleError):
        GraphBundle.load(path)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"transe": {"dimension": 4}}, r"its tensors do not fit: entity.weight has shape \(4, 3\)"),
        ({"transe": {"reciprocal": False, "dimension": 3}}, "do not fit together"),
        ({"transe": {"dimensions": 3}}, "did you mean 'dimension'"),
        ({"transe": {"dimension": 0}}, "dimension must be above 0"),
        ({"fingerprint": "0" * 64}, "its triples are not those its config.json describes"),
        ({"entities": "4"}, "entities: expected int, found '4'"),
        ({"size": 4}, "unknown key 'size'"),
    ],
)
def test_settings_that_do_not_fit_the_files_are_refused_with_the_reason(path, settings, reason):
    exchange(path, "README.md", settings=settings)
    with pytest.raises(BundleError, match=reason):
        GraphBundle.load(path)


def test_a_bundle_of_another_kind_is_not_overwritten(path):
    config = json.loads((path / "config.json").read_text("utf-8"))
    (path / "config.json").write_text(json.dumps(config | {"kind": "model"}), "utf-8")
    with pytest.raises(BundleError, match="this is a 'model' bundle, expected 'graph'"):
        GraphBundle.load(path)
    with pytest.raises(BundleError, match="not a saved graph"):
        small().save(path)


def test_a_space_is_one_trainings_and_no_edit_changes_it(bundle, tmp_path):
    again = TransEConfig(dimension=16, epochs=30, batch_size=32, negatives=32)
    assert GraphBundle(bundle.graph, train_transe(bundle.graph, again), again).space == bundle.space
    other = replace(again, seed=1)
    assert GraphBundle(bundle.graph, train_transe(bundle.graph, other), other).space != bundle.space
    more, _ = add_triples(bundle, [("Graz", "twin_town", "Ulm"), ("Hallstatt", "located_in", "Austria")])
    less, _ = remove_triples(more, [("Graz", "located_in", "Austria")])
    less.save(tmp_path / "graph")
    assert more.space == less.space == GraphBundle.load(tmp_path / "graph").space == bundle.space


def test_a_bundle_that_was_saved_before_spaces_had_names_has_that_of_its_vectors(bundle, tmp_path):
    bundle.save(tmp_path / "graph")
    path = tmp_path / "graph" / "config.json"
    config = json.loads(path.read_text())
    del config["settings"]["space"]
    path.write_text(json.dumps(config))
    assert GraphBundle.load(tmp_path / "graph").space == bundle.space


def test_other_vectors_than_the_required_are_refused_with_the_way_out(bundle):
    bundle.require_space(16, bundle.space)
    bundle.require_space(16)
    with pytest.raises(UsageError, match="have 16 dimensions, the model's had 32"):
        bundle.require_space(32, bundle.space)
    with pytest.raises(UsageError, match="come from another training"):
        bundle.require_space(16, "0" * 64)
