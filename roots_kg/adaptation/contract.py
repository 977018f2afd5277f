"""What every task head promises, as checks that run on any head: ours, in our tests, and a plugin author's.

A promise is a function whose name says it; it raises `BrokenPromise` where it is not kept. `check` runs all
of them on a head that is fitted to its `SampleTask`; `roots_kg.testing` and `roots tasks check --head` do so
with the pretrained encoder.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.heads.base import Encode, Example, Head, Prediction
from roots_kg.adaptation.sample_tasks import SampleTask
from roots_kg.adaptation.task import Record, Task
from roots_kg.errors import RootsError, TaskError
from roots_kg.fusion.encoder import EncodedTexts, Knowledge, KnowledgeEncoder, Text

__all__ = ["PROMISES", "BrokenPromise", "Case", "Verdict", "check", "says", "verdict_on"]

SAMPLE_FILE = Path("sample.jsonl")
CLOSE = 1e-4
ODD_VALUES: tuple[Any, ...] = (None, True, -1, 10**9, 0.5, "", "\ud800", [], [None], {}, {"start": "x"})
ODD_TEXTS = ("", " ", "word " * 600, "\u0000", "🦆" * 40)
SEEDS = range(10)


class BrokenPromise(AssertionError):
    """A head does not do what every head must."""


class NotFitted(Exception):
    """A promise cannot be checked, because the head could not be fitted."""


@dataclass(frozen=True)
class Verdict:
    """Whether one promise is kept.

    Args:
        promise: what is promised, in words.
        kept: True or False; None where it could not be checked.
        how: how it is broken, or why it could not be checked.
    """

    promise: str
    kept: bool | None
    how: str = ""


class Case:
    """A head, its sample task, and what comes of fitting the one to the other, each made when first needed.

    Args:
        head_type: the class of the head.
        sample: what it is checked with.
        layers: layers 1 and 2, with the graph that the sample needs, if it needs one.
        name: what the head is called.
    """

    def __init__(
        self, head_type: type[Head], sample: SampleTask, layers: KnowledgeEncoder, name: str
    ) -> None:
        self.head_type, self.sample, self.layers, self.name = head_type, sample, layers, name
        self._why_not: BaseException | None = None

    @cached_property
    def task(self) -> Task:
        """The sample as a task that names no metric."""
        return Task("sample", self.name, self.sample.description, dict(self.sample.labels))

    def make(
        self, settings: dict[str, Any] | None = None, *, knowledge: Knowledge | None = None, **stated: Any
    ) -> Head:
        """Return a new head; `stated` changes the task, `knowledge` is by default the graph of the layers."""
        task = replace(self.task, **stated)
        size = self.layers.encoder.hidden_size
        return self.head_type(task, size, knowledge or self.layers.knowledge, settings)

    def records(self, lines: Sequence[Any]) -> list[Record]:
        """Return lines as records of a file."""
        return [Record(dict(fields), SAMPLE_FILE, number) for number, fields in enumerate(lines, start=1)]

    def examples(self, lines: Sequence[Any]) -> list[Example]:
        """Return lines as a new head reads them."""
        head = self.make()
        return [head.example(record) for record in self.records(lines)]

    @cached_property
    def support(self) -> list[Example]:
        """The examples to learn from."""
        return self.examples(self.sample.train)

    @cached_property
    def query(self) -> list[Example]:
        """The examples to judge by."""
        return self.examples(self.sample.test)

    def fit(self, layers: KnowledgeEncoder | None = None) -> tuple[Head, dict[str, Any]]:
        """Return a new head that was fitted to the support set, and what it told of it."""
        layers = layers or self.layers
        head = self.head_type(self.task, layers.encoder.hidden_size, layers.knowledge)
        told = head.fit(self.support, encode_with(layers, head), FewShotConfig())
        return head.eval(), told

    @cached_property
    def fitted(self) -> tuple[Head, dict[str, Any]]:
        """The head that all promises about fitted heads are checked on, and what it told."""
        if self._why_not is not None:
            raise NotFitted from self._why_not
        try:
            return self.fit()
        except (Exception, SystemExit) as error:
            self._why_not = error
            raise

    @property
    def head(self) -> Head:
        """The fitted head."""
        return self.fitted[0]

    def encode(self, texts: Sequence[Text]) -> EncodedTexts:
        """Encode texts as a model does for this head's predictions."""
        return encode_with(self.layers, self.head)(texts, read=self.head.reads_texts)

    @cached_property
    def encoded(self) -> EncodedTexts:
        """The query texts, encoded."""
        return self.encode([example.text for example in self.query])

    @cached_property
    def predictions(self) -> list[Prediction]:
        """What the fitted head makes of the query texts."""
        return self.decode(self.encoded)

    def decode(self, encoded: EncodedTexts) -> list[Prediction]:
        """Predict as a model does."""
        return self.head.decode(encoded)

    @cached_property
    def targets(self) -> list[Any]:
        """What is right for the query texts."""
        return [example.target for example in self.query]


Promise = Callable[[Case], None]


def encode_with(layers: KnowledgeEncoder, head: Head) -> Encode:
    """Return the function from texts to layers 1 and 2 that a model gives to a head."""

    def encode(texts: Sequence[Text], *, read: bool = True) -> EncodedTexts:
        with torch.no_grad():
            encoded: EncodedTexts = layers(texts, read=read, **head.asks)
        return encoded

    return encode


def check(case: Case) -> list[Verdict]:
    """Check every promise; one that is broken keeps no other from being checked.

    Returns:
        A verdict for each of `PROMISES`, in that order.
    """
    return [verdict_on(promise, case) for promise in PROMISES]


def verdict_on(promise: Promise, case: Case) -> Verdict:
    """Check one promise, whatever the head's code does."""
    try:
        promise(case)
    except NotFitted:
        return Verdict(says(promise), None, "not checked: the head could not be fitted")
    except BrokenPromise as broken:
        return Verdict(says(promise), False, str(broken))
    except (Exception, SystemExit) as error:  # foreign code may raise anything
        return Verdict(says(promise), False, f"{type(error).__name__}: {error}{_place(error)}")
    return Verdict(says(promise), True)


def says(promise: Promise) -> str:
    """Return what a promise says, in words."""
    return promise.__name__.replace("_", " ")


def it_is_a_head_with_metrics_to_report(case: Case) -> None:
    """It is a class that derives from `Head`, leaves nothing of it abstract, and names its metrics."""
    missing = sorted(getattr(case.head_type, "__abstractmethods__", ()))
    _require(issubclass(case.head_type, Head), f"{case.head_type.__qualname__} is no subclass of Head")
    _require(not missing, f"it lacks {', '.join(missing)}")
    defaults = getattr(case.head_type, "default_metrics", ())
    _require(bool(defaults), "default_metrics is empty or missing")
    unknown = [name for name in defaults if name not in case.head_type.metric_names]
    _require(not unknown, f"metric_names lacks {unknown}, which default_metrics names")


def a_line_becomes_an_example_of_it(case: Case) -> None:
    """An example has the text that is predicted from, and the record that it came from."""
    head = case.make()
    for record in case.records([*case.sample.train, *case.sample.test]):
        example = head.example(record)
        _require(example.record is record, f"line {record.line}: the example's record is another")
        _require(
            example.text == head.text(record),
            f"line {record.line}: example() gives the text {example.text!r:.80}, text() "
            f"{head.text(record)!r:.80}",
        )


def a_line_that_does_not_say_what_is_right_can_be_predicted_from(case: Case) -> None:
    """Without the field that says what is right, `text` still reads the line, and `example` refuses it."""
    head, fields = case.make(), dict(case.sample.train[0])
    text = head.text(*case.records([fields]))
    for key in fields:
        (record,) = case.records([{name: value for name, value in fields.items() if name != key}])
        if (
            _refusal(head.text, record) is None
            and head.text(record) == text
            and _refusal(head.example, record)
        ):
            return
    raise BrokenPromise(f"no field of {fields} can be left out: text() needs them all, or example() none")


def a_broken_line_is_refused_by_its_place(case: Case) -> None:
    """The sample's broken lines, and the empty one, are errors that name file and line."""
    head = case.make()
    for fields in ({}, *case.sample.broken):
        record = Record(dict(fields), SAMPLE_FILE, 9)
        refusal = _refusal(head.example, record)
        _require(refusal is not None, f"{fields} is accepted")
        _require(
            str(refusal).startswith(f"{SAMPLE_FILE}:9: "),
            f"the error about {fields} does not name its line: {refusal} (raise record.error(…))",
        )


def a_line_with_anything_odd_in_it_is_read_or_refused(case: Case) -> None:
    """Whatever stands in a line, it is read or refused by an error that names its place; nothing crashes."""
    head = case.make()
    for line in (case.sample.train[0], case.sample.train[-1]):
        for fields in _mutations(dict(line)):
            record = Record(fields, SAMPLE_FILE, 9)
            for read in (head.text, head.example):
                try:
                    refusal = _refusal(read, record)
                except Exception as error:
                    raise BrokenPromise(
                        f"{fields!r:.200} makes {read.__name__}() raise {type(error).__name__}: {error}"
                    ) from error
                _require(
                    refusal is None or str(refusal).startswith(f"{SAMPLE_FILE}:9: "),
                    f"the error about {fields!r:.200} does not name its line: {refusal}",
                )


def the_support_is_drawn_from_the_examples_by_seed(case: Case) -> None:
    """`sample` draws some of the examples, each at most once, the same ones for the same seed."""
    head, lines = case.make(), {id(example): number for number, example in enumerate(case.support)}
    draws = []
    for seed in SEEDS:
        drawn = head.sample(case.support, 1, seed)
        _require(all(id(example) in lines for example in drawn), "it draws examples that were not given")
        draws.append(tuple(lines[id(example)] for example in drawn))
        _require(bool(drawn), "it draws nothing for one shot")
        _require(len(set(draws[-1])) == len(drawn), "it draws an example twice")
        again = head.sample(case.support, 1, seed)
        _require(
            [id(example) for example in again] == [id(example) for example in drawn],
            f"it draws different examples when it is asked with the seed {seed} twice",
        )
    if len(draws[0]) < len(case.support):
        _require(len(set(draws)) > 1, f"the seeds {SEEDS.start} to {SEEDS.stop - 1} all draw the same")
    everything = head.sample(case.support, len(case.support), 0)
    _require(len(everything) == len(case.support), "it leaves examples out when there are shots for all")


def a_fit_tells_what_it_chose_in_plain_data(case: Case) -> None:
    """`fit` returns a mapping that goes through JSON and counts the examples."""
    told = case.fitted[1]
    _require(_through_json(told) == told, f"what fit returns does not go through JSON: {told!r:.200}")
    _require(
        told.get("examples") == len(case.support),
        f'fit tells "examples": {told.get("examples")!r}, and was given {len(case.support)}',
    )


def the_same_examples_give_the_same_head(case: Case) -> None:
    """Fitting twice gives the same predictions, whatever was drawn at random before."""
    first = case.predictions
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20)
        again, _ = case.fit()
    second = again.decode(case.encoded)
    _require_same(first, second, "a second fit to the same examples predicts otherwise")


def scores_are_finite_with_one_row_a_text(case: Case) -> None:
    """`forward` returns a tensor whose first dimension counts the texts."""
    scores = case.head(case.encoded)
    _require(isinstance(scores, Tensor), f"forward returns {type(scores).__name__}, not a tensor")
    _require(
        scores.shape[:1] == (len(case.query),),
        f"forward returns the shape {tuple(scores.shape)} for {len(case.query)} texts",
    )
    _require(bool(scores.isfinite().all()), "forward returns infinite numbers, or some that are none")


def the_loss_is_one_finite_number_that_fitting_lowered(case: Case) -> None:
    """`loss` is finite, has no dimension, and is lower than it was for a new head."""
    loss = _loss(case, case.head)
    _require(loss.shape == (), f"the loss has the shape {tuple(loss.shape)}, not ()")
    _require(bool(loss.isfinite()), f"the loss is {loss.item()}")
    try:
        before = _loss(case, case.make().eval())
    except TaskError:  # a new head may say that it has to be fitted first
        return
    _require(bool(loss < before), f"the loss is {loss:.4f} after fitting, and was {before:.4f} before")


def the_loss_leads_back_to_what_the_head_reads(case: Case) -> None:
    """The loss has gradients to `features` or to `tokens`: that is how the encoder is tuned."""
    head = case.head
    if not head.reads_texts:
        return
    texts = [example.text for example in case.support]
    with torch.enable_grad():
        encoded = _with_gradients(encode_with(case.layers, head)(texts))
        loss = head.loss(encoded, [example.target for example in case.support])
        _require(loss.requires_grad, "the loss has no gradient: something in it was detached")
        loss.backward()  # type: ignore[no-untyped-call]
    parts = [encoded, encoded.second] if encoded.second is not None else [encoded]
    leaves = [leaf for part in parts for leaf in (part.features, *(states.states for states in part.tokens))]
    gradients = [leaf.grad for leaf in leaves if leaf.grad is not None]
    _require(bool(gradients), "the loss has no gradient to the features or tokens of its texts")
    _require(all(bool(found.isfinite().all()) for found in gradients), "the loss has infinite gradients")
    head.zero_grad()


def predictions_are_ranked_by_their_probabilities(case: Case) -> None:
    """One prediction a text; `ranked` starts with it, falls, repeats no value, and adds up to 1 at most."""
    _require(
        len(case.predictions) == len(case.query),
        f"{len(case.predictions)} predictions for {len(case.query)} texts",
    )
    for prediction in case.predictions:
        shown, shares = f"{prediction!r:.300}", [share for _, share in prediction.ranked]
        _require(
            bool(prediction.ranked) and prediction.ranked[0] == (prediction.value, prediction.probability),
            f"ranked does not start with the value and its probability: {shown}",
        )
        _require(shares == sorted(shares, reverse=True), f"ranked is not in order: {shown}")
        _require(
            all(-CLOSE <= share <= 1 + CLOSE for share in shares), f"a probability is out of range: {shown}"
        )
        within = sum(shares) <= 1 + CLOSE or not case.head.exclusive
        _require(within, f"the probabilities add up to more than 1: {shown}")
        _require(
            len({value for value, _ in prediction.ranked}) == len(shares), f"a value comes twice: {shown}"
        )


def predictions_are_plain_data(case: Case) -> None:
    """`value` can be hashed, goes through JSON, and can be shown; parts lie within the text."""
    for text, prediction in zip(case.encoded.texts, case.predictions, strict=True):
        value = prediction.value
        _require(_listed(_through_json(value)) == _listed(value), f"{value!r} does not go through JSON")
        _require(isinstance(case.head.display(value), str), f"display({value!r}) is no text")
        for part in prediction.parts:
            spans = part.start is not None and part.end is not None
            _require(spans or part.start is part.end is None, f"half a span: {part}")
            inside = not spans or 0 <= (part.start or 0) <= (part.end or 0) <= len(text)
            _require(inside, f"a span outside its text of {len(text)} characters: {part}")
            _require(-CLOSE <= part.probability <= 1 + CLOSE, f"a probability is out of range: {part}")


def evidence_is_triples_of_the_graph(case: Case) -> None:
    """Evidence names triples by their number, each once; where it is promised, there is some."""
    knowledge = case.layers.knowledge
    triples = len(knowledge.graph) if knowledge is not None else 0
    for prediction in case.predictions:
        cited = [triple for triple, _ in prediction.evidence]
        _require(len(set(cited)) == len(cited), f"a triple is cited twice: {cited}")
        _require(all(0 <= triple < triples for triple in cited), f"there are {triples} triples: {cited}")
        _require(all(math.isfinite(weight) for _, weight in prediction.evidence), "a weight is not finite")
    if case.sample.evidence:
        _require(any(prediction.evidence for prediction in case.predictions), "no prediction has evidence")


def the_support_of_an_answer_is_the_probability_it_was_predicted_with(case: Case) -> None:
    """`support_of` gives what `decode` gave: it is how evidence is measured."""
    for index, prediction in enumerate(case.predictions):
        for value, share in prediction.ranked[:3]:
            support = case.head.support_of(case.encoded, value)
            _require(len(support) == len(case.query), f"{len(support)} numbers for {len(case.query)} texts")
            _require(
                abs(support[index] - share) <= CLOSE,
                f"{value!r} was predicted with {share:.5f}, and support_of says {support[index]:.5f}",
            )


def the_metrics_are_those_it_names_and_one_for_no_mistake(case: Case) -> None:
    """`metrics` returns `metric_names`, none above 1, and the best where every prediction is right."""
    metrics = case.head.metrics(case.predictions, case.targets)
    _require(
        metrics.keys() == set(case.head.metric_names),
        f"metrics returns {sorted(metrics)}, and metric_names are {sorted(case.head.metric_names)}",
    )
    _require_measures(metrics)
    judged = case.head.judge(case.predictions, case.targets)
    _require(judged == {name: metrics[name] for name in case.head.default_metrics}, f"judge returns {judged}")
    right = [(case.head.value_of(target), target) for target in case.targets]
    right = [(value, target) for value, target in right if value is not None]
    if not right:
        return
    perfect = [Prediction(value, 1.0, ((value, 1.0),)) for value, _ in right]
    best = case.head.metrics(perfect, [target for _, target in right])
    _require_measures(best)
    for name in case.head.default_metrics:
        _require(best[name] >= 1 - CLOSE, f"{name} is {best[name]:.4f}, not 1, where nothing is wrong")


def it_learns_from_the_examples(case: Case) -> None:
    """Every default metric reaches the sample's bar on lines that it was not fitted to."""
    for name, value in case.head.judge(case.predictions, case.targets).items():
        _require(
            value >= case.sample.bar, f"{name} is {value:.3f}, below the sample's bar, {case.sample.bar}"
        )


def an_unknown_metric_is_refused_before_any_work(case: Case) -> None:
    """A task that names a metric which the head does not know is refused when the head is made."""
    try:
        case.make(metrics=(f"{case.head_type.default_metrics[0]}x",))
    except TaskError as error:
        _require("did you mean" in str(error), f"the error names no near one: {error}")
    else:
        raise BrokenPromise("a task that names an unknown metric is accepted; call super().__init__ first")


def settings_and_state_build_the_head_again(case: Case) -> None:
    """What is saved, `settings` as JSON and the state dict, gives the same head with the same predictions."""
    settings = case.head.settings()
    _require(_through_json(settings) == settings, f"settings do not go through JSON: {settings!r:.200}")
    again = case.make(_through_json(settings))
    try:
        again.load_state_dict(case.head.state_dict())
    except RuntimeError as error:
        raise BrokenPromise(f"the state does not fit a head made from the settings: {error}") from error
    again.eval()
    _require(again.settings() == settings, "a head made from its settings has other settings")
    _require(
        torch.equal(again(case.encoded), case.head(case.encoded)), "the head built again scores otherwise"
    )
    _require(again.decode(case.encoded) == case.predictions, "the head built again predicts otherwise")


def a_prediction_does_not_depend_on_the_other_texts(case: Case) -> None:
    """A text alone is answered as it is among others."""
    alone = [case.decode(case.encode([example.text]))[0] for example in case.query]
    _require_same(case.predictions, alone, "a text alone is answered otherwise than among others")


def no_text_gives_no_prediction(case: Case) -> None:
    """Without texts there are no predictions, and no error."""
    predictions = case.decode(case.encode([]))
    _require(predictions == [], f"no text gives {predictions!r:.200}")


def any_text_is_answered_or_refused_in_words(case: Case) -> None:
    """Empty, long and odd texts get a prediction, or an error that a person can read."""
    for text in ODD_TEXTS:
        try:
            predictions = case.decode(case.encode([text]))
        except RootsError:
            continue
        _require(len(predictions) == 1, f"{text!r:.30} gives {len(predictions)} predictions")
        _require(
            math.isfinite(predictions[0].probability), f"{text!r:.30} has a probability that is no number"
        )


def a_graph_is_needed_only_if_it_says_so(case: Case) -> None:
    """A head that needs a graph says so; any other can be fitted and asked without one."""
    plain = KnowledgeEncoder(case.layers.encoder).eval()
    if case.head_type.needs_knowledge:
        try:
            case.head_type(case.task, plain.encoder.hidden_size, None)
        except TaskError:
            return
        raise BrokenPromise("it needs a graph, and can be made without one; call super().__init__ first")
    if case.layers.knowledge is None or not case.fitted:
        return
    head, _ = case.fit(plain)
    predictions = head.decode(
        encode_with(plain, head)([example.text for example in case.query], read=head.reads_texts)
    )
    _require(len(predictions) == len(case.query), "without a graph it does not answer every text")
    _require(not any(found.evidence for found in predictions), "without a graph it names triples")


PROMISES: tuple[Promise, ...] = (
    it_is_a_head_with_metrics_to_report,
    a_line_becomes_an_example_of_it,
    a_line_that_does_not_say_what_is_right_can_be_predicted_from,
    a_broken_line_is_refused_by_its_place,
    a_line_with_anything_odd_in_it_is_read_or_refused,
    the_support_is_drawn_from_the_examples_by_seed,
    a_fit_tells_what_it_chose_in_plain_data,
    the_same_examples_give_the_same_head,
    scores_are_finite_with_one_row_a_text,
    the_loss_is_one_finite_number_that_fitting_lowered,
    the_loss_leads_back_to_what_the_head_reads,
    predictions_are_ranked_by_their_probabilities,
    predictions_are_plain_data,
    evidence_is_triples_of_the_graph,
    the_support_of_an_answer_is_the_probability_it_was_predicted_with,
    the_metrics_are_those_it_names_and_one_for_no_mistake,
    it_learns_from_the_examples,
    an_unknown_metric_is_refused_before_any_work,
    settings_and_state_build_the_head_again,
    a_prediction_does_not_depend_on_the_other_texts,
    no_text_gives_no_prediction,
    any_text_is_answered_or_refused_in_words,
    a_graph_is_needed_only_if_it_says_so,
)
"""In the order in which an author meets them."""


def _place(error: BaseException) -> str:
    """Return where an error was raised, as " (file:line)"."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        place = f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})"
        trace = trace.tb_next
    return place


def _require(kept: bool, how: str) -> None:
    if not kept:
        raise BrokenPromise(how)


def _require_same(first: Sequence[Prediction], second: Sequence[Prediction], how: str) -> None:
    for one, other in zip(first, second, strict=True):
        same = one.value == other.value and abs(one.probability - other.probability) <= CLOSE
        _require(
            same, f"{how}: {one.value!r} ({one.probability:.5f}), {other.value!r} ({other.probability:.5f})"
        )


def _require_measures(metrics: dict[str, float]) -> None:
    for name, value in metrics.items():
        _require(isinstance(value, float), f"the metric {name} is {value!r}, not a float")
        _require(
            math.isfinite(value) and value <= 1, f"the metric {name} is {value}, and 1 is to be the best"
        )


def _refusal(read: Callable[[Record], Any], record: Record) -> TaskError | None:
    """Return the error by which a line is refused, or None if it is read."""
    try:
        read(record)
    except TaskError as error:
        return error
    return None


def _mutations(value: Any) -> Iterator[Any]:
    """Yield plain data like `value`, each with one thing in it, at any depth, missing or odd."""
    items = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    for key, item in items:
        rest = {name: kept for name, kept in items if name != key}
        yield rest if isinstance(value, dict) else list(rest.values())
        inner = _mutations(item) if isinstance(item, (dict, list, tuple)) else ()
        for odd in (*ODD_VALUES, *inner):
            changed = {**dict(items), key: odd}
            yield changed if isinstance(value, dict) else [changed[number] for number, _ in items]


def _loss(case: Case, head: Head) -> Tensor:
    encoded = encode_with(case.layers, head)([example.text for example in case.support])
    return head.loss(encoded, [example.target for example in case.support])


def _with_gradients(encoded: EncodedTexts) -> EncodedTexts:
    """Return encoded texts whose features and tokens ask for gradients."""
    return replace(
        encoded,
        features=encoded.features.clone().requires_grad_(),
        tokens=[replace(states, states=states.states.clone().requires_grad_()) for states in encoded.tokens],
        second=None if encoded.second is None else _with_gradients(encoded.second),
    )


def _through_json(data: Any) -> Any:
    try:
        return json.loads(json.dumps(data))
    except (TypeError, ValueError) as error:
        raise BrokenPromise(f"{data!r:.200} does not go through JSON: {error}") from error


def _listed(value: Any) -> Any:
    """Return data with tuples as lists, as JSON has them."""
    return [_listed(item) for item in value] if isinstance(value, (list, tuple)) else value
