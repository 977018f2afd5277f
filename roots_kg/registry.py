"""Task heads by name, from three places: this package, installed packages, and files in task folders.

Listing never runs foreign code. A head that a package offers through the entry point group
`roots_kg.heads` is imported when it is asked for; a `head.py` in a task folder runs only when its task
is chosen and the person trusts it. The environment variable `ROOTS_LOAD_PLUGINS` narrows the packages:
empty for none, or a comma-separated list of names.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

from roots_kg.errors import TaskError, UsageError, nearest

__all__ = ["HeadEntry", "get_head", "head_entries", "load_task_code", "register_head"]

C = TypeVar("C", bound=type)

ENTRY_POINT_GROUP = "roots_kg.heads"
BUILT_IN = {
    "answer": "roots_kg.adaptation.heads.answer:AnswerHead",
    "classification": "roots_kg.adaptation.heads.classification:ClassificationHead",
}


@dataclass(frozen=True)
class HeadEntry:
    """A head that can be had by name.

    Args:
        name: what a `task.yaml` calls it.
        origin: "built in", "decorator", "package X" or the path of a `head.py`.
        target: the class, or where to import it from as `module:Class`.
        error: why it cannot be used, if it cannot.
    """

    name: str
    origin: str
    target: Any
    error: str | None = None


_registered: dict[str, HeadEntry] = {}


def register_head(name: str, *, origin: str = "decorator") -> Callable[[C], C]:
    """Make a head class available under `name`; used as a decorator.

    Raises:
        UsageError: if another class holds that name.
    """

    def register(head: C) -> C:
        present = head_entries().get(name)
        if present is not None and not _is_same_class(present, _loading or origin, head):
            raise UsageError(
                f"a head named {name!r} exists already ({present.origin})", hint="choose another name"
            )
        _registered[name] = HeadEntry(name, _loading or origin, head)
        return head

    return register


def head_entries() -> dict[str, HeadEntry]:
    """Return every head that is known, by name, sorted; no foreign code is run."""
    entries = {name: HeadEntry(name, "built in", target) for name, target in BUILT_IN.items()}
    for entry in _package_entries():
        other = entries.get(entry.name)
        if other is not None:
            error = f"the name is taken ({other.origin})"
            entries[f"{entry.name} ({entry.origin})"] = replace(entry, error=error)
        else:
            entries[entry.name] = entry
    entries.update(_registered)
    return dict(sorted(entries.items()))


def get_head(name: str) -> type[Any]:
    """Return the head class called `name`, importing it if need be.

    Raises:
        UsageError: if there is none; the message names the nearest.
        TaskError: if it cannot be imported.
    """
    entries = head_entries()
    if name not in entries or entries[name].error:
        usable = [entry.name for entry in entries.values() if not entry.error]
        raise UsageError(f"there is no head {name!r}", hint=nearest(name, usable))
    target = entries[name].target
    if isinstance(target, str):
        module, _, attribute = target.partition(":")
        try:
            target = getattr(importlib.import_module(module), attribute)
        except Exception as error:  # foreign code may raise anything
            raise TaskError(
                f"the head {name!r} from {entries[name].origin} cannot be imported: "
                f"{type(error).__name__}: {error}"
            ) from error
    if not isinstance(target, type):
        raise TaskError(f"the head {name!r} from {entries[name].origin} is not a class")
    return target


_loading: str | None = None


def load_task_code(path: Path) -> None:
    """Run a task folder's `head.py`, which registers its heads with `register_head`.

    Call it only for a task that was chosen and whose code the person trusts.

    Raises:
        TaskError: if the code raises.
    """
    global _loading
    origin = str(path.resolve())
    if any(entry.origin == origin for entry in _registered.values()):
        return
    spec = importlib.util.spec_from_file_location(f"roots_kg_task_{path.parent.name}", path)
    if spec is None or spec.loader is None:
        raise TaskError("cannot be loaded as Python", path=path)
    module = importlib.util.module_from_spec(spec)
    before = dict(_registered)
    sys.modules[spec.name] = module
    _loading = origin
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # foreign code may raise anything
        _registered.clear()
        _registered.update(before)
        if isinstance(error, UsageError):
            raise
        raise TaskError(f"its code raised {type(error).__name__}: {error}", path=path) from error
    finally:
        _loading = None


def _is_same_class(present: HeadEntry, origin: str, head: type) -> bool:
    """Tell whether `head` is the registered class defined once more, as happens in a notebook."""
    names = (getattr(present.target, "__module__", None), getattr(present.target, "__qualname__", None))
    return present.origin == origin and names == (head.__module__, head.__qualname__)


def _package_entries() -> list[HeadEntry]:
    wanted = os.environ.get("ROOTS_LOAD_PLUGINS")
    allowed = None if wanted is None else {name.strip() for name in wanted.split(",")}
    found = []
    for point in entry_points(group=ENTRY_POINT_GROUP):
        package = point.dist.name if point.dist else "?"
        if allowed is None or package in allowed:
            found.append(HeadEntry(point.name, f"package {package}", point.value))
    return sorted(found, key=lambda entry: (entry.name, entry.origin))
