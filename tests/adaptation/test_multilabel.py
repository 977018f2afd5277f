from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.multilabel import choose_trust, fit_labels, likeliest_sets

AXES = torch.eye(4)
HAS = torch.tensor([[1, 0], [1, 0], [0, 1], [0, 1], [1, 1], [0, 0]], dtype=torch.float32)


def chance_of(found, chances):
    result = 1.0
    for number, chance in enumerate(chances):
        result *= chance if number in found else 1 - chance
    return result


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.integers(1, 5))
def test_the_likeliest_sets_come_first_with_their_probabilities(chances, most):
    found = likeliest_sets(chances, most)
    assert len(found) <= most
    assert found[0][0] == {number for number, chance in enumerate(chances) if chance >= 0.5}
    for labels, probability in found:
        assert probability == pytest.approx(chance_of(labels, chances), abs=1e-9)
    every = sorted(
        (
            chance_of({number for number, there in enumerate(mask) if there}, chances)
            for mask in product((False, True), repeat=len(chances))
        ),
        reverse=True,
    )
    assert [probability for _, probability in found] == pytest.approx(every[: len(found)], abs=1e-9)


def vectors(has):
    """Texts that lie where their labels say, and along a third axis if they have none."""
    found = has @ AXES[:2] + (has.sum(dim=1, keepdim=True) == 0) * AXES[2]
    return torch.nn.functional.normalize(found, dim=1)


def test_labels_are_told_by_where_their_examples_lie():
    texts = vectors(HAS)
    fitted, threshold = fit_labels(texts, HAS, AXES[:2], FewShotConfig())
    chances = (16 * (texts @ fitted.weight.T + fitted.bias)).sigmoid()
    assert torch.equal(chances >= threshold, HAS > 0)


def test_the_graph_is_trusted_where_it_tells_labels_apart_and_texts_do_not():
    telling, silent = vectors(HAS), vectors(torch.zeros(6, 2))
    nothing = torch.zeros(2, 4)
    config = FewShotConfig()
    assert choose_trust(silent, telling, HAS, nothing, nothing, config).knowledge_weight > 0
    assert choose_trust(telling, silent, HAS, nothing, nothing, config).knowledge_weight == 0
    assert choose_trust(telling, torch.zeros(6, 4), HAS, nothing, nothing, config).knowledge_weight == 0


def test_an_example_does_not_speak_for_itself():
    alone = torch.tensor([[1.0, 0], [0, 1]])
    trust = choose_trust(
        AXES[:2], torch.zeros(2, 4), alone, torch.zeros(2, 4), torch.zeros(2, 4), FewShotConfig()
    )
    assert trust.accuracy == 0.0
