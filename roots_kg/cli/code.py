"""Running a task folder's `head.py` for a model that was adapted with it."""

from __future__ import annotations

from typing import Annotated

import typer

from roots_kg.errors import UsageError
from roots_kg.registry import load_task_code
from roots_kg.workspace import Workspace

TaskCodeOption = Annotated[
    str | None,
    typer.Option(
        "--trust-code-of", metavar="TASK", help="Run this task's head.py, for a model whose head it defines."
    ),
]


def trust_code_of(task: str | None) -> None:
    """Run the `head.py` of a task that the person named; a saved model never brings code of its own."""
    if task is None:
        return
    code = Workspace.find().task_folder(task) / "head.py"
    if not code.is_file():
        raise UsageError("this task has no head.py", path=code)
    load_task_code(code)
