"""Pretraining a language model with Lightning: from rows of tokens to trained weights."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback

from roots_kg.training.fit import fit, trainer_options
from roots_kg.training.language_model_module import LanguageModelModule
from roots_kg.training.progress import RichProgress
from roots_kg.training.runs import Run, log_now
from roots_kg.training.sharded import ShardedStrategy
from roots_kg.training.token_file import TokenFile
from roots_kg.training.trainer_config import TrainerConfig

__all__ = ["log_frequencies", "precision_name", "train_language_model"]


def train_language_model(
    module: LanguageModelModule,
    run: Run | None = None,
    *,
    validate_every: int = 500,
    validation_rows: int = 200,
    precision: str = "auto",
    progress: bool = False,
    on: TrainerConfig | None = None,
    **trainer: Any,
) -> list[dict[str, float]]:
    """Train a language model in place.

    Args:
        module: the model, its text and its objectives.
        run: where it keeps its checkpoint and its log.
        validate_every: after how many steps the held-out text is looked at.
        validation_rows: how many held-out rows are looked at.
        precision: "32", "bf16", or "auto" for bfloat16 where the device computes in it.
        progress: show a bar with the loss and the tokens a second.
        on: where it runs, and in how many processes.
        trainer: further arguments of `pytorch_lightning.Trainer`.

    Returns:
        The loss curve: for every `validate_every` steps, the step, the tokens read, CPU seconds, the training
        losses since, and what `LanguageModelModule.evaluate` found.
    """
    run, curve = run or Run(), _Curve(validate_every, validation_rows)
    options = trainer_options(
        run,
        module.steps,
        RichProgress("pretraining", unit="tokens", size=torch.numel) if progress else None,
        [curve],
        on=on,
        max_steps=module.steps,
        max_epochs=-1,
        accumulate_grad_batches=module.accumulate,
        gradient_clip_val=module.settings.clip,
        precision=precision_name(precision),
        **trainer,
    )
    fit(module.train(), run, options)
    module.eval()
    return curve.points


def precision_name(stated: str) -> str:
    """Return Lightning's name of a precision; of "auto", bfloat16 where the device computes in it."""
    if stated != "auto":
        return {"32": "32-true", "bf16": "bf16-mixed"}[stated]
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    return "bf16-mixed" if torch.cpu._is_amx_tile_supported() else "32-true"


def log_frequencies(text: TokenFile, vocab_size: int) -> torch.Tensor:
    """Return the logarithm of how often each token stands in the text, (V,), shifted to a mean of 0.

    An output bias that starts there need not learn it, which would take it thousands of steps.
    """
    counts = np.ones(vocab_size)
    for start in range(0, len(text.tokens), 1 << 20):
        counts += np.bincount(text.tokens[start : start + (1 << 20)], minlength=vocab_size)
    logarithms = torch.from_numpy(np.log(counts)).float()
    return logarithms - logarithms.mean()


class _Curve(Callback):
    """Looks at the held-out text every so many steps, and logs and remembers what was found."""

    def __init__(self, every: int, rows: int) -> None:
        self.every, self.rows = every, rows
        self.points: list[dict[str, float]] = []
        self._sums: dict[str, list[float]] = {}
        self._cpu = 0.0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: LanguageModelModule) -> None:  # type: ignore[override]
        self._cpu = time.process_time() - (self.points[-1]["cpu_seconds"] if self.points else 0.0)

    def on_train_batch_end(  # type: ignore[override]
        self,
        trainer: lightning.Trainer,
        pl_module: LanguageModelModule,
        outputs: Any,
        batch: torch.Tensor,
        batch_idx: int,
    ) -> None:
        for name in pl_module.weights:
            value = trainer.callback_metrics.get(f"{name}_loss")
            if value is not None:
                self._sums.setdefault(name, []).append(float(value))
        step = trainer.global_step
        accumulated = (batch_idx + 1) % pl_module.accumulate == 0
        if not accumulated or (step % self.every and step != pl_module.steps):
            return
        spent = time.process_time() - self._cpu
        point: dict[str, float] = {"step": step, "tokens": step * batch.numel() * pl_module.accumulate}
        point |= {name: sum(values) / len(values) for name, values in self._sums.items()}
        point["cpu_seconds"] = spent
        self._sums.clear()
        together = isinstance(trainer.strategy, ShardedStrategy)
        if pl_module.held_out is not None and (trainer.is_global_zero or together):
            found = pl_module.evaluate(pl_module.held_out, self.rows)
            judged = {f"held_out_{name}": value for name, value in found.items()}
            log_now(trainer, judged)
            point |= judged
            self._cpu += time.process_time() - self._cpu - spent
        self.points.append(point)

    def state_dict(self) -> dict[str, Any]:
        return {"points": self.points, "sums": self._sums}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.points, self._sums = state_dict["points"], state_dict["sums"]
