import pytest
import torch

from roots_kg.adaptation.modules import BankShape, FeatureModule, ModuleBank, apply_module

SIZE = 6


@pytest.fixture
def bank():
    torch.manual_seed(0)
    return ModuleBank(SIZE, BankShape(film=2, low_rank=3, rank=2))


def test_a_mixture_of_nothing_gives_back_the_vectors_bit_for_bit(bank):
    vectors = torch.randn(20, SIZE)
    assert torch.equal(apply_module(bank.mixed(torch.zeros(5)), vectors), vectors)
    assert torch.equal(FeatureModule.of_shape(SIZE, 2)(vectors), vectors)


def test_a_mixture_is_the_weighted_sum_of_what_each_module_adds(bank):
    vectors, weights = torch.randn(4, SIZE), torch.tensor([0.5, -1.0, 0.3, 0.0, 2.0])
    expected = vectors.clone()
    for number, weight in enumerate(weights[:2]):
        expected += weight * (vectors * bank.scale[number] + bank.shift[number])
    for number, weight in enumerate(weights[2:]):
        expected += weight * vectors @ bank.down[number].T @ bank.up[number].T
    torch.testing.assert_close(apply_module(bank.mixed(weights), vectors), expected)


def test_a_module_is_found_again_in_the_state_of_what_holds_it(bank):
    module = FeatureModule(bank.mixed(torch.ones(5)))
    state = {f"module.{name}": value for name, value in module.state_dict().items()} | {"bias": torch.ones(2)}
    found = FeatureModule.of_state(state, "module.")
    vectors = torch.randn(3, SIZE)
    assert torch.equal(found(vectors), module(vectors))
    assert FeatureModule.of_state({"bias": torch.ones(2)}, "module.") is None


@pytest.mark.parametrize("numbers", [(0, 0, 8), (-1, 2, 8), (2, 2, 0)])
def test_a_bank_without_modules_or_rank_is_refused(numbers):
    with pytest.raises(ValueError, match="at least one module"):
        BankShape(*numbers)
