import pytest
import torch
from torch.nn import functional

from roots_kg.training.fusion_losses import distance_from_start, gate_loss, recovery_loss


def test_recovering_is_a_softmax_over_cosines_with_the_candidates_that_count():
    generator = torch.Generator().manual_seed(0)
    states, candidates = (torch.randn(count, 6, generator=generator) for count in (3, 5))
    answer = torch.tensor([0, 4, 2])
    counted = torch.ones(3, 5, dtype=torch.bool)
    counted[0, 1] = counted[2, 4] = False
    expected = []
    for state, right, counts in zip(states, answer, counted, strict=True):
        scores = torch.stack(
            [functional.cosine_similarity(state, other, dim=0) / 0.1 for other in candidates[counts]]
        )
        place = int(counts[:right].sum())
        expected.append(-scores.log_softmax(dim=0)[place])
    found = recovery_loss(states, candidates, answer, counted, 0.1)
    torch.testing.assert_close(found, torch.stack(expected).mean())


def test_without_a_state_there_is_nothing_to_lose():
    none = torch.zeros(0, 6)
    loss = recovery_loss(
        none, torch.ones(2, 6), torch.zeros(0, dtype=torch.long), torch.ones(0, 2, dtype=torch.bool), 1.0
    )
    assert loss == 0


def test_an_open_gate_costs_more_where_the_link_is_wrong():
    wrong = torch.tensor([True, False])
    costs = [
        float(gate_loss(torch.tensor(openness), wrong, 1.0, 0.0)) for openness in ([0.1, 0.9], [0.9, 0.1])
    ]
    assert costs == pytest.approx(
        [-torch.log(torch.tensor(0.9)).item(), -torch.log(torch.tensor(0.1)).item()]
    )
    assert float(gate_loss(torch.tensor([0.2, 0.4]), wrong, 0.0, 0.5)) == pytest.approx(0.15)
    assert gate_loss(torch.tensor([0.2, 0.4]), torch.tensor([False, False]), 1.0, 0.0) == 0
    assert gate_loss(torch.tensor([1.0]), torch.tensor([True]), 1.0, 0.0).isfinite()


def test_the_distance_from_the_start_is_a_sum_of_squares():
    start = {"a": torch.zeros(2), "b": torch.ones(2, 2)}
    assert distance_from_start([("a", torch.tensor([1.0, 2.0])), ("b", torch.ones(2, 2))], start) == 5
