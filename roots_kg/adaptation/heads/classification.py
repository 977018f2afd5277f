"""The classification head: one label a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from roots_kg.adaptation import few_shot, sample_tasks
from roots_kg.adaptation.calibration import (
    Calibrations,
    Scored,
    calibrate_sides,
    calibration_error,
    folds,
    scope_auroc,
    scope_scores,
)
from roots_kg.adaptation.few_shot import Compared, FewShotConfig, Fits, LinearFit
from roots_kg.adaptation.heads.base import Encode, Example, Head, Prediction
from roots_kg.adaptation.objective import CosineObjective, Objective
from roots_kg.adaptation.pair_features import pair_size, pair_vectors
from roots_kg.adaptation.task import Record, Task
from roots_kg.config import from_mapping, to_mapping
from roots_kg.errors import TaskError, nearest
from roots_kg.fusion.encoder import EncodedTexts, Knowledge, MarkedText, Text
from roots_kg.intervals import wilson
from roots_kg.metrics import CLASSIFICATION, classification_metrics
from roots_kg.threads import one_thread

__all__ = ["ClassificationHead", "are_pairs"]

RANKED = 5


class ClassificationHead(Head):
    """Logits = scale · (x Wᵀ + b), x being the centred text features and the knowledge vector side by side.

    The centre is the mean of the support set. Of pairs of texts, x is what they are to each other, see
    `roots_kg.adaptation.pair_features`; what labels are called says nothing about that. A text in which
    nothing is linked is classified by weights that were fitted to the text features alone, and so exactly as
    it would be without a graph. See `roots_kg.adaptation.few_shot` for how weights are fitted, and
    `roots_kg.adaptation.calibration` for how sure they are.
    """

    default_metrics = ("accuracy", "f1_macro")
    metric_names: ClassVar[tuple[str, ...]] = CLASSIFICATION
    compares_features = True
    single_label = True
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
        self.calibration = from_mapping(Calibrations, settings.get("calibration", {}))
        self._class_weights: Tensor | None = None  # of the last fit, for tuning the encoder
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
            "calibration": to_mapping(self.calibration),
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
        """Read {"text", "label"}, or {"text", "text_pair", "label"}; a label of null is out of scope."""
        return Example(self.text(record), self._label(record), record)

    def sample(self, examples: Sequence[Example], shots: int, seed: int) -> list[Example]:
        """Draw `shots` examples of each label."""
        _require_labels(examples)
        chosen = few_shot.sample_support([example.target for example in examples], shots, seed)
        return [examples[index] for index in chosen]

    def fit(self, support: Sequence[Example], encode: Encode, config: FewShotConfig) -> dict[str, Any]:
        """Choose the trust in names and knowledge, then fit the weights."""
        _require_labels(support)
        present = sorted({example.target for example in support})
        self.labels = self.labels or present
        if len(present) < 2:
            raise TaskError(
                f"the examples have one label only, {present[0]!r}",
                path=support[0].record.path,
                hint="classification needs at least two",
            )
        numbers = torch.tensor([self.labels.index(example.target) for example in support])
        known = self._read_support(support, encode, numbers)
        with one_thread():
            trust, text_only = few_shot.choose_trust(
                known.text,
                known.knowledge,
                known.labels,
                known.text_names,
                known.knowledge_names,
                replace(config, name_weights=(0.0,)) if self.pairs else config,
            )
            weights = few_shot.class_weights(config.class_weight, known.labels, self.labels)

            def fit(part: Compared) -> Fits:
                return few_shot.fit_sides(part, trust, text_only, config, weights)

            self._keep(fit(known))
            rows, scored = _left_out(known, fit, config.scale)
        self.scale, self.name_weight, self._class_weights = config.scale, text_only.name_weight, weights
        if config.reject and not len(rows):
            raise TaskError(
                "no label has two examples, so that none can be left out to find what to reject",
                path=support[0].record.path,
                hint="give more examples, or reject nothing",
            )
        self.calibration = calibrate_sides(scored, numbers[rows], config.reject)
        told: dict[str, Any] = {"left_out": len(rows)}
        if len(rows):
            right = wilson(int((scored.logits.argmax(dim=1) == numbers[rows]).sum()), len(rows))
            told |= {"left_out_accuracy": right.value, "left_out_accuracy_95%": [right.low, right.high]}
        return {
            "examples": len(support),
            "labels": len(self.labels),
            "labels_without_examples": len(self.labels) - len(present),
            "contradictory_examples": _contradictory(support),
            "name_weight": trust.name_weight,
            "knowledge_weight": trust.knowledge_weight,
            "leave_one_out_accuracy": trust.accuracy,
            "leave_one_out_accuracy_text_only": text_only.accuracy,
            **told,
            "temperature": self.calibration.text.temperature,
        }

    def calibrate(self, encoded: EncodedTexts, targets: Sequence[Any], config: FewShotConfig) -> Calibrations:
        """Return how to read logits, judging by texts that were not learned from."""
        labels = torch.tensor([self.labels.index(target) for target in targets])
        with torch.no_grad():
            return calibrate_sides(self._score(encoded), labels, config.reject)

    def adopt(self, objective: Objective, calibration: Any) -> None:
        """Take the vectors of classes that were trained with the encoder, for texts without knowledge."""
        if isinstance(objective, CosineObjective):
            weight = functional.normalize(objective.weight.detach(), dim=1)
            own = LinearFit(weight, torch.zeros(len(weight)))
            both = LinearFit(self.weight, self.bias) if self.knowledge_weight else None
            self._keep(Fits(own, both, self.knowledge_weight))
        self.calibration = calibration or self.calibration

    def forward(self, encoded: EncodedTexts) -> Tensor:
        """Return logits, (B, N)."""
        scored = self._score(encoded)
        return scored.logits / self.calibration.temperatures(scored.linked)[:, None]

    def _score(self, encoded: EncodedTexts) -> Scored:
        """Return what is made of texts before it is calibrated."""
        fits = Fits(LinearFit(self.text_weight, self.text_bias))
        if self.knowledge_weight:
            fits = replace(
                fits, both=LinearFit(self.weight, self.bias), knowledge_weight=self.knowledge_weight
            )
        vectors = self.vectors(encoded)
        text = few_shot.centred(vectors, self.centre)
        return fits.score(text, self.knowledge_vectors(encoded), vectors @ self.centre, self.scale)

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
        return CosineObjective(
            examples, asks, self.vectors, self.centre, start, self.scale, self._class_weights
        )

    def loss(self, encoded: EncodedTexts, targets: Sequence[Any]) -> Tensor:
        """Return the mean cross-entropy; targets are labels."""
        labels = torch.tensor([self.labels.index(target) for target in targets])
        return functional.cross_entropy(self(encoded), labels)

    def decode(self, encoded: EncodedTexts) -> list[Prediction]:
        """Return the most probable label of each text, with the triples its tokens attended to.

        A text that is out of scope has its nearest label, and says so; that is never so where nothing is
        rejected.
        """
        logits, scored = self(encoded), self._score(encoded)
        probabilities = logits.softmax(dim=1)
        common = scored.common / self.calibration.temperatures(scored.linked)
        scores = scope_scores(logits, common)
        inside = self.calibration.inside(scores, scored.linked).tolist()
        best, order = probabilities.topk(min(RANKED, len(self.labels)), dim=1)
        predictions = []
        for index, (values, positions) in enumerate(zip(best.tolist(), order.tolist(), strict=True)):
            ranked = tuple(
                (self.labels[position], value) for position, value in zip(positions, values, strict=True)
            )
            evidence = self._evidence(encoded, index, positions[0])
            scope = float(scores[index])
            predictions.append(Prediction(*ranked[0], ranked, evidence, in_scope=inside[index], scope=scope))
        return predictions

    def support_of(self, encoded: EncodedTexts, value: str) -> list[float]:
        """Return the probability of the label `value` for each text."""
        probabilities: list[float] = self(encoded).softmax(dim=1)[:, self.labels.index(value)].tolist()
        return probabilities

    def metrics(self, predictions: Sequence[Prediction], targets: Sequence[Any]) -> dict[str, float]:
        """Return accuracy, and precision, recall and F1 over labels (macro) and over examples (micro).

        To be out of scope counts as one more label, which is the right one where the target is None.
        """
        number: dict[str | None, int] = {label: index for index, label in enumerate([*self.labels, None])}
        predicted = [number[found.value if found.in_scope else None] for found in predictions]
        return classification_metrics(predicted, [number[target] for target in targets], len(number))

    def diagnostics(self, predictions: Sequence[Prediction], targets: Sequence[Any]) -> dict[str, float]:
        """Return the calibration error, and how well texts that are out of scope are told by their score."""
        pairs = list(zip(predictions, targets, strict=True))
        inside = [(found, target) for found, target in pairs if target is not None]
        outside = [found.scope for found, target in pairs if target is None]
        error = calibration_error(
            [found.probability for found, _ in inside], [found.value == target for found, target in inside]
        )
        told = {"calibration_error": error}
        if inside and outside:
            told["out_of_scope_auroc"] = scope_auroc([found.scope for found, _ in inside], outside)
            told["out_of_scope"] = len(outside)
        return told

    def add_class(self, label: str, examples: Sequence[Example], encode: Encode) -> None:
        """Learn one more label; the vectors of the others stay as they are, bit for bit.

        Args:
            label: the new label.
            examples: of it.
            encode: texts to layers 1 and 2.

        Raises:
            TaskError: if there is no example, if there is such a label already, or if the head has none yet.
        """
        if label in self.labels:
            raise TaskError(f"the label {label!r} is there already", hint="adapt anew to learn more of it")
        if not self.labels or not examples:
            missing = f"example of {label!r}" if self.labels else "label that it could come beside"
            raise TaskError(f"there is no {missing}")
        texts, names = encode([example.text for example in examples]), encode([self.name_text(label)])
        with one_thread():
            text = few_shot.centred(self.vectors(texts), self.centre)
            name = torch.zeros(1, self.vector_size)
            if not self.pairs:
                name = few_shot.centred(self.vectors(names), self.centre)
            sides = (text.mean(dim=0, keepdim=True), name)
            nothing = (torch.zeros(1, 0), torch.zeros(1, 0))
            trust = few_shot.Trust(self.name_weight, 0.0, 0.0)
            start = few_shot.initial_weights(sides, nothing, trust)
            new = few_shot.with_class(LinearFit(self.text_weight, self.text_bias), start)
            both = LinearFit(self.weight, self.bias)
            if self.knowledge_weight:
                knowledge = self.knowledge_vectors(texts).mean(dim=0, keepdim=True)
                trust = replace(trust, knowledge_weight=self.knowledge_weight)
                start = few_shot.initial_weights(sides, (knowledge, self.knowledge_vectors(names)), trust)
                both = few_shot.with_class(both, start)
        self.labels = [*self.labels, label]
        self._keep(Fits(new, both if self.knowledge_weight else None, self.knowledge_weight))

    def _label(self, record: Record) -> str | None:
        """Read "label"; null stands for out of scope, which can be judged, though not learned from."""
        if record.fields.get("label", "") is None:
            return None
        label = record.text("label")
        if self.labels and label not in self.labels:
            raise record.error(f"unknown label {label!r}", hint=nearest(label, self.labels))
        return label

    def _read_support(self, support: Sequence[Example], encode: Encode, labels: Tensor) -> Compared:
        """Find out whether texts are pairs and what they have in common; return what a fit compares.

        Of pairs of texts a name says nothing. The labels are those of the texts, as `Compared` has them.

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
            names_knowledge, common = self.knowledge_vectors(names), vectors @ self.centre
            return Compared(text, knowledge, text_names, names_knowledge, labels, common)

    def _keep(self, fits: Fits) -> None:
        """Take weights; those fitted to texts alone also for texts of which the graph says something."""
        self.text_weight, self.text_bias = fits.text.weight, fits.text.bias
        self.knowledge_weight = fits.knowledge_weight
        if fits.both is not None:
            self.weight, self.bias = fits.both.weight, fits.both.bias
            return
        nothing = torch.zeros(len(self.labels), self.knowledge_size)
        self.weight, self.bias = few_shot.features(fits.text.weight, nothing, 0.0), fits.text.bias

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


def _left_out(known: Compared, fit: Callable[[Compared], Fits], scale: float) -> tuple[Tensor, Scored]:
    """Return which examples were left out, (B',), and what fits to the others make of them.

    An example without another of its class is not left out: what is left would not know the class.
    """
    several = torch.bincount(known.labels)[known.labels] > 1
    found = [torch.zeros(0, dtype=torch.long)]
    nothing = torch.zeros(0, len(known.text_names))
    scored = [Scored(nothing, nothing, torch.zeros(0), torch.zeros(0, dtype=torch.bool))]
    for fold in folds(known.labels):
        rows = fold[several[fold]]
        if len(rows):
            fits = fit(known.without(rows))
            scored.append(fits.score(known.text[rows], known.knowledge[rows], known.common[rows], scale))
            found.append(rows)
    parts = ([getattr(each, field.name) for each in scored] for field in fields(Scored))
    return torch.cat(found), Scored(*map(torch.cat, parts))


def _require_labels(examples: Sequence[Example]) -> None:
    """Raise if an example to learn from is out of scope."""
    for example in examples:
        if example.target is None:
            raise example.record.error(
                "the label is null, which stands for out of scope and cannot be learned from",
                hint="leave the line out; what to reject is found from the examples of the labels",
            )


def _contradictory(support: Sequence[Example]) -> int:
    """Return how many examples have a text that another has with another label."""
    labels: dict[Text, set[Any]] = {}
    for example in support:
        labels.setdefault(example.text, set()).add(example.target)
    return sum(len(labels[example.text]) > 1 for example in support)
