"""The slow tier: the encoder itself is tuned for a head, through a low-rank adapter of its trunk.

An adapter and the head's own parameters are trained together on what the head's `objective` asks for, with
dropout in the trunk. How many passes over the support set help is told by examples that are held out of it:
every few passes the head is fitted on the rest with the encoder as it then stands, and judged on them. If no
number of passes beats the encoder as it was, it stays as it was; otherwise the adapter is trained anew on all
examples, for as many passes as were good.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.heads.base import Example, Head
from roots_kg.adaptation.objective import Objective
from roots_kg.encoding.adapters import LowRankAdapter
from roots_kg.encoding.interface import Encoder
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.encoding.transformer import Transformer
from roots_kg.errors import TaskError, UsageError
from roots_kg.fusion.encoder import EncodedTexts, KnowledgeEncoder, MarkedText, Text, plain_text

__all__ = ["TuneConfig", "Tuned", "tune"]

MOST_HELD_OUT = 500
SMALLEST_BATCH, BATCHES_A_PASS = 8, 16
POOL = 4
"""Texts are sorted by length within so many batches, so that little is wasted on padding."""

WARM_UP, CLIP = 0.1, 1.0

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TuneConfig:
    """How an encoder is tuned.

    Args:
        rank: of the adapter's matrices; the embeddings of tokens stay as they are.
        learning_rate: of the adapter, at its highest.
        dropout: in the trunk.
        passes: over the support set, at most, unless that makes too few steps.
        steps: how many steps the passes make at the least.
        batch_size: texts a step, at most; a small support set has smaller batches.
        looks: how often at most the held-out examples are asked.
        held_out: the share of the support set that is held out to tell when to stop.
        seed: of all that is drawn.
    """

    rank: int = 16
    learning_rate: float = 1e-3
    dropout: float = 0.1
    passes: int = 10
    steps: int = 200
    batch_size: int = 32
    looks: int = 4
    held_out: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.rank, self.passes, self.steps, self.batch_size, self.looks) < 1:
            raise ValueError("rank, passes, steps, batch_size and looks must be at least 1")
        if not 0 < self.held_out < 1 or not 0 <= self.dropout < 1 or self.learning_rate <= 0:
            raise ValueError("held_out and dropout are shares below 1, and the learning rate is above 0")


@dataclass(frozen=True)
class Tuned:
    """What came of tuning.

    Args:
        adapter: of the encoder's trunk, or None if the encoder is better left as it is.
        told: plain data that tells a person what was found.
        objective: what was minimised, as it stands at the end; None without an adapter.
        calibration: what the head made of the examples that were held out; see `Head.calibrate`.
    """

    adapter: LowRankAdapter | None
    told: dict[str, Any]
    objective: Objective | None = None
    calibration: Any = None


def tune(
    layers: KnowledgeEncoder,
    head: Head,
    support: Sequence[Example],
    config: FewShotConfig,
    tuning: TuneConfig | None = None,
    progress: Progress | None = None,
) -> Tuned:
    """Tune the encoder of layers 1 and 2 for a head.

    The layers are as before when this returns; the head has been fitted on the way, and is to be fitted again
    on the encoder that is used from then on.

    Args:
        layers: what reads texts.
        head: a head of the task.
        support: the labelled examples.
        config: how the head is fitted.
        tuning: how the encoder is tuned.
        progress: called with the number of passes done and how many there are at most.

    Raises:
        UsageError: if this encoder cannot be tuned.
        TaskError: if the support set cannot be learned from, if the head does not learn through the encoder,
            or if its loss is not a number.
    """
    tuning, encoder = tuning or TuneConfig(), _tunable(layers, head)
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), _kept(layers, head):
        return _tune(layers, head, encoder, support, config, tuning, progress)


def _tune(
    layers: KnowledgeEncoder,
    head: Head,
    encoder: TextEncoder,
    support: Sequence[Example],
    config: FewShotConfig,
    tuning: TuneConfig,
    progress: Progress | None,
) -> Tuned:
    head.fit(support, _encode(layers, head), config)  # which finds what is wrong, and the labels
    held = _held_out(support, head, tuning)
    if not held:
        return Tuned(None, {"tuned": False, "held_out": 0})
    learned = [example for index, example in enumerate(support) if index not in held]
    judged = [support[index] for index in sorted(held)]
    metric = next(iter(head.task.metrics or head.default_metrics))

    def judge(training: _Training | None = None) -> tuple[float, float, Any]:
        """Return the first metric on the examples that are held out, minus the loss, and a calibration."""
        encode = _encode(layers, head)
        head.fit(learned, encode, config)
        if training is not None:
            head.adopt(training.objective, None)
        encoded = encode([example.text for example in judged], read=head.reads_texts)
        targets = [example.target for example in judged]
        with torch.no_grad():
            found = head.judge(head.decode(encoded), targets)[metric]
            calibration = head.calibrate(encoded, targets, config)
            return found, -_finite(head.loss(encoded, targets), head), calibration

    before = judge()
    training = _Training(layers, head, encoder, learned, config, tuning)
    looks: list[tuple[int, tuple[float, float, Any]]] = []
    look_every = math.ceil(training.passes / tuning.looks)
    for done in range(1, training.passes + 1):
        training.run_pass()
        if progress is not None:
            progress(done, 2 * training.passes)
        if done % look_every == 0 or done == training.passes:
            with training.settled():
                looks.append((done, judge(training)))
    passes, best = _best_look(before, looks, len(judged))
    adapter = objective = None
    if passes:
        share = passes / training.passes
        final = _Training(layers, head, encoder, support, config, tuning, share)
        for done in range(1, final.passes + 1):
            final.run_pass()
            if progress is not None:
                progress(training.passes + done, training.passes + final.passes)
        adapter, objective = final.adapter.requires_grad_(False).eval(), final.objective
    told = {
        "tuned": adapter is not None,
        "held_out": len(judged),
        "passes": passes,
        f"held_out_{metric}_before": before[0],
        f"held_out_{metric}": best[0],
    }
    return Tuned(adapter, told, objective, best[2])


class _Training:
    """An adapter in training.

    Args:
        layers: layers 1 and 2, whose encoder is exchanged while a pass runs.
        head: the head, fitted.
        encoder: the encoder as it is untuned.
        examples: what is learned from.
        config: how the head is fitted.
        tuning: how the encoder is tuned.
        share: of the passes that `tuning` asks for.

    `passes` is how many there are at most, `objective` what is minimised.
    """

    def __init__(
        self,
        layers: KnowledgeEncoder,
        head: Head,
        encoder: TextEncoder,
        examples: Sequence[Example],
        config: FewShotConfig,
        tuning: TuneConfig,
        share: float = 1.0,
    ) -> None:
        self._layers, self._head, self._encoder = layers, head, encoder
        layers.encoder = encoder
        encode = _encode(layers, head)
        head.fit(examples, encode, config)
        torch.manual_seed(tuning.seed)
        self._draw = random.Random(tuning.seed)
        trunk: Transformer = encoder.encoder.trunk
        self.adapter = LowRankAdapter(trunk, tuning.rank, 0).requires_grad_(True).train()
        self.objective = head.objective(examples, encode)
        count = len(self.objective.examples)
        self._size = min(tuning.batch_size, max(SMALLEST_BATCH, count // BATCHES_A_PASS))
        batches = math.ceil(count / self._size)
        self.passes = math.ceil(share * max(tuning.passes, math.ceil(tuning.steps / batches)))
        self._dropout = tuning.dropout
        own = [parameter for parameter in self.objective.parameters() if parameter.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": list(self.adapter.parameters()), "lr": tuning.learning_rate}
        ]
        if own:
            groups.append({"params": own, "lr": self.objective.learning_rate})
        self._optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
        total = self.passes * batches
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda step: min(1.0, (step + 1) / (WARM_UP * total), max(0.0, 1 - step / total))
        )

    def run_pass(self) -> None:
        """Train on every example once."""
        trunk = self._encoder.encoder.trunk
        with torch.enable_grad(), _dropping(trunk, self._dropout):
            self._layers.encoder = self._encoder.with_adapter(self.adapter)
            for batch in self._batches():
                encoded = self._seen([text for text, _ in batch])
                loss = self.objective(encoded, [target for _, target in batch])
                _finite(loss, self._head)
                self._optimizer.zero_grad()
                if loss.requires_grad:
                    loss.backward()
                if all(parameter.grad is None for parameter in self.adapter.parameters()):
                    raise TaskError(
                        f"the head {self._head.task.head!r} does not learn through the encoder: its loss has "
                        "no gradient to the texts",
                        hint="adapt without tuning the encoder",
                    )
                nn.utils.clip_grad_norm_(self.adapter.parameters(), CLIP)
                self._optimizer.step()
                self._schedule.step()

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Let the layers read with the adapter as it stands."""
        self._layers.encoder = self._encoder.with_adapter(self.adapter.eval())
        yield
        self.adapter.train()

    def _seen(self, texts: Sequence[Text]) -> EncodedTexts:
        encoded: EncodedTexts = self._layers(texts, **self.objective.asks)
        return self._head.seen(encoded)

    def _batches(self) -> Iterator[list[tuple[Text, Any]]]:
        """Yield all examples in batches of texts of similar length."""
        examples = self._draw.sample(self.objective.examples, len(self.objective.examples))
        pool, batches = POOL * self._size, []
        for begin in range(0, len(examples), pool):
            part = sorted(examples[begin : begin + pool], key=lambda example: _length(example[0]))
            batches += [part[start : start + self._size] for start in range(0, len(part), self._size)]
        self._draw.shuffle(batches)
        yield from batches


def _best_look(
    before: tuple[float, float, Any], looks: Sequence[tuple[int, tuple[float, float, Any]]], count: int
) -> tuple[int, tuple[float, float, Any]]:
    """Return after how many passes to stop, 0 for not to begin, and what was found then.

    Of the looks that beat what was found before, it is the last one that is about as good as the best: whose
    metric is not less by more than its standard error as a share of `count` examples. The learning rate falls
    until the end, and few examples tell little of when to stop earlier.
    """
    better = [look for look in looks if look[1][:2] > before[:2]]
    if not better:
        return 0, before
    best = max(metric for _, (metric, _, _) in better)
    error = math.sqrt(max(0.0, best * (1 - best)) / count)
    return [look for look in better if look[1][0] >= best - error][-1]


def _tunable(layers: KnowledgeEncoder, head: Head) -> TextEncoder:
    """Return the encoder, if it can be tuned for a head."""
    encoder = layers.encoder
    if not isinstance(encoder, TextEncoder):
        raise UsageError(
            "an encoder that belongs to transformers cannot be tuned",
            hint="load it with `TextEncoder.from_pretrained`, if it is of a family known there",
        )
    if encoder.tuning is not None:
        raise UsageError("the encoder has been tuned before", hint="tune the one that it was made from")
    reading = head.task.reading or encoder.reading
    if reading != "bidirectional":
        raise UsageError(
            f"texts are read in the {reading} way, and tuning changes the bidirectional reading only",
            hint="write `reading: bidirectional` into task.yaml, if the encoder can be read so",
        )
    if not (head.reads_texts or head.reads_questions):
        raise TaskError(
            f"the head {head.task.head!r} reads no vectors of texts, so that there is nothing to tune for it",
            hint="adapt without tuning the encoder",
        )
    return encoder


def _held_out(support: Sequence[Example], head: Head, tuning: TuneConfig) -> set[int]:
    """Return which examples are held out; of each label of the head at least one is not."""
    labels = set(getattr(head, "labels", ()))
    values = [head.value_of(example.target) for example in support]
    left = Counter(values)
    wanted = min(MOST_HELD_OUT, round(tuning.held_out * len(support)))
    held: set[int] = set()
    for index in random.Random(tuning.seed).sample(range(len(support)), len(support)):
        if len(held) < wanted and (values[index] not in labels or left[values[index]] > 1):
            held.add(index)
            left[values[index]] -= 1
    return held


def _encode(layers: KnowledgeEncoder, head: Head) -> Callable[..., EncodedTexts]:
    """Return what reads texts for a head with the encoder that the layers have at the time."""

    @torch.no_grad()
    def encode(texts: Sequence[Text], *, read: bool = True) -> EncodedTexts:
        return head.seen(layers(texts, read=read, **head.asks))

    return encode


def _finite(loss: Tensor, head: Head) -> float:
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TaskError(
            f"the loss of the head {head.task.head!r} is {value}, and nothing can be learned from that",
            hint="a lower learning rate may help, if the head is right",
        )
    return value


def _length(text: Text) -> int:
    second = text.second if isinstance(text, MarkedText) else None
    return len(plain_text(text)) + (len(plain_text(second)) if second is not None else 0)


@contextmanager
def _dropping(trunk: Transformer, share: float) -> Iterator[None]:
    """Let a trunk drop a share of its hidden values, as long as this lasts."""
    dropouts = [part for part in trunk.modules() if isinstance(part, nn.Dropout)]
    before = [part.p for part in dropouts]
    training = trunk.training
    trunk.train()
    for part in dropouts:
        part.p = share
    try:
        yield
    finally:
        trunk.train(training)
        for part, own in zip(dropouts, before, strict=True):
            part.p = own


@contextmanager
def _kept(layers: KnowledgeEncoder, head: Head) -> Iterator[None]:
    """Let layers read as a head asks, and afterwards give them back their own encoder and reading."""
    encoder: Encoder = layers.encoder
    reading, layers.reading = layers.reading, head.task.reading
    try:
        yield
    finally:
        layers.encoder, layers.reading = encoder, reading
