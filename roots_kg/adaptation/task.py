"""Tasks: a folder with `task.yaml` and JSONL examples; adding one takes no code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from roots_kg.config import from_mapping, load_yaml
from roots_kg.errors import TaskError
from roots_kg.files import is_text, not_a_file
from roots_kg.workspace import inside, is_path

__all__ = ["Record", "Task", "each_record", "read_records", "scan_records"]

TaskReading = Literal["bidirectional", "causal", "hybrid"]


@dataclass(frozen=True)
class Record:
    """One line of an examples file, and where it stands.

    Args:
        fields: the JSON object.
        path: the file; None for one that was made in Python.
        line: the line, counted from 1.
    """

    fields: dict[str, Any]
    path: Path | None = None
    line: int | None = None

    def error(self, message: str, hint: str | None = None) -> TaskError:
        """Return an error about this line."""
        return TaskError(message, path=self.path, line=self.line, hint=hint)

    def text(self, key: str) -> str:
        """Return the string under `key`.

        Raises:
            TaskError: if it is missing or not a string.
        """
        value = self.fields.get(key)
        if not isinstance(value, str):
            found = "missing" if key not in self.fields else f"{value!r}, not a text"
            plain = isinstance(value, (bool, int, float))
            hint = f'put it in quotes to make it text: "{key}": "{json.dumps(value)}"' if plain else None
            raise self.error(f"{key!r} is {found}", hint=hint)
        if not is_text(value):
            raise self.error(f"{key!r} holds half a surrogate pair, which is no character")
        return value

    def refuse(self, key: str, reason: str) -> None:
        """Raise if the line has `key`, which the head does not read.

        Raises:
            TaskError: if it has.
        """
        if key in self.fields:
            raise self.error(f"{key!r} is not supported: {reason}")

    def texts(self, key: str) -> list[str]:
        """Return the list of strings under `key`.

        Raises:
            TaskError: if it is missing, empty or holds anything else.
        """
        values = self.fields.get(key)
        if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
            raise self.error(f"{key!r} must be a list of texts with at least one, found {values!r}")
        return values


@dataclass(frozen=True)
class _TaskFile:
    head: str
    train: str
    name: str | None = None
    description: str = ""
    labels: dict[str, str] | tuple[str, ...] = ()
    test: str | None = None
    metrics: tuple[str, ...] = ()
    knowledge: str | None = None
    reading: TaskReading | None = None


@dataclass(frozen=True)
class Task:
    """What is to be learned, as `task.yaml` states it.

    Args:
        name: the task's name; by default its folder's.
        head: the name of its head.
        description: what the task is, in a sentence.
        labels: from a label to what it stands for; empty for tasks without labels, or to take the labels
            from the training examples.
        train: the file of training examples.
        test: the file of test examples, if there is one.
        metrics: the metrics to report; empty for the head's own.
        knowledge: the graph it uses: a folder or file, if it names one.
        reading: how its texts are read: from both sides, from the left, or both ways at once; None for the
            encoder's own way.
        folder: where it came from; None for a task that was made in Python.
    """

    name: str
    head: str
    description: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    train: Path | None = None
    test: Path | None = None
    metrics: tuple[str, ...] = ()
    knowledge: Path | None = None
    reading: TaskReading | None = None
    folder: Path | None = None

    @classmethod
    def load(cls, folder: Path) -> Task:
        """Read the task in `folder`; its examples are not read yet.

        Raises:
            ConfigError: if `task.yaml` is missing, malformed, or has an unknown key.
            TaskError: if it names a file outside its folder, what cannot be a path, or the same label twice.
        """
        path = folder / "task.yaml"
        raw = load_yaml(path)
        stated = from_mapping(_TaskFile, raw, path=path)
        if isinstance(stated.labels, dict):
            labels = {name: f"{label_text(name)}: {text}" for name, text in stated.labels.items()}
        else:
            labels = {name: label_text(name) for name in stated.labels}
            if len(labels) < len(stated.labels):
                raise TaskError("a label is listed twice", path=path)
        if stated.knowledge and not is_path(stated.knowledge):
            raise TaskError(f"knowledge: {stated.knowledge!r} cannot be a path", path=path)
        return cls(
            name=stated.name or folder.resolve().name,
            head=stated.head,
            description=stated.description,
            labels=labels,
            train=inside(folder, stated.train, named_in=path),
            test=inside(folder, stated.test, named_in=path) if stated.test else None,
            metrics=stated.metrics,
            knowledge=(folder / stated.knowledge).resolve() if stated.knowledge else None,
            reading=stated.reading,
            folder=folder,
        )


def label_text(label: str) -> str:
    """Return a label as words: underscores become spaces."""
    return " ".join(label.replace("_", " ").split())


def read_records(path: Path, *, pipe: bool = False) -> list[Record]:
    """Read a JSONL file of examples.

    Args:
        path: the file.
        pipe: read a pipe, too, which whoever named it must have filled; a task's own files are none.

    Raises:
        TaskError: if the file is missing, empty, not UTF-8, or a line is not a JSON object.
    """
    return list(each_record(path, pipe=pipe))


def each_record(path: Path, *, pipe: bool = False) -> Iterator[Record]:
    """Read the same record by record; what is wrong with a line is raised where the line is reached."""
    empty = True
    for found in scan_records(path, pipe=pipe):
        if isinstance(found, TaskError):
            raise found
        empty = False
        yield found
    if empty:
        raise TaskError("the file holds no example", path=path)


def scan_records(path: Path, *, pipe: bool = False) -> Iterator[Record | TaskError]:
    """Read a JSONL file line by line; what cannot be read is an error in the place of its record.

    Raises:
        TaskError: if it is no file, such as a device, or cannot be opened.
    """
    problem = None if pipe and path.is_fifo() else not_a_file(path)
    if problem is not None:
        raise TaskError(problem, path=path)
    try:
        stream = path.open("rb")
    except OSError as error:
        raise TaskError(f"cannot be read: {error.strerror}", path=path) from error
    with stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                try:
                    yield _record(line, path, number)
                except TaskError as error:
                    yield error


def _record(line: bytes, path: Path, number: int) -> Record:
    try:
        fields = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise TaskError(f"not UTF-8: byte 0x{line[error.start]:02x}", path=path, line=number) from error
    except (ValueError, RecursionError) as error:
        raise TaskError(f"not a JSON object: {error}", path=path, line=number) from error
    if not isinstance(fields, dict):
        raise TaskError(f"expected a JSON object, found {fields!r:.80}", path=path, line=number)
    return Record(fields, path, number)
