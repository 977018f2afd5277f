from dataclasses import replace

import pytest
import torch

from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.meta_learning.learner import LearnerConfig
from roots_kg.adaptation.meta_learning.store import MetaBundle, load_meta
from roots_kg.adaptation.sample_tasks import CLASSIFICATION, PAIRS
from roots_kg.adaptation.task import Task
from roots_kg.adaptation.tuning import TuneConfig
from roots_kg.bundle import Bundle
from roots_kg.errors import BundleError, TaskError, UsageError
from roots_kg.model import RootsModel

TEXTS = ["Where is my parcel from Graz?", "The invoice for Bergen is wrong.", ""]


def taught(encoder, **settings):
    """Return a learner whose last layer is not zero any more."""
    bundle = MetaBundle.untrained(encoder, LearnerConfig(**settings))
    generator = torch.Generator().manual_seed(0)
    last = bundle.learner.network.last
    last.bias.copy_(torch.randn(last.bias.shape, generator=generator))
    return bundle


@pytest.fixture
def routing(routing_folder):
    """A task that the small graph helps with."""
    return Task.load(routing_folder)


def weights(head):
    return {name: value for name, value in head.state_dict().items() if not name.startswith("module.")}


@pytest.mark.parametrize("with_graph", [False, True])
def test_a_learner_that_has_learned_nothing_changes_nothing_bit_for_bit(with_graph, encoder, bundle, routing):
    graph = bundle if with_graph else None
    plain, untrained = RootsModel(encoder, graph), RootsModel(encoder, graph)
    told = plain.adapt(routing).fit
    changed = untrained.adapt(routing, meta=MetaBundle.untrained(encoder)).fit
    assert {name: changed[name] for name in told} == told
    assert changed["meta_scale"] == 1.0
    expected, found = plain.head.state_dict(), weights(untrained.head)
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert untrained.predict(TEXTS) == plain.predict(TEXTS)


@pytest.mark.parametrize("algorithm", ["prototypical", "protomaml"])
def test_a_learner_that_has_learned_changes_the_fit_and_what_the_head_sees(
    algorithm, encoder, bundle, routing, tmp_path
):
    learned = taught(encoder, algorithm=algorithm)
    model, plain = RootsModel(encoder, bundle), RootsModel(encoder, bundle)
    told = model.adapt(routing, meta=learned).fit
    plain.adapt(routing)
    assert told["meta_algorithm"] == algorithm
    assert told["meta_scale"] != 1.0
    assert any(told["meta_mixture"])
    assert model.head.scale == pytest.approx(16 * told["meta_scale"])
    predictions = model.predict(TEXTS)
    assert [p.probability for p in predictions] != [p.probability for p in plain.predict(TEXTS)]
    model.save_pretrained(tmp_path / "model")
    again = RootsModel.from_pretrained(tmp_path / "model")
    assert again.predict(TEXTS) == predictions
    assert again.with_graph(bundle).predict(TEXTS) == predictions


def test_the_order_of_examples_does_not_matter_to_what_is_changed(encoder, routing):
    from roots_kg.adaptation.task import read_records

    records = read_records(routing.train)
    learned, told = taught(encoder, algorithm="protomaml"), []
    for examples in (records, records[::-1]):
        told.append(RootsModel(encoder).adapt(routing, examples, meta=learned).fit)
    assert told[0]["meta_mixture"] == pytest.approx(told[1]["meta_mixture"], abs=1e-4)
    assert told[0]["meta_scale"] == pytest.approx(told[1]["meta_scale"], rel=1e-4)


def test_it_is_saved_and_loaded(encoder, tmp_path):
    learned = replace(taught(encoder, algorithm="anil", steps=2), training={"steps": 7})
    learned.save(tmp_path / "meta")
    again = load_meta(tmp_path / "meta")
    assert (again.learner.config, again.encoder, again.training) == (
        learned.learner.config,
        "roots-base",
        {"steps": 7},
    )
    state = again.learner.state_dict()
    assert all(torch.equal(state[name], value) for name, value in learned.learner.state_dict().items())
    assert not any(weight.requires_grad for weight in again.learner.parameters())


def test_damage_is_named(encoder, tmp_path):
    with pytest.raises(BundleError, match="meta"):
        load_meta(tmp_path / "meta")
    MetaBundle.untrained(encoder).save(tmp_path / "meta")
    settings = Bundle.read(tmp_path / "meta", "meta").settings
    other = MetaBundle.untrained(encoder, LearnerConfig(hidden=4)).learner.state_dict()
    (tmp_path / "other").mkdir()
    Bundle.write(tmp_path / "other", "meta", settings, tensors={"meta.safetensors": other}, texts={})
    with pytest.raises(BundleError, match="its tensors do not fit"):
        load_meta(tmp_path / "other")
    (tmp_path / "third").mkdir()
    Bundle.write(
        tmp_path / "third",
        "meta",
        {**settings, "size": "many"},
        tensors={"meta.safetensors": other},
        texts={},
    )
    with pytest.raises(BundleError, match="size"):
        load_meta(tmp_path / "third")


def test_it_belongs_to_one_encoder_and_to_heads_that_compare_features(
    encoder, small_encoder, bundle, routing, questions_folder
):
    learned = MetaBundle.untrained(encoder)
    with pytest.raises(UsageError, match="belongs to the encoder 'roots-base'"):
        RootsModel(small_encoder).adapt(routing, meta=learned)
    with pytest.raises(UsageError, match="the head 'answer' has no use for modules"):
        RootsModel(encoder, bundle).adapt(Task.load(questions_folder), meta=learned)
    with pytest.raises(UsageError, match="tuning changes it"):
        RootsModel(encoder).adapt(routing, meta=learned, tune=TuneConfig())


def test_it_asks_for_two_labels_of_single_texts(encoder, write_task, tmp_path):
    learned = MetaBundle.untrained(encoder)
    one = write_task(tmp_path / "one", {"head": "classification"}, CLASSIFICATION.train[:1])
    with pytest.raises(TaskError, match="one label only"):
        RootsModel(encoder).adapt(Task.load(one), meta=learned)
    pairs = write_task(tmp_path / "pairs", {"head": "classification"}, PAIRS.train)
    with pytest.raises(TaskError, match="single texts, and these are pairs"):
        RootsModel(encoder).adapt(Task.load(pairs), meta=learned, config=FewShotConfig())
