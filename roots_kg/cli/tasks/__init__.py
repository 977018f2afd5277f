"""`roots tasks`: the tasks of this workspace and the heads there are."""

from __future__ import annotations

from roots_kg.cli.verbs import verb_group

app = verb_group(
    "Tasks and heads.",
    {
        "list": ("tasks.list:list_tasks", "List the tasks of this workspace and every head."),
        "new": ("tasks.new:new_task", "Make a task folder with a few example lines."),
        "check": (
            "tasks.check:check_tasks",
            "Read every line of a task's files and tell all that is wrong.",
        ),
    },
)
