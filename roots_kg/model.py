"""RootsModel: encoder, knowledge and a task head in a row; what a person adapts, asks and saves."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor

from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.heads.base import Example, Head, Prediction
from roots_kg.adaptation.task import Record, Task, TaskReading, read_records
from roots_kg.bundle import Bundle, atomic_folder, checked, is_bundle
from roots_kg.config import from_mapping, to_mapping
from roots_kg.encoding import encoder_store
from roots_kg.encoding.checkpoints import is_checkpoint
from roots_kg.encoding.decoding.config import GenerationConfig
from roots_kg.encoding.hybrid import Reading
from roots_kg.encoding.interface import Encoder
from roots_kg.encoding.text_encoder import Precision, TextEncoder
from roots_kg.errors import BundleError, ConfigError, TaskError, UsageError, nearest
from roots_kg.explain import Explanation, explain_predictions
from roots_kg.fusion.encoder import EncodedTexts, Knowledge, KnowledgeEncoder, Text
from roots_kg.fusion.layer import FusionConfig
from roots_kg.fusion.store import FusionBundle, load_fusion
from roots_kg.graph import alignment
from roots_kg.graph.retrieval import RetrievalConfig
from roots_kg.graph.store import GraphBundle
from roots_kg.registry import get_head
from roots_kg.weights import PRETRAINED

__all__ = ["AdaptReport", "EvaluationReport", "RootsModel"]

KIND = "model"
TEXTS_AT_A_TIME = 256

Progress = Callable[[int], None]

KnowledgeSource = str | Path | GraphBundle
"""A graph with its vectors, or the folder that holds them."""


@dataclass(frozen=True)
class _TaskSettings:
    name: str
    head: str
    description: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    reading: TaskReading | None = None


@dataclass(frozen=True)
class _Settings:
    encoder: str | None
    task: _TaskSettings
    head: dict[str, Any]
    retrieval: RetrievalConfig
    fusion: FusionConfig
    knowledge: bool
    precision: Precision = "float32"
    space: str = ""


@dataclass(frozen=True)
class AdaptReport:
    """What an adaptation did.

    Args:
        fit: what the head chose, as it tells it.
        seconds: CPU seconds spent encoding and fitting.
    """

    fit: dict[str, Any]
    seconds: dict[str, float]


@dataclass(frozen=True)
class EvaluationReport:
    """How good a model is on labelled examples.

    Args:
        metrics: by name.
        n: how many examples.
        seconds: wall-clock seconds.
    """

    metrics: dict[str, float]
    n: int
    seconds: float


class RootsModel:
    """A text encoder, a graph if there is one, and a task head once it is adapted.

    Args:
        encoder: a `TextEncoder`, or a `TransformersEncoder`, with which a model cannot be saved.
        graph: the graph with its vectors, or None for text alone.
        retrieval: how much of the graph is looked at.
        fusion: the shape of the fusion layer, or a trained one; see `roots_kg.fusion.store.load_fusion`.

    Raises:
        UsageError: if a trained fusion layer belongs to another encoder, or to other vectors.
    """

    def __init__(
        self,
        encoder: Encoder,
        graph: GraphBundle | None = None,
        retrieval: RetrievalConfig | None = None,
        fusion: FusionConfig | FusionBundle | None = None,
    ) -> None:
        trained = fusion if isinstance(fusion, FusionBundle) else None
        config = fusion.layer.config if isinstance(fusion, FusionBundle) else fusion
        retrieval = retrieval or (trained.retrieval if trained is not None else None)
        self.retrieval, self.fusion = retrieval or RetrievalConfig(), config or FusionConfig()
        self.knowledge = Knowledge(graph, self.retrieval) if graph is not None else None
        self.layers = KnowledgeEncoder(encoder, self.knowledge, self.fusion).eval()
        if trained is not None and graph is not None and self.layers.fusion is not None:
            trained.require(encoder, graph)
            self.layers.fusion.load_state_dict(trained.layer.state_dict())
        self.head: Head | None = None

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = "roots-base",
        *,
        knowledge: KnowledgeSource | Sequence[KnowledgeSource] | None = None,
        project: bool = False,
        fusion: FusionBundle | str | Path | None = None,
        precision: Precision | None = None,
    ) -> RootsModel:
        """Load a model that was saved, or an encoder, which is a model without a task.

        Args:
            name_or_path: the folder of a saved model, or whatever `TextEncoder.from_pretrained` loads.
            knowledge: a graph bundle to use, or several, which become one; for a saved model, in place of its
                own.
            project: for a saved model, move the vectors of another graph into the space of its own's; see
                `roots_kg.graph.alignment`.
            fusion: a trained fusion layer, for an encoder.
            precision: in which numbers texts are read, see `TextEncoder.to_precision`; by default those that
                a saved model was adapted with, or float32.

        Raises:
            UsageError, WeightsError, BundleError: if it cannot be loaded; see there. UsageError also if the
                graph's vectors are not those that a saved model was trained with, and it reads them.
            GraphError: if vectors shall be moved and the graphs share too little.
        """
        graph = _load_graph(knowledge)
        if project and graph is None:
            raise UsageError("there is no other graph whose vectors could be moved", hint="name one to use")
        path = Path(name_or_path)
        if str(name_or_path) in PRETRAINED or is_bundle(path, encoder_store.KIND) or is_checkpoint(path):
            encoder = TextEncoder.from_pretrained(name_or_path, precision=precision or "float32")
            trained = load_fusion(Path(fusion)) if isinstance(fusion, (str, Path)) else fusion
            return cls(encoder, graph, fusion=trained)
        if fusion is not None:
            raise UsageError("a saved model has its own fusion layer", hint="adapt again to use another")
        if not path.exists():
            names = " or ".join(repr(name) for name in PRETRAINED)
            raise UsageError(
                "there is no such model folder", path=path, hint=f"a pretrained model is {names}"
            )
        bundle = Bundle.read(path, KIND)
        try:
            settings = from_mapping(_Settings, bundle.settings)
        except ConfigError as error:
            raise checked(bundle, error) from error
        if settings.knowledge and (graph is None or project):
            own = GraphBundle.load(path / "knowledge")
            graph = own if graph is None else _projected(graph, own)
        return cls._restore(bundle, settings, graph, precision or settings.precision)

    @classmethod
    def _restore(
        cls, bundle: Bundle, settings: _Settings, graph: GraphBundle | None, precision: Precision
    ) -> RootsModel:
        if settings.encoder is None:
            encoder = encoder_store.load_encoder(bundle.path / "encoder")
        elif settings.encoder not in PRETRAINED:  # nor is it ever a path
            message = f"there is no pretrained model {settings.encoder!r}"
            hint = nearest(settings.encoder, PRETRAINED)
            raise BundleError(message, path=bundle.path / "config.json", hint=hint)
        else:
            encoder = TextEncoder.from_pretrained(settings.encoder)
        model = cls(encoder.to_precision(precision), graph, settings.retrieval, settings.fusion)
        task = Task(**{key: getattr(settings.task, key) for key in _TaskSettings.__dataclass_fields__})
        try:
            head: Head = get_head(task.head)(task, encoder.hidden_size, model.knowledge, settings.head)
            known = head.settings()
        except (ValueError, TypeError, AttributeError) as error:
            message = f"the settings of the head {task.head!r} are damaged: {error}"
            raise BundleError(message, path=bundle.path / "config.json") from error
        for key in settings.head:
            if key not in known:
                message = f"unknown key {key!r} in the settings of the head"
                raise BundleError(message, path=bundle.path / "config.json", hint=nearest(key, known))
        try:
            head.load_state_dict(bundle.tensors("head.safetensors"))
            if model.layers.fusion is not None and graph is not None and settings.knowledge:
                fusion = bundle.tensors("fusion.safetensors")
                model._use_fusion(fusion, head, graph, settings.space)
        except (RuntimeError, KeyError) as error:
            message = " ".join(str(error).split())
            raise BundleError(f"its tensors do not fit: {message}", path=bundle.path) from error
        model.head, model.layers.reading = head.eval(), task.reading
        return model

    def with_graph(self, graph: GraphBundle, *, project: bool = False) -> RootsModel:
        """Return the model with another graph, such as an edited one; this one stays what it is.

        The encoder is shared; the fusion layer and the head are copied as they are.

        Args:
            graph: the other graph.
            project: move its vectors into the space of this model's graph, if they are not of that space.

        Raises:
            UsageError: if the graph's vectors have another dimension or come from another training, and the
                model reads them.
            GraphError: if the head cannot use the graph, for instance because its relations are others, or if
                vectors shall be moved and the graphs share too little.
        """
        if project and self.knowledge is not None:
            graph = _projected(graph, self.knowledge.bundle)
        model = RootsModel(self.layers.encoder, graph, self.retrieval, self.fusion)
        if self.knowledge is not None and self.layers.fusion is not None:
            weights = self.layers.fusion.state_dict()
            model._use_fusion(weights, self.head, graph, self.knowledge.bundle.space)
        if self.head is not None:
            settings = self.head.settings()
            head = type(self.head)(self.head.task, self.head.size, model.knowledge, settings)
            head.load_state_dict(self.head.state_dict())
            model.head, model.layers.reading = head.eval(), self.layers.reading
        return model

    def _use_fusion(
        self, weights: Mapping[str, Tensor], head: Head | None, graph: GraphBundle, space: str
    ) -> None:
        """Take over a fusion layer, if the graph's vectors are those that it and the head were trained with.

        For a head that reads neither fusion nor vectors any vectors do; then the layer stays new where it
        would not fit.
        """
        dimension = weights["entity_map.weight"].shape[1]
        if head is None or head.reads_fusion or head.reads_vectors:
            graph.require_space(dimension, space)
        if self.layers.fusion is not None and self.layers.fusion.entity_size == dimension:
            self.layers.fusion.load_state_dict(weights)

    def encode(self, texts: Sequence[str], reading: Reading | None = None) -> Tensor:
        """Return the normalised vector of each text, (N, d); neither graph nor task has a part in it.

        Args:
            texts: N of them, of any length.
            reading: bidirectional, causal or hybrid; by default the encoder's own.
        """
        return self.layers.encoder.encode(texts, reading)

    @overload
    def generate(
        self, prompt: str, *, progress: Progress | None = None, **settings: Any
    ) -> str | list[str]: ...

    @overload
    def generate(
        self, prompt: Sequence[str], *, progress: Progress | None = None, **settings: Any
    ) -> list[str] | list[list[str]]: ...

    def generate(
        self, prompt: str | Sequence[str], *, progress: Progress | None = None, **settings: Any
    ) -> str | list[str] | list[list[str]]:
        """Continue a prompt, or several; neither the graph nor the task has a part in it.

        Args:
            prompt: one text, or several; what is generated for one does not depend on the others.
            progress: called with the number of prompts done since the last call.
            settings: those of `roots_kg.encoding.decoding.config.GenerationConfig`.

        Returns:
            The text, prompt included; with several prompts a list, and with `num_return_sequences` above 1 a
            list for each prompt, best first.

        Raises:
            UsageError, ConfigError: if the encoder cannot generate, or a setting or a prompt does not fit.
        """
        config = from_mapping(GenerationConfig, settings)
        prompts = [prompt] if isinstance(prompt, str) else prompt
        texts = self._text_encoder("generate").generate(prompts, config, progress)
        if config.num_return_sequences > 1:
            return texts[0] if isinstance(prompt, str) else texts
        firsts = [first for first, *_ in texts]
        return firsts[0] if isinstance(prompt, str) else firsts

    def stream(self, prompt: str, **settings: Any) -> Iterator[str]:
        """Continue a prompt, giving out pieces of text as soon as they are settled; see `generate`.

        Yields:
            The prompt, then what follows; together they are what `generate` returns.
        """
        return self._text_encoder("generate").stream(prompt, from_mapping(GenerationConfig, settings))

    def adapt(
        self,
        task: Task,
        examples: Sequence[Record] | None = None,
        *,
        shots: int | None = None,
        seed: int = 0,
        config: FewShotConfig | None = None,
    ) -> AdaptReport:
        """Adapt to a task from a few examples.

        Args:
            task: the task.
            examples: its labelled examples; by default those of `task.train`.
            shots: how many to use of each class (in all, for heads without classes); None for all.
            seed: of the draw.
            config: how the fit is done.

        Raises:
            TaskError, UsageError: if the task, its head or its examples cannot be used.
        """
        if examples is None:
            if task.train is None:
                raise TaskError(f"the task {task.name!r} has no training examples")
            examples = read_records(task.train)
        if shots is not None and shots < 1:
            raise UsageError(f"--shots must be at least 1, found {shots}")
        head: Head = get_head(task.head)(task, self.layers.encoder.hidden_size, self.knowledge)
        support = [head.example(record) for record in examples]
        if shots is not None:
            support = head.sample(support, shots, seed)
        spent = 0.0

        def encode(texts: Sequence[Text], *, read: bool = True) -> EncodedTexts:
            nonlocal spent
            started = time.process_time()
            encoded = self._encode_for(head, texts, read=read)
            spent += time.process_time() - started
            return encoded

        started, reading = time.process_time(), self.layers.reading
        try:
            self.layers.reading = task.reading
            fit = head.fit(support, encode, config or FewShotConfig())
        except BaseException:
            self.layers.reading = reading
            raise
        self.head = head.eval()
        return AdaptReport(fit, {"encode": spent, "fit": time.process_time() - started - spent})

    def read(self, record: Record) -> Text:
        """Return what a line of an examples file says to predict from, as the task's head reads it.

        Raises:
            UsageError: if the model has not been adapted to a task.
            TaskError: if the line does not fit the head.
        """
        return self._head().text(record)

    def predict(self, texts: Sequence[Text], *, progress: Progress | None = None) -> list[Prediction]:
        """Predict, one prediction a text.

        Args:
            texts: of any length, empty ones included.
            progress: called with the number of texts done since the last call.

        Raises:
            UsageError: if the model has not been adapted to a task.
        """
        return [prediction for part in _parts(texts, progress) for prediction in self._decode(part)[1]]

    def explain(self, texts: Sequence[Text], *, progress: Progress | None = None) -> list[Explanation]:
        """Predict, and measure for each prediction what the triples behind it were worth.

        Arguments and errors are those of `predict`.
        """
        head, graph = self._head(), self.knowledge.graph if self.knowledge else None
        explanations = []
        for part in _parts(texts, progress):
            encoded, predictions = self._decode(part)
            explanations += explain_predictions(
                head, partial(self._encode_for, head, read=head.reads_texts), graph, encoded, predictions
            )
        return explanations

    def evaluate(
        self, examples: Sequence[Record] | Path, *, progress: Progress | None = None
    ) -> EvaluationReport:
        """Judge the model on labelled examples, given as records or as a JSONL file.

        Args:
            examples: what is right for each text.
            progress: called with the number of texts done since the last call.

        Raises:
            TaskError: if an example does not fit the head, for instance by a label it does not know.
        """
        head = self._head()
        records = read_records(examples) if isinstance(examples, Path) else examples
        started = time.perf_counter()
        read: list[Example] = [head.example(record) for record in records]
        predictions = self.predict([example.text for example in read], progress=progress)
        metrics = head.judge(predictions, [example.target for example in read])
        return EvaluationReport(metrics, len(read), time.perf_counter() - started)

    def save_pretrained(self, path: Path | str) -> None:
        """Write the adapted model to a folder, whole or not at all.

        The folder holds the head, the fusion layer and the graph; of a pretrained encoder only the
        name, any other encoder whole.

        Raises:
            UsageError: if the model has not been adapted to a task.
            BundleError: if the folder holds something else, or cannot be written.
        """
        head = self._head()
        task = _TaskSettings(**{key: getattr(head.task, key) for key in _TaskSettings.__dataclass_fields__})
        encoder = self._text_encoder("be saved")
        settings = _Settings(
            encoder=encoder.pretrained_name,
            task=task,
            head=head.settings(),
            retrieval=self.retrieval,
            fusion=self.fusion,
            knowledge=self.knowledge is not None,
            precision=encoder.precision,
            space=self.knowledge.bundle.space if self.knowledge is not None else "",
        )
        tensors = {"head.safetensors": head.state_dict()}
        with atomic_folder(Path(path), kind=KIND) as folder:
            if encoder.pretrained_name is None:
                (folder / "encoder").mkdir()
                encoder_store.write_encoder(encoder, folder / "encoder")
            if self.knowledge is not None and self.layers.fusion is not None:
                tensors["fusion.safetensors"] = self.layers.fusion.state_dict()
                (folder / "knowledge").mkdir()
                self.knowledge.bundle.write(folder / "knowledge")
            Bundle.write(
                folder, KIND, to_mapping(settings), tensors=tensors, texts={"README.md": _readme(settings)}
            )

    def export_onnx(self, path: Path | str, reading: Reading | None = None) -> None:
        """Write the text encoder as an ONNX file; see `roots_kg.encoding.onnx_export.export_onnx`."""
        from roots_kg.encoding.onnx_export import export_onnx

        export_onnx(self._text_encoder("be exported"), Path(path), reading)

    def _text_encoder(self, purpose: str) -> TextEncoder:
        encoder = self.layers.encoder
        if not isinstance(encoder, TextEncoder):
            raise UsageError(
                f"a model whose encoder belongs to transformers cannot {purpose}",
                hint="load the encoder with `TextEncoder.from_pretrained`, if it is of a family known there",
            )
        return encoder

    def _head(self) -> Head:
        if self.head is None:
            raise UsageError(
                "the model has no task yet", hint="adapt it first, with `roots adapt` or `adapt()`"
            )
        return self.head

    def _decode(self, texts: Sequence[Text]) -> tuple[EncodedTexts, list[Prediction]]:
        head = self._head()
        encoded = self._encode_for(head, texts, read=head.reads_texts)
        return encoded, head.decode(encoded)

    def _encode_for(
        self,
        head: Head,
        texts: Sequence[Text],
        without: Sequence[Collection[int]] | None = None,
        *,
        read: bool = True,
    ) -> EncodedTexts:
        with torch.inference_mode():
            encoded: EncodedTexts = self.layers(
                texts, without, read=read, fuse=head.reads_fusion, ask=head.reads_questions
            )
        return encoded


def _load_graph(knowledge: KnowledgeSource | Sequence[KnowledgeSource] | None) -> GraphBundle | None:
    """Return the graph that a person named, or all of them in one."""
    if knowledge is None:
        return None
    if isinstance(knowledge, (str, Path, GraphBundle)):
        knowledge = [knowledge]
    bundles = [part if isinstance(part, GraphBundle) else GraphBundle.load(Path(part)) for part in knowledge]
    return alignment.merge(bundles) if bundles else None


def _projected(graph: GraphBundle, onto: GraphBundle) -> GraphBundle:
    """Return a graph whose vectors are in the space of another's."""
    return graph if graph.space == onto.space else alignment.project(graph, onto)


def _parts(texts: Sequence[Text], progress: Progress | None) -> Iterator[Sequence[Text]]:
    for begin in range(0, len(texts), TEXTS_AT_A_TIME):
        part = texts[begin : begin + TEXTS_AT_A_TIME]
        yield part
        if progress is not None:
            progress(len(part))


def _readme(settings: _Settings) -> str:
    task = settings.task
    graph = "its own copy of the graph in `knowledge/`" if settings.knowledge else "no graph"
    encoder = f"{settings.encoder} (not copied here)" if settings.encoder else "its own, in `encoder/`"
    return (
        f"# {task.name}\n\n{task.description or 'An adapted model.'}\n\n"
        f"Head: {task.head}. Encoder: {encoder}. It uses {graph}.\n\n"
        "Written by `roots adapt`. Use it with `roots predict FOLDER TEXT` or "
        "`roots_kg.RootsModel.from_pretrained(FOLDER)`.\n"
    )
