"""Training a model that writes texts as a whole: a task's examples in, a model out."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback
from safetensors.torch import load_file, save_file

from roots_kg.adaptation.generation.adapting import mean_loss
from roots_kg.adaptation.generation.writer import SourceTokens, Writer
from roots_kg.adaptation.heads.generation import GenerationHead, longest
from roots_kg.adaptation.task import Task, read_records
from roots_kg.bundle import ensure_replaceable
from roots_kg.config import from_mapping, to_mapping
from roots_kg.encoding.hybrid import HybridEncoder
from roots_kg.encoding.language_model import LanguageModelHead
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.encoding.tokenization import Tokenizer
from roots_kg.encoding.transformer import Transformer, TransformerConfig
from roots_kg.errors import TaskError, UsageError
from roots_kg.metrics import text_metrics
from roots_kg.model import RootsModel
from roots_kg.model_store import KIND
from roots_kg.threads import some_threads
from roots_kg.training.fit import fit, trainer_options
from roots_kg.training.generation_config import GenerationTrainingConfig
from roots_kg.training.generation_data import LAYOUT, Rows, make_rows, split, train_pair_tokenizer
from roots_kg.training.generation_module import GenerationModule
from roots_kg.training.language_model_training import precision_name
from roots_kg.training.progress import RichProgress
from roots_kg.training.runs import Run, file_sizes, log_now, run_folder

__all__ = ["BEST", "TOKENIZER", "GenerationResult", "train_generation"]

BEST, TOKENIZER = "best.safetensors", "tokenizer.json"


@dataclass(frozen=True)
class GenerationResult:
    """What a training brought forth.

    Args:
        model: the model, which is also in its folder.
        examples: how many were learned from.
        left_out: how many rows were too long to learn from.
        curve: for each look at the held-out examples the step, the mean training loss since the last, and
            the loss and BLEU of the averaged weights on the held-out examples.
        best: the one of them whose weights the model has.
        seconds: CPU seconds of this process.
    """

    model: RootsModel
    examples: int
    left_out: int
    curve: list[dict[str, float]]
    best: dict[str, float]
    seconds: float


def train_generation(
    task: Task,
    config: GenerationTrainingConfig,
    out: Path,
    validation: Path | None = None,
    *,
    start: Path | None = None,
    resume: bool = False,
    tensorboard: Path | None = None,
    threads: int = 1,
    progress: bool = False,
    **trainer: Any,
) -> GenerationResult:
    """Train a model to write from a task's training examples, and save it.

    Args:
        task: whose head is `generation`.
        config: how.
        out: the folder to write; `runs.work_folder(out)` is used on the way, and stays if the run is
            stopped.
        validation: a JSONL file of examples that are held out; without one, some of `task.train` are.
        start: a model to go on from, in place of new weights.
        resume: go on with a run that was stopped.
        tensorboard: a folder for a log that TensorBoard reads.
        threads: that torch uses.
        progress: show a bar.
        trainer: further arguments of `pytorch_lightning.Trainer`.

    Raises:
        TaskError: if the task has another head, or its examples cannot be learned from.
        UsageError, ConfigError: if a run cannot be resumed, or lies there and shall not be, or if `start` is
            no model that writes.
    """
    started = time.process_time()
    if task.head != "generation":
        raise TaskError(f"the task {task.name!r} has the head {task.head!r}", hint="it must be generation")
    if task.train is None:
        raise TaskError(f"the task {task.name!r} has no training examples")
    ensure_replaceable(out, kind=KIND)
    files = [task.train, *([validation] if validation is not None else [])]
    examples, held = (
        [GenerationHead(task, 1, None).example(each) for each in read_records(path)]
        for path in (files[0], files[-1])
    )
    if validation is None:
        examples, held = split(examples, config.held_out, config.seed)
    stated = {"config": to_mapping(config), "data": file_sizes(files)}
    kept = run_folder(out, stated, resume=resume, every=config.validate_every, tensorboard=tensorboard)
    with kept as run, some_threads(threads):
        work = run.folder
        assert work is not None
        if start is not None:
            encoder = _encoder_of(start, task)
        else:
            if not (work / TOKENIZER).exists():
                train_pair_tokenizer(examples, config.tokenizer, config.slots, work / TOKENIZER)
            encoder = _new_encoder(config, work / TOKENIZER)
        trunk, output = encoder.language_model()
        tokens = SourceTokens(encoder.tokenizer.to_json(), trunk.config.max_positions)
        rows = make_rows(examples, tokens, config.orders, config.plain_names, config.seed)
        held_rows = make_rows(held, tokens)
        writer = Writer(trunk, output, tokens, LAYOUT, longest(rows.pairs), config.beams)
        module = GenerationModule(writer, rows.pairs, config)
        looks = _Looks(work, held_rows, config)
        _fit(module, looks, run, progress=progress, **trainer)
        best = load_file(work / BEST)
        for name, part in (("trunk.", trunk), ("head.", output)):
            own = {key.removeprefix(name): value for key, value in best.items() if key.startswith(name)}
            part.load_state_dict(own)
        settings = {
            "layout": to_mapping(LAYOUT),
            "longest": writer.longest,
            "beams": config.beams,
            "orders": config.read_orders,
        }
        model = RootsModel(encoder.requires_grad_(False).eval())
        model.heads[task.name] = GenerationHead(task, encoder.hidden_size, None, settings).eval()
        model.save_pretrained(out)
        run.record(out, KIND)
    return GenerationResult(
        model,
        len(examples),
        rows.left_out,
        looks.curve,
        max(looks.curve, key=lambda point: point["held_out_bleu"]),
        time.process_time() - started,
    )


def _encoder_of(path: Path, task: Task) -> TextEncoder:
    """Return the encoder of a model that such a training wrote, to be trained further."""
    model = RootsModel.from_pretrained(path)
    heads = [head for head in model.heads.values() if isinstance(head, GenerationHead)]
    encoder = model.layers.encoder
    if not isinstance(encoder, TextEncoder) or [head.layout for head in heads] != [LAYOUT]:
        raise UsageError(
            f"there is no model to go on from for the task {task.name!r}",
            path=path,
            hint="name a folder that `roots train` wrote with the kind generation",
        )
    return encoder.requires_grad_(True)


def _new_encoder(config: GenerationTrainingConfig, path: Path) -> TextEncoder:
    """Return an encoder with weights that are yet to be trained."""
    size = Tokenizer(path).vocab_size
    shape = from_mapping(TransformerConfig, {"token_types": 2, **config.model, "vocab_size": size})
    torch.manual_seed(config.seed)
    head = LanguageModelHead(shape.hidden_size, size, transform=False)
    tokenizer = Tokenizer(path, max_length=shape.max_positions)
    return TextEncoder(HybridEncoder(Transformer(shape)), tokenizer, head)


def _fit(module: GenerationModule, looks: _Looks, run: Run, *, progress: bool, **trainer: Any) -> None:
    config = module.config
    options = trainer_options(
        run,
        config.steps,
        RichProgress("generation", unit="texts", size=len) if progress else None,
        [looks],
        on=config.trainer,
        max_steps=config.steps,
        max_epochs=-1,
        gradient_clip_val=config.optimizer.clip,
        precision=precision_name(config.precision),
        **trainer,
    )
    fit(module.train(), run, options)
    module.cpu().eval()


class _Looks(Callback):
    """Looks at the held-out examples every so many steps, and keeps the weights that wrote best."""

    def __init__(self, work: Path, held: Rows, config: GenerationTrainingConfig) -> None:
        self.work, self.held, self.config = work, held, config
        self.curve: list[dict[str, float]] = []
        self._losses: list[float] = []
        self._before = self._started = 0.0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._before = self.curve[-1]["cpu_seconds"] if self.curve else 0.0
        self._started = time.process_time()

    def on_train_batch_end(  # type: ignore[override]
        self,
        trainer: lightning.Trainer,
        pl_module: GenerationModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self._losses.append(float(trainer.callback_metrics["loss"]))
        step = trainer.global_step
        if step % self.config.validate_every and step < self.config.steps:
            return
        if trainer.is_global_zero:
            self._judge(trainer, pl_module)
        trainer.should_stop = trainer.strategy.broadcast(trainer.should_stop)

    def _judge(self, trainer: lightning.Trainer, pl_module: GenerationModule) -> None:
        point = {"step": float(trainer.global_step), "loss": sum(self._losses) / len(self._losses)}
        self._losses.clear()
        judged = self.look(pl_module.averaged)
        log_now(trainer, judged)
        point |= judged
        point["cpu_seconds"] = self._before + time.process_time() - self._started
        if all(point["held_out_bleu"] > other["held_out_bleu"] for other in self.curve):
            parts = {"trunk.": pl_module.averaged_trunk, "head.": pl_module.averaged_head}
            weights = {
                name + key: value.cpu().contiguous()
                for name, part in parts.items()
                for key, value in part.state_dict().items()
            }
            save_file(weights, self.work / BEST)
        self.curve.append(point)
        best = max(range(len(self.curve)), key=lambda number: self.curve[number]["held_out_bleu"])
        if self.config.patience and len(self.curve) - 1 - best >= self.config.patience:
            trainer.should_stop = True

    def look(self, writer: Writer) -> dict[str, float]:
        """Return the loss on all held-out examples, and BLEU, chrF and ROUGE on some, written greedily."""
        writer.trunk.eval()
        writer.head.eval()
        count = min(self.config.validation_texts, len(self.held.sources))
        chosen = torch.linspace(0, len(self.held.sources) - 1, count).long().tolist()
        written = replace(writer, beams=1).write([self.held.sources[number] for number in chosen])
        judged = text_metrics(
            [ranked[0][0] for ranked in written], [self.held.wanted[number].references for number in chosen]
        )
        return {"held_out_loss": mean_loss(writer, self.held.pairs), "held_out_bleu": judged["bleu"]}

    def state_dict(self) -> dict[str, Any]:
        return {"curve": self.curve, "losses": self._losses}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.curve, self._losses = state_dict["curve"], state_dict["losses"]
