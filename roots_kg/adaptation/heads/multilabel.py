"""The multilabel head: any number of labels a text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from roots_kg.adaptation import few_shot, multilabel, sample_tasks
from roots_kg.adaptation.few_shot import FewShotConfig, Fits, LinearFit
from roots_kg.adaptation.heads.base import Encode, Example, Head, Part, Prediction
from roots_kg.adaptation.heads.classification import RANKED, ClassificationHead
from roots_kg.adaptation.objective import Objective
from roots_kg.adaptation.task import Record
from roots_kg.errors import TaskError, nearest
from roots_kg.fusion.encoder import EncodedTexts
from roots_kg.metrics import MULTILABEL, multilabel_metrics
from roots_kg.threads import one_thread

__all__ = ["MultilabelHead"]


class MultilabelHead(ClassificationHead):
    """Decides for each label by itself: p = sigmoid(scale · (x wᵀ + b)), x as in the classification head.

    A label is given if p is at least one half; b is shifted so that this is where F1 was best on parts of the
    support set that were left out. The probability of a set of labels is the product of p over those in it
    and of 1 − p over the others. See `roots_kg.adaptation.multilabel`.
    """

    default_metrics = ("f1_micro", "f1_macro")
    metric_names = MULTILABEL
    compares_features = False
    single_label = False
    sample_task = sample_tasks.MULTILABEL

    def example(self, record: Record) -> Example:
        """Read {"text", "labels"}, labels being a list that may be empty, and perhaps "text_pair"."""
        given = record.fields.get("labels")
        if not isinstance(given, list) or not all(isinstance(label, str) for label in given):
            raise record.error(f"'labels' must be a list of texts, which may be empty, found {given!r:.80}")
        for label in given:
            if self.labels and label not in self.labels:
                raise record.error(f"unknown label {label!r}", hint=nearest(label, self.labels))
        if len(set(given)) < len(given):
            raise record.error("a label is given twice")
        return Example(self.text(record), tuple(sorted(given)), record)

    def sample(self, examples: Sequence[Example], shots: int, seed: int) -> list[Example]:
        """Draw examples until each label is in `shots` of them, and as many are without any label."""
        chosen = few_shot.sample_label_sets([example.target for example in examples], shots, seed)
        return [examples[index] for index in chosen]

    def fit(self, support: Sequence[Example], encode: Encode, config: FewShotConfig) -> dict[str, Any]:
        """Choose the trust in names and knowledge, then fit the weights and find the threshold."""
        present = sorted({label for example in support for label in example.target})
        self.labels = self.labels or present
        if not present:
            raise TaskError("no example has a label", path=support[0].record.path if support else None)
        has = self._has([example.target for example in support])
        known = self._read_support(support, encode, has)
        text, knowledge = known.text, known.knowledge
        with one_thread():
            names = replace(config, name_weights=(0.0,)) if self.pairs else config
            trust = multilabel.choose_trust(
                text, knowledge, has, known.text_names, known.knowledge_names, names
            )
            text_side = (multilabel.label_means(text, has), known.text_names)
            nothing = torch.zeros(len(self.labels), 0)
            start = few_shot.initial_weights(
                text_side, (nothing, nothing), few_shot.Trust(trust.name_weight, 0.0, trust.accuracy)
            )
            fitted, threshold = _fit(text, has, start, config)
            both = None
            if trust.knowledge_weight:
                means = multilabel.label_means(knowledge, has)
                start = few_shot.initial_weights(text_side, (means, known.knowledge_names), trust)
                inputs = few_shot.features(text, knowledge, trust.knowledge_weight)
                both, threshold = _fit(inputs, has, start, config)
            self._keep(Fits(fitted, both, trust.knowledge_weight))
        self.scale, self.name_weight = config.scale, trust.name_weight
        return {
            "examples": len(support),
            "labels": len(self.labels),
            "labels_without_examples": len(self.labels) - len(present),
            "name_weight": trust.name_weight,
            "knowledge_weight": trust.knowledge_weight,
            "threshold": threshold,
            "leave_one_out_order": trust.accuracy,
        }

    def objective(self, support: Sequence[Example], encode: Encode) -> Objective:
        """Return the head's own loss."""
        return Head.objective(self, support, encode)

    def loss(self, encoded: EncodedTexts, targets: Sequence[Any]) -> Tensor:
        """Return the mean binary cross-entropy; targets are tuples of labels."""
        return functional.binary_cross_entropy_with_logits(self(encoded), self._has(targets))

    def decode(self, encoded: EncodedTexts) -> list[Prediction]:
        """Return the labels of each text, each with its own probability in `parts`."""
        predictions = []
        for index, chances in enumerate(self(encoded).sigmoid().double().tolist()):
            ranked = tuple(
                (self._value(found), probability)
                for found, probability in multilabel.likeliest_sets(chances, RANKED)
            )
            value, probability = ranked[0]
            parts = tuple(Part(label, chances[self.labels.index(label)]) for label in value)
            label = max(range(len(chances)), key=chances.__getitem__)
            evidence = self._evidence(encoded, index, label)
            predictions.append(Prediction(value, probability, ranked, evidence, parts=parts))
        return predictions

    def support_of(self, encoded: EncodedTexts, value: Any) -> list[float]:
        """Return the probability of exactly the labels in `value` for each text."""
        chances = self(encoded).sigmoid().double()
        has = self._has([value]).double()
        return torch.where(has > 0, chances, 1 - chances).prod(dim=1).tolist()

    def metrics(self, predictions: Sequence[Prediction], targets: Sequence[Any]) -> dict[str, float]:
        """Return F1, precision and recall of labels, and the share of texts with exactly the right ones."""
        found = self._has([prediction.value for prediction in predictions])
        return multilabel_metrics(found.int(), self._has(targets).int())

    def value_of(self, target: Any) -> tuple[str, ...]:
        """Return the labels in the order of the head."""
        return self._value({self.labels.index(label) for label in target})

    def display(self, value: Any) -> str:
        """Return labels in one line."""
        return ", ".join(value) or "no label"

    def _value(self, numbers: set[int] | frozenset[int]) -> tuple[str, ...]:
        return tuple(self.labels[number] for number in sorted(numbers))

    def _has(self, targets: Sequence[Any]) -> Tensor:
        """Return (B, N), 1 where a target holds a label."""
        has = torch.zeros(len(targets), len(self.labels))
        for row, target in zip(has, targets, strict=True):
            row[[self.labels.index(label) for label in target]] = 1.0
        return has


def _fit(inputs: Tensor, has: Tensor, start: Tensor, config: FewShotConfig) -> tuple[LinearFit, float]:
    """Fit all labels; return the fit with its biases shifted so that a label is given from one half on."""
    fitted, threshold = multilabel.fit_labels(inputs, has, start, config)
    shift = math.log(threshold / (1 - threshold)) / config.scale
    return LinearFit(fitted.weight, fitted.bias - shift), threshold
