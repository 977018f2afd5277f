import pytest
import torch

from roots_kg.adaptation.meta_learning.inner_loop import PlainLearner, descend, descend_with, new_learner
from roots_kg.errors import UsageError


def bowl(parameters):
    """Return a loss that is no quadratic, so that second derivatives matter."""
    return (parameters["a"] ** 4).sum() + (parameters["a"] * parameters["b"]).sum().sin()


def start():
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(3, generator=generator, dtype=torch.double).requires_grad_() for name in ("a", "b")
    }


def outer_gradients(take, first_order):
    parameters, rate = start(), torch.tensor(0.05, dtype=torch.double, requires_grad=True)
    end = take(bowl, parameters, rate, 4, first_order=first_order)
    return end, torch.autograd.grad(bowl(end), [*parameters.values(), rate])


@pytest.mark.parametrize("first_order", [False, True])
def test_steps_and_their_gradients_are_those_of_autograd_step_by_step(first_order):
    end, gradients = outer_gradients(descend, first_order)
    loop_end, loop_gradients = outer_gradients(lambda *a, **k: descend_with("loop", *a, **k), first_order)
    parameters, rate = start(), torch.tensor(0.05, dtype=torch.double, requires_grad=True)
    now = dict(parameters)
    for _ in range(4):
        found = torch.autograd.grad(bowl(now), list(now.values()), create_graph=not first_order)
        now = {name: value - rate * part for (name, value), part in zip(now.items(), found, strict=True)}
    naive = torch.autograd.grad(bowl(now), [*parameters.values(), rate])
    for name, value in now.items():
        torch.testing.assert_close(end[name], value, rtol=0, atol=1e-12)
        torch.testing.assert_close(loop_end[name], value, rtol=0, atol=1e-12)
    for found in (gradients, loop_gradients):
        torch.testing.assert_close(found, naive, rtol=0, atol=1e-12)


def test_first_order_gradients_are_others():
    second, first = (outer_gradients(descend, order)[1][0] for order in (False, True))
    assert (second - first).abs().max() > 1e-3


def test_a_clone_leaves_the_learner_where_it_was_and_sends_gradients_to_it():
    parameters = start()
    learner = PlainLearner(parameters, 0.1)
    clone = learner.clone()
    clone.adapt(bowl(clone.parameters_now))
    assert torch.equal(learner.parameters_now["a"], parameters["a"])
    assert not torch.equal(clone.parameters_now["a"], parameters["a"])
    (gradient,) = torch.autograd.grad(bowl(clone.parameters_now), parameters["a"])
    assert gradient.any()


def test_there_are_two_kinds_of_learners():
    with pytest.raises(UsageError, match=r"no learners are called 'lopo'.*'loop'"):
        new_learner("lopo", start(), 0.1)
