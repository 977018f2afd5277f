"""The pages of the reference: one for each part of the package, from docstrings, and one of all commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mkdocs_gen_files
import typer

from roots_kg.cli import app

PACKAGE = Path("roots_kg")
PARTS = {
    "encoding": "Layer 1: encoding",
    "graph": "The graph",
    "fusion": "Layer 2: fusion",
    "adaptation": "Layer 3: adaptation",
    "training": "Training",
    "evaluation": "Judging",
}
WITHOUT = {"cli", "templates", "pretrained"}


def modules(folder: Path) -> list[str]:
    """Return the modules of a folder that declare public names."""
    return [
        ".".join(path.with_suffix("").parts)
        for path in sorted(folder.rglob("*.py"))
        if path.name != "__init__.py" and "__all__" in path.read_text(encoding="utf-8")
    ]


def write(name: str, text: str) -> None:
    """Write one page."""
    with mkdocs_gen_files.open(f"reference/{name}.md", "w") as page:
        page.write(text)


def described(found: list[str]) -> str:
    """Return what makes mkdocstrings describe modules."""
    return "\n".join(f"::: {module}\n    options: {{show_root_full_path: true}}\n" for module in found)


def commands(group: Any, path: tuple[str, ...]) -> list[str]:
    """Return the help of each verb of a group, under its name."""
    told = []
    for name in group.list_commands(None):
        command, words = group.get_command(None, name), (*path, name)
        if hasattr(command, "list_commands"):
            told += commands(command, words)
            continue
        context = command.make_context(" ".join(words), ["--help"], resilient_parsing=True)
        told.append(f"## `{' '.join(words)}`\n\n```text\n{command.get_help(context)}\n```\n")
    return told


def main() -> None:
    """Write all of them."""
    known = modules(PACKAGE)
    parts = {part: [name for name in known if name.startswith(f"roots_kg.{part}.")] for part in PARTS}
    placed = {name for names in parts.values() for name in names}
    other = [name for name in known if name not in placed and name.split(".")[1] not in WITHOUT]
    for part, title in PARTS.items():
        write(part, f"# {title}\n\n{described(parts[part])}")
    write("other", f"# The rest\n\n{described([name for name in other if name != 'roots_kg.model'])}")
    write("roots_kg", f"# The model\n\n{described(['roots_kg.model'])}")
    lines = [f"* [{title}]({part}.md)" for part, title in {"roots_kg": "The model", **PARTS}.items()]
    first = "Made from the docstrings. `roots_kg` itself offers the names that most programs need.\n\n"
    more = "\n* [The rest](other.md)\n* [All commands](commands.md)\n"
    write("index", f"# Reference\n\n{first}" + "\n".join(lines) + more)
    write("commands", "# Commands\n\n" + "\n".join(commands(typer.main.get_command(app), ("roots",))))


main()
