"""What all verbs have in common."""

import subprocess
import sys

import pytest

import roots_kg

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
]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_the_help_of_every_verb_has_an_example_of_that_verb(roots, verb):
    result = roots(*verb, "--help")
    assert result.code == 0
    examples = [line.strip() for line in result.out.splitlines() if line.strip().startswith("Example: ")]
    assert len(examples) == 1
    assert examples[0].startswith(f"Example: roots {' '.join(verb)}")


def commands(group, path=()):
    """Return the words that lead to each command of the command line."""
    for command in group.registered_commands:
        yield (*path, command.name or command.callback.__name__)
    for sub in group.registered_groups:
        yield from commands(sub.typer_instance, (*path, sub.name))


def test_the_list_of_verbs_above_is_complete():
    from roots_kg.cli import app

    assert sorted(commands(app)) == sorted(VERBS)


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("--version",), ("adapt", "--help"), ("kg", "train", "--help"), ("tasks", "list")],
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
