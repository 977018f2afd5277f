"""The tagging head: labelled spans of a text, such as the names in it and what they are names of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from roots_kg.adaptation import few_shot, sample_tasks
from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.heads.base import Encode, Example, Head, Part, Prediction
from roots_kg.adaptation.span_scorer import Segment, SpanScorer
from roots_kg.adaptation.spans import LabelledSpan, read_tagged, read_text, words_of
from roots_kg.adaptation.task import Record, Task
from roots_kg.adaptation.word_features import SPELLING_SIZE, spelling, word_states
from roots_kg.errors import TaskError, nearest
from roots_kg.fusion.encoder import EncodedTexts, Knowledge, Text
from roots_kg.fusion.texts import Span
from roots_kg.metrics import SPANS, span_metrics
from roots_kg.threads import one_thread

__all__ = ["TaggingHead"]

SPELLING_WEIGHT = 0.2
"""How long a feature of spelling is, beside hidden states of length 1."""

REGULARISATION = 0.003
"""The weight of the squared weights, beside the mean loss of a word."""

STEPS = 60
"""The most steps of L-BFGS."""


class TaggingHead(Head):
    """Finds spans that do not overlap and labels them, see `roots_kg.adaptation.span_scorer`.

    A word is known by its hidden states in two depths of the trunk and by how it is written. Words are the
    tokens of a line that gives them; of any other text, see `roots_kg.adaptation.spans.words_of`.
    """

    reads_tokens = True
    reads_fusion = False
    default_metrics = ("f1_micro", "precision_micro", "recall_micro")
    metric_names = SPANS
    sample_task = sample_tasks.TAGGING

    def __init__(
        self, task: Task, size: int, knowledge: Knowledge | None, settings: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(task, size, knowledge, settings)
        settings = settings or {}
        self.labels: list[str] = list(settings.get("labels", task.labels))
        self.scorer = self._new_scorer(int(settings.get("longest", 1)))

    def settings(self) -> dict[str, Any]:
        """Return the labels in their order, and the length of the longest span in words."""
        return {"labels": self.labels, "longest": self.scorer.longest}

    def text(self, record: Record) -> Text:
        """Read {"text"}, or {"tokens"}."""
        return read_text(record)

    def example(self, record: Record) -> Example:
        """Read {"tokens", "tags"}, tags in the BIO scheme, or {"text", "spans"}."""
        text, spans = read_tagged(record)
        for _, _, label in spans:
            if self.labels and label not in self.labels:
                raise record.error(f"unknown label {label!r}", hint=nearest(label, self.labels))
        return Example(text, spans, record)

    def sample(self, examples: Sequence[Example], shots: int, seed: int) -> list[Example]:
        """Draw examples until each label is in `shots` of them, and as many are without any span."""
        labels = [{label for _, _, label in example.target} for example in examples]
        chosen = few_shot.sample_label_sets(labels, shots, seed)
        return [examples[index] for index in chosen]

    def fit(self, support: Sequence[Example], encode: Encode, config: FewShotConfig) -> dict[str, Any]:
        """Fit the scores of spans by L-BFGS, on one thread."""
        present = sorted({label for example in support for _, _, label in example.target})
        if not present:
            raise TaskError(
                "there is no span in the examples",
                path=support[0].record.path if support else None,
                hint="tagging needs some to learn from",
            )
        self.labels = self.labels or present
        encoded = encode([example.text for example in support])
        words, features = self._read(encoded)
        targets = [example.target for example in support]
        gold = self._segments(words, targets)
        with one_thread(), torch.inference_mode(False):
            self.scorer = self._new_scorer(max(after - first for own in gold for first, after, _ in own))
            self.scorer.fit([own.clone() for own in features], gold, REGULARISATION, STEPS)
        kept = {
            (index, *self._characters(words[index], segment))
            for index, own in enumerate(gold)
            for segment in own
        }
        given = {(index, *span) for index, target in enumerate(targets) for span in target}
        return {
            "examples": len(support),
            "labels": len(self.labels),
            "spans": len(given),
            "spans_that_split_a_word": len(given - kept),
            "longest_span_in_words": self.scorer.longest,
        }

    def forward(self, encoded: EncodedTexts) -> Tensor:
        """Return the score of every span, (B, T, L, K); see `SpanScorer`."""
        segments: Tensor = self.scorer(self._read(encoded)[1])[0]
        return segments

    def loss(self, encoded: EncodedTexts, targets: Sequence[Any]) -> Tensor:
        """Return −ln p of the right spans, as the mean of all words; targets are tuples of spans."""
        words, features = self._read(encoded)
        return self.scorer.loss(features, self._segments(words, targets)) / max(1, sum(map(len, words)))

    def decode(self, encoded: EncodedTexts) -> list[Prediction]:
        """Return the most probable spans of each text, each with its own probability in `parts`."""
        words, features = self._read(encoded)
        found = self.scorer.best(features)
        chances = self.scorer.log_probabilities(features, [[span.segment for span in own] for own in found])
        predictions = []
        for own, spans, chance in zip(words, found, chances, strict=True):
            value = tuple(self._characters(own, span.segment) for span in spans)
            parts = tuple(
                Part(label, span.probability, start, end)
                for (start, end, label), span in zip(value, spans, strict=True)
            )
            probability = math.exp(chance)
            predictions.append(Prediction(value, probability, ((value, probability),), parts=parts))
        return predictions

    def support_of(self, encoded: EncodedTexts, value: Any) -> list[float]:
        """Return the probability that the spans of each text are those of `value`, all of them."""
        words, features = self._read(encoded)
        wanted = [self._segments([own], [value])[0] for own in words]
        possible = [
            [self._characters(own, segment) for segment in segments] == [tuple(span) for span in value]
            and all(after - first <= self.scorer.longest for first, after, _ in segments)
            for own, segments in zip(words, wanted, strict=True)
        ]
        chances = self.scorer.log_probabilities(features, wanted)
        return [math.exp(chance) if can else 0.0 for chance, can in zip(chances, possible, strict=True)]

    def metrics(self, predictions: Sequence[Prediction], targets: Sequence[Any]) -> dict[str, float]:
        """Return precision, recall and F1 of spans; one is right if both its ends and its label are."""
        return span_metrics([prediction.value for prediction in predictions], targets)

    def value_of(self, target: Any) -> Any:
        """Return the spans of a target, as `Prediction.value` has them."""
        return tuple(target)

    def display(self, value: Any) -> str:
        """Return spans in one line."""
        return ", ".join(f"{start}–{end} {label}" for start, end, label in value) or "no span"

    def _new_scorer(self, longest: int) -> SpanScorer:
        return SpanScorer(2 * self.size + SPELLING_SIZE, len(self.labels), longest)

    def _read(self, encoded: EncodedTexts) -> tuple[list[Sequence[Span]], list[Tensor]]:
        """Return the words of each text, and their features, (W, D)."""
        words: list[Sequence[Span]] = [
            spans or words_of(text) for text, spans in zip(encoded.texts, encoded.spans, strict=True)
        ]
        features = [
            torch.cat([word_states(own, tokens), SPELLING_WEIGHT * spelling(text, own)], dim=1)
            for text, own, tokens in zip(encoded.texts, words, encoded.tokens, strict=True)
        ]
        return words, features

    def _segments(
        self, words: Sequence[Sequence[Span]], targets: Sequence[Sequence[LabelledSpan]]
    ) -> list[list[Segment]]:
        """Turn spans in characters into spans in words: of those that share a word, the first one stays."""
        result = []
        for own, target in zip(words, targets, strict=True):
            segments: list[Segment] = []
            for start, end, label in sorted(target):
                inside = [number for number, (begin, stop) in enumerate(own) if begin < end and start < stop]
                if inside and (not segments or inside[0] >= segments[-1][1]):
                    segments.append((inside[0], inside[-1] + 1, self.labels.index(label)))
            result.append(segments)
        return result

    def _characters(self, words: Sequence[Span], segment: Segment) -> LabelledSpan:
        first, after, label = segment
        return words[first][0], words[after - 1][1], self.labels[label]
