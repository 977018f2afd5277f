"""`roots tasks`: the tasks of this workspace and the heads there are."""

from __future__ import annotations

import typer

from roots_kg.cli.tasks.check import check_tasks
from roots_kg.cli.tasks.list import list_tasks
from roots_kg.cli.tasks.new import new_task

app = typer.Typer(help="Tasks and heads.", no_args_is_help=True, rich_markup_mode=None)
app.command("check")(check_tasks)
app.command("list")(list_tasks)
app.command("new")(new_task)
