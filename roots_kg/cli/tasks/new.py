"""`roots tasks new`: a task folder that works as it is, to be filled with one's own examples."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from roots_kg.cli.output import JsonOption, print_json
from roots_kg.errors import UsageError
from roots_kg.registry import get_head
from roots_kg.workspace import Workspace

if TYPE_CHECKING:
    from roots_kg.adaptation.sample_tasks import SampleTask

NAME = re.compile(r"\w([\w.-]*[\w-])?")
LONGEST_NAME = 100


def new_task(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The folder to make under tasks/.")],
    head: Annotated[str, typer.Option(metavar="HEAD", help="Its head; `roots tasks list` shows them.")],
    as_json: JsonOption = False,
) -> None:
    """Make a task folder with a few example lines, which adapts and evaluates at once; then put in your own.

    Example: roots tasks new mail_sorting --head classification
    """
    workspace = Workspace.find()
    folder = workspace.root / "tasks" / _checked(name)
    if folder.exists() or folder.is_symlink():
        raise UsageError("this exists already", path=folder, hint="choose another name")
    head_type = get_head(head)
    sample = head_type.sample_task
    if sample is None:
        raise UsageError(
            f"the head {head!r} comes without an example of its lines",
            hint="its author can give it one, as `sample_task`",
        )
    _write(folder, _files(name, head, head_type, sample))
    if as_json:
        print_json({"task": name, "head": head, "folder": folder})
        return
    print(f"The task is in {folder}. Put your own lines into its files, then:")
    print(f"  roots tasks check {name}")
    print(f"  roots adapt {name} --out runs/{name}")
    print(f"  roots evaluate runs/{name} --test tasks/{name}/test.jsonl")


def _checked(name: str) -> str:
    """Return a name that is the name of one folder.

    Raises:
        UsageError: if it is a path, or could not be given on a command line.
    """
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise UsageError(
            f"{name!r:.120} cannot be the name of a task",
            hint="it becomes a folder under tasks/: letters, digits, _ and -, and no path",
        )
    return name


def _files(name: str, head: str, head_type: type[Any], sample: SampleTask) -> dict[str, str]:
    """Return the files of a task folder."""
    files = {
        "task.yaml": _task_yaml(name, head, head_type, sample),
        "train.jsonl": _lines(sample.train),
        "test.jsonl": _lines(sample.test),
    }
    if sample.triples:
        files["triples.tsv"] = "".join("\t".join(triple) + "\n" for triple in sample.triples)
    return files


def _task_yaml(name: str, head: str, head_type: type[Any], sample: SampleTask) -> str:
    lines = [
        "# What is to be learned, and from which files; change all of it to suit yours.",
        f"# `roots tasks check {name}` says what is wrong with them.",
        f"head: {_quoted(head)}",
        "# A sentence, for people and for the model.",
        f"description: {_quoted(sample.description)}",
    ]
    if sample.labels:
        lines += [
            "# Each label and what it stands for: words that the model reads. A plain list of labels will do",
            "# as well; without any, they are taken from train.",
            "labels:",
            *(f"  {_quoted(label)}: {_quoted(text)}" for label, text in sample.labels.items()),
        ]
    lines += [
        "# One JSON object a line; train is what `roots adapt` learns from, test what you judge it by.",
        "train: train.jsonl",
        "test: test.jsonl",
        f"# What to report, of {', '.join(head_type.metric_names)}:",
        f"# metrics: [{', '.join(head_type.default_metrics)}]",
        "# A graph of facts: a file of triples (head entity, relation, tail entity), or a folder with one.",
        "knowledge: triples.tsv" if sample.triples else "# knowledge: ../../knowledge/NAME",
        "# How texts are read: bidirectional, causal or hybrid; by default the encoder's own way.",
        "# reading: hybrid",
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Return a text for YAML, in quotes if it needs any."""
    import yaml

    plain = yaml.safe_load(text) == text if text.replace("_", "").isalnum() else False
    return text if plain else json.dumps(text, ensure_ascii=False)


def _lines(records: Any) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def _write(folder: Path, files: dict[str, str]) -> None:
    """Write a folder whole or not at all.

    Raises:
        UsageError: if it cannot be written.
    """
    temporary = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".new.", dir=folder.parent))
        for name, text in files.items():
            (temporary / name).write_text(text, encoding="utf-8")
        temporary.chmod(0o755)
        temporary.rename(folder)
    except OSError as error:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        raise UsageError(f"a task cannot be made here: {error.strerror}", path=folder) from error
