"""The contract of a task head: what it reads, how it is fitted, what it predicts, how it is judged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.modules import FeatureModule
from roots_kg.adaptation.objective import HeadObjective, Objective
from roots_kg.adaptation.sample_tasks import SampleTask
from roots_kg.adaptation.task import Record, Task, label_text
from roots_kg.encoding.decoding.text_rules import TextRule
from roots_kg.errors import TaskError, nearest
from roots_kg.fusion.encoder import EncodedTexts, Knowledge, Text, plain_text

__all__ = ["Encode", "Example", "Head", "Part", "Prediction"]


class Encode(Protocol):
    """Texts to layers 1 and 2; where texts are not `read`, there are links and questions, but no features."""

    def __call__(self, texts: Sequence[Text], *, read: bool = True) -> EncodedTexts: ...  # noqa: D102


@dataclass(frozen=True)
class Example:
    """A text and what a head should make of it.

    Args:
        text: the input.
        target: what is right, in the head's own form.
        record: the line it came from, for messages.
    """

    text: Text
    target: Any
    record: Record


@dataclass(frozen=True)
class Part:
    """One of several decisions that make up an answer.

    Args:
        label: what was decided.
        probability: of it alone, in [0, 1].
        start: the first character of the span that it is about; None if it is about the whole text.
        end: the character after its last.
    """

    label: str
    probability: float
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True)
class Prediction:
    """What a head makes of one text.

    Args:
        value: the answer: a label, the key of an entity, or a text; of a head that makes several decisions a
            tuple of them, in the order of `parts`.
        probability: of `value`, in [0, 1].
        ranked: the best answers with their probabilities, best first, `value` in front.
        evidence: triples that may have led to it, most weighty first, with their weights.
        inferred: triples that led to it and are not in the graph: head, relation and tail ids, and weights.
        parts: of a head that makes several decisions, each with its own probability.
        in_scope: whether the text is one that the head was adapted to; always, unless it was told to reject.
        scope: how much the text is like those, to be compared between texts; 0 of a head that cannot tell.
    """

    value: Any
    probability: float
    ranked: tuple[tuple[Any, float], ...]
    evidence: tuple[tuple[int, float], ...] = field(default=())
    inferred: tuple[tuple[int, int, int, float], ...] = field(default=())
    parts: tuple[Part, ...] = field(default=())
    in_scope: bool = True
    scope: float = 0.0

    def stated(self, text: Text) -> dict[str, Any]:
        """Return its text and what is told of it, as one row of an output."""
        row: dict[str, Any] = {
            "text": plain_text(text),
            "prediction": self.value,
            "probability": self.probability,
            "ranked": self.ranked,
            "in_scope": self.in_scope,
            "scope": self.scope,
        }
        return {**row, "parts": self.parts} if self.parts else row


class Head(nn.Module, ABC):
    """A task head.

    A head's learned state is its parameters and buffers, saved as safetensors; whatever else it needs to be
    built again is what `settings` returns, plain data that goes through JSON.

    Args:
        task: the task it serves.
        size: d, the size of a text vector.
        knowledge: the graph, or None.
        settings: what `settings` returned when it was saved; None for a new head.

    Raises:
        TaskError: if it needs a graph and there is none, or if the task names a metric that it does not know.
    """

    needs_knowledge: ClassVar[bool] = False
    """Whether the head can do nothing without a graph."""

    reads_fusion: ClassVar[bool] = True
    """Whether the head reads what fusion gives: `knowledge`, `attention` and `gates` of the encoded texts."""

    reads_texts: ClassVar[bool] = True
    """Whether the head reads `features` of the texts that it predicts for."""

    reads_tokens: ClassVar[bool] = False
    """Whether the head reads `tokens` of the encoded texts."""

    reads_questions: ClassVar[bool] = False
    """Whether the head reads `questions` of the encoded texts."""

    compares_features: ClassVar[bool] = False
    """Whether what `fit` compares texts by is `features`, which may then be seen through a module."""

    exclusive: ClassVar[bool] = True
    """Whether answers exclude each other, so that the probabilities of several add up to at most 1."""

    single_label: ClassVar[bool] = False
    """Whether the head chooses one of its labels for a text, can weigh them, reject, and learn one more."""

    judges_fast: ClassVar[bool] = True
    """Whether metrics can be computed hundreds of times over, to find their intervals."""

    writes: ClassVar[bool] = False
    """Whether the head writes texts, which obey its `text_rules`."""

    default_metrics: ClassVar[tuple[str, ...]]
    """The metrics reported when the task names none."""

    metric_names: ClassVar[tuple[str, ...]] = ()
    """Every metric that `metrics` returns, so that a task that names another is refused before any work."""

    sample_task: ClassVar[SampleTask | None] = None
    """A tiny task for this head: what `roots tasks new` writes, and what the contract is checked with."""

    def __init__(
        self, task: Task, size: int, knowledge: Knowledge | None, settings: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.task, self.size, self.knowledge = task, size, knowledge
        self.text_rules: tuple[TextRule, ...] = ()  # no part of the state: they are given where it is used
        self.module: FeatureModule | None = None  # what a meta-trained learner lets it see features through
        if self.needs_knowledge and knowledge is None:
            raise TaskError(f"the head {task.head!r} needs a graph", hint="name one with `--knowledge`")
        if self.metric_names:
            self._check_metrics(self.metric_names)

    @property
    def asks(self) -> dict[str, bool]:
        """What the head wants of `KnowledgeEncoder.forward`, by the names of its arguments."""
        return {"fuse": self.reads_fusion, "ask": self.reads_questions, "tokens": self.reads_tokens}

    @property
    def reads_vectors(self) -> bool:
        """Whether the head itself reads the graph's vectors, and so needs those it was fitted with."""
        return False

    def text(self, record: Record) -> Text:
        """Read what a line says to predict from, whether or not it says what is right.

        Raises:
            TaskError: if the line lacks something or does not fit the head.
        """
        return record.text("text")

    @abstractmethod
    def example(self, record: Record) -> Example:
        """Read one line of an examples file.

        Raises:
            TaskError: if the line lacks something or does not fit the head.
        """

    @abstractmethod
    def sample(self, examples: Sequence[Example], shots: int, seed: int) -> list[Example]:
        """Draw the support set: `shots` examples of each class, or in all where there are no classes."""

    @abstractmethod
    def fit(self, support: Sequence[Example], encode: Encode, config: FewShotConfig) -> dict[str, Any]:
        """Adapt to a support set.

        Args:
            support: the labelled examples.
            encode: texts to layers 1 and 2.
            config: how.

        Returns:
            Plain data that tells a person what was chosen.

        Raises:
            TaskError: if the support set cannot be learned from.
        """

    @abstractmethod
    def forward(self, encoded: EncodedTexts) -> Tensor:
        """Score encoded texts; what the scores are is the head's own affair."""

    @abstractmethod
    def loss(self, encoded: EncodedTexts, targets: Sequence[Any]) -> Tensor:
        """Return the mean training loss over encoded texts with these targets."""

    @abstractmethod
    def decode(self, encoded: EncodedTexts) -> list[Prediction]:
        """Predict, one prediction a text."""

    @abstractmethod
    def support_of(self, encoded: EncodedTexts, value: Any) -> list[float]:
        """Return the probability of the answer `value` for each text, for measuring evidence."""

    @abstractmethod
    def metrics(self, predictions: Sequence[Prediction], targets: Sequence[Any]) -> dict[str, float]:
        """Judge predictions by every metric that the head knows, by name."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return what `__init__` needs to build this head again, as plain data."""

    def objective(self, support: Sequence[Example], encode: Encode) -> Objective:
        """Return what is minimised when the encoder is tuned for this head, which has been fitted to it.

        Args:
            support: the labelled examples.
            encode: texts to layers 1 and 2, as yet untuned.
        """
        return HeadObjective(self, [(example.text, example.target) for example in support])

    def calibrate(self, encoded: EncodedTexts, targets: Sequence[Any], config: FewShotConfig) -> Any:
        """Return what texts that were not learned from tell of how sure the head may be, for `adopt`."""
        return None

    def adopt(self, objective: Objective, calibration: Any) -> None:
        """Take what was found while the encoder was tuned; the head has been fitted with that encoder.

        Args:
            objective: what was minimised, with the parameters that were trained beside the encoder's.
            calibration: what `calibrate` returned for examples that were held out.
        """

    def diagnostics(self, predictions: Sequence[Prediction], targets: Sequence[Any]) -> dict[str, float]:
        """Return what is worth knowing of predictions beside the metrics, by name."""
        return {}

    def value_of(self, target: Any) -> Any:
        """Return what `Prediction.value` is if a target is met; None where no single answer stands for it."""
        return target

    def name_text(self, label: str) -> Text:
        """Return what is encoded for the name of a label: what the task says that it stands for."""
        return self.task.labels.get(label, label_text(label))

    def vectors(self, encoded: EncodedTexts) -> Tensor:
        """Return what texts, or `name_text` of labels, are compared by: (B, f), of length 1.

        It depends on nothing that a fit has learned, and has gradients to the encoder where `encoded` has: an
        encoder can be meta-trained by it.
        """
        return encoded.features

    def seen(self, encoded: EncodedTexts) -> EncodedTexts:
        """Return texts with their features as the head sees them, through its module if it has one."""
        if self.module is None:
            return encoded
        return replace(encoded, features=self.module(encoded.features))

    def display(self, value: Any) -> str:
        """Return what a person is shown for the answer `value`."""
        return str(value)

    def judge(self, predictions: Sequence[Prediction], targets: Sequence[Any]) -> dict[str, float]:
        """Judge predictions by the task's metrics.

        Raises:
            TaskError: if the task names a metric that the head does not know.
        """
        known = self.metrics(predictions, targets)
        self._check_metrics(known)
        return {name: known[name] for name in self.task.metrics or self.default_metrics}

    def _check_metrics(self, known: Iterable[str]) -> None:
        known = tuple(known)
        for name in self.task.metrics:
            if name not in known:
                raise TaskError(
                    f"the head {self.task.head!r} has no metric {name!r}",
                    path=self.task.folder and self.task.folder / "task.yaml",
                    hint=nearest(name, known),
                )
