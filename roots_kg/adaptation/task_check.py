"""Looking through a task's files before anything is learned from them: everything that is wrong, at once.

Lines are read by the task's own head, so that what is accepted here is accepted by `roots adapt`.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roots_kg.adaptation.heads.base import Example, Head
from roots_kg.adaptation.task import Record, Task, scan_records
from roots_kg.errors import RootsError, TaskError, nearest
from roots_kg.fusion.encoder import Text

__all__ = ["Finding", "TaskReport", "check_task", "shared_texts"]

IMBALANCE = 10
"""How many times as many examples as another a label must have for a warning."""

EXAMPLES_SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """Something about a task's files that a person should know.

    Args:
        message: what.
        path: the file.
        line: the line of the file, counted from 1; None where it is about more than one.
    """

    message: str
    path: Path | None = None
    line: int | None = None

    @classmethod
    def of(cls, error: RootsError) -> Finding:
        """Return what an error says."""
        message = f"{error.message} ({error.hint})" if error.hint else error.message
        return cls(message, Path(error.path) if error.path is not None else None, error.line)

    def __str__(self) -> str:
        where = (
            ""
            if self.path is None
            else f"{self.path}: "
            if self.line is None
            else f"{self.path}:{self.line}: "
        )
        return f"{where}{self.message}"


@dataclass
class TaskReport:
    """What a task's files hold.

    Args:
        examples: how many examples of each file could be read, by "train" and "test".
        labels: how many of them have each label; empty for a head without labels.
        shared: how many examples of train have a text that is one of test.
        problems: what makes `roots adapt` or `roots evaluate` fail, or what they learn wrong.
        warnings: what may be meant to be so.
    """

    examples: dict[str, int] = field(default_factory=dict)
    labels: dict[str, dict[str, int]] = field(default_factory=dict)
    shared: int = 0
    problems: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)


def check_task(task: Task, head: Head) -> TaskReport:
    """Read every line of a task's files.

    Args:
        task: the task.
        head: its head, not fitted.

    Returns:
        What was found; nothing that is wrong in a file keeps the rest from being read.
    """
    report = TaskReport()
    read: dict[str, list[Example]] = {}
    for split, path in (("train", task.train), ("test", task.test)):
        if path is not None:
            read[split] = list(_readable(path, head, report))
            report.examples[split] = len(read[split])
    labelled = bool(task.labels or (head.sample_task is not None and head.sample_task.labels))
    if labelled:
        _check_labels(task, head, read, report)
    for examples in read.values():
        _check_repeats(examples, report, contradict=labelled)
    train, test = ([example.text for example in read.get(split, ())] for split in ("train", "test"))
    report.shared = _count_shared(train, test)
    if report.shared:
        what = "example of train has" if report.shared == 1 else "examples of train have"
        report.warnings.append(Finding(f"{report.shared:,} {what} a text that is also in test", task.test))
    report.problems.sort(key=lambda found: (str(found.path), found.line or 0))
    return report


def shared_texts(examples: Iterable[Example], test: Path, head: Head) -> int:
    """Count the examples whose text is also in a test file, whatever else is wrong with that file.

    Texts are compared as a reader would, without regard to capitals, width and spaces.

    Args:
        examples: what is learned from.
        test: the file that it will be judged by.
        head: which reads both.
    """
    return _count_shared((example.text for example in examples), _texts(test, head))


def _count_shared(texts: Iterable[Text], held_out: Iterable[Text]) -> int:
    keys = set(map(_key, held_out))
    return sum(_key(text) in keys for text in texts)


def _texts(path: Path, head: Head) -> Iterator[Text]:
    """Yield the texts of a file, as far as they can be read."""
    with suppress(TaskError):
        for found in scan_records(path):
            with suppress(TaskError):
                if isinstance(found, Record):
                    yield head.text(found)


def _readable(path: Path, head: Head, report: TaskReport) -> Iterable[Example]:
    """Yield the examples of a file that the head can read; the others are problems."""
    empty = True
    try:
        for found in scan_records(path):
            empty = False
            try:
                if isinstance(found, TaskError):
                    raise found
                yield head.example(found)
            except TaskError as error:
                report.problems.append(Finding.of(error))
            except Exception as error:  # a head of others may raise anything
                assert isinstance(found, Record)
                message = f"the head fails on this line with {type(error).__name__}: {error}"
                report.problems.append(Finding(message, found.path, found.line))
    except TaskError as error:
        report.problems.append(Finding.of(error))
        return
    if empty:
        report.problems.append(Finding("the file holds no example", path))


def _check_labels(task: Task, head: Head, read: dict[str, list[Example]], report: TaskReport) -> None:
    counts = {
        split: Counter(label for example in examples for label in _labels(head.value_of(example.target)))
        for split, examples in read.items()
    }
    train, test = counts.get("train", Counter()), counts.get("test", Counter())
    names = [*task.labels, *sorted((train.keys() | test.keys()) - set(task.labels))]
    report.labels = {label: {split: found[label] for split, found in counts.items()} for label in names}
    if not train:
        return
    absent = [label for label in names if not train[label]]
    named, unknown = (
        [label for label in absent if (label in task.labels) is known] for known in (True, False)
    )
    if named:
        message = f"no example of train has {_few(named)}: the model has only the name to go by"
        report.warnings.append(Finding(message, task.train))
    if unknown:
        hint = nearest(unknown[0], train)
        report.problems.append(Finding(f"no example of train has {_few(unknown)} ({hint})", task.test))
    if test:
        unjudged = [label for label in names if train[label] and not test[label]]
        if unjudged:
            report.warnings.append(Finding(f"no example of test has {_few(unjudged)}", task.test))
    if len(names) < 2:
        report.problems.append(Finding(f"there is one label only, {names[0]!r}", task.train))
    most, fewest = max(train, key=train.__getitem__), min(train, key=train.__getitem__)
    if train[most] >= IMBALANCE * train[fewest]:
        report.warnings.append(
            Finding(
                f"the labels are out of balance: {most!r} has {train[most]:,} examples, "
                f"{fewest!r} {train[fewest]:,}",
                task.train,
            )
        )


def _check_repeats(examples: Sequence[Example], report: TaskReport, *, contradict: bool) -> None:
    """Find texts that come twice, with the same target or, where targets are labels, with another."""
    first: dict[Any, Example] = {}
    repeated = 0
    for example in examples:
        before = first.setdefault(_key(example.text, exact=True), example)
        if before is example:
            continue
        if before.target == example.target:
            repeated += 1
        elif contradict:
            report.problems.append(
                Finding(
                    f"{_shown(example.target)}, where line {before.record.line} has the same text "
                    f"with {_shown(before.target)}",
                    example.record.path,
                    example.record.line,
                )
            )
    if repeated:
        what = "example repeats" if repeated == 1 else "examples repeat"
        message = f"{repeated:,} {what} another one, text and target"
        report.warnings.append(Finding(message, examples[0].record.path))


def _key(text: Text, *, exact: bool = False) -> Any:
    """Return what two texts that read the same have in common; if it is to be `exact`, to the character."""
    if isinstance(text, str):
        return text if exact else " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    second = None if text.second is None else _key(text.second, exact=exact)
    return _key(text.text, exact=exact), text.spans, second


def _labels(value: Any) -> Iterable[str]:
    """Yield the labels in what a prediction would be: a label, labels, or spans with a label at the end."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (tuple, list, set, frozenset)):
        for item in value:
            label = item[-1] if isinstance(item, (tuple, list)) and item else item
            if isinstance(label, str):
                yield label


def _shown(target: Any) -> str:
    return f"{target!r:.100}"


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:EXAMPLES_SHOWN]))
    return f"{shown} and {len(names) - EXAMPLES_SHOWN} more" if len(names) > EXAMPLES_SHOWN else shown
