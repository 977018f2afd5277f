"""RootsModel: encoder, knowledge and task heads in a row; what a person adapts, asks and saves."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor

from roots_kg.adaptation import tuning
from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.heads.base import Example, Head, Prediction
from roots_kg.adaptation.heads.classification import ClassificationHead
from roots_kg.adaptation.meta_learning.store import MetaBundle
from roots_kg.adaptation.task import Record, Task, label_text, read_records
from roots_kg.adaptation.tuning import TuneConfig
from roots_kg.bundle import Bundle, atomic_folder, is_bundle
from roots_kg.config import from_mapping
from roots_kg.encoding import encoder_store
from roots_kg.encoding.checkpoints import is_checkpoint
from roots_kg.encoding.decoding.config import GenerationConfig
from roots_kg.encoding.decoding.text_rules import TextRule
from roots_kg.encoding.hybrid import Reading
from roots_kg.encoding.interface import Encoder
from roots_kg.encoding.text_encoder import Precision, TextEncoder
from roots_kg.errors import TaskError, UsageError, nearest
from roots_kg.explain import Explanation, explain_predictions
from roots_kg.fusion.encoder import TEXTS_AT_A_TIME, EncodedTexts, Knowledge, KnowledgeEncoder, Text
from roots_kg.fusion.layer import FusionConfig
from roots_kg.fusion.store import FusionBundle, load_fusion
from roots_kg.graph import alignment
from roots_kg.graph.retrieval import RetrievalConfig
from roots_kg.graph.store import GraphBundle
from roots_kg.intervals import bootstrap, percentiles
from roots_kg.model_card import ModelCard
from roots_kg.model_store import KIND, ModelSettings, SavedModel, adapted_head, card_files, write_model
from roots_kg.registry import get_head
from roots_kg.weights import PRETRAINED

__all__ = ["AdaptReport", "EvaluationReport", "RootsModel"]

HUB = "hf:"

Progress = Callable[[int], None]

_LEFT_OUT = ("leave_one_out", "left_out")

KnowledgeSource = str | Path | GraphBundle
"""A graph with its vectors, or the folder that holds them."""


@dataclass(frozen=True)
class AdaptReport:
    """What an adaptation did.

    Args:
        fit: what the head chose, as it tells it.
        seconds: CPU seconds spent encoding and fitting.
        support: the examples that it was fitted to.
    """

    fit: dict[str, Any]
    seconds: dict[str, float]
    support: tuple[Example, ...] = ()


@dataclass(frozen=True)
class EvaluationReport:
    """How good a model is on labelled examples.

    Args:
        metrics: by name.
        n: how many examples.
        seconds: wall-clock seconds.
        diagnostics: what else the head tells, such as its calibration error; see `Head.diagnostics`.
        intervals: the ends of the 95% interval of each metric over examples, by the bootstrap; none of
            metrics that are costly to compute, such as BLEU.
    """

    metrics: dict[str, float]
    n: int
    seconds: float
    diagnostics: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)


class RootsModel:
    """A text encoder, a graph if there is one, and a head for each task that it is adapted to.

    `heads` holds them by the name of the task; `card` tells what is known of each task.

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
        self.layers = KnowledgeEncoder(encoder, self.knowledge, self.fusion)
        self.layers.training = False
        # Another thread may be reading with an encoder that is in use, which is left alone.
        if any(part.training for part in self.layers.modules()):
            self.layers.eval()
        if trained is not None and graph is not None and self.layers.fusion is not None:
            trained.require(encoder, graph)
            self.layers.fusion.load_state_dict(trained.layer.state_dict())
        self.text_rules: tuple[TextRule, ...] = ()
        self.heads: dict[str, Head] = {}
        self.card = ModelCard()

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = "roots-base",
        *,
        knowledge: KnowledgeSource | Sequence[KnowledgeSource] | None = None,
        project: bool = False,
        fusion: FusionBundle | str | Path | None = None,
        precision: Precision | None = None,
        revision: str | None = None,
    ) -> RootsModel:
        """Load a model that was saved, or an encoder, which is a model without a task.

        Args:
            name_or_path: the folder of a saved model, `hf://owner/model` for one on the Hugging Face Hub, or
                whatever `TextEncoder.from_pretrained` loads.
            knowledge: a graph bundle to use, or several, which become one; for a saved model, in place of its
                own.
            project: for a saved model, move the vectors of another graph into the space of its own's; see
                `roots_kg.graph.alignment`.
            fusion: a trained fusion layer, for an encoder.
            precision: in which numbers texts are read, see `TextEncoder.to_precision`; by default those that
                a saved model was adapted with, or float32.
            revision: a branch, a tag or a commit, of a model on the hub.

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
        if path.parts[:1] == (HUB,):
            from roots_kg.hub import download

            path = download("/".join(path.parts[1:]), revision)
        if not path.exists():
            names = " or ".join(repr(name) for name in PRETRAINED)
            raise UsageError(
                "there is no such model folder", path=path, hint=f"a pretrained model is {names}"
            )
        saved = SavedModel(path)
        if saved.settings.knowledge and (graph is None or project):
            graph = saved.graph() if graph is None else _projected(graph, saved.graph())
        encoder = saved.encoder(precision)
        model = cls(encoder, graph, saved.settings.retrieval, saved.settings.fusion)
        model.card = saved.card()
        for head in saved.heads(encoder.hidden_size, model.knowledge):
            model.heads[head.task.name] = head
        if model.layers.fusion is not None and graph is not None and saved.settings.knowledge:
            with saved.fitting():
                model._use_fusion(saved.fusion(), graph, saved.settings.space)
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
            model._use_fusion(weights, graph, self.knowledge.bundle.space, self.heads.values())
        for name, own in self.heads.items():
            head = type(own)(own.task, own.size, model.knowledge, own.settings())
            head.module = own.module
            head.load_state_dict(own.state_dict())
            model.heads[name] = head.eval()
        model.card = self.card
        model.obey(self.text_rules)
        return model

    def without_graph(self) -> RootsModel:
        """Return the model as it answers where the graph is switched off: nothing in a text is linked."""
        model = RootsModel(self.layers.encoder, None, self.retrieval, self.fusion)
        model.heads, model.card, model.text_rules = dict(self.heads), self.card, self.text_rules
        return model

    def _use_fusion(
        self,
        weights: Mapping[str, Tensor],
        graph: GraphBundle,
        space: str,
        heads: Collection[Head] | None = None,
    ) -> None:
        """Take over a fusion layer, if the graph's vectors are those that it and the heads were trained with.

        For heads that read neither fusion nor vectors any vectors do; then the layer stays new where it
        would not fit. The heads are the model's own where none are given.
        """
        dimension = weights["entity_map.weight"].shape[1]
        heads = self.heads.values() if heads is None else heads
        if not heads or any(head.reads_fusion or head.reads_vectors for head in heads):
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

    def obey(self, text_rules: Sequence[TextRule]) -> None:
        """Write from now on only texts that obey some rules, in place of those before.

        They hold for `generate`, for `stream`, and for heads that write. A saved model does not keep them.

        Args:
            text_rules: a `roots_kg.encoding.decoding.block_list.BlockList`, or functions of one's own.
        """
        self.text_rules = tuple(text_rules)
        for head in self.heads.values():
            head.text_rules = self.text_rules

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
        texts = self._text_encoder("generate").generate(prompts, config, progress, self.text_rules)
        if config.num_return_sequences > 1:
            return texts[0] if isinstance(prompt, str) else texts
        firsts = [first for first, *_ in texts]
        return firsts[0] if isinstance(prompt, str) else firsts

    def stream(self, prompt: str, **settings: Any) -> Iterator[str]:
        """Continue a prompt, giving out pieces of text as soon as they are settled; see `generate`.

        Yields:
            The prompt, then what follows; together they are what `generate` returns.
        """
        config = from_mapping(GenerationConfig, settings)
        return self._text_encoder("generate").stream(prompt, config, self.text_rules)

    def adapt(
        self,
        task: Task,
        examples: Sequence[Record] | None = None,
        *,
        shots: int | None = None,
        seed: int = 0,
        config: FewShotConfig | None = None,
        tune: TuneConfig | None = None,
        meta: MetaBundle | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> AdaptReport:
        """Adapt to a task from a few examples.

        Args:
            task: the task.
            examples: its labelled examples; by default those of `task.train`.
            shots: how many to use of each class (in all, for heads without classes); None for all.
            seed: of the draw.
            config: how the fit is done.
            tune: how the encoder itself is tuned for the task; None leaves it as it is. If examples that are
                held out say that tuning does no good, it stays as it is, too.
            meta: what was learned over many tasks about how to do it; see `roots_kg.training.meta`.
            progress: called with the passes of tuning that are done, and how many there are at most.

        Raises:
            TaskError, UsageError: if the task, its head or its examples cannot be used, or if the encoder
                cannot be tuned: it has been, or other tasks of the model, or `meta`, rely on it. UsageError
                also if `meta` belongs to another encoder, or is of no use to the head.
        """
        if tune is not None and self.heads.keys() - {task.name}:
            raise UsageError(
                f"the encoder cannot be tuned any more: {', '.join(self.heads)} rely on it as it is",
                hint="adapt without tuning, or begin with the task that the encoder is tuned for",
            )
        if tune is not None and meta is not None:
            raise UsageError(
                "what was meta-trained belongs to the encoder as it is, and tuning changes it",
                hint="choose one of the two",
            )
        if examples is None:
            if task.train is None:
                raise TaskError(f"the task {task.name!r} has no training examples")
            examples = read_records(task.train)
        if shots is not None and shots < 1:
            raise UsageError(f"--shots must be at least 1, found {shots}")
        head: Head = get_head(task.head)(task, self.layers.encoder.hidden_size, self.knowledge)
        config = config or FewShotConfig()
        if not head.single_label and (config.class_weight is not None or config.reject):
            what = "weighs no classes" if config.class_weight is not None else "rejects no texts"
            raise UsageError(f"the head {task.head!r} {what}", hint="leave that out for this task")
        support = [head.example(record) for record in examples]
        if shots is not None:
            support = head.sample(support, shots, seed)
        spent = 0.0

        def encode(texts: Sequence[Text], *, read: bool = True) -> EncodedTexts:
            nonlocal spent
            started = time.process_time()
            encoded = self.encode_for(head, texts, read=read)
            spent += time.process_time() - started
            return encoded

        started = time.process_time()
        told: dict[str, Any] = {}
        if meta is not None:
            meta.require(self.layers.encoder, head)
            config, head.module, told = meta.prepare(head, support, encode, config)
        tuning_seconds, tuned = 0.0, None
        if tune is not None:
            begun = time.process_time()
            tuned = tuning.tune(self.layers, head, support, config, tune, progress)
            told |= tuned.told
            if tuned.adapter is not None:
                self.layers.encoder = self._text_encoder("be tuned").with_adapter(tuned.adapter)
            tuning_seconds = time.process_time() - begun
        fit = {**head.fit(support, encode, config), **told}
        if tuned is not None and tuned.objective is not None:
            head.adopt(tuned.objective, tuned.calibration)
            # what leaving out says of texts that the encoder was trained on says nothing
            fit = {name: value for name, value in fit.items() if not name.startswith(_LEFT_OUT)}
        head.text_rules = self.text_rules
        self.heads[task.name] = head.eval()
        self.card.learned(task.name, [example.target for example in support], fit)
        seconds = {"encode": spent, "fit": time.process_time() - started - spent - tuning_seconds}
        if tune is not None:
            seconds["tune"] = tuning_seconds
        return AdaptReport(fit, seconds, tuple(support))

    def add_class(
        self,
        label: str,
        examples: Sequence[Record],
        task: str | None = None,
        *,
        name: str | None = None,
    ) -> None:
        """Learn one more label of a task, from a few examples; what is computed for the others stays.

        Args:
            label: the new label.
            examples: texts of it; a label that they state must be this one.
            task: of which task, if the model has several.
            name: what the label stands for, in words; by default the label itself.

        Raises:
            UsageError: if the model has no such task, or its head does not choose one label a text.
            TaskError: if the label is there already, or the examples cannot be used.
        """
        head = self.head_of(task)
        if not isinstance(head, ClassificationHead) or not head.single_label:
            raise UsageError(
                f"the head {head.task.head!r} does not choose one label a text, so none can be added"
            )
        for record in examples:
            if record.fields.get("label", label) != label:
                raise record.error(f"the label is {record.fields['label']!r}, and {label!r} is to be added")
        known = head.task
        stated = known.labels or {own: label_text(own) for own in head.labels}
        words = label_text(label) if name is None else f"{label_text(label)}: {name}"
        head.task = replace(known, labels={**stated, label: words})
        try:
            support = [Example(head.text(record), label, record) for record in examples]
            head.add_class(label, support, partial(self.encode_for, head))
        except TaskError:
            head.task = known
            raise
        self.card.learned_more(known.name, label, len(support))

    @property
    def head(self) -> Head | None:
        """The head of a model with one task; None before it is adapted.

        Raises:
            UsageError: if it has several.
        """
        return self.head_of() if self.heads else None

    def head_of(self, task: str | None = None) -> Head:
        """Return the head that was adapted to a task.

        Args:
            task: the task's name; None for the only one.

        Raises:
            UsageError: if there is none, or several and no name.
        """
        if not self.heads:
            raise UsageError(
                "the model has no task yet", hint="adapt it first, with `roots adapt` or `adapt()`"
            )
        if task is None and len(self.heads) > 1:
            raise UsageError("the model has several tasks", hint=f"name one of {', '.join(self.heads)}")
        if task is not None and task not in self.heads:
            raise UsageError(f"the model has no task {task!r}", hint=nearest(task, self.heads))
        return next(iter(self.heads.values())) if task is None else self.heads[task]

    def read(self, record: Record, task: str | None = None) -> Text:
        """Return what a line of an examples file says to predict from, as the task's head reads it.

        Raises:
            UsageError: if the model has not been adapted to the task.
            TaskError: if the line does not fit the head.
        """
        return self.head_of(task).text(record)

    def predict(
        self, texts: Sequence[Text], task: str | None = None, *, progress: Progress | None = None
    ) -> list[Prediction]:
        """Predict, one prediction a text.

        Args:
            texts: of any length, empty ones included.
            task: whose head predicts, in a model with several; see `predict_all` for all at once.
            progress: called with the number of texts done since the last call.

        Raises:
            UsageError: if the model has not been adapted to the task.
        """
        head = self.head_of(task)
        return [
            prediction
            for part in _parts(texts, progress)
            for prediction in head.decode(self.encode_for(head, part))
        ]

    def predict_all(
        self, texts: Sequence[Text], *, progress: Progress | None = None
    ) -> dict[str, list[Prediction]]:
        """Predict with every head, and read a text once for all heads that read it in the same way.

        Args:
            texts: of any length, empty ones included.
            progress: called with the number of texts done since the last call.

        Returns:
            For each task one prediction a text, the same that `predict` gives.
        """
        together: dict[tuple[Any, ...], list[tuple[str, Head]]] = {}
        for name, head in self.heads.items():
            together.setdefault((head.reads_texts, head.task.reading), []).append((name, head))
        found: dict[str, list[Prediction]] = {name: [] for name in self.heads}
        for part in _parts(texts, progress):
            for group in together.values():
                encoded = self._encode([head for _, head in group], part, read=group[0][1].reads_texts)
                for name, head in group:
                    found[name] += head.decode(_seen_by(head, encoded))
        return found

    def explain(
        self, texts: Sequence[Text], task: str | None = None, *, progress: Progress | None = None
    ) -> list[Explanation]:
        """Predict, and measure for each prediction what the triples behind it were worth.

        Arguments and errors are those of `predict`.
        """
        head, graph = self.head_of(task), self.knowledge.graph if self.knowledge else None
        explanations = []
        for part in _parts(texts, progress):
            encoded = self.encode_for(head, part)
            explanations += explain_predictions(
                head, partial(self.encode_for, head), graph, encoded, head.decode(encoded)
            )
        return explanations

    def evaluate(
        self,
        examples: Sequence[Record] | Path,
        task: str | None = None,
        *,
        progress: Progress | None = None,
    ) -> EvaluationReport:
        """Judge the model on labelled examples, given as records or as a JSONL file.

        Args:
            examples: what is right for each text.
            task: which of the model's tasks they are of, if it has several.
            progress: called with the number of texts done since the last call.

        Raises:
            TaskError: if an example does not fit the head, for instance by a label it does not know.
        """
        head = self.head_of(task)
        records = read_records(examples) if isinstance(examples, Path) else examples
        started = time.perf_counter()
        read: list[Example] = [head.example(record) for record in records]
        predictions = self.predict([example.text for example in read], head.task.name, progress=progress)
        targets = [example.target for example in read]
        metrics, more = head.judge(predictions, targets), head.diagnostics(predictions, targets)
        seconds = time.perf_counter() - started
        intervals = _intervals(head, predictions, targets) if head.judges_fast and read else {}
        return EvaluationReport(metrics, len(read), seconds, more, intervals)

    def encode_for(
        self,
        head: Head,
        texts: Sequence[Text],
        without: Sequence[Collection[int]] | None = None,
        *,
        read: bool | None = None,
    ) -> EncodedTexts:
        """Read texts through layers 1 and 2 as a head wants them.

        Args:
            head: one of the model's, or one that is about to be fitted.
            texts: of any length.
            without: for each text, triples to treat as absent from the graph.
            read: read the texts as they stand; by default if the head does when it predicts.
        """
        encoded = self._encode([head], texts, without, read=head.reads_texts if read is None else read)
        return _seen_by(head, encoded)

    def save_pretrained(self, path: Path | str) -> None:
        """Write the adapted model to a folder, whole or not at all.

        The folder holds the head, the fusion layer and the graph; of a pretrained encoder only the
        name, any other encoder whole.

        Raises:
            UsageError: if the model has not been adapted to a task.
            BundleError: if the folder holds something else, or cannot be written.
        """
        encoder, settings, layer = self._text_encoder("be saved"), self._settings(), self.layers.fusion
        fusion = layer.state_dict() if layer is not None else None
        graph = self.knowledge.bundle if self.knowledge is not None else None
        with atomic_folder(Path(path), kind=KIND) as folder:
            write_model(folder, settings, encoder, list(self.heads.values()), fusion, graph, self.card)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Save the adapted model, with its graph and its card, in a repository of the Hugging Face Hub.

        Args:
            repo_id: `owner/model`.
            options: those of `huggingface_hub.ModelHubMixin.push_to_hub`, such as `private` and `token`.

        Returns:
            The address of the commit.

        Raises:
            UsageError: if the model has not been adapted to a task.
        """
        from roots_kg.hub import SharedModel

        self._settings()  # which raises, before a repository is made
        return str(SharedModel(self).push_to_hub(repo_id, **options))

    def save_card(self, path: Path | str) -> None:
        """Write the card into the folder that the model was loaded from; all else in it stays as it is.

        Raises:
            BundleError: if the folder is no saved model, or cannot be written.
        """
        graph = self.knowledge.bundle if self.knowledge is not None else None
        files = card_files(self._settings(), self._text_encoder("be saved"), graph, self.card)
        Bundle.amend(Path(path), KIND, {name: text.encode() for name, text in files.items()})

    def _settings(self) -> ModelSettings:
        heads, encoder, knowledge = self.heads, self._text_encoder("be saved"), self.knowledge
        self.head_of(next(iter(heads), None))  # there is one
        tuning = encoder.tuning if encoder.pretrained_name is not None else None
        return ModelSettings(
            encoder=encoder.pretrained_name,
            heads=tuple(map(adapted_head, heads.values())),
            retrieval=self.retrieval,
            fusion=self.fusion,
            knowledge=knowledge is not None,
            precision=encoder.precision,
            space=knowledge.bundle.space if knowledge is not None else "",
            tuning=tuning.shape if tuning is not None else None,
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

    def _encode(
        self,
        heads: Sequence[Head],
        texts: Sequence[Text],
        without: Sequence[Collection[int]] | None = None,
        *,
        read: bool,
    ) -> EncodedTexts:
        """Read texts as several heads want them that agree on how texts are read."""
        asked = {name: any(head.asks[name] for head in heads) for name in heads[0].asks}
        layers = self.layers.reading_in(heads[0].task.reading)  # not set here: other threads may ask as well
        with torch.no_grad():  # unlike inference mode, it lets heads keep what they are given and train on it
            encoded: EncodedTexts = layers(texts, without, read=read, **asked)
        return encoded


@torch.no_grad()
def _seen_by(head: Head, encoded: EncodedTexts) -> EncodedTexts:
    return head.seen(encoded)


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


def _intervals(
    head: Head, predictions: Sequence[Prediction], targets: Sequence[Any]
) -> dict[str, tuple[float, float]]:
    """Return the middle 95% of each metric when examples are drawn anew."""

    def judge(positions: Sequence[int]) -> dict[str, float]:
        return head.judge([predictions[at] for at in positions], [targets[at] for at in positions])

    drawn = bootstrap(judge, range(len(targets)))
    found = {name: percentiles(0.0, values) for name, values in drawn.items()}
    return {name: (estimate.low, estimate.high) for name, estimate in found.items()}


def _parts(texts: Sequence[Text], progress: Progress | None) -> Iterator[Sequence[Text]]:
    for begin in range(0, len(texts), TEXTS_AT_A_TIME):
        part = texts[begin : begin + TEXTS_AT_A_TIME]
        yield part
        if progress is not None:
            progress(len(part))
