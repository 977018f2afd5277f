"""Configuration: frozen dataclasses read from mappings and YAML files, strictly.

A component's dataclass stands beside the component; this module only turns untrusted mappings into
them. An unknown key is an error that names the nearest known one, a value of the wrong kind an error
that names what was expected; nothing is built from a mapping that is not wholly valid. A YAML file is read
within limits, so that none takes more memory or time than settings do.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from roots_kg.errors import ConfigError, nearest
from roots_kg.files import is_text, read_small

__all__ = ["from_mapping", "load_yaml", "to_mapping"]

T = TypeVar("T")

MAX_YAML_BYTES = 1_000_000
MAX_YAML_VALUES = 50_000
"""Of a file, each counted as often as an alias repeats it."""
MAX_YAML_DEPTH = 50
MAX_NUMBER_LENGTH = 100


def from_mapping(cls: type[T], mapping: Mapping[str, Any], *, path: Path | str | None = None) -> T:
    """Build the dataclass `cls` from `mapping`.

    Args:
        cls: a dataclass whose fields are annotated with plain types, other dataclasses, `Literal`,
            optionals, `tuple[X, ...]` or `dict[str, X]`, or with a union of dataclasses, each of which has a
            first field of its own `Literal` text, by which it is chosen.
        mapping: keys are field names.
        path: the file the mapping came from, for messages.

    Raises:
        ConfigError: for an unknown or missing key, a value of the wrong kind, or a value that the
            dataclass itself refuses.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"expected a mapping of settings, found {mapping!r}", path=path)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = get_type_hints(cls)
    for key in mapping:
        if key not in fields:
            raise ConfigError(f"unknown key {key!r}", path=path, hint=nearest(str(key), fields))
    values = {key: _convert(value, hints[key], key, path) for key, value in mapping.items()}
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise ConfigError(f"the key {name!r} is missing", path=path)
    try:
        return cls(**values)
    except ValueError as error:
        raise ConfigError(str(error), path=path) from error


def to_mapping(config: Any) -> dict[str, Any]:
    """Return the dataclass `config` as plain data that `from_mapping` reads back to an equal object."""
    return {
        field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config) if field.init
    }


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping.

    Raises:
        ConfigError: if the file is missing, no file, too large, not UTF-8, not YAML, repeats a key, goes
            beyond a limit of this module, or is not a mapping; the message names the line.
    """
    content = read_small(path, MAX_YAML_BYTES, ConfigError)
    try:
        data = yaml.load(content.decode("utf-8"), Loader=_StrictLoader)
    except UnicodeDecodeError as error:
        found = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"not UTF-8 at byte {error.start}", path=path, line=found) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise ConfigError(
            f"not valid YAML: {error.problem}", path=path, line=line, hint=error.note
        ) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"not valid YAML: {' '.join(str(error).split())}", path=path) from error
    if not isinstance(data, dict):
        raise ConfigError("expected a mapping of settings", path=path)
    return data


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe loader, which moreover refuses a key that is stated twice, and what passes the limits.

    An alias costs its text nothing, but whoever walks through the value meets all that it repeats; so what
    an alias stands for is counted each time.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = self._values = 0
        self._sizes: dict[str, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        anchor, mark = event.anchor, event.start_mark
        if isinstance(event, yaml.AliasEvent):
            if anchor in self.anchors and anchor not in self._sizes:
                raise _flaw(f"the alias *{anchor} stands in what it repeats", mark, "write the value out")
            self._count(self._sizes.get(anchor, 0), mark)
            return super().compose_node(parent, index)
        if self._depth == MAX_YAML_DEPTH:
            raise _flaw(f"nested more than {MAX_YAML_DEPTH} deep", mark, "settings are flatter than that")
        before = self._values
        self._count(1, mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if anchor is not None:
            self._sizes[anchor] = self._values - before
        return node

    def _count(self, values: int, mark: yaml.Mark) -> None:
        self._values += values
        if self._values > MAX_YAML_VALUES:
            problem = f"more than {MAX_YAML_VALUES:,} values, what aliases repeat included"
            raise _flaw(problem, mark, "settings are shorter than that; examples go into a file of data")

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
        except (ValueError, TypeError, LookupError, AttributeError) as error:  # such as !!float x
            raise _flaw(" ".join(str(error).split()), node.start_mark) from error
        if isinstance(value, str) and not is_text(value):
            raise _flaw("half a surrogate pair, which is no character", node.start_mark)
        return value

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        numeric = node.tag.rpartition(":")[2] in ("int", "float")
        if numeric and isinstance(node, yaml.ScalarNode) and len(node.value) > MAX_NUMBER_LENGTH:
            problem = f"a number of {len(node.value):,} characters, at most {MAX_NUMBER_LENGTH} are read"
            raise _flaw(problem, node.start_mark, "put it in quotes to make it text")
        return super().construct_scalar(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise _flaw(f"the key {key!r} is not a plain value", key_node.start_mark)
            if key in seen:
                raise _flaw(f"the key {key!r} is stated twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _flaw(problem: str, mark: yaml.Mark, hint: str | None = None) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark, note=hint)


def _convert(value: Any, hint: Any, key: str, path: Path | str | None) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        choices = [argument for argument in arguments if argument is not type(None)]
        if len(choices) > 1 and all(map(dataclasses.is_dataclass, choices)):
            return from_mapping(_named_choice(choices, value, key, path), value, path=path)
        wanted = "dict[" if isinstance(value, Mapping) else "tuple["
        choices.sort(key=lambda choice: str(choice).startswith(wanted))  # what comes last raises its error
        for choice in choices[:-1]:
            try:
                return _convert(value, choice, key, path)
            except ConfigError:
                continue
        return _convert(value, choices[-1], key, path)
    if origin is Literal:
        if value in arguments:
            return value
        raise ConfigError(
            f"{key}: unknown value {value!r}", path=path, hint=nearest(str(value), map(str, arguments))
        )
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return from_mapping(hint, value, path=path)
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_convert(item, arguments[0], key, path) for item in value)
    if origin is dict and isinstance(value, Mapping):
        return {
            _convert(name, arguments[0], f"{key} (a name in it)", path): _convert(
                item, arguments[1], key, path
            )
            for name, item in value.items()
        }
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as error:
            raise ConfigError(f"{key}: a number too large", path=path) from error
    if (
        isinstance(hint, type)
        and isinstance(value, hint)
        and not (hint in (int, float) and isinstance(value, bool))
    ):
        return value
    expected = getattr(hint, "__name__", str(hint)) if origin is None else str(hint)
    quoted = (
        " (put it in quotes to make it text)" if hint is str and isinstance(value, (bool, int, float)) else ""
    )
    raise ConfigError(f"{key}: expected {expected}, found {value!r}{quoted}", path=path)


def _named_choice(choices: list[Any], value: Any, key: str, path: Path | str | None) -> type[Any]:
    """Return the dataclass that `value` names in the choices' first field, which holds one text each."""
    tag = dataclasses.fields(choices[0])[0].name
    named = {get_args(get_type_hints(choice)[tag])[0]: choice for choice in choices}
    if not isinstance(value, Mapping) or tag not in value:
        hint = f"{tag} is one of {', '.join(named)}"
        raise ConfigError(
            f"{key}: expected a mapping with the key {tag!r}, found {value!r}", path=path, hint=hint
        )
    name = value[tag]
    if not isinstance(name, str) or name not in named:
        raise ConfigError(f"{key}: unknown {tag} {name!r}", path=path, hint=nearest(str(name), named))
    chosen: type[Any] = named[name]
    return chosen


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_mapping(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
