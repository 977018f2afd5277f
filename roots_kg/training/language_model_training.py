"""Pretraining a language model with Lightning: from rows of tokens to trained weights."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from roots_kg.training.fit import fit
from roots_kg.training.language_model_module import LanguageModelModule
from roots_kg.training.progress import RichProgress
from roots_kg.training.token_file import TokenFile

__all__ = ["CHECKPOINT", "CURVE", "best_precision", "log_frequencies", "train_language_model"]

CHECKPOINT, CURVE = "last.ckpt", "curve.jsonl"


def train_language_model(
    module: LanguageModelModule,
    work: Path,
    *,
    validate_every: int = 500,
    validation_rows: int = 200,
    precision: str = "auto",
    progress: bool = False,
    resume: bool = False,
    **trainer: Any,
) -> list[dict[str, float]]:
    """Train a language model in place.

    Args:
        module: the model, its text and its objectives.
        work: an existing folder for the checkpoint and the loss curve.
        validate_every: after how many steps the held-out text is looked at and a checkpoint is written.
        validation_rows: how many held-out rows are looked at.
        precision: "32", "bf16", or "auto" for bfloat16 where the device computes in it.
        progress: show a bar with the loss and the tokens a second.
        resume: go on from the checkpoint in `work`.
        trainer: further arguments of `pytorch_lightning.Trainer`.

    Returns:
        The loss curve: for every `validate_every` steps, the step, the tokens read, CPU seconds, the training
        losses since, and what `LanguageModelModule.evaluate` found.
    """
    curve = _Curve(work / CURVE, validate_every, validation_rows)
    checkpoints = ModelCheckpoint(
        dirpath=work,
        filename=CHECKPOINT.removesuffix(".ckpt"),
        every_n_train_steps=validate_every,
        save_on_train_epoch_end=False,
        enable_version_counter=False,
    )
    callbacks: list[Callback] = (
        [RichProgress("pretraining", unit="tokens", size=torch.numel)] if progress else []
    )
    options: dict[str, Any] = {
        "accelerator": "cuda" if torch.cuda.is_available() else "cpu",
        "max_steps": module.steps,
        "max_epochs": -1,
        "accumulate_grad_batches": module.accumulate,
        "gradient_clip_val": module.settings.clip,
        "precision": best_precision()
        if precision == "auto"
        else {"32": "32-true", "bf16": "bf16-mixed"}[precision],
        "logger": False,
        "enable_model_summary": False,
        "enable_progress_bar": progress,
        "use_distributed_sampler": False,
        "callbacks": [*callbacks, curve, checkpoints, *trainer.pop("callbacks", [])],
        **trainer,
    }
    fit(module.train(), options, work / CHECKPOINT if resume else None)
    module.eval()
    return curve.points


def best_precision() -> str:
    """Return Lightning's name of the precision to train in: bfloat16 where the device computes in it."""
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
    """Looks at the held-out text every so many steps, and keeps what was found in a file of JSON lines."""

    def __init__(self, path: Path, every: int, rows: int) -> None:
        self.path, self.every, self.rows = path, every, rows
        self.points: list[dict[str, float]] = []
        self._sums: dict[str, list[float]] = {}
        self._cpu = 0.0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: LanguageModelModule) -> None:  # type: ignore[override]
        self._cpu = time.process_time() - (self.points[-1]["cpu_seconds"] if self.points else 0.0)
        if trainer.is_global_zero:
            self._write()

    def on_train_batch_end(  # type: ignore[override]
        self,
        trainer: lightning.Trainer,
        pl_module: LanguageModelModule,
        outputs: Any,
        batch: torch.Tensor,
        batch_idx: int,
    ) -> None:
        for name in pl_module.weights:
            value = trainer.callback_metrics.get(name)
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
        if pl_module.held_out is not None and trainer.is_global_zero:
            found = pl_module.evaluate(pl_module.held_out, self.rows)
            point |= {f"held_out_{name}": value for name, value in found.items()}
            self._cpu += time.process_time() - self._cpu - spent
        self.points.append(point)
        if trainer.is_global_zero:
            self._write()

    def state_dict(self) -> dict[str, Any]:
        return {"points": self.points}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.points = state_dict["points"]

    def _write(self) -> None:
        self.path.write_text("".join(json.dumps(point) + "\n" for point in self.points), encoding="utf-8")
