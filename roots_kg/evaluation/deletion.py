"""Evidence checked by deletion: does an answer change when a triple that it cites is taken out of the graph?

Beside cited triples, another one that was retrieved for the same text is taken out: an answer that rests on
its evidence changes with the first and not with the second.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from roots_kg.adaptation.heads.base import Head, Prediction
from roots_kg.evaluation.remembering import rows
from roots_kg.explain import MEASURED
from roots_kg.fusion.encoder import EncodedTexts, Text
from roots_kg.graph.retrieval import Subgraph
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.intervals import Estimate, over_draws, wilson

__all__ = ["DELETIONS", "Deleted", "DeletionCheck", "Deletions", "check_deletions"]

DELETIONS = {
    "heaviest": "the triple with most weight",
    "strongest": "the triple that counts most",
    "other": "a random other triple",
}
"""What is deleted, one triple at a time; the names are those of the fields of a `DeletionCheck`."""

AT_A_TIME = 256
SHOWN = 5


class _Encode(Protocol):
    def __call__(
        self, texts: Sequence[Text], without: Sequence[Collection[int]] | None = None
    ) -> EncodedTexts: ...


@dataclass(frozen=True)
class Deletions:
    """What taking one triple out of the graph did, over several texts.

    Args:
        tried: for how many texts.
        changed: for how many of them the answer became another.
        share: the share of those, with Wilson's interval; None if nothing was tried.
        fall: by how much the probability of the answer fell on average, with Student's interval; likewise.
    """

    tried: int
    changed: int
    share: Estimate | None
    fall: Estimate | None


@dataclass(frozen=True)
class Deleted:
    """One text whose strongest triple was deleted: the triple by name, and the answers before and after."""

    text: str
    triple: tuple[str, str, str]
    before: str
    after: str


@dataclass(frozen=True)
class DeletionCheck:
    """Evidence checked by deletion.

    Args:
        with_evidence: how many of the predictions cite a triple.
        heaviest: what deleting the triple did to which the head gives most weight.
        strongest: what deleting the cited triple did that costs the answer most probability, which is the one
            that an explanation shows first; it was chosen by the same measurement.
        other: what deleting a random other retrieved triple did, for the same texts, where there is one.
        shown: a few of the texts with their strongest triple.
    """

    with_evidence: int
    heaviest: Deletions
    strongest: Deletions
    other: Deletions
    shown: tuple[Deleted, ...]

    @property
    def by_title(self) -> dict[str, Deletions]:
        """What each deletion did, by the title that people are shown for it."""
        return {title: getattr(self, name) for name, title in DELETIONS.items()}


@dataclass(frozen=True)
class _Loss:
    """What one text lost with one triple: the answer that was given then, and how much probability."""

    triple: int
    after: str
    fall: float


def check_deletions(
    head: Head,
    encode: _Encode,
    graph: KnowledgeGraph,
    texts: Sequence[Text],
    predictions: Sequence[Prediction],
    subgraphs: Sequence[Subgraph | None],
    *,
    sample: int = 200,
    seed: int = 0,
) -> DeletionCheck:
    """Delete cited triples one at a time, and a random other one, of predictions that cite one.

    The other triple is drawn from those retrieved for the text that are not the strongest and that the
    prediction cites with less weight than the heaviest, or not at all: the triples of one path weigh the
    same, and each of them is evidence.

    Args:
        head: the head that predicted.
        encode: texts, and triples to treat as absent for each, to layers 1 and 2.
        graph: the graph the triples belong to.
        texts: the texts, as the head's examples hold them.
        predictions: the head's predictions for them.
        subgraphs: what was retrieved for each.
        sample: how many predictions to check at most.
        seed: of the sample and of the other triples.
    """
    generator = np.random.default_rng(seed)
    citing = [index for index, prediction in enumerate(predictions) if prediction.evidence]
    drawn = generator.permutation(len(citing))[:sample]
    chosen = sorted(citing[position] for position in drawn.tolist())
    cited = [(index, triple) for index in chosen for triple, _ in predictions[index].evidence[:MEASURED]]
    losses: dict[int, list[_Loss]] = {index: [] for index in chosen}
    for (index, _), loss in zip(cited, _losses(head, encode, texts, predictions, cited), strict=True):
        losses[index].append(loss)
    heaviest = {index: found[0] for index, found in losses.items()}
    strongest = {index: max(found, key=lambda loss: loss.fall) for index, found in losses.items()}
    others = []
    for index in chosen:
        candidates = _others(predictions[index], subgraphs[index]) - {strongest[index].triple}
        if candidates:
            others.append((index, sorted(candidates)[int(generator.integers(len(candidates)))]))
    other = dict(
        zip(
            (index for index, _ in others),
            _losses(head, encode, texts, predictions, others),
            strict=True,
        )
    )
    shown = tuple(
        Deleted(
            str(encode([texts[index]]).texts[0]),
            graph.triple(strongest[index].triple),
            head.display(predictions[index].value),
            head.display(strongest[index].after),
        )
        for index in chosen[:SHOWN]
    )
    return DeletionCheck(
        len(citing),
        _summary(predictions, heaviest),
        _summary(predictions, strongest),
        _summary(predictions, other),
        shown,
    )


def _others(prediction: Prediction, subgraph: Subgraph | None) -> set[int]:
    """Return the retrieved triples that a prediction leans on less than on its heaviest one."""
    if subgraph is None:
        return set()
    top = prediction.evidence[0][1]
    return set(subgraph.triple.tolist()) - {triple for triple, weight in prediction.evidence if weight >= top}


def _losses(
    head: Head,
    encode: _Encode,
    texts: Sequence[Text],
    predictions: Sequence[Prediction],
    pairs: Sequence[tuple[int, int]],
) -> list[_Loss]:
    """Predict texts again, each without one triple: pairs are positions of texts and triples."""
    losses = []
    for begin in range(0, len(pairs), AT_A_TIME):
        part = pairs[begin : begin + AT_A_TIME]
        asked = [texts[index] for index, _ in part]
        whole, without = encode(asked), encode(asked, [frozenset([triple]) for _, triple in part])
        for row, ((index, triple), found) in enumerate(zip(part, head.decode(without), strict=True)):
            value = predictions[index].value
            (had,), (has,) = (head.support_of(rows(encoded, [row]), value) for encoded in (whole, without))
            losses.append(_Loss(triple, found.value, had - has))
    return losses


def _summary(predictions: Sequence[Prediction], losses: Mapping[int, _Loss]) -> Deletions:
    if not losses:
        return Deletions(0, 0, None, None)
    changed = sum(loss.after != predictions[index].value for index, loss in losses.items())
    falls = over_draws([loss.fall for loss in losses.values()])
    return Deletions(len(losses), changed, wilson(changed, len(losses)), falls)
