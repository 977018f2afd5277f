"""Task heads by name, from three places: this package, installed packages, and files in task folders.

Listing never runs foreign code. A head that a package offers through the entry point group
`roots_kg.heads` is imported when it is asked for; a `head.py` in a task folder runs only when its task
is chosen and the person trusts it. The environment variable `ROOTS_LOAD_PLUGINS` narrows the packages:
empty for none, or a comma-separated list of names.

Foreign code that fails, in whatever way, fails alone: it is reported and leaves nothing behind.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from roots_kg.errors import TaskError, UsageError, nearest
from roots_kg.trust import CodeFile

if TYPE_CHECKING:
    from importlib.metadata import Distribution

__all__ = ["HeadEntry", "get_head", "head_entries", "load_task_code", "register_head"]

C = TypeVar("C", bound=type)

GROUP = "roots_kg.heads"
BASE = ("roots_kg.adaptation.heads.base", "Head")
BUILT_IN = {
    "answer": "roots_kg.adaptation.heads.answer:AnswerHead",
    "classification": "roots_kg.adaptation.heads.classification:ClassificationHead",
    "generation": "roots_kg.adaptation.heads.generation:GenerationHead",
    "multilabel": "roots_kg.adaptation.heads.multilabel:MultilabelHead",
    "relation": "roots_kg.adaptation.heads.relation:RelationHead",
    "span": "roots_kg.adaptation.heads.span:SpanHead",
    "tagging": "roots_kg.adaptation.heads.tagging:TaggingHead",
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
_loading: str | None = None
_loaded: dict[str, str] = {}
"""The SHA-256 of each `head.py` that has run, by its path."""


def register_head(name: str, *, origin: str = "decorator") -> Callable[[C], C]:
    """Make a head class available under `name`; used as a decorator.

    Raises:
        UsageError: if another class holds that name, or if the class is no head.
    """

    def register(head: C) -> C:
        flaw = _flaw(head)
        if flaw:
            raise UsageError(f"{head!r} cannot be the head {name!r}: {flaw}")
        present = head_entries().get(name)
        if present is None:
            _registered[name] = HeadEntry(name, _loading or origin, head)
        elif not _is_same_class(present, _loading or origin, head):
            raise UsageError(
                f"a head named {name!r} exists already ({present.origin})", hint="choose another name"
            )
        elif present.origin == (_loading or origin) and not isinstance(present.target, str):
            _registered[name] = HeadEntry(name, present.origin, head)
        return head

    return register


def head_entries() -> dict[str, HeadEntry]:
    """Return every head that is known, by name, sorted; no foreign code is run.

    A head that cannot be used is there with its error, under its name and its origin. Of several packages
    that offer a head of one name, none gets it: which of them is meant is for the person to say.
    """
    entries = {name: HeadEntry(name, "built in", target) for name, target in BUILT_IN.items()}
    offered = _package_entries()
    for entry in offered:
        rivals = [other.origin for other in offered if other.name == entry.name and other is not entry]
        error = entry.error
        if error is None and entry.name in BUILT_IN:
            error = "the name is taken (built in)"
        elif error is None and rivals:
            error = f"the name is also offered by {' and '.join(rivals)}; ROOTS_LOAD_PLUGINS=NAME chooses one"
        key = entry.name if error is None else f"{entry.name} ({entry.origin})"
        entries[key] = replace(entry, error=error)
    entries.update(_registered)
    return dict(sorted(entries.items()))


def get_head(name: str) -> type[Any]:
    """Return the head class called `name`, importing it if need be.

    Raises:
        UsageError: if there is none; the message names the nearest, or why one of that name is refused.
        TaskError: if it cannot be imported, or is no head.
    """
    entries = head_entries()
    if name not in entries or entries[name].error:
        refused = [f"{entry.origin}: {entry.error}" for entry in entries.values() if entry.name == name]
        usable = [entry.name for entry in entries.values() if not entry.error]
        raise UsageError(f"there is no head {name!r}", hint="; ".join(refused) or nearest(name, usable))
    entry = entries[name]
    target = _imported(entry) if isinstance(entry.target, str) else entry.target
    flaw = _flaw(target)
    if flaw:
        raise TaskError(f"the head {name!r} from {entry.origin} cannot be used: {flaw}")
    found: type[Any] = target
    return found


def load_task_code(code: CodeFile | Path) -> None:
    """Run a task folder's `head.py`, which registers its heads with `register_head`; once, unless it changed.

    Call it only for a task that was chosen and whose code the person trusts.

    Args:
        code: the file as it was read, whose bytes are run as they are, or where it is.

    Raises:
        UsageError: if it registers a name that is taken, or a class that is no head.
        TaskError: if it cannot be read, or raises.
    """
    code = CodeFile.read(code) if isinstance(code, Path) else code
    origin = str(code.path)
    if _loaded.get(origin) == code.sha256 and any(entry.origin == origin for entry in _registered.values()):
        return
    module = ModuleType(f"roots_kg_task_{code.path.parent.name}")
    module.__file__ = origin
    with _foreign(origin):
        for name in [name for name, entry in _registered.items() if entry.origin == origin]:
            del _registered[name]
        sys.modules[module.__name__] = module
        try:
            exec(compile(code.source, origin, "exec"), module.__dict__)
        except BaseException as error:  # foreign code may raise anything
            del sys.modules[module.__name__]
            if isinstance(error, (UsageError, KeyboardInterrupt)):
                raise
            raise TaskError(f"its code raised {type(error).__name__}: {error}", path=code.path) from error
    _loaded[origin] = code.sha256


@contextmanager
def _foreign(origin: str) -> Iterator[None]:
    """While foreign code runs, what it registers comes from `origin`; if it fails, nothing of it stays."""
    global _loading
    before, outer = dict(_registered), _loading
    _loading = origin
    try:
        yield
    except BaseException:
        _registered.clear()
        _registered.update(before)
        raise
    finally:
        _loading = outer


def _imported(entry: HeadEntry) -> Any:
    """Import what an entry points to."""
    module, _, attribute = entry.target.partition(":")
    try:
        with _foreign(entry.origin):
            target: Any = importlib.import_module(module)
            for name in attribute.split("."):
                target = getattr(target, name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # foreign code may raise anything
        raise TaskError(
            f"the head {entry.name!r} from {entry.origin} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    return target


def _flaw(head: Any) -> str | None:
    """Return why something is no head, or None if it is one."""
    if not isinstance(head, type):
        return "it is not a class"
    if not any((base.__module__, base.__qualname__) == BASE for base in head.__mro__):
        return f"it is not a subclass of {'.'.join(BASE)}"
    missing = sorted(getattr(head, "__abstractmethods__", ()))
    return f"it lacks {', '.join(missing)}" if missing else None


def _is_same_class(present: HeadEntry, origin: str, head: type) -> bool:
    """Tell whether `head` is what is registered: the class defined once more, or what an entry points to."""
    if isinstance(present.target, str):
        return present.target == f"{head.__module__}:{head.__qualname__}"
    names = (present.target.__module__, present.target.__qualname__)
    return present.origin == origin and names == (head.__module__, head.__qualname__)


def _package_entries() -> list[HeadEntry]:
    """Return what installed packages offer; a package whose metadata cannot be read does not hide others."""
    wanted = os.environ.get("ROOTS_LOAD_PLUGINS")
    allowed = None if wanted is None else {name.strip() for name in wanted.split(",")}
    found: list[HeadEntry] = []
    seen = set()
    from importlib.metadata import distributions

    for distribution in distributions():
        package = _offering(distribution)
        if package is None or package in seen or (allowed is not None and package not in allowed):
            continue
        seen.add(package)
        origin = f"package {package}"
        try:
            points = [(point.name, point.value) for point in distribution.entry_points.select(group=GROUP)]
        except Exception as error:
            found.append(HeadEntry("?", origin, None, f"its entry points cannot be read: {error}"))
            continue
        for name, value in points:
            target = value.partition("[")[0].replace(" ", "")
            flaw = None if target.partition(":")[2] else f"{value!r} does not name a class as module:Class"
            found.append(HeadEntry(name, origin, target, flaw))
    return sorted(found, key=lambda entry: (entry.name, entry.origin))


def _offering(distribution: Distribution) -> str | None:
    """Return the name of a package that offers heads; None for all others."""
    try:
        if f"[{GROUP}]" not in (distribution.read_text("entry_points.txt") or ""):
            return None
        return distribution.name or "?"
    except Exception:  # a damaged package that may have nothing to do with heads
        return None
