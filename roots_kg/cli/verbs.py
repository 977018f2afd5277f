"""Verbs that are imported when they are called, so that the help of all of them is instant."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from functools import lru_cache
from pkgutil import resolve_name
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from roots_kg.cli import output

__all__ = ["verb_group"]

INTERRUPTED = 128 + signal.SIGINT
PLAIN: dict[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
    "no_args_is_help": True,
}


def verb_group(help: str, verbs: Mapping[str, tuple[str, str]]) -> typer.Typer:
    """Return a command that has verbs.

    Args:
        help: what it is about.
        verbs: for each of them where it is, as `module:name` within this package, and what it does in one
            line. It is a function, or another such command.
    """
    return typer.Typer(cls=type("Verbs", (_Verbs,), {"verbs": dict(verbs)}), help=help, **PLAIN)


class _Verbs(TyperGroup):
    verbs: ClassVar[dict[str, tuple[str, str]]]

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.verbs)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return _command(cmd_name, self.verbs[cmd_name][0]) if cmd_name in self.verbs else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        self.commands.update(dict.fromkeys(self.verbs))  # type: ignore[arg-type]  # for "did you mean"
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, told) for name, (_, told) in self.verbs.items()])


class _Verb(TyperCommand):
    """A verb, which takes `--quiet` besides its own options."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params.append(_quiet_option())

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stopped:  # of which typer would say nothing
            raise SystemExit(INTERRUPTED) from stopped


@lru_cache
def _command(name: str, home: str) -> Any:
    found = resolve_name(f"roots_kg.cli.{home}")
    return typer.main.get_group(found) if isinstance(found, typer.Typer) else _typer_command(found, name)


@lru_cache
def _quiet_option() -> Any:
    def verb(
        quiet: Annotated[
            bool,
            typer.Option(
                "--quiet", callback=output.be_quiet, expose_value=False, help="Show no bars and no notes."
            ),
        ] = False,
    ) -> None: ...

    return _typer_command(verb, "verb", TyperCommand).params[0]


def _typer_command(function: Any, name: str, cls: type[TyperCommand] = _Verb) -> Any:
    app = typer.Typer(**PLAIN)
    app.command(name, cls=cls)(function)
    return typer.main.get_command(app)
