"""The knowledge report: does the graph help, is it the graph's facts that do, and is the evidence real?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from roots_kg.adaptation.heads.base import Example, Head
from roots_kg.adaptation.task import Record, Task, read_records
from roots_kg.errors import TaskError, UsageError
from roots_kg.evaluation.conditions import (
    AS_TEXT,
    GRAPH,
    NO_GRAPH,
    SHUFFLED,
    STANDS_IN,
    TITLES,
    Condition,
    Conditions,
)
from roots_kg.evaluation.deletion import DELETIONS, DeletionCheck, check_deletions
from roots_kg.evaluation.leakage import LeakageAudit, audit, labelled, shared_entities
from roots_kg.evaluation.trials import Estimates, Trial, difference, estimate
from roots_kg.evaluation.verdict import Outcome, number, outcome, points, verdict
from roots_kg.intervals import CONFIDENCE, RESAMPLES
from roots_kg.model import RootsModel
from roots_kg.model_card import markdown_table

__all__ = ["PARTS", "ConditionResult", "EntitySplit", "KnowledgeReport", "knowledge_report", "work"]

PARTS = {
    "unseen": "entities not in the support set",
    "seen": "an entity of the support set",
    "unlinked": "nothing linked",
}
"""What the test examples are divided into, by their linked entities."""

Progress = Callable[[int], None]


@dataclass(frozen=True)
class ConditionResult:
    """How well the task was learned under one condition.

    Args:
        name: which, see `roots_kg.evaluation.conditions.TITLES`.
        scores: each metric; None where the condition is impossible.
        draws: the metrics of each draw.
        gain: by how much the true graph is better, draw by draw; None for the graph itself, and where the
            condition is impossible.
        note: what a person should know about it.
    """

    name: str
    scores: Estimates | None
    draws: tuple[dict[str, float], ...] = ()
    gain: Estimates | None = None
    note: str = ""


@dataclass(frozen=True)
class EntitySplit:
    """A part of the test examples, by whether the support set mentions their entities.

    Args:
        name: "unseen", "seen" or "unlinked"; see `roots_kg.evaluation.leakage.SharedEntities`.
        n: how many examples, on average over the draws.
        scores: for each condition, its metrics there, or None where there are none.
    """

    name: str
    n: float
    scores: dict[str, Estimates | None]


@dataclass(frozen=True)
class KnowledgeReport:
    """Whether knowledge helps a model, by every test of it that there is.

    Args:
        task: the task's name.
        head: its head's.
        n: how many test examples there are.
        shots: how many examples of each class the support sets hold; None for all.
        support: how many examples the support set of each draw holds.
        interval: how the intervals were made, in words.
        conditions: how well the task is learned with the graph, without it, and with false ones.
        saved: the saved model's own metrics, with the graph and with the graph switched off.
        splits: the conditions on parts of the test examples.
        leakage: what the training examples give away.
        clean: for each condition, its metrics on the test examples that nothing gives away.
        deletion: the evidence, checked.
        seconds: wall-clock seconds.
    """

    task: str
    head: str
    n: int
    shots: int | None
    support: tuple[int, ...]
    interval: str
    conditions: tuple[ConditionResult, ...]
    saved: dict[str, dict[str, float]]
    splits: tuple[EntitySplit, ...]
    leakage: LeakageAudit
    clean: dict[str, Estimates | None]
    deletion: DeletionCheck
    seconds: float

    @property
    def metric(self) -> str:
        """The metric that the verdict is about: the task's first."""
        return next(iter(self.saved[GRAPH]))

    @property
    def outcome(self) -> Outcome:
        """Whether the graph helps, hurts, or neither can be shown."""
        return outcome(self._gain(NO_GRAPH)[self.metric])

    @property
    def verdict(self) -> str:
        """What the report comes to, in plain words."""
        found = {result.name: result for result in self.conditions}
        gains = {name: result.gain[self.metric] for name, result in found.items() if result.gain}
        return verdict(
            self.metric,
            gains[NO_GRAPH],
            gains.get(SHUFFLED),
            gains.get(AS_TEXT),
            stood_in=found[NO_GRAPH].note == STANDS_IN,
        )

    @property
    def parts(self) -> list[tuple[str, float, dict[str, Estimates | None]]]:
        """Parts of the test examples: the title, how many there are, and each condition's metrics there.

        Of those by linked entities, the ones without an example are left out.
        """
        divided = [(PARTS[split.name], split.n, split.scores) for split in self.splits if split.n]
        return [*divided, ("not given away by training", len(self.leakage.clean), self.clean)]

    def to_markdown(self) -> str:
        """Return what a model's card says of it."""
        metric = self.metric
        rows = [
            (
                TITLES[result.name],
                number(result.scores[metric] if result.scores else None),
                points(result.gain[metric]) if result.gain else "",
            )
            for result in self.conditions
        ]
        table = markdown_table(("condition", metric, "the graph's gain"), rows)
        return f"{self.verdict}\n\n{table}\n{self.n:,} test examples; {self.interval}\n"

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain data: what was measured under "metrics", and beside it how."""
        leakage, clean = self.leakage, self.leakage.clean
        return {
            "metrics": {
                "conditions": {
                    result.name: {
                        "scores": _plain(result.scores),
                        "graph_minus_this": _plain(result.gain),
                        "draws": result.draws,
                    }
                    for result in self.conditions
                },
                "as_saved": self.saved,
                "entities": {
                    split.name: {
                        "n": split.n,
                        **{name: _plain(scores) for name, scores in split.scores.items()},
                    }
                    for split in self.splits
                },
                "leakage": {
                    "n": leakage.examples,
                    "training": leakage.training,
                    "repeated": len(leakage.repeated),
                    "stated": len(leakage.stated),
                    "facts": leakage.facts,
                    "facts_stated": leakage.facts_stated,
                    "clean": {
                        "n": len(clean),
                        **{name: _plain(scores) for name, scores in self.clean.items()},
                    },
                },
                "deletion": {
                    "with_evidence": self.deletion.with_evidence,
                    **{name: asdict(getattr(self.deletion, name)) for name in DELETIONS},
                },
            },
            "verdict": self.verdict,
            "outcome": self.outcome,
            "metric": self.metric,
            "task": self.task,
            "head": self.head,
            "n": self.n,
            "shots": self.shots,
            "support": self.support,
            "interval": self.interval,
            "notes": {result.name: result.note for result in self.conditions if result.note},
            "deleted": [asdict(deleted) for deleted in self.deletion.shown],
            "seconds": {"wall": self.seconds},
        }

    def _gain(self, name: str) -> Estimates:
        (result,) = (result for result in self.conditions if result.name == name)
        assert result.gain is not None
        return result.gain


def work(num_test: int, evidence_sample: int = 200) -> int:
    """Return how many texts `knowledge_report` tells its `progress` of."""
    return (len(TITLES) + 2) * num_test + min(evidence_sample, num_test)


def knowledge_report(
    model: RootsModel,
    task: Task,
    test: Sequence[Record] | Path,
    *,
    shots: int | None = None,
    seeds: int = 5,
    seed: int = 0,
    evidence_sample: int = 200,
    progress: Progress | None = None,
) -> KnowledgeReport:
    """Measure what a model's graph is worth.

    The task is learned anew from the same support sets with the graph, without it, with a shuffled graph,
    with random vectors, and by text alone with the retrieved triples written in front of it. Metrics are also
    given for test examples whose entities no support example mentions, and for those that no training
    example gives away; and the evidence of the model as it was saved is checked by deletion.

    Args:
        model: an adapted model with a graph; it stays as it is.
        task: the task it was adapted to, with training examples to draw support sets from.
        test: labelled examples, or their JSONL file.
        shots: how many to draw of each class (in all, for heads without classes); None for all.
        seeds: how many support sets to draw. Where all draws would be the same there is one, and intervals
            are over the test examples.
        seed: of the first draw; the next ones follow. Also of all that is shuffled or drawn otherwise.
        evidence_sample: of how many predictions to check the evidence, at most.
        progress: called with the number of texts done since the last call, `work` of them in all.

    Raises:
        UsageError: if the model has no task or no graph, the task is another, or a number is out of range.
        TaskError: if the task has no training examples, or an example does not fit the head.
    """
    started = time.perf_counter()
    _check(model, task, shots, seeds, evidence_sample)
    assert task.train is not None
    records = read_records(test) if isinstance(test, Path) else list(test)
    if not records:
        raise TaskError("there is no test example")
    training = read_records(task.train)
    conditions = Conditions(model, task, [*training, *records], seed)
    head = conditions.head
    train = [head.example(record) for record in training]
    advance = progress or (lambda done: None)

    as_saved = conditions.judge(conditions.saved, records, advance)
    switched_off = conditions.judge(conditions.switched_off, records, advance)
    everything = range(len(records))
    saved = {
        GRAPH: as_saved.scores(everything),
        NO_GRAPH: switched_off.scores(everything),
    }
    deletion = _deletion(conditions, records, as_saved, evidence_sample, seed)
    advance(min(evidence_sample, len(records)))

    draws = _draws(head, train, shots, range(seed, seed + seeds))
    trials = {
        condition.name: _trials(conditions, condition, train, draws, records, advance)
        for condition in conditions.all
    }
    examples = [head.example(record) for record in records]
    known, asked = (labelled(conditions.saved.layers, part) for part in (train, examples))
    shared = [shared_entities(asked, [known[position] for position in draw]) for draw in draws]
    leakage = audit(known, asked)

    def scores(members: Sequence[Sequence[int]]) -> dict[str, Estimates | None]:
        return {name: estimate(found, members) if found else None for name, found in trials.items()}

    return KnowledgeReport(
        task=task.name,
        head=task.head,
        n=len(records),
        shots=shots,
        support=tuple(map(len, draws)),
        interval=_interval(len(draws), seeds),
        conditions=tuple(_result(condition, trials, everything) for condition in conditions.all),
        saved=saved,
        splits=tuple(
            EntitySplit(name, sum(map(len, parts)) / len(parts), scores(parts))
            for name in PARTS
            for parts in [[getattr(one, name) for one in shared]]
        ),
        leakage=leakage,
        clean=scores([leakage.clean] * len(draws)),
        deletion=deletion,
        seconds=time.perf_counter() - started,
    )


def _check(model: RootsModel, task: Task, shots: int | None, seeds: int, evidence_sample: int) -> None:
    own = model.head_of(task.name if len(model.heads) > 1 else None)
    if own.task.head != task.head:
        raise UsageError(
            f"the model was adapted with the head {own.task.head!r}, the task {task.name!r} has "
            f"{task.head!r}",
            hint="name the task that the model was adapted to with `--task`",
        )
    if task.train is None:
        raise TaskError(f"the task {task.name!r} has no training examples")
    for name, value, least in (
        ("shots", shots, 1),
        ("seeds", seeds, 1),
        ("evidence-sample", evidence_sample, 0),
    ):
        if value is not None and value < least:
            raise UsageError(f"--{name} must be at least {least}, found {value}")


def _draws(head: Head, train: Sequence[Example], shots: int | None, seeds: Sequence[int]) -> list[list[int]]:
    """Return the support set of each seed as positions; one alone where all of them are the same."""
    if shots is None:
        return [list(range(len(train)))]
    position = {id(example): index for index, example in enumerate(train)}
    draws = [[position[id(example)] for example in head.sample(train, shots, seed)] for seed in seeds]
    return draws if len(set(map(tuple, draws))) > 1 else draws[:1]


def _trials(
    conditions: Conditions,
    condition: Condition,
    train: Sequence[Example],
    draws: Sequence[Sequence[int]],
    test: Sequence[Record],
    advance: Progress,
) -> list[Trial]:
    """Return the outcome of each draw; none where the condition is impossible."""
    found = []
    for place, draw in enumerate(draws):
        support = [train[position].record for position in draw]
        trial = conditions.trial(condition, support, test, (lambda done: None) if place else advance)
        if trial is not None:
            found.append(trial)
    return found


def _deletion(
    conditions: Conditions, records: Sequence[Record], trial: Trial, sample: int, seed: int
) -> DeletionCheck:
    head = trial.head
    assert trial.predictions is not None
    texts = [head.example(record).text for record in records]
    return check_deletions(
        head,
        conditions.encode,
        conditions.knowledge.graph,
        texts,
        trial.predictions,
        conditions.retrieved(texts),
        sample=sample,
        seed=seed,
    )


def _result(
    condition: Condition, trials: dict[str, list[Trial]], everything: Sequence[int]
) -> ConditionResult:
    found, note = trials[condition.name], condition.note
    if not found:
        return ConditionResult(condition.name, None, note=note)
    members = [everything] * len(found)
    failed = sum(trial.predictions is None for trial in found)
    if failed:
        note = f"nothing could be learned in {failed} of {len(found)} draws, which count as 0"
    elif condition.name != GRAPH and _same(found, trials[GRAPH]):
        note = "every prediction is that of the true graph: this head does not look at what differs"
    gain = None if condition.name == GRAPH else difference(trials[GRAPH], found, members)
    draws = tuple(trial.scores(everything) for trial in found)
    return ConditionResult(condition.name, estimate(found, members), draws, gain, note)


def _same(trials: Sequence[Trial], others: Sequence[Trial]) -> bool:
    return all(
        [found.value for found in one.predictions or ()] == [found.value for found in other.predictions or ()]
        for one, other in zip(trials, others, strict=True)
    )


def _interval(draws: int, seeds: int) -> str:
    level = f"{CONFIDENCE:.0%}"
    if draws > 1:
        return f"{level} Student t-interval over {draws} draws of the support set"
    why = " (every draw would be the same; give --shots for several)" if seeds > 1 else ""
    return f"{level} bootstrap over test examples, {RESAMPLES} resamples of one draw{why}"


def _plain(scores: Estimates | None) -> dict[str, dict[str, float]] | None:
    return None if scores is None else {name: asdict(found) for name, found in scores.items()}
