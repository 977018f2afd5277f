"""Running a task folder's `head.py`: only for the chosen task, and only if a person trusts it.

Trust is stated once, by a flag, and remembered until the file changes; see `roots_kg.trust`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from roots_kg.errors import BundleError, DataError, UsageError
from roots_kg.files import read_small
from roots_kg.registry import get_head, head_entries, load_task_code
from roots_kg.trust import CodeFile, TrustStore
from roots_kg.workspace import Workspace

__all__ = ["TaskCodeOption", "TrustTaskCodeOption", "head_of_task", "run_code", "trust_code_of"]

TaskCodeOption = Annotated[
    str | None,
    typer.Option(
        "--trust-code-of",
        metavar="TASK",
        help="Run this task's head.py, for a model whose head it defines; remembered until the file changes.",
    ),
]
TrustTaskCodeOption = Annotated[
    bool,
    typer.Option(
        "--trust-task-code",
        help="Run the task's head.py, if its head comes from there; remembered until the file changes.",
    ),
]


def head_of_task(folder: Path, name: str, *, trust: bool) -> type[Any]:
    """Return the head that a task names; a `head.py` runs only if the head can come from nowhere else.

    Args:
        folder: of the task.
        name: of its head.
        trust: whether the person said that the task's code is trusted.

    Raises:
        UsageError: if there is no such head, if its code is not trusted or has changed since it was, or if
            it takes the name of another head.
        ConfigError, TaskError: if the memory of trusted code is damaged, or if the code fails.
    """
    code = CodeFile.of_task(folder)
    if code is not None:
        entry = head_entries().get(name)
        if entry is None or entry.error or entry.origin == str(code.path):
            run_code(code, trust=trust)
        elif name in code.heads:
            raise UsageError(
                f"it registers a head {name!r}, and that name is taken ({entry.origin})",
                path=code.path,
                hint="choose another name, here and in task.yaml",
            )
    try:
        return get_head(name)
    except UsageError as error:
        raise UsageError(error.message, path=folder / "task.yaml", hint=error.hint) from error


def run_code(code: CodeFile, *, trust: bool, flag: str = "--trust-task-code") -> None:
    """Run code that a person trusts, and remember that.

    Args:
        code: a `head.py` as it was read.
        trust: whether the person has just said so.
        flag: with which that is said.

    Raises:
        UsageError: if it is not trusted, or has changed since it was.
        ConfigError, TaskError: if the memory of trusted code is damaged, or if the code fails.
    """
    store = TrustStore()
    state = store.state(code)
    if not trust and state != "trusted":
        told = "it is not trusted, and so it does not run" if state == "not trusted" else f"it has {state}"
        raise UsageError(told, path=code.path, hint=f"read it, and if you trust it say so with {flag}")
    try:
        store.trust(code)
    except DataError as error:
        print(f"warning: that this code is trusted cannot be remembered: {error}", file=sys.stderr)
    load_task_code(code)


def trust_code_of(task: str | None, model: Path) -> None:
    """Make the heads of a saved model known that a task's `head.py` defines.

    A saved model never brings code of its own. It names its heads; one that is not known is looked for in the
    task that the person named, or else among the files that are trusted already.

    Raises:
        UsageError: if the named task has no `head.py`, or if it is not clear or not trusted where an unknown
            head comes from.
        ConfigError, TaskError: if the memory of trusted code is damaged, or if the code fails.
    """
    if task is not None:
        folder = Workspace.find().task_folder(task)
        named = CodeFile.of_task(folder)
        if named is None:
            raise UsageError("this task has no head.py", path=folder / "head.py")
        run_code(named, trust=True)
    known = {entry.name for entry in head_entries().values()}
    for name in _heads_named_in(model):
        if name not in known:
            run_code(_trusted_code_for(name, model), trust=False, flag="--trust-code-of TASK")


def _trusted_code_for(name: str, model: Path) -> CodeFile:
    """Return the one file that was trusted and offers a head; a file of this workspace goes first."""
    hint = "name the task whose head.py defines it with --trust-code-of TASK"
    offering = [code for code, _ in TrustStore().remembered() if name in code.heads]
    near = [code for code in offering if code.path.is_relative_to(Workspace.find().root)]
    found = near or offering
    if len(found) > 1:
        files = " and ".join(str(code.path) for code in found)
        raise UsageError(f"the head {name!r} is defined in {files}", path=model, hint=hint)
    if not found:
        raise UsageError(f"there is no head {name!r}", path=model, hint=hint)
    return found[0]


def _heads_named_in(model: Path) -> list[str]:
    """Return the heads that a saved model names; none where it cannot be read, which loading it will tell."""
    from roots_kg.bundle import CONFIG, MAX_CONFIG_BYTES

    try:
        content = read_small(model / CONFIG, MAX_CONFIG_BYTES, BundleError)
        heads = json.loads(content.decode("utf-8"))["settings"]["heads"]
        names = [head["task"]["head"] for head in heads]
    except (BundleError, ValueError, KeyError, TypeError, RecursionError):
        return []
    return [name for name in dict.fromkeys(names) if isinstance(name, str)]
