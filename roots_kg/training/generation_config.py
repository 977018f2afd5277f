"""What `roots train` is told in YAML to train a model that writes texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from roots_kg.encoding.tokenizer_training import TokenizerConfig
from roots_kg.training.language_model_module import OptimizerConfig
from roots_kg.training.trainer_config import TrainerConfig

__all__ = ["GenerationTrainingConfig"]


@dataclass(frozen=True)
class GenerationTrainingConfig:
    """How a model is trained to write a target for a source, from nothing.

    Args:
        kind: "generation".
        data: the task's folder, from the folder of the config file on; `--data` wins.
        validation: a JSONL file of examples that are held out, likewise.
        held_out: without such a file, so many training examples are held out, drawn by the seed;
            never more than a tenth of them.
        start: a model of such a training to go on from, from the folder of the config file on, in place of
            new weights; its tokenizer with its slots and its shape stay, so `model` is left out.
        tokenizer: how to train one on the sources and targets together.
        slots: how many names of one source can be copied; 0 for none. Without triples in the data there are
            none either.
        orders: in how many orders of its triples each example is learned from, so that what a model knows
            does not hang on one; a multiple of the examples in memory, not of the steps.
        plain_names: of the names that a target writes in other words, the share that stands in its source
            without a slot, so that slots ask for names to be copied; see `generation.slots`.
        model: fields of `TransformerConfig`; the size of the vocabulary is the tokenizer's, and token types
            are two.
        optimizer: how.
        smoothing: the share of the probability that is spread over all tokens (label smoothing).
        batch_tokens: the most tokens of a batch, sources, targets and padding together.
        steps: of the optimizer.
        average: the decay of the moving average of the weights (Polyak & Juditsky 1992), which is the model
            that is judged and saved; 0 for the weights themselves.
        validate_every: steps from one look at the held-out examples, and one checkpoint, to the next.
        validation_texts: of how many held-out examples texts are written for BLEU, spread evenly; all count
            for the loss.
        patience: stop after so many looks without a better BLEU; 0 never stops early.
        read_orders: in how many orders of its triples the finished model reads a source; it takes that many
            times as long, and several are better than one, as of several models.
        beams: continuations that beam search follows in the finished model; looks at the held-out examples
            follow one.
        precision: "32", "bf16", or "auto" for bfloat16 where the device computes in it.
        trainer: where it runs, and in how many processes, which share the rows of a batch.
        seed: of everything that is drawn.
    """

    kind: Literal["generation"] = "generation"
    data: str | None = None
    validation: str | None = None
    held_out: int = 500
    start: str | None = None
    tokenizer: TokenizerConfig = field(default_factory=lambda: TokenizerConfig("bpe", 8_000))
    slots: int = 16
    orders: int = 1
    plain_names: float = 0.0
    model: dict[str, Any] = field(default_factory=dict)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    smoothing: float = 0.1
    batch_tokens: int = 2_048
    steps: int = 5_000
    average: float = 0.999
    validate_every: int = 500
    validation_texts: int = 200
    patience: int = 0
    read_orders: int = 1
    beams: int = 5
    precision: Literal["auto", "32", "bf16"] = "32"
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        self.trainer.require_whole_weights("is for pretraining")
        for name in (
            "held_out",
            "orders",
            "batch_tokens",
            "steps",
            "validate_every",
            "validation_texts",
            "read_orders",
            "beams",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")
        if self.slots < 0 or self.patience < 0:
            raise ValueError("slots and patience must be at least 0")
        for name in ("smoothing", "average", "plain_names"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, found {getattr(self, name)}")
        if self.start is not None and self.model:
            raise ValueError("start brings its own model; leave model out")
        for name in ("vocab_size", "token_types"):
            if name in self.model:
                raise ValueError(f"model: leave {name} out, which follows from the tokenizer and the task")
