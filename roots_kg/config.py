"""Configuration: frozen dataclasses read from mappings and YAML files, strictly.

A component's dataclass stands beside the component; this module only turns untrusted mappings into
them. An unknown key is an error that names the nearest known one, a value of the wrong kind an error
that names what was expected; nothing is built from a mapping that is not wholly valid.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from roots_kg.errors import ConfigError, nearest

__all__ = ["from_mapping", "load_yaml", "to_mapping"]

T = TypeVar("T")

MAX_YAML_BYTES = 1_000_000


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
        ConfigError: if the file is missing, too large, not UTF-8, not YAML, repeats a key, or is not a
            mapping; the message names the line.
    """
    if not path.is_file():
        raise ConfigError("there is no such file", path=path)
    if path.stat().st_size > MAX_YAML_BYTES:
        raise ConfigError(f"larger than {MAX_YAML_BYTES:,} bytes, too large for a settings file", path=path)
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 at byte {error.start}", path=path) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise ConfigError(f"not valid YAML: {error.problem}", path=path, line=line) from error
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise ConfigError(f"not valid YAML: {' '.join(str(error).split())}", path=path) from error
    if not isinstance(data, dict):
        raise ConfigError("expected a mapping of settings", path=path)
    return data


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe loader, which moreover refuses a mapping that states a key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable) or key in seen:
                problem = (
                    f"the key {key!r} is not a plain value"
                    if not isinstance(key, Hashable)
                    else (f"the key {key!r} is stated twice")
                )
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


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
        return float(value)
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
