"""What TransE minimises: the distances of queries to their answers against those to shared negatives."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from roots_kg.graph.negatives import Negatives
from roots_kg.graph.tables import Table
from roots_kg.graph.transe import TransE, TransEConfig, distances

__all__ = [
    "answer_distances",
    "euclidean_softmax_loss",
    "self_adversarial_loss",
    "softmax_loss",
    "transe_loss",
]

Pairs = tuple[Tensor, Tensor]


def transe_loss(
    model: TransE, triples: tuple[Tensor, ...], negatives: Negatives, config: TransEConfig
) -> Tensor:
    """The loss of a batch over negatives that it shares.

    Each entity and relation of the batch is looked up once, so that its gradient comes as one row.

    Args:
        model: the vectors.
        triples: heads, relations and tails of the graph, (T,) each.
        negatives: the queries and what they are compared with.
        config: which loss.

    Returns:
        The mean over the queries; 0 where there is none, as a process's share of a small batch may be.
    """
    device = model.entity.weight.device
    number = negatives.queries % len(triples[0])
    tails = int((negatives.queries < len(triples[0])).sum())  # queries for tails come first
    head, relation, tail = (part[number].to(device) for part in triples)
    anchor, answer = (torch.cat([head[:tails], tail[tails:]]), torch.cat([tail[:tails], head[tails:]]))
    entities = torch.cat([anchor, answer, negatives.candidates.to(device)])
    anchors, answers, candidates = torch.split(
        _rows(model.entity, entities), [len(anchor), len(answer), len(negatives.candidates)]
    )
    if model.inverse is None:
        forth, back = torch.split(_rows(model.relation, relation), [tails, len(relation) - tails])
        translation = torch.cat([forth, -back])
    else:
        translation = torch.cat(
            [_rows(model.relation, relation[:tails]), _rows(model.inverse, relation[tails:])]
        )
    queries = anchors + translation
    excluded = (negatives.excluded[0].to(device), negatives.excluded[1].to(device))
    if config.loss == "softmax" and config.norm == 2:
        return euclidean_softmax_loss(queries, answers, candidates, excluded, config.temperature)
    positive = answer_distances(queries, answers, config.norm)
    negative = distances(queries, candidates, config.norm)
    negative = negative.index_put(excluded, negative.new_tensor(torch.inf))
    if config.loss == "softmax":
        return softmax_loss(positive, negative, config.temperature)
    return self_adversarial_loss(positive, negative, config.temperature, config.margin)


def answer_distances(queries: Tensor, answers: Tensor, norm: int) -> Tensor:
    """Return the distance of each query to its own answer: (Q, k) and (Q, k) give (Q,)."""
    difference = queries - answers
    if norm == 1:
        return difference.abs().sum(dim=1)
    return difference.square().sum(dim=1).clamp_min(1e-6).sqrt()


def softmax_loss(positive: Tensor, negative: Tensor, temperature: float) -> Tensor:
    """−log of the answer's share of a softmax over the answer and the candidates.

    −log exp(−τ d(q, a)) / (exp(−τ d(q, a)) + Σ_c exp(−τ d(q, c))), as in "Old Dog, New Tricks" (Ruffinelli et
    al. 2020, ICLR), with candidates that the whole batch shares.

    Args:
        positive: (Q,) distances to the answers.
        negative: (Q, N) distances to the candidates, infinite where one does not count.
        temperature: τ.

    Returns:
        The mean over the queries.
    """
    logits = -temperature * torch.cat([positive[:, None], negative], dim=1)
    first = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    return functional.cross_entropy(logits, first, reduction="sum") / max(len(logits), 1)


def self_adversarial_loss(positive: Tensor, negative: Tensor, temperature: float, margin: float) -> Tensor:
    """The self-adversarial negative sampling loss (Sun et al. 2019, RotatE, equation 6).

    ½ (−log σ(γ − τ d(q, a)) − Σ_c w_c log σ(τ d(q, c) − γ)), where w = softmax(−τ d) over the candidates, a
    constant for the gradient.

    Args:
        positive: (Q,) distances to the answers.
        negative: (Q, N) distances to the candidates, infinite where one does not count.
        temperature: τ.
        margin: γ.

    Returns:
        The mean over the queries.
    """
    logits = -temperature * negative
    weights = logits.detach().softmax(dim=1).nan_to_num(0.0)  # a query may have no candidate left
    from_negatives = (weights * functional.softplus(margin + logits)).sum(dim=1)
    losses = functional.softplus(temperature * positive - margin) + from_negatives
    return 0.5 * losses.sum() / max(len(losses), 1)


def euclidean_softmax_loss(
    queries: Tensor, answers: Tensor, candidates: Tensor, excluded: Pairs, temperature: float
) -> Tensor:
    """`softmax_loss` of Euclidean distances; its gradient comes from the exponentials of the forward pass.

    Equal to going through `distances`, with a third of the passes over the (Q, N) matrix.

    Args:
        queries: (Q, k).
        answers: (Q, k).
        candidates: (N, k).
        excluded: rows and columns of the candidates that do not count.
        temperature: τ.

    Returns:
        The mean over the queries.
    """
    loss: Tensor = _EuclideanSoftmax.apply(queries, answers, candidates, excluded, temperature)  # type: ignore[no-untyped-call]
    return loss


class _EuclideanSoftmax(torch.autograd.Function):
    """The loss and its gradient, where p is the softmax and d the distances.

    ∂/∂q = Σ_c w_c (q − c) + w_a (q − a), where w_c = −τ p_c / d_c and w_a = τ (1 − p_a) / d_a; likewise
    for the candidates and the answers.
    """

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, answers: Tensor, candidates: Tensor, excluded: Pairs, temperature: float
    ) -> Tensor:
        negative = torch.addmm((candidates * candidates).sum(dim=1), queries, candidates.T, alpha=-2)
        negative.add_((queries * queries).sum(dim=1, keepdim=True)).clamp_min_(1e-6).sqrt_()
        difference = queries - answers
        positive = difference.square().sum(dim=1).clamp_min(1e-6).sqrt_()
        weights = negative * -temperature
        weights[excluded] = -torch.inf
        own = positive * -temperature
        largest = torch.maximum(weights.amax(dim=1), own)
        weights.sub_(largest[:, None]).exp_()
        losses = largest - own
        own = own.sub_(largest).exp_()
        total = weights.sum(dim=1) + own
        losses += total.log()
        count = max(len(queries), 1)
        scale = temperature / count
        weights.mul_((-scale / total)[:, None]).div_(negative)
        own_weights = scale * (1 - own / total) / positive
        ctx.save_for_backward(queries, candidates, weights, difference, own_weights)
        return losses.sum() / count

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        queries, candidates, weights, difference, own_weights = ctx.saved_tensors
        to_answers = difference * (gradient * own_weights)[:, None]
        to_queries = torch.addmm(queries * weights.sum(dim=1, keepdim=True), weights, candidates, alpha=-1)
        to_candidates = torch.addmm(candidates * weights.sum(dim=0)[:, None], weights.T, queries, alpha=-1)
        return (
            to_queries.mul_(gradient).add_(to_answers),
            -to_answers,
            to_candidates.mul_(gradient),
            None,
            None,
        )


def _rows(table: Table, rows: Tensor) -> Tensor:
    """Look up rows that may repeat, (n,), each distinct one once: (n, k)."""
    distinct, place = torch.unique(rows, return_inverse=True)
    return table.distinct(distinct).index_select(0, place)
