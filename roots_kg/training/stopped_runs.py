"""The folder in which a run lies while it goes on, so that one that was stopped can be taken up again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any

from roots_kg.errors import ConfigError, UsageError

__all__ = ["run_folder", "work_folder"]

SETTINGS = "run.json"


def work_folder(out: Path) -> Path:
    """Return where a run lies that is to write `out`, until it is done."""
    return out.with_name(f"{out.name}.work")


@contextmanager
def run_folder(out: Path, stated: Mapping[str, Any], checkpoint: str, *, resume: bool) -> Iterator[Path]:
    """Give a run its folder; afterwards remove it, but for a run that was stopped and can be taken up.

    Args:
        out: what the run is to write.
        stated: what makes the run what it is, as plain data; a run is resumed with the same only.
        checkpoint: the file in the folder that a run is taken up from.
        resume: go on with a run that was stopped.

    Raises:
        UsageError: if there is a stopped run and `resume` is not said, or the other way round.
        ConfigError: if what is stated is not that of the run that is resumed.
    """
    work = work_folder(out)
    _prepare(work, stated, resume=resume)
    try:
        yield work
    except BaseException:
        if not (work / checkpoint).exists():  # there is nothing to go on from
            rmtree(work)
        raise
    rmtree(work)


def _prepare(work: Path, stated: Mapping[str, Any], *, resume: bool) -> None:
    """Make the folder of a run, or see that it belongs to the run that is to be resumed."""
    plain = json.loads(json.dumps(stated))
    settings = work / SETTINGS
    if not resume:
        if work.exists():
            raise UsageError(
                "a run that was stopped lies here",
                path=work,
                hint="go on with --resume, or remove the folder",
            )
        work.mkdir(parents=True)
        settings.write_text(json.dumps(plain, indent=2), encoding="utf-8")
    elif not settings.is_file():
        raise UsageError("there is no run to resume", path=work, hint="start without --resume")
    elif json.loads(settings.read_text(encoding="utf-8")) != plain:
        raise ConfigError(
            "the settings or the texts are not those of the run that was stopped",
            path=settings,
            hint="put them back, or remove the folder and start anew",
        )
