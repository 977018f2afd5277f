"""What all verbs have in common."""

import io
import re
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

import roots_kg
from roots_kg.cli import app, output

VERBS = [
    ("init",),
    ("kg", "check"),
    ("kg", "train"),
    ("kg", "evaluate"),
    ("kg", "complete"),
    ("kg", "show"),
    ("kg", "similar"),
    ("kg", "add"),
    ("kg", "remove"),
    ("tokenizer", "train"),
    ("adapt",),
    ("add-class",),
    ("evaluate",),
    ("predict",),
    ("report",),
    ("serve",),
    ("export",),
    ("pretrain",),
    ("train",),
    ("generate",),
    ("tasks", "list"),
    ("tasks", "new"),
    ("tasks", "check"),
    ("configs", "ls"),
    ("configs", "cp"),
    ("configs", "validate"),
]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_the_help_of_every_verb_has_an_example_of_that_verb(roots, verb):
    result = roots(*verb, "--help")
    assert result.code == 0
    examples = [line.strip() for line in result.out.splitlines() if line.strip().startswith("Example: ")]
    assert len(examples) == 1
    assert examples[0].startswith(f"Example: roots {' '.join(verb)}")


def commands(group, path=()):
    """Return the words that lead to each command of the command line, and the command."""
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def test_the_list_of_verbs_above_is_complete():
    assert sorted(path for path, _ in commands(typer.main.get_command(app))) == sorted(VERBS)


def test_what_the_help_of_a_group_says_of_a_verb_begins_its_own_help(roots):
    def told(*group):
        lines = roots(*group, "--help").out.partition("Commands:")[2].replace("\n             ", " ")
        return dict(re.findall(r"^  (\S+) +(.+)$", lines, re.MULTILINE))

    for *group, verb in VERBS:
        line = told(*group)[verb].rstrip(".")
        assert " ".join(roots(*group, verb, "--help").out.split()).find(line) > 0, verb


def test_quiet_shows_no_bar_and_no_note_on_a_terminal(monkeypatch, roots, tmp_path, towns_file):
    monkeypatch.setattr(output.sys, "stderr", Terminal())
    for quiet in (False, True, False):
        sys.stderr.truncate(0)
        out = tmp_path / "bundle"
        more = ["--quiet"] if quiet else []
        run = ["kg", "train", str(towns_file), "--epochs", "2", "--dimension", "4", "--out", str(out), *more]
        assert CliRunner().invoke(app, run).exit_code == 0
        assert output.shows_progress() is not quiet


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("adapt", "--help"),
        ("kg", "train", "--help"),
        ("tasks", "list"),
        ("configs", "ls"),
    ],
    ids=" ".join,
)
def test_what_only_prints_does_not_import_torch(arguments):
    code = (
        "import sys; from roots_kg.cli import main; sys.argv = ['roots', *sys.argv[1:]]\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout
    assert done.stderr.strip() == "False"


def test_the_version_is_printed_and_nothing_else(shell):
    result = shell("--version")
    assert (result.code, result.out, result.err) == (0, f"{roots_kg.__version__}\n", "")


@pytest.mark.parametrize(
    "arguments", [("adpt",), ("adapt",), ("adapt", "x"), ("predict", "--explian"), ("kg", "similar", "a")]
)
def test_a_wrong_command_ends_with_exit_code_two_and_no_traceback(roots, arguments):
    result = roots(*arguments)
    assert (result.code, result.out) == (2, "")
    assert "Error" in result.err
    assert "Traceback" not in result.err


def test_an_unexpected_failure_is_one_line_that_says_how_to_see_more(roots, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("two\nlines")

    monkeypatch.delenv("ROOTS_DEBUG", raising=False)
    monkeypatch.setattr("roots_kg.workspace.Workspace.task_folders", broken)
    result = roots("tasks", "list")
    assert result.code == 1
    expected = "internal error: ZeroDivisionError: two lines (set ROOTS_DEBUG=1 for the traceback)\n"
    assert result.err == expected
    monkeypatch.setenv("ROOTS_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        roots("tasks", "list")
