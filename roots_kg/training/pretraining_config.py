"""What `roots pretrain` is told in YAML."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from roots_kg.encoding.preprocessing import Step
from roots_kg.encoding.text_files import Documents
from roots_kg.encoding.tokenizer_training import TokenizerConfig
from roots_kg.errors import ConfigError
from roots_kg.training.language_model_module import OptimizerConfig
from roots_kg.training.trainer_config import TrainerConfig

__all__ = ["AdapterConfig", "Objectives", "PretrainingConfig", "find_texts"]


@dataclass(frozen=True)
class Objectives:
    """How often each objective is trained, as weights that need not add up to 1.

    Args:
        causal: predict each token from its left.
        masked: hide whole words and predict them where they stood.
        masked_next: hide whole words and predict them one position earlier.
        next_sentence: tell whether the second half of a row follows the first.
    """

    causal: float = 1.0
    masked: float = 0.0
    masked_next: float = 0.0
    next_sentence: float = 0.0

    def __post_init__(self) -> None:
        weights = [getattr(self, each.name) for each in fields(self)]
        if min(weights) < 0 or max(weights) == 0:
            raise ValueError("the weights of the objectives must be at least 0, and one of them above")

    @property
    def only_causal(self) -> bool:
        """Whether nothing but the next token is predicted."""
        return not (self.masked or self.masked_next or self.next_sentence)


@dataclass(frozen=True)
class AdapterConfig:
    """A low-rank adapter, trained in place of the weights of `base`.

    Args:
        rank: of its matrices.
        embedding_rank: of its embeddings.
    """

    rank: int = 64
    embedding_rank: int = 64

    def __post_init__(self) -> None:
        if self.rank < 1 or self.embedding_rank < 1:
            raise ValueError("the ranks of an adapter must be at least 1")


@dataclass(frozen=True)
class PretrainingConfig:
    """A pretraining run.

    Args:
        kind: "pretraining".
        text: files to train on, plain or compressed, with wildcards; from the folder of the config file on.
        validation: files that are held out, likewise.
        documents: whether each file is a document, or each line.
        preprocessing: what is done to the text before it is cut into tokens.
        tokenizer: how to train one, or a `tokenizer.json`; that of `base` if there is one.
        model: fields of `TransformerConfig`; the size of the vocabulary is the tokenizer's.
        base: a pretrained encoder to start from, by name or folder.
        adapter: train an adapter for the causal reading of `base`, which stays as it is.
        objectives: what is predicted.
        optimizer: how.
        length: L, tokens in a row.
        batch_size: B, rows in a batch.
        accumulate: batches in a step.
        steps: of the optimizer.
        mask_rate: the share of tokens that is hidden.
        sampled: see `LanguageModelHead.loss`.
        validate_every: steps from one look at the held-out text, and one checkpoint, to the next.
        validation_rows: rows of the held-out text that are looked at.
        precision: "32", "bf16", or "auto" for bfloat16 where the device computes in it.
        trainer: where it runs, and in how many processes, which share the rows of a batch.
        seed: of everything that is drawn.
    """

    kind: Literal["pretraining"] = "pretraining"
    text: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    documents: Documents = "file"
    preprocessing: tuple[Step, ...] = ()
    tokenizer: str | TokenizerConfig | None = None
    model: dict[str, Any] = field(default_factory=dict)
    base: str | None = None
    adapter: AdapterConfig | None = None
    objectives: Objectives = field(default_factory=Objectives)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    length: int = 256
    batch_size: int = 16
    accumulate: int = 1
    steps: int = 1_000
    mask_rate: float = 0.15
    sampled: int = 0
    validate_every: int = 100
    validation_rows: int = 200
    precision: Literal["auto", "32", "bf16"] = "auto"
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batch_size", "accumulate", "steps", "validate_every", "validation_rows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")
        if self.batch_size < self.trainer.devices:
            raise ValueError(f"batch_size must be at least the {self.trainer.devices} devices that share it")
        if self.adapter is not None:
            self.trainer.require_whole_weights("is of no use to an adapter, whose weights are few")
        if self.objectives.next_sentence:
            self.trainer.require_whole_weights("cannot train next_sentence")
        if self.length < 8:
            raise ValueError(f"length must be at least 8 tokens, found {self.length}")
        if not 0 < self.mask_rate < 1:
            raise ValueError(f"mask_rate must be above 0 and below 1, found {self.mask_rate}")
        if self.sampled < 0:
            raise ValueError(f"sampled must be at least 0, found {self.sampled}")
        if self.base is not None and (self.model or self.tokenizer is not None):
            raise ValueError("base brings its own model and tokenizer; leave these out")
        if self.adapter is not None and self.base is None:
            raise ValueError("an adapter needs a base to adapt")
        if self.adapter is not None and not self.objectives.only_causal:
            raise ValueError("an adapter is trained for the causal reading; the other objectives must be 0")


def find_texts(patterns: Sequence[str], folder: Path, path: Path | None) -> list[Path]:
    """Return the files that patterns name, in order, without repeats.

    Args:
        patterns: paths with wildcards, relative to `folder`.
        folder: usually that of the config file.
        path: the config file, for messages.

    Raises:
        ConfigError: if a pattern names no file.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        wild = glob.has_magic(pattern)
        matches = sorted(glob.glob(pattern, root_dir=folder, recursive=True)) if wild else [pattern]
        if not matches:
            raise ConfigError(f"no file fits {pattern!r}", path=path, hint=f"looked in {folder}")
        found.update(dict.fromkeys(folder / match for match in matches))
    return list(found)
