import json

import pytest
import torch

from roots_kg.adaptation.task import Task
from roots_kg.errors import BundleError, UsageError
from roots_kg.fusion.layer import FusionConfig, FusionLayer
from roots_kg.fusion.store import FusionBundle, load_fusion
from roots_kg.graph.retrieval import RetrievalConfig
from roots_kg.graph.store import GraphBundle
from roots_kg.graph.transe import TransE, TransEConfig
from roots_kg.model import RootsModel

TEXTS = ["The parcel to Wels never arrived.", "Our office in Kiruna is closed.", "", "Nothing known"]


@pytest.fixture(scope="module")
def fusion(encoder, bundle):
    """A layer that does not do what an untrained one does."""
    torch.manual_seed(0)
    layer = FusionLayer(encoder.hidden_size, 16, FusionConfig(steps=2, relevance=1.0)).requires_grad_(False)
    for weight in layer.parameters():
        weight.add_(0.02 * torch.randn_like(weight))
    retrieval = RetrievalConfig(max_nodes=8)
    return FusionBundle(layer, "roots-base", bundle.space, retrieval, {"steps": 5})


def test_a_layer_comes_back_as_it_was_saved(fusion, tmp_path):
    fusion.save(tmp_path / "fusion")
    again = load_fusion(tmp_path / "fusion")
    assert (again.encoder, again.space, again.retrieval) == ("roots-base", fusion.space, fusion.retrieval)
    assert again.layer.config == fusion.layer.config
    assert again.training == {"steps": 5}
    for name, weight in fusion.layer.state_dict().items():
        assert torch.equal(weight, again.layer.state_dict()[name])


def test_a_model_uses_a_trained_layer_and_is_saved_with_it(fusion, encoder, bundle, routing_folder, tmp_path):
    model = RootsModel(encoder, bundle, fusion=fusion)
    assert (model.retrieval, model.fusion) == (fusion.retrieval, fusion.layer.config)
    trained, untrained = (
        made.layers(TEXTS).knowledge for made in (model, RootsModel(encoder, bundle, fusion.retrieval))
    )
    assert not torch.equal(trained[:2], untrained[:2])
    assert not trained[2:].any()
    model.adapt(Task.load(routing_folder))
    model.save_pretrained(tmp_path / "model")
    again = RootsModel.from_pretrained(tmp_path / "model")
    assert torch.equal(again.layers(TEXTS).knowledge, trained)
    assert again.predict(TEXTS) == model.predict(TEXTS)


def test_a_pretrained_encoder_is_loaded_with_a_graph_and_a_trained_layer(fusion, bundle, encoder, tmp_path):
    fusion.save(tmp_path / "fusion")
    bundle.save(tmp_path / "graph")
    model = RootsModel.from_pretrained(knowledge=tmp_path / "graph", fusion=tmp_path / "fusion")
    expected = RootsModel(encoder, bundle, fusion=fusion).layers(TEXTS).knowledge
    assert torch.equal(model.layers(TEXTS).knowledge, expected)


def test_a_layer_is_refused_with_what_it_was_not_trained_with(fusion, encoder, small_encoder, bundle):
    with pytest.raises(UsageError, match="trained with the encoder 'roots-base'"):
        RootsModel(small_encoder, bundle, fusion=fusion)
    transe = TransE(bundle.graph.num_entities, bundle.graph.num_relations, 16)
    other = GraphBundle(bundle.graph, transe, TransEConfig(dimension=16))
    with pytest.raises(UsageError, match="come from another training") as caught:
        RootsModel(encoder, other, fusion=fusion)
    assert caught.value.hint == "train the fusion layer again with this graph"


def test_a_saved_model_keeps_its_own_layer(fusion, encoder, bundle, routing_folder, tmp_path):
    model = RootsModel(encoder, bundle)
    model.adapt(Task.load(routing_folder))
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(UsageError, match="has its own fusion layer"):
        RootsModel.from_pretrained(tmp_path / "model", fusion=fusion)


def test_a_damaged_layer_is_refused(fusion, tmp_path):
    fusion.save(tmp_path / "fusion")
    path = tmp_path / "fusion" / "config.json"
    config = json.loads(path.read_text())
    config["settings"]["dimension"] = 32
    path.write_text(json.dumps(config))
    with pytest.raises(BundleError, match="its tensors do not fit"):
        load_fusion(tmp_path / "fusion")
    config["settings"]["dimensions"] = 16
    path.write_text(json.dumps(config))
    with pytest.raises(BundleError, match="dimensions"):
        load_fusion(tmp_path / "fusion")
