import pytest
import torch
from torch.nn import functional

from roots_kg.encoding import language_model
from roots_kg.encoding.language_model import IGNORE, LanguageModelHead, linear_cross_entropy

SIZE, TOKENS = 6, 40


@pytest.fixture
def example():
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(3, 9, SIZE, generator=generator, requires_grad=True)
    embedding = torch.randn(TOKENS, SIZE, generator=generator, requires_grad=True)
    labels = torch.randint(TOKENS, (3, 9), generator=generator)
    labels[0, :4] = IGNORE
    return hidden, embedding, labels


def head(**options):
    torch.manual_seed(1)
    made = LanguageModelHead(SIZE, TOKENS, **options)
    if made.bias is not None:
        torch.nn.init.normal_(made.bias)
    return made


def test_the_loss_and_its_gradients_are_those_of_cross_entropy_over_all_logits(example, monkeypatch):
    monkeypatch.setattr(language_model, "ROWS_AT_A_TIME", 5)  # so that several parts are added up
    hidden, embedding, labels = example
    made = head()
    tensors = [hidden, embedding, *made.parameters()]
    expected = functional.cross_entropy(
        made(hidden, embedding).flatten(0, 1), labels.flatten(), ignore_index=IGNORE
    )
    loss = made.loss(hidden, embedding, labels)
    torch.testing.assert_close(loss, expected)
    for ours, theirs in zip(
        torch.autograd.grad(3 * loss, tensors), torch.autograd.grad(3 * expected, tensors), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_without_transform_and_bias_logits_are_products_with_the_embedding(example):
    hidden, embedding, _ = example
    torch.testing.assert_close(head(transform=False, bias=False)(hidden, embedding), hidden @ embedding.T)


def test_where_nothing_is_predicted_the_loss_is_zero(example):
    hidden, embedding, labels = example
    assert head().loss(hidden, embedding, torch.full_like(labels, IGNORE)).item() == 0


def test_weights_that_need_no_gradient_get_none(example):
    hidden, embedding, labels = example
    frozen = embedding.detach()
    (gradient,) = torch.autograd.grad(
        linear_cross_entropy(hidden.flatten(0, 1), frozen, None, labels.flatten().clamp_min(0)), [hidden]
    )
    assert gradient.shape == hidden.shape


def test_a_loss_with_as_many_tokens_drawn_as_there_are_is_the_loss_itself(example):
    hidden, embedding, labels = example
    made = head()
    drawn = made.loss(hidden, embedding, labels, sampled=TOKENS, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn, made.loss(hidden, embedding, labels))


def test_drawing_tokens_estimates_the_partition_function_without_bias(example):
    hidden, embedding, labels = example
    hidden, embedding, made = hidden[1:, :1].detach(), embedding.detach(), head(transform=False)
    labels = labels[1:, :1]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        scores = made(hidden, embedding).flatten(0, 1).gather(1, labels.flatten(0, 1)[:, None]).mean()
        single = made.loss(hidden[:1], embedding, labels[:1])
        estimates = torch.stack(
            [
                made.loss(hidden[:1], embedding, labels[:1], sampled=12, generator=generator)
                for _ in range(4000)
            ]
        )
    assert scores.isfinite()
    partition, estimated = single.exp(), estimates.exp()
    assert float(estimated.std()) > 0.01 * float(partition)
    error = float(estimated.std()) / len(estimated) ** 0.5
    assert abs(float(estimated.mean() - partition)) < 4 * error


def test_under_autocast_the_loss_is_near_that_of_full_precision(example):
    hidden, embedding, labels = example
    made = head()
    exact = made.loss(hidden, embedding, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        narrow = made.loss(hidden, embedding, labels)
    assert narrow.dtype == torch.float32
    torch.testing.assert_close(narrow, exact, rtol=0.03, atol=0)
    (gradient,) = torch.autograd.grad(narrow, [embedding])
    torch.testing.assert_close(gradient, torch.autograd.grad(exact, [embedding])[0], rtol=0.1, atol=0.01)
