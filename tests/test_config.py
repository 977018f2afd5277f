"""Settings are read strictly: whatever is wrong is named, and nothing else than a ConfigError comes out."""

import contextlib
import os
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from roots_kg.config import (
    MAX_YAML_BYTES,
    MAX_YAML_DEPTH,
    MAX_YAML_VALUES,
    from_mapping,
    load_yaml,
    to_mapping,
)
from roots_kg.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    size: int = 2
    share: float = 0.5

    def __post_init__(self):
        if self.size < 1:
            raise ValueError(f"size must be at least 1, found {self.size}")


@dataclass(frozen=True)
class Outer:
    name: str
    mode: Literal["fast", "slow"] = "fast"
    inner: Inner = field(default_factory=Inner)
    layers: tuple[int, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    note: str | None = None
    shuffle: bool = True


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "settings.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def error_of(mapping, **keywords):
    with pytest.raises(ConfigError) as caught:
        from_mapping(Outer, mapping, **keywords)
    return str(caught.value)


def test_a_mapping_becomes_the_dataclass_with_its_parts():
    built = from_mapping(Outer, {"name": "x", "inner": {"share": 1}, "layers": [3, 4], "labels": {"a": "A"}})
    assert built == Outer("x", inner=Inner(share=1.0), layers=(3, 4), labels={"a": "A"})
    assert isinstance(built.inner.share, float)


def test_an_unknown_key_is_refused_with_the_nearest_known_one():
    message = error_of({"name": "x", "layer": [1]}, path="a.yaml")
    assert message == "a.yaml: unknown key 'layer' (did you mean 'layers'?)"


def test_an_unknown_key_deeper_down_is_refused_too():
    assert "unknown key 'sise' (did you mean 'size'?)" in error_of({"name": "x", "inner": {"sise": 3}})


def test_a_key_without_a_default_must_be_there():
    assert error_of({}, path="a.yaml") == "a.yaml: the key 'name' is missing"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("name", 3, "name: expected str, found 3"),
        ("name", None, "name: expected str, found None"),
        ("inner", 3, "expected a mapping of settings, found 3"),
        ("inner", {"size": 2.0}, "size: expected int, found 2.0"),
        ("inner", {"size": True}, "size: expected int, found True"),
        ("inner", {"share": True}, "share: expected float, found True"),
        ("inner", {"share": "0.5"}, "share: expected float, found '0.5'"),
        ("layers", 3, "layers: expected tuple[int, ...], found 3"),
        ("layers", "34", "layers: expected tuple[int, ...], found '34'"),
        ("layers", [1, "2"], "layers: expected int, found '2'"),
        ("labels", ["a"], "labels: expected dict[str, str], found ['a']"),
        ("labels", {"a": 1}, "labels: expected str, found 1"),
        ("shuffle", 1, "shuffle: expected bool, found 1"),
        ("note", [], "note: expected str, found []"),
        ("mode", "fst", "mode: unknown value 'fst' (did you mean 'fast'?)"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_by_name(key, value, expected):
    assert expected in error_of({"name": "x", key: value})


def test_something_else_than_a_mapping_is_refused():
    assert error_of([1]) == "expected a mapping of settings, found [1]"


def test_yamls_booleans_where_text_is_meant_come_with_the_advice_to_quote(write):
    mapping = load_yaml(write("name: x\nlabels: {NO: Norway}\n"))
    assert "labels (a name in it): expected str, found False (put it in quotes" in error_of(mapping)
    assert "name: expected str, found True (put it in quotes" in error_of(load_yaml(write("name: yes\n")))


def test_what_the_dataclass_refuses_names_the_file():
    message = error_of({"name": "x", "inner": {"size": 0}}, path="a.yaml")
    assert message == "a.yaml: size must be at least 1, found 0"


@given(
    st.builds(
        Outer,
        name=st.text(),
        mode=st.sampled_from(["fast", "slow"]),
        inner=st.builds(Inner, st.integers(1, 9), st.floats(allow_nan=False)),
        layers=st.lists(st.integers()).map(tuple),
        labels=st.dictionaries(st.text(), st.text(), max_size=3),
        note=st.none() | st.text(),
        shuffle=st.booleans(),
    )
)
@settings(max_examples=60, deadline=None)
def test_settings_survive_the_way_to_plain_data_and_yaml_and_back(config):
    plain = to_mapping(config)
    assert from_mapping(Outer, plain) == config
    assert from_mapping(Outer, yaml.safe_load(yaml.safe_dump(plain))) == config


def test_a_yaml_file_gives_its_mapping(write):
    assert load_yaml(write("a: 1\nb: {c: [x, y]}\n")) == {"a": 1, "b": {"c": ["x", "y"]}}


def test_a_byte_order_mark_is_not_part_of_the_first_key(write):
    assert load_yaml(write(b"\xef\xbb\xbfa: 1\n")) == {"a": 1}


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", 3, "not valid YAML"),
        ("a: 1\nb: 2\na: 3\n", 3, "the key 'a' is stated twice"),
        ("a:\n  b: 1\n  b: 2\n", 3, "the key 'b' is stated twice"),
        ("x: 1\n? [a, b]\n: 1\n", 2, "not a plain value"),
        ("x: 1\n? !!set {a}\n: 1\n", 2, "not a plain value"),
        ("x: 1\nb: !!python/object/apply:os.getcwd []\n", 2, "not valid YAML"),
    ],
)
def test_a_malformed_file_is_refused_with_the_line(write, content, line, reason):
    path = write(content)
    with pytest.raises(ConfigError) as caught:
        load_yaml(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a: \xff\n", "not UTF-8 at byte 3"),
        (b"- 1\n", "expected a mapping"),
        (b"", "expected a mapping"),
        (b"a: \x00\n", "not valid YAML"),
        (b"a: " + b"x" * MAX_YAML_BYTES, "too large"),
    ],
)
def test_a_file_that_is_no_settings_file_is_refused_with_the_reason(write, content, reason):
    path = write(content)
    with pytest.raises(ConfigError, match=reason) as caught:
        load_yaml(path)
    assert str(caught.value).startswith(f"{path}")


@pytest.mark.parametrize(
    "content",
    ["[" * 50_000, "a: 2020-13-45", "a: " + "9" * 5000, "a: !!float x", "a: !!bool x", "a: !!timestamp x"],
    ids=["nested deeply", "no such date", "a huge number", "no float", "no bool", "no timestamp"],
)
def test_yaml_that_makes_its_parser_stumble_is_refused_like_any_other(write, content):
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_yaml(write(content))


TENFOLD = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in pairwise("abcdefghi")
)


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (TENFOLD, 5, r"more than 50,000 values, .* \(settings are shorter"),
        (f"x: 1\na: [{'x, ' * MAX_YAML_VALUES}]\n", 2, "more than 50,000 values"),
        ("x: 1\na: &a [*a]\n", 2, r"the alias \*a stands in what it repeats \(write the value out\)"),
        ("x: &a\n  b: *a\n", 2, r"the alias \*a stands in what it repeats"),
        ("x: &a {<<: *a}\n", 1, r"the alias \*a stands in what it repeats"),
        ("x: 1\na: " + "[" * 50_000, 2, r"nested more than 50 deep \(settings are flatter"),
        ("- " * 50_000, 1, "nested more than 50 deep"),
        ("x: 1\na: " + "9" * 100_000, 2, r"a number of 100,000 characters, .* \(put it in quotes"),
        ("x: 1\na: 0x" + "f" * 5_000, 2, "a number of 5,002 characters"),
        ("x: 1\na: 1" + ":59" * 50_000, 2, "a number of 150,001 characters"),
        ("x: 1\na: !!int {=: '" + "9" * 5_000 + "'}", 2, "integer string conversion"),
        ("x: 1\na: 2020-13-45\n", 2, "month must be in 1..12"),
        ('x: 1\na: "\\ud800"\n', 2, "half a surrogate pair"),
        (b"x: 1\na: \xff\n", 2, "not UTF-8 at byte 8"),
    ],
    ids=[
        "aliases of aliases",
        "many values",
        "a list in itself",
        "a mapping in itself",
        "merged into itself",
        "deep brackets",
        "deep dashes",
        "digits",
        "hexadecimal digits",
        "digits to the base of 60",
        "a number in disguise",
        "no such date",
        "half a surrogate pair",
        "not UTF-8",
    ],
)
def test_what_no_settings_need_is_refused_with_its_line(write, content, line, reason):
    path = write(content)
    with pytest.raises(ConfigError, match=reason) as caught:
        load_yaml(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert len(str(caught.value)) < 300


def test_aliases_and_nesting_within_the_limits_are_read(write):
    nested = "[" * (MAX_YAML_DEPTH - 1) + "]" * (MAX_YAML_DEPTH - 1)
    read = load_yaml(write(f"a: &a {{x: 1}}\nb: *a\nc: {nested}\n"))
    assert read["b"] == {"x": 1}


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.mkdir(), "this is a folder, not a file"),
        (lambda path: path.symlink_to(path), "this link leads back to itself"),
        (lambda path: path.symlink_to("/dev/zero"), "this is a device, not a file"),
        (os.mkfifo, "this is a pipe, not a file"),
    ],
    ids=["folder", "self-link", "endless device", "pipe"],
)
@pytest.mark.skipif(os.name == "nt", reason="there are no such files")
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, make, reason):
    path = tmp_path / "settings.yaml"
    make(path)
    with pytest.raises(ConfigError, match=reason):
        load_yaml(path)


def test_a_whole_number_too_large_for_a_share_is_refused():
    assert "share: a number too large" in error_of({"name": "x", "inner": {"share": 10**400}})


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="there is no such file"):
        load_yaml(tmp_path / "settings.yaml")


@given(st.binary(max_size=200) | st.text(alphabet="ab:-[]{}!&*?|>'\"#% \n\t1", max_size=60).map(str.encode))
@settings(max_examples=100, deadline=None)
def test_no_bytes_make_load_yaml_raise_anything_else(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    with contextlib.suppress(ConfigError):
        assert isinstance(load_yaml(path), dict)


@dataclass(frozen=True)
class Circle:
    shape: Literal["circle"] = "circle"
    radius: int = 1


@dataclass(frozen=True)
class Square:
    shape: Literal["square"] = "square"
    side: int = 1


@dataclass(frozen=True)
class Drawing:
    shapes: tuple[Circle | Square, ...] = ()
    frame: Circle | Square | None = None


def test_one_of_several_dataclasses_is_chosen_by_the_name_in_its_first_field():
    drawing = Drawing((Square(side=3), Circle()), frame=Circle(radius=9))
    stated = {
        "shapes": [{"shape": "square", "side": 3}, {"shape": "circle"}],
        "frame": {"shape": "circle", "radius": 9},
    }
    assert from_mapping(Drawing, stated) == drawing
    assert from_mapping(Drawing, to_mapping(drawing)) == drawing
    assert from_mapping(Drawing, {"frame": None}) == Drawing()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"shape": "sqare"}, r"shapes: unknown shape 'sqare' \(did you mean 'square'\?\)"),
        ({"side": 3}, r"shapes: expected a mapping with the key 'shape', found .* circle, square"),
        ("square", "shapes: expected a mapping with the key 'shape', found 'square'"),
        ({"shape": "square", "radius": 1}, "unknown key 'radius'"),
    ],
)
def test_a_choice_that_is_not_there_is_an_error_that_names_those_that_are(shape, message):
    with pytest.raises(ConfigError, match=message):
        from_mapping(Drawing, {"shapes": [shape]})
