"""An error is one line: where, what, and the way out."""

from pathlib import Path

import pytest

from roots_kg import errors
from roots_kg.errors import DataError, RootsError, nearest


def test_a_message_names_file_and_line_then_the_reason_then_the_hint():
    error = DataError("expected 3 columns, found 2", path=Path("a.tsv"), line=7, hint="look there")
    assert str(error) == "a.tsv:7: expected 3 columns, found 2 (look there)"


def test_a_message_leaves_out_what_is_not_known():
    assert str(RootsError("no luck")) == "no luck"
    assert str(RootsError("no luck", path="a.tsv")) == "a.tsv: no luck"
    assert str(RootsError("no luck", hint="try again")) == "no luck (try again)"


def test_the_parts_of_an_error_can_be_read_by_a_program():
    error = DataError("bad", path="a.tsv", line=3, hint="mend it")
    assert (error.message, error.path, error.line, error.hint) == ("bad", "a.tsv", 3, "mend it")


def test_every_error_is_a_roots_error_and_only_wrong_use_exits_with_2():
    kinds = [getattr(errors, name) for name in errors.__all__ if name != "nearest"]
    assert all(issubclass(kind, RootsError) for kind in kinds)
    assert {kind.__name__ for kind in kinds if kind.exit_code == 2} == {"UsageError", "ConfigError"}
    assert {kind.exit_code for kind in kinds} == {1, 2}


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("epoch", ["dimension", "epochs"], "did you mean 'epochs'?"),
        ("zzz", ["b", "a"], "known: 'a', 'b'"),
        (
            "zzz",
            [f"n{i:02}" for i in range(11)],
            "known: " + ", ".join(f"'n{i:02}'" for i in range(10)) + ", …",
        ),
        ("zzz", [], "there are none"),
        ("zzz", [f"entity {number}" for number in range(30_000)], ""),
    ],
)
def test_the_hint_names_the_closest_name_or_lists_what_there_is(name, known, hint):
    assert nearest(name, known) == hint
