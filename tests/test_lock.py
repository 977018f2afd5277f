"""All that the package and its development need is pinned in constraints.txt, at the versions in use."""

import importlib.metadata
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
BUILD = ("hatchling", "setuptools")


@pytest.fixture(scope="module")
def stated():
    """The requirements of the package and of its extra dev, as pyproject.toml states them now."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return list(map(Requirement, [*project["dependencies"], *project["optional-dependencies"]["dev"]]))


@pytest.fixture(scope="module")
def lines():
    """The lines of the lock, as requirements."""
    return [Requirement(line) for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def pinned(lines):
    """From each package that is pinned for this Python to its version."""
    held = [line for line in lines if line.marker is None or line.marker.evaluate()]
    return {canonicalize_name(line.name): Version(str(line.specifier).removeprefix("==")) for line in held}


def needed(stated):
    """Yield what is installed of all that these requirements need, and what that needs in turn."""
    seen, waiting = set(), [(requirement, "") for requirement in stated]
    while waiting:
        requirement, wanted_by = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": wanted_by}):
            continue
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                found = importlib.metadata.distribution(name)
            except importlib.metadata.PackageNotFoundError:
                continue  # of what is not installed nothing can differ
            waiting += [(Requirement(line), extra) for line in found.requires or ()]
            yield name, Version(found.version)


def test_every_line_pins_one_version(lines):
    assert [str(line) for line in lines if not str(line.specifier).startswith("==")] == []
    assert len({(canonicalize_name(line.name), str(line.marker)) for line in lines}) == len(lines)


def test_every_dependency_is_pinned(lines, stated):
    names = {canonicalize_name(line.name) for line in lines}
    assert {canonicalize_name(requirement.name) for requirement in stated} <= names
    assert names >= set(BUILD)


def test_everything_that_is_installed_for_it_is_pinned_at_its_version(pinned, stated):
    used = dict(needed(stated))
    assert {"torch", "pytest", "numpy", "setuptools"} <= used.keys()
    if sys.version_info >= (3, 11):  # of many packages the pinned releases do not support Python 3.10
        assert sorted(used.keys() - pinned) == []
    public = {name: Version(version.public) for name, version in used.items()}  # without "+cpu"
    other = {name: str(found) for name, found in public.items() if pinned.get(name, found) != found}
    assert other == {}, "installed, and not as constraints.txt says; `make .venv/installed-dev` mends it"


def test_a_pinned_release_is_one_that_the_dependency_allows(pinned, stated):
    for requirement in stated:
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is None or requirement.specifier.contains(version, prereleases=True), requirement
