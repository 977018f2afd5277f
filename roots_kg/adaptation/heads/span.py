"""The span head: the answer to a question is a piece of the text that is asked about, or there is none."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from roots_kg.adaptation import few_shot, sample_tasks
from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.heads.base import Encode, Example, Head, Part, Prediction
from roots_kg.adaptation.question_features import Reading, feature_size, read_context, with_memory
from roots_kg.adaptation.segmentation import NEVER
from roots_kg.adaptation.span_scorer import SCALE, SpanScorer
from roots_kg.adaptation.spans import words_of
from roots_kg.adaptation.task import Record, Task
from roots_kg.errors import TaskError
from roots_kg.files import is_text
from roots_kg.fusion.encoder import EncodedTexts, Knowledge, MarkedText, Text
from roots_kg.fusion.texts import Span
from roots_kg.metrics import EXTRACTION, extraction_metrics
from roots_kg.threads import one_thread

__all__ = ["SpanHead"]

REGULARISATION = 0.001
"""The weight of the squared weights, beside the mean loss of a text."""

STEPS = 100
"""The most steps of L-BFGS."""

LONGEST = 30
"""The most words of an answer."""

REMEMBERED = 500
"""Of how many examples the answers are remembered, at most."""

RANKED = 5
"""How many answers a prediction ranks."""

Answer = tuple[int, str]
"""Where an answer starts in the context, and what it says."""


class SpanHead(Head):
    """Scores every span of the context, of words as `roots_kg.adaptation.spans.words_of` has them.

    The question and the context are read together, as one text with a line break between. p(span) is a
    softmax of the scores of all spans and of there being no answer (Rajpurkar et al. 2018; Devlin et al.
    2019, section 4.3, with scores of whole spans). A span is scored by a `SpanScorer` with one label from
    what `roots_kg.adaptation.question_features` knows of its words; no answer, by how well the best sentence
    matches the question, and never where all examples have one. The probability of an answer is that of all
    spans that say the same.
    """

    reads_tokens = True
    reads_fusion = False
    default_metrics = EXTRACTION
    metric_names = EXTRACTION
    sample_task = sample_tasks.SPAN

    questions: Tensor
    answers: Tensor
    known: Tensor

    def __init__(
        self, task: Task, size: int, knowledge: Knowledge | None, settings: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(task, size, knowledge, settings)
        settings = settings or {}
        self.can_be_none = bool(settings.get("can_be_none", True))
        self._set_scorer(int(settings.get("longest", LONGEST)))
        remembered = int(settings.get("remembered", 0))
        self.register_buffer("questions", torch.zeros(remembered, 4 * size))
        self.register_buffer("answers", torch.zeros(remembered, feature_size(size) - 1))
        self.register_buffer("known", torch.zeros(remembered, dtype=torch.long))

    def settings(self) -> dict[str, Any]:
        """Return the length of the longest answer, whether there can be none, and how many are remembered."""
        return {
            "longest": self.scorer.longest,
            "can_be_none": self.can_be_none,
            "remembered": len(self.questions),
        }

    def text(self, record: Record) -> Text:
        """Read {"text", "context"}: a question, and the text that it is about."""
        question = re.sub(r"\s*[\r\n]\s*", " ", record.text("text"))
        context = record.text("context")
        if not words_of(question):
            raise record.error("the question has no word")
        if not words_of(context):
            raise record.error("the context has no word")
        start = len(question) + 1
        return MarkedText(f"{question}\n{context}", spans=((start, start + len(context)),))

    def example(self, record: Record) -> Example:
        """Read {"text", "context", "answers"}; "answers" is a list of {"text", "start"}, or empty."""
        text = self.text(record)
        values = record.fields.get("answers")
        if not isinstance(values, list):
            found = f"found {values!r:.80}" if "answers" in record.fields else "and is missing"
            raise record.error(f"'answers' must be a list, {found}", hint="write [] where there is no answer")
        context = record.text("context")
        return Example(text, tuple(_answer(record, context, value) for value in values), record)

    def sample(self, examples: Sequence[Example], shots: int, seed: int) -> list[Example]:
        """Draw `shots` examples in all."""
        return [examples[index] for index in few_shot.sample_any(len(examples), shots, seed)]

    def fit(self, support: Sequence[Example], encode: Encode, config: FewShotConfig) -> dict[str, Any]:
        """Remember the answers, and fit the scores of spans by L-BFGS, on one thread."""
        targets = [example.target for example in support]
        if not any(targets):
            raise TaskError(
                "no example has an answer",
                path=support[0].record.path if support else None,
                hint="there must be some to learn from",
            )
        encoded = encode([example.text for example in support])
        with one_thread(), torch.inference_mode(False):
            readings = [_cloned(reading) for reading in _read(encoded)]
            right = _right_spans(encoded, readings, targets)
            lengths = [after - first for spans in right for first, after in spans]
            self.can_be_none = not all(targets)
            self._set_scorer(min(LONGEST, max(lengths, default=1)))
            self._remember(encoded.texts, readings, right)
            readings = self._with_memory(encoded.texts, readings, leave_out=True)
            self._minimise(readings, right, targets)
        return {
            "examples": len(support),
            "without_answer": sum(not target for target in targets),
            "longest_answer_in_words": max(lengths, default=0),
        }

    def forward(self, encoded: EncodedTexts) -> Tensor:
        """Return the score of no answer, (B, 1), and then of every span by its first word and its length."""
        return self._scores(self._with_memory(encoded.texts, _read(encoded)))

    def loss(self, encoded: EncodedTexts, targets: Sequence[Any]) -> Tensor:
        """Return the mean of −ln p that one of the right spans is chosen; targets are tuples of answers.

        What is remembered of a text itself stays out of it.
        """
        readings = _read(encoded)
        right = _right_spans(encoded, readings, targets)
        return self._loss(self._with_memory(encoded.texts, readings, leave_out=True), right, targets)

    def decode(self, encoded: EncodedTexts) -> list[Prediction]:
        """Return the most probable answers of each text, "" for none; the best one's place is in `parts`."""
        readings, chances = self._chances(encoded)
        return [
            self._prediction(text, reading, own)
            for text, reading, own in zip(encoded.texts, readings, chances, strict=True)
        ]

    def support_of(self, encoded: EncodedTexts, value: Any) -> list[float]:
        """Return the probability of the answer `value` for each text."""
        readings, chances = self._chances(encoded)
        return [
            self._chance(text, reading, own, str(value))
            for text, reading, own in zip(encoded.texts, readings, chances, strict=True)
        ]

    def metrics(self, predictions: Sequence[Prediction], targets: Sequence[Any]) -> dict[str, float]:
        """Return exact match and F1 of words, as SQuAD has them."""
        right = [[text for _, text in target] for target in targets]
        return extraction_metrics([prediction.value for prediction in predictions], right)

    def value_of(self, target: Any) -> Any:
        """Return the first of the right answers, "" if there is none."""
        return target[0][1] if target else ""

    def display(self, value: Any) -> str:
        """Return the answer."""
        return str(value) or "no answer"

    @torch.no_grad()
    def _chances(self, encoded: EncodedTexts) -> tuple[list[Reading], Tensor]:
        """Return the readings of texts, and the probabilities of no answer and of all spans."""
        readings = self._with_memory(encoded.texts, _read(encoded))
        return readings, self._scores(readings).softmax(dim=1)

    def _set_scorer(self, longest: int) -> None:
        self.scorer = SpanScorer(feature_size(self.size), 1, longest)
        self.nothing = nn.Parameter(torch.zeros(2))

    def _remember(
        self, texts: Sequence[str], readings: Sequence[Reading], right: Sequence[Sequence[Span]]
    ) -> None:
        """Keep the questions of the examples that have an answer, and what the answers are like."""
        kept = [index for index, spans in enumerate(right) if spans][:REMEMBERED]
        self.questions = self.questions.new_zeros(0, 4 * self.size)
        self.answers = self.answers.new_zeros(0, feature_size(self.size) - 1)
        self.known = self.known.new_zeros(0)
        if kept:
            self.questions = torch.stack([readings[index].question for index in kept])
            spans = [right[index][0] for index in kept]
            self.answers = torch.stack(
                [
                    readings[index].features[first:after].mean(dim=0)
                    for index, (first, after) in zip(kept, spans, strict=True)
                ]
            )
            self.known = torch.tensor([_code(texts[index]) for index in kept])

    def _with_memory(
        self, texts: Sequence[str], readings: Sequence[Reading], *, leave_out: bool = False
    ) -> list[Reading]:
        result = []
        for text, reading in zip(texts, readings, strict=True):
            others = self.known != _code(text) if leave_out else slice(None)
            result.append(with_memory(reading, self.questions[others], self.answers[others]))
        return result

    def _minimise(
        self,
        readings: Sequence[Reading],
        right: Sequence[Sequence[Span]],
        targets: Sequence[Sequence[Answer]],
    ) -> None:
        words = [reading.features for reading in readings]
        self.scorer.centre.copy_(torch.cat(words).mean(dim=0))
        parameters = [*self.scorer.parameters(), self.nothing]
        optimizer = torch.optim.LBFGS(parameters, max_iter=STEPS, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = self._loss(readings, right, targets) + self.scorer.penalty(REGULARISATION)
            loss = loss + REGULARISATION * self.nothing[0].square()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss.detach()

        with torch.enable_grad():
            optimizer.step(closure)  # type: ignore[no-untyped-call]

    def _scores(self, readings: Sequence[Reading]) -> Tensor:
        """Return scores, (B, 1 + T · L): of no answer, and of all spans."""
        if not readings:
            return self.nothing.new_zeros(0, 1)
        spans = self.scorer([reading.features for reading in readings])[0].flatten(1)
        if self.can_be_none:
            best = [
                reading.features[:, -2].max() if reading.words else reading.question.new_zeros(())
                for reading in readings
            ]
            nothing = SCALE * (self.nothing[0] * torch.stack(best) + self.nothing[1])
        else:
            nothing = spans.new_full((len(readings),), NEVER / 2)
        return torch.cat([nothing[:, None], spans], dim=1)

    def _loss(
        self,
        readings: Sequence[Reading],
        right: Sequence[Sequence[Span]],
        targets: Sequence[Sequence[Answer]],
    ) -> Tensor:
        scores = self._scores(readings)
        wanted = torch.zeros(scores.shape, dtype=torch.bool)
        for row, (spans, target) in enumerate(zip(right, targets, strict=True)):
            wanted[row, 0] = not target
            for first, after in spans:
                if after - first <= self.scorer.longest:
                    wanted[row, 1 + first * self.scorer.longest + after - first - 1] = True
        found = torch.where(wanted, scores, 2 * NEVER).logsumexp(dim=1)
        losses = torch.where(wanted.any(dim=1), scores.logsumexp(dim=1) - found, 0.0)
        return losses.sum() / max(1, len(readings))

    def _prediction(self, text: str, reading: Reading, chances: Tensor) -> Prediction:
        """Return the prediction for one text from the probabilities of no answer and of its spans."""
        places: dict[str, tuple[Span | None, float]] = {}
        for index in chances.topk(min(4 * RANKED, len(chances))).indices.tolist():
            place = self._place(index, reading.words)
            if index and place is None:
                continue
            value = "" if place is None else text[slice(*place)]
            if value not in places and (chances[index] > 0 or not places):
                places[value] = place, self._chance(text, reading, chances, value)
        ranked = sorted(places.items(), key=lambda item: (-item[1][1], item[0]))[:RANKED]
        value, (place, chance) = ranked[0]
        parts = () if place is None else (Part(value, chance, *place),)
        return Prediction(value, chance, tuple((found, share) for found, (_, share) in ranked), parts=parts)

    def _chance(self, text: str, reading: Reading, chances: Tensor, value: str) -> float:
        """Return the probability of all spans that say `value`."""
        if not value:
            return float(chances[0])
        first_of = {start: number for number, (start, _) in enumerate(reading.words)}
        last_of = {end: number for number, (_, end) in enumerate(reading.words)}
        total = 0.0
        for start, first in first_of.items():
            last = last_of.get(start + len(value))
            if last is not None and text.startswith(value, start) and last - first < self.scorer.longest:
                total += float(chances[1 + first * self.scorer.longest + last - first])
        return min(total, 1.0)

    def _place(self, index: int, words: Sequence[Span]) -> Span | None:
        """Return where the span with this score stands in the text; None for no answer, and for no span."""
        first, length = divmod(index - 1, self.scorer.longest)
        if not index or first + length >= len(words):
            return None
        return words[first][0], words[first + length][1]


def _read(encoded: EncodedTexts) -> list[Reading]:
    """Read the contexts; a text without a mark is a context without a question."""
    contexts = [
        spans[0] if spans else (0, len(text))
        for text, spans in zip(encoded.texts, encoded.spans, strict=True)
    ]
    return [
        read_context(text, context, tokens)
        for text, context, tokens in zip(encoded.texts, contexts, encoded.tokens, strict=True)
    ]


def _right_spans(
    encoded: EncodedTexts, readings: Sequence[Reading], targets: Sequence[Sequence[Answer]]
) -> list[list[Span]]:
    """Return the answers of each text as spans in words, (first word, word after the last)."""
    result: list[list[Span]] = []
    for marks, reading, answers in zip(encoded.spans, readings, targets, strict=True):
        start = marks[0][0] if marks else 0
        result.append([])
        for place, answer in answers:
            begin, end = start + place, start + place + len(answer)
            inside = [
                number for number, (first, after) in enumerate(reading.words) if first < end and begin < after
            ]
            if inside:
                result[-1].append((inside[0], inside[-1] + 1))
    return result


def _cloned(reading: Reading) -> Reading:
    """Return a reading that is no inference tensor any more, and can be fitted to."""
    return Reading(reading.words, reading.features.clone(), reading.question.clone())


def _code(text: str) -> int:
    return zlib.crc32(text.encode())


def _answer(record: Record, context: str, value: Any) -> Answer:
    """Read {"text", "start"}, an answer and where it starts in the context."""
    if not isinstance(value, dict) or set(value) != {"text", "start"}:
        raise record.error(f'an answer is {{"text", "start"}}, found {value!r:.80}')
    text, start = value["text"], value["start"]
    if not isinstance(text, str) or not is_text(text) or not words_of(text):
        raise record.error(f"the text of an answer has a word at least, found {text!r:.80}")
    if not isinstance(start, int) or isinstance(start, bool):
        raise record.error(f"'start' of an answer is a whole number, found {start!r:.80}")
    if start < 0 or context[start : start + len(text)] != text:
        there = context.find(text)
        raise record.error(
            f"the context does not say {text!r:.60} at {start}",
            hint=f"it does at {there}"
            if there >= 0
            else "an answer is a piece of the context, to the letter",
        )
    if text != text.strip():
        raise record.error(f"the answer {text!r:.60} begins or ends with white space", hint="leave it out")
    return start, text
