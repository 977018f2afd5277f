"""The classification head: one label a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from roots_kg.adaptation import few_shot, sample_tasks
from roots_kg.adaptation.few_shot import FewShotConfig, LinearFit
from roots_kg.adaptation.heads.base import Encode, Example, Head, Prediction
from roots_kg.adaptation.objective import CosineObjective, Objective
from roots_kg.adaptation.pair_features import pair_size, pair_vectors
from roots_kg.adaptation.task import Record, Task
from roots_kg.errors import TaskError, nearest
from roots_kg.fusion.encoder import EncodedTexts, Knowledge, MarkedText, Text
from roots_kg.metrics import CLASSIFICATION, classification_metrics
from roots_kg.threads import one_thread

__all__ = ["ClassificationHead", "are_pairs"]

RANKED = 5


class ClassificationHead(Head):
    """Logits = scale · (x Wᵀ + b), x being the centred text features and the knowledge vector side by side.

    The centre is the mean of the support set. Of pairs of texts, x is what they are to each other, see
    `roots_kg.adaptation.pair_features`; what labels are called says nothing about that. A text in which
    nothing is linked is classified by weights that were fitted to the text features alone, and so exactly as
    it would be without a graph. See `roots_kg.adaptation.few_shot` for how weights are fitted.
    """

    default_metrics = ("accuracy", "f1_macro")
    metric_names: ClassVar[tuple[str, ...]] = CLASSIFICATION
    compares_features = True
    sample_task = sample_tasks.CLASSIFICATION

    weight: Tensor
    bias: Tensor
    text_weight: Tensor
    text_bias: Tensor
    centre: Tensor

    def __init__(
        self, task: Task, size: int, knowledge: Knowledge | None, settings: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(task, size, knowledge, settings)
        settings = settings or {}
        self.labels: list[str] = list(settings.get("labels", task.labels))
        self.pairs: bool | None = settings.get("pairs")  # None before it is fitted
        self.scale = float(settings.get("scale", 1.0))
        self.name_weight = float(settings.get("name_weight", 0.0))
        self.knowledge_weight = float(settings.get("knowledge_weight", 0.0))
        self.register_buffer("weight", torch.zeros(len(self.labels), self.vector_size + self.knowledge_size))
        self.register_buffer("bias", torch.zeros(len(self.labels)))
        self.register_buffer("text_weight", torch.zeros(len(self.labels), self.vector_size))
        self.register_buffer("text_bias", torch.zeros(len(self.labels)))
        self.register_buffer("centre", torch.zeros(self.vector_size))

    @property
    def vector_size(self) -> int:
        """The size f of what `vectors` returns."""
        return pair_size(2 * self.size) if self.pairs else 2 * self.size

    def vectors(self, encoded: EncodedTexts) -> Tensor:
        """Return what texts, or pairs of texts, are compared by: (B, f), of length 1."""
        if not self.pairs:
            return super().vectors(encoded)
        if encoded.second is None and encoded.texts:
            raise TaskError(
                f"the task {self.task.name!r} is about pairs of texts, and here is one alone",
                hint="give the second as `text_pair`",
            )
        return pair_vectors(encoded.features, (encoded.second or encoded).features)

    @property
    def knowledge_size(self) -> int:
        """The size of what `knowledge_vectors` returns."""
        return self.size

    def knowledge_vectors(self, encoded: EncodedTexts) -> Tensor:
        """Return what the graph says of texts, of length 1, or zero where it says nothing."""
        if encoded.second is None:
            return encoded.knowledge
        return functional.normalize(encoded.knowledge + encoded.second.knowledge, dim=1)

    def settings(self) -> dict[str, Any]:
        """Return the labels in their order, and what else was chosen."""
        return {
            "labels": self.labels,
            "pairs": self.pairs,
            "scale": self.scale,
            "name_weight": self.name_weight,
            "knowledge_weight": self.knowledge_weight,
        }

    def text(self, record: Record) -> Text:
        """Read {"text"}, and the second text under "text_pair" if there is one."""
        if self.pairs is False:
            record.refuse("text_pair", "the model was adapted to single texts")
        text = record.text("text")
        if self.pairs or "text_pair" in record.fields:
            return MarkedText(text, second=record.text("text_pair"))
        return text

    def example(self, record: Record) -> Example:
        """Read {"text", "label"}, or {"text", "text_pair", "label"}."""
        return Example(self.text(record), self._label(record), record)

    def sample(self, examples: Sequence[Example], shots: int, seed: int) -> list[Example]:
        """Draw `shots` examples of each label."""
        chosen = few_shot.sample_support([example.target for example in examples], shots, seed)
        return [examples[index] for index in chosen]

    def fit(self, support: Sequence[Example], encode: Encode, config: FewShotConfig) -> dict[str, Any]:
        """Choose the trust in names and knowledge, then fit the weights."""
        present = sorted({example.target for example in support})
        self.labels = self.labels or present
        if len(present) < 2:
            raise TaskError(
                f"the examples have one label only, {present[0]!r}",
                path=support[0].record.path,
                hint="classification needs at least two",
            )
        sides = self._read_support(support, encode)
        labels = torch.tensor([self.labels.index(example.target) for example in support])
        with one_thread():
            text, knowledge, text_names, knowledge_names = sides
            trust, text_only = few_shot.choose_trust(
                text,
                knowledge,
                labels,
                text_names,
                knowledge_names,
                replace(config, name_weights=(0.0,)) if self.pairs else config,
            )
            text_side = (few_shot.class_means(text, labels, len(self.labels)), text_names)
            nothing = torch.zeros(len(self.labels), 0)
            start = few_shot.initial_weights(text_side, (nothing, nothing), text_only)
            fitted = few_shot.fit_linear(text, labels, start, config)
            self._keep_text_only(fitted)
            if trust.knowledge_weight:
                means = few_shot.class_means(knowledge, labels, len(self.labels))
                start = few_shot.initial_weights(text_side, (means, knowledge_names), trust)
                inputs = few_shot.features(text, knowledge, trust.knowledge_weight)
                fitted = few_shot.fit_linear(inputs, labels, start, config, self.knowledge_size)
                self.weight, self.bias = fitted.weight, fitted.bias
        self.scale, self.knowledge_weight = config.scale, trust.knowledge_weight
        self.name_weight = text_only.name_weight
        return {
            "examples": len(support),
            "labels": len(self.labels),
            "name_weight": trust.name_weight,
            "knowledge_weight": trust.knowledge_weight,
            "leave_one_out_accuracy": trust.accuracy,
            "leave_one_out_accuracy_text_only": text_only.accuracy,
        }

    def forward(self, encoded: EncodedTexts) -> Tensor:
        """Return logits, (B, N)."""
        text = few_shot.centred(self.vectors(encoded), self.centre)
        without = self.scale * (text @ self.text_weight.T + self.text_bias)
        if not self.knowledge_weight:
            return without
        knowledge = self.knowledge_vectors(encoded)
        inputs = few_shot.features(text, knowledge, self.knowledge_weight)
        linked = knowledge.any(dim=1, keepdim=True)
        return torch.where(linked, self.scale * (inputs @ self.weight.T + self.bias), without)

    def objective(self, support: Sequence[Example], encode: Encode) -> Objective:
        """Return the loss of cosines with a vector a class, names as examples too where they are trusted.

        The graph has no part in it.
        """
        examples = [(example.text, self.labels.index(example.target)) for example in support]
        texts = self.vectors(encode([text for text, _ in examples]))
        numbers = torch.tensor([number for _, number in examples])
        text = few_shot.centred(texts, self.centre)
        start = functional.normalize(few_shot.class_means(text, numbers, len(self.labels)), dim=1)
        if self.name_weight:
            names = [self.name_text(label) for label in self.labels]
            start = start + self.name_weight * few_shot.centred(self.vectors(encode(names)), self.centre)
            examples += [(name, number) for number, name in enumerate(names)]
        asks = {**self.asks, "fuse": False}
        return CosineObjective(examples, asks, self.vectors, self.centre, start, self.scale)

    def loss(self, encoded: EncodedTexts, targets: Sequence[Any]) -> Tensor:
        """Return the mean cross-entropy; targets are labels."""
        labels = torch.tensor([self.labels.index(target) for target in targets])
        return functional.cross_entropy(self(encoded), labels)

    def decode(self, encoded: EncodedTexts) -> list[Prediction]:
        """Return the most probable label of each text, with the triples its tokens attended to."""
        probabilities = self(encoded).softmax(dim=1)
        best, order = probabilities.topk(min(RANKED, len(self.labels)), dim=1)
        predictions = []
        for index, (values, positions) in enumerate(zip(best.tolist(), order.tolist(), strict=True)):
            ranked = tuple(
                (self.labels[position], value) for position, value in zip(positions, values, strict=True)
            )
            predictions.append(Prediction(*ranked[0], ranked, self._evidence(encoded, index, positions[0])))
        return predictions

    def support_of(self, encoded: EncodedTexts, value: str) -> list[float]:
        """Return the probability of the label `value` for each text."""
        probabilities: list[float] = self(encoded).softmax(dim=1)[:, self.labels.index(value)].tolist()
        return probabilities

    def metrics(self, predictions: Sequence[Prediction], targets: Sequence[Any]) -> dict[str, float]:
        """Return accuracy, and precision, recall and F1 over labels (macro) and over examples (micro)."""
        number = {label: index for index, label in enumerate(self.labels)}
        predicted = [number[prediction.value] for prediction in predictions]
        return classification_metrics(predicted, [number[target] for target in targets], len(self.labels))

    def _label(self, record: Record) -> str:
        label = record.text("label")
        if self.labels and label not in self.labels:
            raise record.error(f"unknown label {label!r}", hint=nearest(label, self.labels))
        return label

    def _read_support(
        self, support: Sequence[Example], encode: Encode
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Find out whether texts are pairs and what they have in common; return what a fit compares.

        Returns:
            The vectors of the texts, (B, f), centred, and what the graph says of them, (B, k); then the same
            of the label names, (N, f) and (N, k). Of pairs of texts a name says nothing.

        Raises:
            TaskError: if some texts are pairs and some are not.
        """
        self.pairs = are_pairs(support)
        names = encode([self.name_text(label) for label in self.labels])
        texts = encode([example.text for example in support])
        with one_thread():
            vectors, knowledge = self.vectors(texts), self.knowledge_vectors(texts)
            self.centre = vectors.mean(dim=0)
            text_names = torch.zeros(len(self.labels), self.vector_size)
            if not self.pairs:
                text_names = few_shot.centred(self.vectors(names), self.centre)
            text = few_shot.centred(vectors, self.centre)
            return text, knowledge, text_names, self.knowledge_vectors(names)

    def _keep_text_only(self, fitted: LinearFit) -> None:
        """Take weights that were fitted to texts alone, also for texts of which the graph says something."""
        self.text_weight, self.text_bias = fitted.weight, fitted.bias
        nothing = torch.zeros(len(self.labels), self.knowledge_size)
        self.weight, self.bias = few_shot.features(fitted.weight, nothing, 0.0), fitted.bias

    def _evidence(self, encoded: EncodedTexts, index: int, label: int) -> tuple[tuple[int, float], ...]:
        """Return the triples that speak for a label of a text, by their weights."""
        return encoded.attended(index) if self.knowledge_weight else ()


def are_pairs(support: Sequence[Example]) -> bool:
    """Tell whether the examples are pairs of texts.

    Raises:
        TaskError: if some are and some are not.
    """
    pairs = [isinstance(example.text, MarkedText) and example.text.second is not None for example in support]
    if any(pairs) and not all(pairs):
        record = support[pairs.index(False)].record
        raise record.error("'text_pair' is missing, and other examples have one")
    return all(pairs)
