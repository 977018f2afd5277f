"""What a kind of training is given by the command line, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roots_kg.errors import UsageError

if TYPE_CHECKING:
    from roots_kg.graph.store import GraphBundle
    from roots_kg.training.runs import Run


@dataclass(frozen=True)
class Given:
    """The options of `roots train`.

    Args:
        config: the file of settings.
        stated: what is in it, overridden by options, as the dataclass of its kind.
        out: the folder to write.
        data: names of tasks, or their folders.
        knowledge: folders of graphs, which become one.
        text: files of unlabelled text.
        validation: a file of held-out examples, or None.
        resume: whether to go on with a run that was stopped.
        tensorboard: a folder for a log that TensorBoard reads, or None.
        threads: that torch may use.
    """

    config: Path
    stated: Any
    out: Path
    data: tuple[str, ...]
    knowledge: tuple[Path, ...]
    text: tuple[Path, ...]
    validation: Path | None
    resume: bool
    tensorboard: Path | None
    threads: int

    def run(self, told: Mapping[str, Any]) -> AbstractContextManager[Run]:
        """Return the run that this training is, whose folder is there until it is done.

        Args:
            told: what makes it the run it is besides its settings, as plain data.
        """
        from roots_kg.config import to_mapping
        from roots_kg.training.runs import run_folder

        told = {"config": to_mapping(self.stated), **told}
        return run_folder(self.out, told, resume=self.resume, tensorboard=self.tensorboard)

    def graph(self, stated: str | None) -> GraphBundle | None:
        """Return the graphs of the options as one, or else the one that the settings name, if any does.

        Args:
            stated: the folder that the settings name, from the folder of their file.
        """
        from roots_kg.graph.alignment import merge
        from roots_kg.graph.store import GraphBundle

        paths = list(self.knowledge) or ([] if stated is None else [self.config.parent / stated])
        return merge([GraphBundle.load(path) for path in paths]) if paths else None

    def needed_graph(self, stated: str | None) -> GraphBundle:
        """Return the same where there must be one.

        Raises:
            UsageError: if there is none.
        """
        graph = self.graph(stated)
        if graph is None:
            raise UsageError("there is no graph to learn from", hint="name a bundle with `--knowledge`")
        return graph


@dataclass(frozen=True)
class Trained:
    """What a training brought forth.

    Args:
        title: what was trained.
        metrics: figures about it, by name.
        seconds: CPU seconds.
        told: a line that says where the result is and how to use it.
    """

    title: str
    metrics: dict[str, Any]
    seconds: float
    told: str
