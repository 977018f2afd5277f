"""The errors a person can meet, each a sentence that says what is wrong, where, and the way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

__all__ = [
    "BundleError",
    "ConfigError",
    "DataError",
    "GraphError",
    "RootsError",
    "TaskError",
    "UsageError",
    "WeightsError",
    "nearest",
]


MANY = 20_000


class RootsError(Exception):
    """An expected failure: bad input, a missing file, a damaged bundle.

    The command line prints it as one line and ends with `exit_code`; a program catches it.

    Args:
        message: what is wrong, naming the value.
        path: the file it was found in.
        line: the line of that file, counted from 1.
        hint: what to do about it.
    """

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        path: Path | str | None = None,
        line: int | None = None,
        hint: str | None = None,
    ) -> None:
        self.message, self.path, self.line, self.hint = message, path, line, hint
        where = "" if path is None else f"{path}: " if line is None else f"{path}:{line}: "
        super().__init__(f"{where}{message}{f' ({hint})' if hint else ''}")


class UsageError(RootsError):
    """The command or call itself is wrong: an unknown name, an impossible combination of options."""

    exit_code = 2


class ConfigError(RootsError):
    """A configuration holds an unknown key or a value of the wrong kind."""

    exit_code = 2


class DataError(RootsError):
    """A data file is missing, empty or malformed."""


class GraphError(RootsError):
    """A knowledge graph cannot serve what is asked of it."""


class TaskError(RootsError):
    """A task folder or its examples cannot be used."""


class BundleError(RootsError):
    """A saved folder is damaged, of another kind, or written by a version this one cannot read."""


class WeightsError(RootsError):
    """Pretrained weights are missing or are not the ones expected."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint: the known name closest to `name`, or what there is; nothing where that is too many."""
    choices = sorted(known)
    many = len(choices) > MANY
    if many:  # comparing with millions of names would take minutes
        choices = [choice for choice in choices if choice[:2].casefold() == name[:2].casefold()][:MANY]
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    if many:
        return ""
    shown = ", ".join(repr(choice) for choice in choices[:10])
    return f"known: {shown}{', …' if len(choices) > 10 else ''}" if choices else "there are none"
