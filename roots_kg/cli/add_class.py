"""`roots add-class`: one more label for a model that was adapted, with the others left as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from roots_kg.cli.code import TaskCodeOption, trust_code_of
from roots_kg.cli.output import JsonOption, TaskOption, print_json, working


def add_class(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A folder that `roots adapt` wrote.")],
    label: Annotated[str, typer.Argument(help="The new label.")],
    examples: Annotated[Path, typer.Option(help="Texts of it, JSONL.")],
    name: Annotated[str | None, typer.Option(help="What it stands for, in words.")] = None,
    task: TaskOption = None,
    out: Annotated[
        Path | None, typer.Option(metavar="MODEL", help="The folder to write.  [default: that of MODEL]")
    ] = None,
    task_code: TaskCodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Teach a model one more label from a few examples; what it makes of the others stays as it is.

    Example: roots add-class runs/routing returns --examples returns.jsonl --name "sending a parcel back"
    """
    from roots_kg.adaptation.task import read_records
    from roots_kg.bundle import ensure_replaceable
    from roots_kg.model import RootsModel
    from roots_kg.model_store import KIND

    out = out or model
    ensure_replaceable(out, kind=KIND)
    records = read_records(examples)
    trust_code_of(task_code, model)
    with working("learning the label"):
        loaded = RootsModel.from_pretrained(model)
        loaded.add_class(label, records, task, name=name)
    loaded.save_pretrained(out)
    labels = list(loaded.head_of(task).settings()["labels"])
    if as_json:
        print_json({"label": label, "examples": len(records), "labels": labels, "out": out})
        return
    print(f"{label} is the last of {len(labels):,} labels, from {len(records):,} examples")
    print(f"The model is in {out}")
