"""learn2learn beside ours: where it can be imported; docs/meta_learning.md says how to build it."""

import sys

import pytest
import torch

from roots_kg.adaptation.meta_learning.engine import outcomes
from roots_kg.adaptation.meta_learning.learn2learn_backend import Learn2LearnLearner
from roots_kg.errors import UsageError

START = {"weight": torch.ones(2, dtype=torch.double)}


@pytest.fixture
def learn2learn():
    """Skip the test where learn2learn cannot be used."""
    try:
        Learn2LearnLearner.start(START, 0.1)
    except UsageError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("algorithm", ["anil", "maml", "protomaml"])
def test_outer_gradients_are_those_of_learn2learn(algorithm, first_order, learn2learn, episodes, learner):
    made, tasks = learner(algorithm, first_order=first_order), episodes()
    found = []
    for backend in ("vmap", "learn2learn"):
        made.zero_grad()
        outcomes(made, tasks, backend).loss.sum().backward()
        found.append([value.grad for value in made.parameters() if value.grad is not None])
    assert len(found[0]) == len(found[1]) > 5
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("error", [ImportError("no gym"), RuntimeError("no operator nms"), SystemExit(3)])
def test_whatever_goes_wrong_when_it_is_imported_is_told_as_one_error(error, monkeypatch):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] == "learn2learn":
                raise error

    for name in [name for name in sys.modules if name.split(".")[0] == "learn2learn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(UsageError, match=f"learn2learn cannot be used here: {type(error).__name__}: {error}"):
        Learn2LearnLearner.start(START, 0.1)
