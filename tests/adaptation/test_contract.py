"""The contract of heads finds what is broken: each promise, in a head that does not keep it."""

import itertools
from dataclasses import replace

import pytest
import torch

from roots_kg.adaptation import contract
from roots_kg.adaptation.contract import PROMISES, BrokenPromise, Case, check, says, verdict_on
from roots_kg.adaptation.heads.base import Example, Prediction
from roots_kg.adaptation.heads.classification import ClassificationHead
from roots_kg.adaptation.sample_tasks import CLASSIFICATION
from roots_kg.fusion.encoder import KnowledgeEncoder


@pytest.fixture
def case(text_layers):
    def make(head_type=ClassificationHead, sample=CLASSIFICATION):
        return Case(head_type, sample, text_layers, "classification")

    return make


class NoMetrics(ClassificationHead):
    default_metrics = ()


class UnlistedMetric(ClassificationHead):
    metric_names = ("f1_macro",)


class OtherText(ClassificationHead):
    def text(self, record):
        return record.text("text").strip() + "!"

    def example(self, record):
        return replace(super().example(record), text=record.text("text"))


class NeedsTheAnswer(ClassificationHead):
    def text(self, record):
        record.text("label")
        return record.text("text")


class TakesAnyLabel(ClassificationHead):
    def example(self, record):
        return Example(record.text("text"), record.fields.get("label", "delivery"), record)


class NamesNoLine(ClassificationHead):
    def example(self, record):
        if record.fields.get("label") not in self.labels:
            raise contract.TaskError("no such label")
        return super().example(record)


class CrashesOnOddLines(ClassificationHead):
    def example(self, record):
        if "label" in record.fields:
            record.fields["label"].strip()
        return super().example(record)


class DrawsAnew(ClassificationHead):
    count = itertools.count()

    def sample(self, examples, shots, seed):
        return super().sample(examples, shots, next(self.count))


class DrawsTheSame(ClassificationHead):
    def sample(self, examples, shots, seed):
        return super().sample(examples, shots, 0)


class DrawsTwice(ClassificationHead):
    def sample(self, examples, shots, seed):
        return super().sample(examples, shots, seed) * 2


class TellsATensor(ClassificationHead):
    def fit(self, support, encode, config):
        return {**super().fit(support, encode, config), "centre": self.centre}


class TellsTooFew(ClassificationHead):
    def fit(self, support, encode, config):
        return {**super().fit(support, encode, config), "examples": 1}


class RollsDice(ClassificationHead):
    def fit(self, support, encode, config):
        told = super().fit(support, encode, config)
        self.text_weight = self.text_weight + 0.1 * torch.randn_like(self.text_weight)
        return told


class ScoresTurned(ClassificationHead):
    def forward(self, encoded):
        return super().forward(encoded).T


class ScoresInfinite(ClassificationHead):
    def forward(self, encoded):
        return super().forward(encoded) / 0


class LossOfEach(ClassificationHead):
    def loss(self, encoded, targets):
        return super().loss(encoded, targets).expand(2)


class LossThatGrows(ClassificationHead):
    def loss(self, encoded, targets):
        return -super().loss(encoded, targets)


class LossWithoutWayBack(ClassificationHead):
    def loss(self, encoded, targets):
        return super().loss(encoded, targets).detach()


class OnePrediction(ClassificationHead):
    def decode(self, encoded):
        return super().decode(encoded)[:1]


class Unranked(ClassificationHead):
    def decode(self, encoded):
        return [replace(found, ranked=found.ranked[::-1]) for found in super().decode(encoded)]


class MoreThanSure(ClassificationHead):
    def decode(self, encoded):
        return [Prediction(found.value, 1.5, ((found.value, 1.5),)) for found in super().decode(encoded)]


class AddsUpToMore(ClassificationHead):
    def decode(self, encoded):
        return [
            replace(found, probability=1.0, ranked=tuple((value, 1.0) for value, _ in found.ranked))
            for found in super().decode(encoded)
        ]


class ValueIsAList(ClassificationHead):
    def decode(self, encoded):
        return [replace(found, value=object()) for found in super().decode(encoded)]


class InventsEvidence(ClassificationHead):
    def decode(self, encoded):
        return [replace(found, evidence=((3, 1.0),)) for found in super().decode(encoded)]


class SupportsTooMuch(ClassificationHead):
    def support_of(self, encoded, value):
        return [1.0 for _ in encoded.texts]


class MeasuresInPercent(ClassificationHead):
    def metrics(self, predictions, targets):
        return {name: 100 * value for name, value in super().metrics(predictions, targets).items()}


class MeasuresMistakes(ClassificationHead):
    def metrics(self, predictions, targets):
        return {name: 1 - value for name, value in super().metrics(predictions, targets).items()}


class LearnsNothing(ClassificationHead):
    def fit(self, support, encode, config):
        told = super().fit(support, encode, config)
        self.text_weight = torch.zeros_like(self.text_weight)
        return told


class TakesAnyMetric(ClassificationHead):
    def _check_metrics(self, known):
        pass


class ForgetsItsScale(ClassificationHead):
    def settings(self):
        return {"labels": self.labels}


class SettingsAreNoJson(ClassificationHead):
    def settings(self):
        return {**super().settings(), "labels": set(self.labels)}


class ReadsTheBatch(ClassificationHead):
    def forward(self, encoded):
        return super().forward(encoded) * len(encoded.texts)


class FailsOnNothing(ClassificationHead):
    def decode(self, encoded):
        return super().decode(encoded) or [Prediction("delivery", 1.0, (("delivery", 1.0),))]


class FailsOnEmptyTexts(ClassificationHead):
    def decode(self, encoded):
        assert all(encoded.texts)
        return super().decode(encoded)


BROKEN = {
    NoMetrics: ("it is a head with metrics to report", "default_metrics is empty"),
    UnlistedMetric: ("it is a head with metrics to report", "metric_names lacks"),
    OtherText: ("a line becomes an example of it", "line 1"),
    NeedsTheAnswer: ("a line that does not say what is right can be predicted from", "no field"),
    TakesAnyLabel: ("a broken line is refused by its place", "is accepted"),
    NamesNoLine: ("a broken line is refused by its place", "does not name its line"),
    CrashesOnOddLines: ("a line with anything odd in it is read or refused", "AttributeError"),
    DrawsAnew: ("the support is drawn from the examples by seed", "different examples"),
    DrawsTheSame: ("the support is drawn from the examples by seed", "all draw the same"),
    DrawsTwice: ("the support is drawn from the examples by seed", "twice"),
    TellsATensor: ("a fit tells what it chose in plain data", "does not go through JSON"),
    TellsTooFew: ("a fit tells what it chose in plain data", "was given 9"),
    RollsDice: ("the same examples give the same head", "a second fit"),
    ScoresTurned: ("scores are finite with one row a text", "shape"),
    ScoresInfinite: ("scores are finite with one row a text", "infinite"),
    LossOfEach: ("the loss is one finite number that fitting lowered", "shape"),
    LossThatGrows: ("the loss is one finite number that fitting lowered", "after fitting"),
    LossWithoutWayBack: ("the loss leads back to what the head reads", "detached"),
    OnePrediction: ("predictions are ranked by their probabilities", "1 predictions for 6 texts"),
    Unranked: ("predictions are ranked by their probabilities", "does not start with"),
    MoreThanSure: ("predictions are ranked by their probabilities", "out of range"),
    AddsUpToMore: ("predictions are ranked by their probabilities", "add up to more than 1"),
    ValueIsAList: ("predictions are plain data", "does not go through JSON"),
    InventsEvidence: ("evidence is triples of the graph", "there are 0 triples"),
    SupportsTooMuch: ("the support of an answer is the probability it was predicted with", "support_of says"),
    MeasuresInPercent: ("the metrics are those it names and one for no mistake", "1 is to be the best"),
    MeasuresMistakes: ("the metrics are those it names and one for no mistake", "where nothing is wrong"),
    LearnsNothing: ("it learns from the examples", "below the sample's bar"),
    TakesAnyMetric: ("an unknown metric is refused before any work", "is accepted"),
    ForgetsItsScale: ("settings and state build the head again", "otherwise"),
    SettingsAreNoJson: ("settings and state build the head again", "does not go through JSON"),
    ReadsTheBatch: ("a prediction does not depend on the other texts", "a text alone"),
    FailsOnNothing: ("no text gives no prediction", "no text gives"),
    FailsOnEmptyTexts: ("any text is answered or refused in words", "AssertionError"),
}


PROMISE = {says(promise): promise for promise in PROMISES}


def test_the_head_that_the_broken_ones_derive_from_keeps_every_promise(case):
    verdicts = check(case())
    assert [verdict.promise for verdict in verdicts] == [says(promise) for promise in PROMISES]
    assert [verdict for verdict in verdicts if not verdict.kept] == []


@pytest.mark.parametrize(
    ("head_type", "expected"), BROKEN.items(), ids=lambda it: getattr(it, "__name__", "")
)
def test_a_broken_promise_is_found_and_told(case, head_type, expected):
    promise, how = expected
    broken = verdict_on(PROMISE[promise], case(head_type))
    assert broken.kept is False
    assert how in broken.how


def test_every_promise_that_a_head_alone_can_break_is_broken_above():
    needs_a_graph = {"a graph is needed only if it says so"}
    assert {promise for promise, _ in BROKEN.values()} | needs_a_graph == {
        says(promise) for promise in PROMISES
    }


def test_a_head_that_uses_a_graph_and_does_not_say_so_is_found(case, encoder, knowledge):
    class UsesAGraph(ClassificationHead):
        def fit(self, support, encode, config):
            assert self.knowledge.graph
            return super().fit(support, encode, config)

    uses = Case(UsesAGraph, CLASSIFICATION, KnowledgeEncoder(encoder, knowledge).eval(), "uses")
    with pytest.raises(AttributeError):
        contract.a_graph_is_needed_only_if_it_says_so(uses)


def test_a_head_that_says_it_needs_a_graph_must_refuse_to_be_made_without(case):
    class Needs(ClassificationHead):
        needs_knowledge = True

        def __init__(self, task, size, knowledge, settings=None):
            super().__init__(task, size, knowledge or object(), settings)

    with pytest.raises(BrokenPromise, match="can be made without one"):
        contract.a_graph_is_needed_only_if_it_says_so(case(Needs))


def test_promised_evidence_that_does_not_come_is_found(case):
    with pytest.raises(BrokenPromise, match="no prediction has evidence"):
        contract.evidence_is_triples_of_the_graph(case(sample=replace(CLASSIFICATION, evidence=True)))


def test_a_head_that_cannot_be_fitted_is_told_once_with_its_place_and_the_rest_is_not_checked(case):
    class CannotFit(ClassificationHead):
        def fit(self, support, encode, config):
            raise SystemExit("no more")

    verdicts = check(case(CannotFit))
    (failed,) = [verdict for verdict in verdicts if verdict.kept is False]
    assert failed.promise == "a fit tells what it chose in plain data"
    assert "SystemExit: no more" in failed.how
    assert "test_contract.py:" in failed.how
    unchecked = [verdict for verdict in verdicts if verdict.kept is None]
    assert {verdict.how for verdict in unchecked} == {"not checked: the head could not be fitted"}
    assert sum(verdict.kept is True for verdict in verdicts) == 8


def test_what_is_no_head_is_told(case):
    verdicts = check(case(dict))
    assert verdicts[0].how == "dict is no subclass of Head"
    assert not any(verdict.kept for verdict in verdicts)
