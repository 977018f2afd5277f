"""The command line: one file a verb, none of which imports torch before it has work to do."""

from __future__ import annotations

import os
import sys

import typer

from roots_kg.cli import (
    adapt,
    add_class,
    evaluate,
    export,
    generate,
    init,
    kg,
    predict,
    pretrain,
    report,
    serve,
    tasks,
    tokenizer,
    train,
)
from roots_kg.errors import RootsError

__all__ = ["app", "main"]

app = typer.Typer(
    help="Adapt a language model with your own knowledge graph and a handful of labelled examples.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("init")(init.init)
app.add_typer(kg.app, name="kg")
app.add_typer(tokenizer.app, name="tokenizer")
app.command("adapt")(adapt.adapt)
app.command("add-class")(add_class.add_class)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("report")(report.report)
app.command("serve")(serve.serve)
app.command("pretrain")(pretrain.pretrain)
app.command("train")(train.train)
app.command("generate")(generate.generate)
app.command("export")(export.export)
app.add_typer(tasks.app, name="tasks")


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    if version:
        from roots_kg import __version__

        print(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; an expected failure ends in one line on standard error and exit code 1 or 2."""
    try:
        app()
    except RootsError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if os.environ.get("ROOTS_DEBUG"):
            raise
        message = " ".join(str(error).split())
        print(
            f"internal error: {type(error).__name__}: {message} (set ROOTS_DEBUG=1 for the traceback)",
            file=sys.stderr,
        )
        sys.exit(1)
