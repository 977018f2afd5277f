"""`roots kg`: the verbs about graphs."""

from __future__ import annotations

import typer

from roots_kg.cli.kg.add import add
from roots_kg.cli.kg.check import check
from roots_kg.cli.kg.complete import complete
from roots_kg.cli.kg.evaluate import evaluate
from roots_kg.cli.kg.remove import remove
from roots_kg.cli.kg.show import show
from roots_kg.cli.kg.similar import similar
from roots_kg.cli.kg.train import train

app = typer.Typer(help="Knowledge graphs.", no_args_is_help=True, rich_markup_mode=None)
for verb in (check, train, evaluate, complete, similar, add, remove, show):
    app.command()(verb)
