"""The command line: one file a verb, none of which imports torch before it has work to do."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

import typer

from roots_kg.cli.verbs import INTERRUPTED, verb_group
from roots_kg.errors import RootsError

__all__ = ["app", "main"]

app = verb_group(
    "Adapt a language model with your own knowledge graph and a handful of labelled examples.",
    {
        "init": ("init:init", "Make a new workspace: folders for graphs, tasks and configurations."),
        "kg": ("kg:app", "Knowledge graphs."),
        "tasks": ("tasks:app", "Tasks and heads."),
        "configs": ("configs:app", "Settings of training runs."),
        "adapt": ("adapt:adapt", "Adapt a model to a task from a few labelled examples."),
        "add-class": ("add_class:add_class", "Teach a model one more label from a few examples."),
        "predict": ("predict:predict", "Predict for texts; with --explain, show which triples were used."),
        "evaluate": ("evaluate:evaluate", "Judge a model by the task's metrics."),
        "report": ("report:report", "Measure what a model's graph is worth: the knowledge report."),
        "serve": ("serve:serve", "Serve a model over HTTP, and a page that shows what it does."),
        "generate": ("generate:generate", "Continue a prompt, or each line of a file."),
        "pretrain": ("pretrain:pretrain", "Pretrain an encoder on text, or go on with one."),
        "train": ("train:train", "Train what a file of settings describes, by its `kind`."),
        "tokenizer": ("tokenizer:app", "Tokenizers."),
        "export": ("export:export", "Write the text encoder of a model as an ONNX file."),
    },
)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    if version:
        from roots_kg import __version__

        print(__version__)
        raise typer.Exit


TERMINATED = 128 + signal.SIGTERM


@contextlib.contextmanager
def _ending_politely() -> Iterator[None]:
    """Let SIGTERM end a verb as Ctrl-C does: what has begun is undone, or can be resumed."""

    def end(number: int, frame: FrameType | None) -> None:
        interrupted = number == signal.SIGINT
        while frame is not None:
            if frame.f_code.co_filename.startswith(
                "<frozen importlib"
            ):  # it may swallow what is raised in it
                os.write(2, b"interrupted\n" if interrupted else b"")
                os._exit(INTERRUPTED if interrupted else TERMINATED)
            frame = frame.f_back
        raise KeyboardInterrupt if interrupted else SystemExit(TERMINATED)

    if threading.current_thread() is not threading.main_thread():  # others handle no signals
        yield
        return
    found = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    before = {number: handler for number, handler in found.items() if handler not in (None, signal.SIG_IGN)}
    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _of_the_system(error: Exception) -> str | None:
    """Return what the system says against a file, such as that a disk is full; None of another failure."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop from "):
        return f"{str(error).removeprefix('Symlink loop from ')}: this link leads back to itself"
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        return f"{error.object!a}: a name that is not UTF-8 cannot be used here"
    return None


def main() -> None:
    """Run the command line; an expected failure ends in one line on standard error and exit code 1 or 2."""
    try:
        with _ending_politely():
            app()
    except RootsError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            print("interrupted", file=sys.stderr)
        raise
    except BrokenPipeError:  # whoever read what is printed, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        if os.environ.get("ROOTS_DEBUG"):
            raise
        told = _of_the_system(error)
        if told is not None:
            print(f"error: {told}", file=sys.stderr)
            sys.exit(1)
        message = " ".join(str(error).split())
        print(
            f"internal error: {type(error).__name__}: {message} (set ROOTS_DEBUG=1 for the traceback)",
            file=sys.stderr,
        )
        sys.exit(1)
