"""Meta-training as a whole: tasks or a graph in; a learner of tasks, or an encoder, out."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from roots_kg.adaptation.episodes import Pool, held_out
from roots_kg.adaptation.meta_learning.learner import MetaLearner
from roots_kg.adaptation.meta_learning.store import MetaBundle
from roots_kg.adaptation.task import Task
from roots_kg.config import to_mapping
from roots_kg.encoding.adapters import LowRankAdapter
from roots_kg.encoding.hybrid import HybridEncoder
from roots_kg.encoding.text_encoder import TextEncoder
from roots_kg.errors import DataError, UsageError
from roots_kg.fusion.encoder import Knowledge, KnowledgeEncoder
from roots_kg.fusion.store import FusionBundle, encoder_name
from roots_kg.graph.store import GraphBundle
from roots_kg.threads import some_threads
from roots_kg.training.fit import fit, trainer_options
from roots_kg.training.meta_config import MetaTrainingConfig
from roots_kg.training.meta_data import Material, encode, read_material
from roots_kg.training.meta_module import EpisodeModule, Judgement, LearnerModule, TrunkModule
from roots_kg.training.progress import RichProgress
from roots_kg.training.runs import Run

__all__ = ["MetaResult", "train_meta"]


@dataclass(frozen=True)
class MetaResult:
    """What a training brought forth.

    Args:
        trained: a learner of tasks; where the trunk was trained, an encoder.
        labels: how many labels were learned from, and how many judged by.
        skipped: how many labels had too few examples.
        loss: the mean over the last tenth of the steps.
        judgements: the accuracy on held-out labels after so many steps, with half of its 95% interval; the
            best of them is that of `trained`. None where no labels are held out.
        seconds: CPU seconds.
    """

    trained: MetaBundle | TextEncoder
    labels: tuple[int, int]
    skipped: int
    loss: float
    judgements: list[Judgement]
    seconds: float


def train_meta(
    encoder: TextEncoder,
    config: MetaTrainingConfig,
    tasks: Sequence[Task] = (),
    graph: GraphBundle | None = None,
    *,
    fusion: FusionBundle | None = None,
    run: Run | None = None,
    threads: int = 1,
    progress: bool = False,
    **trainer: Any,
) -> MetaResult:
    """Learn from many tasks.

    Args:
        encoder: the text encoder, which stays as it is.
        config: how.
        tasks: with training examples.
        graph: the graph with its vectors, or None.
        fusion: a fusion layer that was trained with it, or None.
        run: where it keeps its checkpoint and its log.
        threads: that torch uses.
        progress: show a bar.
        trainer: further arguments of `pytorch_lightning.Trainer`.

    Raises:
        UsageError: if there is nothing to learn from, or the trunk of this encoder cannot be trained.
        TaskError: if a task cannot be used.
        DataError: if too few labels have enough examples.
    """
    started = time.process_time()
    torch.manual_seed(config.seed)
    trains_trunk = config.trunk.train != "nothing"
    layers = KnowledgeEncoder(encoder, None if graph is None else Knowledge(graph)).eval()
    if fusion is not None and graph is not None and layers.fusion is not None:
        fusion.require(encoder, graph)
        layers.fusion.load_state_dict(fusion.layer.state_dict())
    material = read_material(tasks, layers, config.episodes, config.graph, config.seed)
    train, judged = _parted(material, config)
    with some_threads(threads):
        module: EpisodeModule
        finish: Callable[[], MetaBundle | TextEncoder]
        if trains_trunk:
            module, finish = _trunk_module(encoder, material, train, judged, config)
        else:
            module, finish = _learner_module(layers, material, train, judged, config)
        run = run or Run()
        options = trainer_options(
            run,
            config.steps,
            RichProgress("meta", unit="episodes", size=lambda _: config.tasks) if progress else None,
            on=config.trainer,
            small_steps=True,
            some_unused=True,
            max_epochs=1,
            gradient_clip_val=config.clip,
            **trainer,
        )
        fit(module, run, options)
    last = module.curve[-max(1, len(module.curve) // 10) :]
    pools = material.pools + material.graph_pools
    return MetaResult(
        finish(),
        (sum(len(pool.labels) for pool in train), sum(len(pool.labels) for pool in judged)),
        sum(pool.skipped for pool in pools),
        sum(last) / max(1, len(last)),
        module.judgements,
        time.process_time() - started,
    )


def _parted(material: Material, config: MetaTrainingConfig) -> tuple[list[Pool], list[Pool]]:
    """Return the pools to learn from, of tasks and of the graph, and the pools to judge by."""
    train, judged = held_out(material.pools + material.graph_pools, config.held_out, config.seed)
    if not train:
        raise DataError(
            f"too few labels have {config.episodes.examples} examples or more to learn from",
            hint="give more examples, lower `examples` under `episodes`, or hold out less",
        )
    return train, judged


def _learner_module(
    layers: KnowledgeEncoder,
    material: Material,
    train: Sequence[Pool],
    judged: Sequence[Pool],
    config: MetaTrainingConfig,
) -> tuple[EpisodeModule, Callable[[], MetaBundle]]:
    with torch.no_grad():
        vectors = encode(layers, material.head, material.texts)
    knowledge_size = layers.encoder.hidden_size if layers.knowledge is not None else 0
    learner = MetaLearner(vectors.text.shape[1], knowledge_size, config.learner)
    module = LearnerModule(learner, vectors, material, train, judged, config)

    def finish() -> MetaBundle:
        trained = learner.eval().requires_grad_(False)
        return MetaBundle(trained, encoder_name(layers.encoder), to_mapping(config))

    return module, finish


def _trunk_module(
    encoder: TextEncoder,
    material: Material,
    train: Sequence[Pool],
    judged: Sequence[Pool],
    config: MetaTrainingConfig,
) -> tuple[EpisodeModule, Callable[[], TextEncoder]]:
    if encoder.reading != "bidirectional":
        raise UsageError(
            f"the encoder reads texts in the way {encoder.reading!r}, and a trunk is trained bidirectionally",
            hint="train modules on its vectors: `trunk: {train: nothing}`",
        )
    trunk = copy.deepcopy(encoder.encoder.trunk).requires_grad_(False)
    own = TextEncoder(HybridEncoder(trunk), encoder.tokenizer).eval()
    adapter: LowRankAdapter | None = None
    trained: nn.Module = trunk
    if config.trunk.train == "adapter":
        rank = config.trunk.rank
        adapter = LowRankAdapter(trunk, rank, rank if config.trunk.embeddings else 0)
        trained, reader = adapter, own.with_adapter(adapter.train())
    else:
        reader = own
        for name, weight in trunk.named_parameters():
            weight.requires_grad_(config.trunk.embeddings or "embedding" not in name)
    if config.precision == "bf16-mixed":
        _read_in_bfloat16(reader.encoder.trunk)
    module = TrunkModule(trained, KnowledgeEncoder(reader), material.head, material, train, judged, config)

    def finish() -> TextEncoder:
        final = trunk if adapter is None else adapter.merged(trunk)
        final.__dict__.pop("forward", None)
        result = TextEncoder(HybridEncoder(final), encoder.tokenizer, reading=encoder.reading)
        return result.requires_grad_(False).eval()

    return module, finish


def _read_in_bfloat16(trunk: nn.Module) -> None:
    """Let a trunk multiply in bfloat16; what it returns is in float32, and so is what is trained."""
    forward = trunk.forward

    def lowered(input_ids: Tensor, *arguments: Any, **options: Any) -> tuple[Tensor, ...]:
        with torch.autocast(input_ids.device.type, torch.bfloat16):
            states = forward(input_ids, *arguments, **options)
        return tuple(state.float() for state in states)

    trunk.forward = lowered
