"""What the verbs share: tables for people, one JSON object for machines, bars on standard error."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = [
    "BlockListOption",
    "JsonOption",
    "KnowledgeOption",
    "OutOption",
    "PrecisionOption",
    "PrintConfigOption",
    "ProjectOption",
    "RecordOption",
    "ResumeOption",
    "TaskOption",
    "TensorboardOption",
    "be_quiet",
    "figures",
    "note",
    "passes_bar",
    "print_json",
    "progress_bar",
    "refuse_to_record",
    "required_out",
    "resumable",
    "shows_progress",
    "table",
    "working",
]

PIPED_WIDTH = 100
_state = {"quiet": False}
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
PrecisionOption = Annotated[
    Literal["float32", "int8"] | None,
    typer.Option(help="Read texts in these numbers; int8 is faster.  [default: the model's own]"),
]
BlockListOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Words and phrases that no generated text may hold, one on each line."),
]
KnowledgeOption = Annotated[
    Path | None, typer.Option(metavar="BUNDLE", help="A graph to use in place of the model's own.")
]
TaskOption = Annotated[
    str | None,
    typer.Option("--task", metavar="NAME", help="Which of the model's tasks, if it has several."),
]
ProjectOption = Annotated[
    bool,
    typer.Option(
        "--project-knowledge",
        help="Move the vectors of --knowledge, from another training, to those that the model knows.",
    ),
]

OutOption = Annotated[Path | None, typer.Option(metavar="FOLDER", help="The folder to write.")]
PrintConfigOption = Annotated[
    bool,
    typer.Option(
        "--print-config", "--print_config", help="Print all settings as they would be used, and stop."
    ),
]
RecordOption = Annotated[
    bool, typer.Option("--record", help="Write what is found into the model's card, its README.md.")
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")]
TensorboardOption = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="A folder for a log that TensorBoard reads as well.")
]


def print_json(result: Mapping[str, Any]) -> None:
    """Print one JSON object on standard output."""
    print(json.dumps(result, ensure_ascii=False, default=_plain))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table; columns of numbers are set to the right."""
    from rich.console import Console
    from rich.table import Table

    if title:
        print(title)
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], (int, float)) for row in rows)
        shown.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(_cell(value) for value in row))
    console = Console(markup=False, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPED_WIDTH
    console.print(shown)


def figures(title: str, values: Mapping[str, Any]) -> None:
    """Print named values, one a line, under a title."""
    print(title)
    width = max(map(len, values))
    for name, value in values.items():
        print(f"  {name.replace('_', ' '):<{width}}  {_cell(value)}")


def be_quiet(quiet: bool) -> None:
    """Show neither bars nor notes from now on, or show them again; errors and warnings always are."""
    _state["quiet"] = quiet


def shows_progress() -> bool:
    """Tell whether a person looks on, who wants to see how far a long piece of work has come."""
    return sys.stderr.isatty() and not _state["quiet"]


def note(text: str) -> None:
    """Tell on standard error what goes on, unless that is not wanted."""
    if not _state["quiet"]:
        print(text, file=sys.stderr)


@contextmanager
def progress_bar(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error, when that is a terminal; gives a function that moves it on.

    Of an unknown total the bar moves to and fro.
    """
    with _progress() as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.advance(task, done)


@contextmanager
def passes_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar likewise, which moves to and fro until it is known how many passes there are."""
    with _progress() as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def working(title: str) -> Iterator[None]:
    """Show that something goes on of which nobody knows how long it takes; nothing of it stays."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not shows_progress()) as progress:
        progress.add_task(title, total=None)
        yield


def refuse_to_record(record: bool, knowledge: Path | None) -> None:
    """Refuse to write into a model's card what was found with another graph than its own."""
    if record and knowledge is not None:
        from roots_kg.errors import UsageError

        hint = "leave one of the two out"
        raise UsageError("--record tells of the model as it is saved, and --knowledge changes it", hint=hint)


def required_out(out: Path | None) -> Path:
    """Return the folder to write, which only a verb can do without that prints its settings and stops."""
    if out is None:
        raise typer.BadParameter("name the folder to write", param_hint="--out")
    return out


@contextmanager
def resumable(out: Path) -> Iterator[None]:
    """Say of a training that is to write `out`, if it is interrupted, how it goes on."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        from roots_kg.training.runs import work_folder

        if work_folder(out).exists():
            print(f"{work_folder(out)} holds the run so far; go on with --resume", file=sys.stderr)
        raise


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not shows_progress())


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, list) and value and all(isinstance(item, float) for item in value):
        return " to ".join(f"{item:.4f}" for item in value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"cannot be put into JSON: {value!r}")
