"""What every head promises (`roots_kg.adaptation.contract`), checked for each one that is built in.

A head is checked with its own `sample_task`, see `roots_kg.adaptation.sample_tasks`; a new head without one
fails. Those that use a graph are checked a second time, with the towns that many tests share.
"""

from dataclasses import replace

import pytest

from roots_kg import registry
from roots_kg.adaptation import sample_tasks
from roots_kg.adaptation.contract import PROMISES, Case
from roots_kg.adaptation.sample_tasks import SampleTask
from roots_kg.testing import sample_layers

WITH_TOWNS = {"answer": "questions", "classification": "routing"}
"""Heads that use a graph, and which of the shared examples are for them."""

OTHER_SAMPLES = {("classification", "pairs"): sample_tasks.PAIRS}
"""What else a head can read."""

CASES = [(name, "own sample") for name in sorted(registry.BUILT_IN)] + [
    (name, "towns") for name in sorted(WITH_TOWNS)
]
CASES += OTHER_SAMPLES


@pytest.fixture(scope="module", params=CASES, ids=" with ".join)
def case(request, encoder, layers, examples):
    name, source = request.param
    head = registry.get_head(name)
    sample = OTHER_SAMPLES.get(request.param, head.sample_task)
    assert isinstance(sample, SampleTask), f"give the head {name!r} a `sample_task`"
    if source != "towns":
        return Case(head, sample, sample_layers(encoder, sample), name)
    shared = getattr(examples, WITH_TOWNS[name])
    labels = {record["label"]: record["label"] for record in shared.train if "label" in record}
    towns = replace(sample, train=shared.train, test=shared.test[::3], labels=labels, evidence=True)
    return Case(head, towns, layers, name)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_of_what_a_head_promises(case, promise):
    promise(case)
