"""No bytes make what reads them raise anything but our errors; a short run of what run.py does for long."""

import importlib.util
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roots_kg.graph.readers import FORMATS
from roots_kg.registry import BUILT_IN
from roots_kg.serve import ServeConfig, make_app
from tests.fuzz.mutations import mutated
from tests.fuzz.run import main
from tests.fuzz.targets import MODEL, TARGETS, try_on

INPUTS = 8  # for each target; run.py tries thousands
every_target = pytest.mark.parametrize("name", TARGETS)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A function that builds a target once."""
    known = {}

    def build(name):
        if name not in known:
            known[name] = TARGETS[name](tmp_path_factory.mktemp("target"))
        return known[name]

    return build


@st.composite
def spoilt(draw, example):
    """Draw an example with values changed, or with bytes changed, left out or put in."""
    made = mutated(example, Random(draw(st.integers(0, 2**32)))) if draw(st.booleans()) else None
    content = bytearray(example if made is None else made)
    for _ in range(draw(st.integers(0 if made is not None else 1, 3))):
        at = draw(st.integers(0, len(content)))
        content[at : at + draw(st.integers(0, 8))] = draw(st.binary(max_size=8))
    return bytes(content)


@every_target
def test_its_first_example_is_accepted(built, name):
    target = built(name)
    assert try_on(target, target.examples[0])


@every_target
@given(data=st.data())
@settings(max_examples=INPUTS, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_it_is_fed_it_accepts_or_refuses_with_our_error(built, name, data):
    target = built(name)
    example = st.sampled_from(target.examples).flatmap(spoilt)
    try_on(target, data.draw(st.binary(max_size=100) | example | example))


def test_every_reader_of_graphs_is_a_target():
    assert TARGETS.keys() >= {f"graph {name}" for name in FORMATS}


def test_the_examples_of_every_head_are_a_target():
    assert TARGETS.keys() >= {f"examples {name}" for name in BUILT_IN}


def test_every_route_that_takes_a_body_or_a_name_is_a_target():
    from roots_kg.model import RootsModel
    from roots_kg.serve.service import Service

    service = Service(RootsModel.from_pretrained(MODEL), "model")
    paths = make_app(service, ServeConfig(allow_edits=True)).openapi()["paths"]
    taking = {
        f"{method.upper()} {path.partition('/{')[0]}"
        for path, methods in paths.items()
        for method, stated in methods.items()
        if "requestBody" in stated or "{" in path
    }
    assert taking <= TARGETS.keys()


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
def test_atheris_runs_a_target_and_prints_a_table(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main(["markup", "--seconds", "1"]) == 0
    header, row = capfd.readouterr().out.splitlines()
    assert header.split() == ["target", "executions", "seconds", "finding"]
    assert row.startswith("markup ")
    assert row.endswith("  nothing")
    assert int(row.split()[1].replace(",", "")) > 10
