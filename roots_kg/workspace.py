"""Where things are: workspaces, the names in them, and the one place that joins untrusted paths.

A *workspace* is a folder that holds `knowledge/`, `tasks/` and `configs/`, which a person fills with
files. A name such as `geography` is looked up there; a path is taken as it is.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from roots_kg.errors import DataError, TaskError, UsageError, nearest

__all__ = ["GraphFiles", "Workspace", "inside", "is_path"]

FOLDERS = ("knowledge", "tasks", "configs")
TRIPLES_EXTENSIONS = (
    ".tsv",
    ".csv",
    ".txt",
    ".jsonl",
    ".ndjson",
    ".parquet",
    ".pq",
    ".nt",
    ".ttl",
    ".jsonld",
    ".rdf",
    ".owl",
    ".xml",
)
TRIPLES_FILES = tuple(f"triples{extension}{end}" for extension in TRIPLES_EXTENSIONS for end in ("", ".gz"))


@dataclass(frozen=True)
class GraphFiles:
    """The files that make up one source of knowledge: triples, and aliases and a card where there are any."""

    triples: tuple[Path, ...]
    aliases: Path | None = None
    card: Path | None = None


@dataclass(frozen=True)
class Workspace:
    """A folder with `knowledge/`, `tasks/` and `configs/` in it.

    Args:
        root: the folder.
    """

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> Workspace:
        """Return the workspace that `start` (default: the current folder) lies in.

        Walks up from `start` to the first folder that holds `tasks/` or `knowledge/`; without one,
        `start` itself is the workspace, an empty one.
        """
        start = (start or Path.cwd()).resolve()
        for folder in (start, *start.parents):
            if (folder / "knowledge").is_dir() or (folder / "tasks").is_dir():
                return cls(folder)
        return cls(start)

    @classmethod
    def create(cls, root: Path) -> Workspace:
        """Make a fresh workspace at `root`, leaving files that are already there as they are.

        Raises:
            UsageError: if `root` is a file, or a workspace already.
        """
        if root.exists() and not root.is_dir():
            raise UsageError("this is a file, not a folder", path=root)
        if any((root / folder).exists() for folder in FOLDERS):
            raise UsageError("this is a workspace already", path=root, hint="choose another folder")
        try:
            for folder in FOLDERS:
                (root / folder).mkdir(parents=True)
        except OSError as error:
            raise UsageError(f"a workspace cannot be made here: {error.strerror}", path=root) from error
        return cls(root)

    def task_folders(self) -> list[Path]:
        """Return the folders under `tasks/` that hold a `task.yaml`, sorted by name."""
        return sorted(path.parent for path in (self.root / "tasks").glob("*/task.yaml"))

    def task_folder(self, task: str) -> Path:
        """Return the folder of `task`, which is a path or the name of a folder under `tasks/`.

        Raises:
            TaskError: if there is no such task; the message names the nearest.
        """
        for folder in (Path(task), self.root / "tasks" / task):
            if os.path.isfile(folder / "task.yaml"):
                return folder
            if folder.name == "task.yaml" and os.path.isfile(folder):
                return folder.parent
        if os.path.isdir(task):
            raise TaskError("this folder has no task.yaml", path=task, hint="see `roots tasks list`")
        known = [folder.name for folder in self.task_folders()]
        raise TaskError(f"there is no task {task!r}", hint=nearest(task, known))

    def graph_files(self, graph: str) -> GraphFiles:
        """Return the files of `graph`: a triples file, a folder with `triples.tsv` (or `.ttl` …), or a name.

        `aliases.tsv` and `card.yaml` beside a file that is called `triples` belong to it.

        Raises:
            DataError: if there is no such graph, or several triples files in its folder; the message names
                the nearest graph.
        """
        for path in (Path(graph), self.root / "knowledge" / graph):
            triples = _triples_file(path) if os.path.isdir(path) else path
            if os.path.isfile(triples):
                if triples.name not in TRIPLES_FILES:
                    return GraphFiles((triples,))
                aliases = (triples.with_name(name) for name in ("aliases.tsv", "aliases.tsv.gz"))
                card = triples.with_name("card.yaml")
                return GraphFiles(
                    (triples,), next(filter(Path.is_file, aliases), None), card if card.is_file() else None
                )
        if os.path.isdir(graph):
            raise DataError("this folder has no triples.tsv", path=graph)
        folders = (self.root / "knowledge").glob("*/triples.*")
        known = {path.parent.name for path in folders if path.name in TRIPLES_FILES}
        raise DataError(
            "there is no such file, and no graph of that name", path=graph, hint=nearest(graph, known)
        )


def _triples_file(folder: Path) -> Path:
    """Return the one triples file of a folder; `triples.tsv` where there is none.

    Raises:
        DataError: if there are several.
    """
    found = [folder / name for name in TRIPLES_FILES if (folder / name).is_file()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise DataError(
            f"this folder has several triples files, {names}", path=folder, hint="name one of them"
        )
    return found[0] if found else folder / "triples.tsv"


def is_path(text: str) -> bool:
    """Tell whether a text can be a path on this system, which a NUL or half of a character in it prevents."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def inside(folder: Path, relative: str, *, named_in: Path) -> Path:
    """Join `relative` to `folder`, refusing a path that leaves it.

    Raises:
        TaskError: if `relative` is absolute or leads out of `folder` (through `..` or a link).
    """
    path = folder / relative
    if (
        not is_path(relative)
        or Path(relative).is_absolute()
        or not path.resolve().is_relative_to(folder.resolve())
    ):
        raise TaskError(
            f"the path {relative!r} leaves its folder", path=named_in, hint="put the file beside task.yaml"
        )
    return path
