"""Changes that leave the form: in JSON (lines) or YAML a value becomes another, a key goes, a part nests."""

import json
from functools import lru_cache

import yaml

ODD = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, -0.0, 1e-320, 1e308, float("nan"), float("inf"),
    "", " ",
    "\0", "\ud800", "..", "/", "a" * 300, "ä", "\n", [], {}, [[]], [None], {"": None}, [{}] * 3, "None", "0",
)  # fmt: skip


def mutated(content, random):
    """Return bytes with one to three values changed; None where they are no JSON, JSON lines or YAML."""
    read = parsed(content)
    if read is None:
        return None
    data, write = read
    for _ in range(random.randint(1, 3)):
        data = changed(data, random)
    try:
        return write(data)
    except (ValueError, TypeError, RecursionError, yaml.YAMLError):
        return None


@lru_cache(4096)  # the same inputs are changed over and over, and YAML is slow
def parsed(content):
    """Return what bytes hold, which is not to be changed in place, and how it is written; or None."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    try:
        return json.loads(text), lambda data: json.dumps(data).encode()
    except (ValueError, RecursionError):
        pass
    try:
        rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        rows = []
    if rows:
        return rows, json_lines
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, LookupError, AttributeError):
        return None
    # JSON is YAML, but for what it has no words for
    return (data, lambda data: json.dumps(data).encode()) if isinstance(data, dict) else None


def json_lines(data):
    rows = data if isinstance(data, list) else [data]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def changed(data, random):
    """Return data with a change in a place that is drawn."""
    places = [()]
    collect(data, (), places)
    place = random.choice(places)
    return at(data, place, random)


def collect(data, place, places):
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inner:
        if len(places) < 2000:
            places.append((*place, key))
            collect(value, (*place, key), places)


def at(data, place, random):
    if not place:
        return replaced(data, random)
    key, *rest = place
    copy = dict(data) if isinstance(data, dict) else list(data)
    kind = random.randrange(8) if not rest else 7
    if kind == 0:
        del copy[key]
    elif kind == 1 and isinstance(copy, list):
        copy.insert(key, copy[random.randrange(len(copy))])
    elif kind == 1:
        copy[random.choice(("", "x", "\ud800", "type", str(key).upper()))] = copy[key]
    elif kind == 2:
        other = random.choice(list(copy) if isinstance(copy, dict) else range(len(copy)))
        copy[key], copy[other] = copy[other], copy[key]
    else:
        copy[key] = at(copy[key], rest, random)
    return copy


def replaced(value, random):
    """Return another value in place of one, often one of its own kind."""
    kind = random.randrange(4)
    if kind == 0 and isinstance(value, (int, float)) and not isinstance(value, bool):
        return random.choice((value + 1, value - 1, -value, value * 1000, float(value), str(value)))
    if kind == 0 and isinstance(value, str) and value:
        at = random.randrange(len(value))
        return value[:at] + random.choice(("", "\0", "é", "\ud800", value, " ")) + value[at + 1 :]
    if kind == 1:
        return random.choice(([value], {"a": value}, [value, value]))
    return random.choice(ODD)
