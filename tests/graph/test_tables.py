"""Tables give rows with sparse gradients, and row-wise Adagrad trains the rows that have one."""

import math

import pytest
import torch
from safetensors.torch import load_file

from roots_kg.errors import DataError
from roots_kg.graph.tables import (
    RowwiseAdagrad,
    Table,
    mapped_tables,
    mapped_vectors,
    table_in_memory,
    uniform_rows,
)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_a_table_starts_within_its_bound_and_the_same_for_the_same_seed():
    first, second = (
        table_in_memory("entity", 50, 4, 0.5, torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert torch.equal(first.weight, second.weight)
    assert 0.4 < first.weight.abs().max() <= 0.5


def test_rows_may_repeat_in_a_plain_lookup(generator):
    table = Table(torch.randn(5, 3, generator=generator))
    rows = torch.tensor([[4, 0], [4, 4]])
    assert torch.equal(table(rows), table.weight[rows])


def test_the_gradient_of_distinct_rows_is_theirs_alone(generator):
    table = Table(torch.randn(6, 3, generator=generator))
    factors = torch.randn(2, 3, generator=generator)
    (table.distinct(torch.tensor([1, 4])) * factors).sum().backward()
    assert table.weight.grad.is_sparse
    gradient = table.weight.grad.coalesce()
    assert gradient.indices()[0].tolist() == [1, 4]
    assert torch.equal(gradient.values(), factors)


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("sparse", [True, False])
def test_rowwise_adagrad_is_its_formula_row_by_row(generator, sparse, weight_decay):
    table = torch.nn.Embedding(5, 3, sparse=sparse)
    optimizer = RowwiseAdagrad(table.parameters(), lr=0.1, weight_decay=weight_decay)
    weight, squares = table.weight.detach().clone(), [0.0] * 5
    for rows in ([0, 2, 2], [2, 4], [0]):
        factors = torch.randn(len(rows), 3, generator=generator)
        gradient = torch.zeros(5, 3)
        for row, factor in zip(rows, factors, strict=True):
            gradient[row] += factor
        for row in set(rows):
            gradient[row] += weight_decay * weight[row]
            squares[row] += float(gradient[row].square().mean())
            weight[row] -= 0.1 * gradient[row] / (math.sqrt(squares[row]) + 1e-10)
        optimizer.zero_grad()
        (table(torch.tensor(rows)) * factors).sum().backward()
        assert table.weight.grad.is_sparse == sparse
        optimizer.step()
        assert torch.allclose(table.weight.detach(), weight, atol=1e-6)


def test_rowwise_adagrad_leaves_rows_without_a_gradient_alone_and_takes_a_closure(generator):
    table = torch.nn.Embedding(3, 2, sparse=True)
    unused = torch.nn.Parameter(torch.ones(2, 2))
    before = table.weight.detach().clone()
    optimizer = RowwiseAdagrad([table.weight, unused], lr=0.5)

    def closure():
        loss = table(torch.tensor([1])).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure) == before[1].sum()
    assert torch.equal(table.weight[[0, 2]], before[[0, 2]])
    assert torch.allclose(table.weight[1], before[1] - 0.5)
    assert torch.equal(unused, torch.ones(2, 2))


def test_rowwise_adagrad_resumes_from_its_state(generator):
    gradients = torch.randn(4, 3, 2, generator=generator)

    def steps(table, optimizer, numbers):
        for number in numbers:
            table.grad = gradients[number].clone()
            optimizer.step()

    whole, halves = torch.zeros(3, 2).requires_grad_(), torch.zeros(3, 2).requires_grad_()
    steps(whole, RowwiseAdagrad([whole]), range(4))
    first = RowwiseAdagrad([halves])
    steps(halves, first, range(2))
    second = RowwiseAdagrad([halves])
    second.load_state_dict(first.state_dict())
    steps(halves, second, range(2, 4))
    assert torch.equal(whole, halves)


@pytest.mark.parametrize("rows", [range(1, 70_001, 3), range(66_000, 70_000), range(0), range(5, 6)])
def test_a_row_starts_the_same_whoever_draws_it(rows):
    whole = table_in_memory("entity", 70_001, 8, 0.5, torch.Generator().manual_seed(3)).weight
    pieces = list(uniform_rows(rows, 8, 0.5, torch.Generator().manual_seed(3)))
    assert torch.equal(
        torch.cat([torch.empty(0, 8), *pieces]), whole[rows.start : rows.stop : rows.step].detach()
    )


def test_a_mapped_table_starts_like_one_in_memory_and_is_a_safetensors_file_all_the_time(tmp_path):
    seeds = [torch.Generator().manual_seed(3) for _ in range(2)]
    mapped = mapped_tables(tmp_path)("entity", 1001, 7, 0.5, seeds[0])
    in_memory = table_in_memory("entity", 1001, 7, 0.5, seeds[1])
    for table in (mapped, in_memory):
        table.distinct(torch.tensor([3, 1000])).sum().backward()
        RowwiseAdagrad(table.parameters()).step()
    assert torch.equal(load_file(tmp_path / "entity.safetensors")["weight"], in_memory.weight)
    assert torch.equal(mapped_vectors(tmp_path / "entity.safetensors", 1001, 7), in_memory.weight)


def test_a_file_of_vectors_has_all_its_space(tmp_path):
    mapped_vectors(tmp_path / "entity.safetensors", 10_000, 32)
    assert (tmp_path / "entity.safetensors").stat().st_blocks * 512 >= 10_000 * 32 * 4


def test_tables_for_which_there_is_no_space_leave_nothing(tmp_path):
    make = mapped_tables(tmp_path)
    make("entity", 10, 7, 0.5, None)
    with pytest.raises(DataError, match=r"relation\.safetensors: .* bytes cannot be written"):
        make("relation", 10**12, 10**5, 0.5, None)
    assert not list(tmp_path.iterdir())


def test_a_file_with_other_vectors_is_left_alone(tmp_path):
    path = tmp_path / "entity.safetensors"
    mapped_vectors(path, 10, 7).fill_(1.0)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="does not hold 11 vectors of 7"):
        mapped_vectors(path, 11, 7)
    assert path.read_bytes() == before
