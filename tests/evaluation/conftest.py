"""Models for the small tasks, adapted with the small graph, and the knowledge report of one of them."""

import pytest

from roots_kg.adaptation.task import Task, read_records
from roots_kg.evaluation.report import knowledge_report
from roots_kg.model import RootsModel


@pytest.fixture(scope="session")
def routing_task(routing_folder):
    return Task.load(routing_folder)


@pytest.fixture(scope="session")
def questions_task(questions_folder):
    return Task.load(questions_folder)


@pytest.fixture(scope="session")
def routing_model(encoder, bundle, routing_task):
    """A model for the small routing task with the true graph."""
    model = RootsModel(encoder, bundle)
    model.adapt(routing_task)
    return model


@pytest.fixture(scope="session")
def questions_model(encoder, bundle, questions_task):
    """A model that answers questions by walking the graph."""
    model = RootsModel(encoder, bundle)
    model.adapt(questions_task)
    return model


@pytest.fixture(scope="session")
def tickets(routing_task):
    """Every other test example of the routing task: one for each of 18 towns."""
    return read_records(routing_task.test)[::2]


@pytest.fixture(scope="session")
def questions(questions_task):
    """A third of the test examples of the answering task."""
    return read_records(questions_task.test)[::3]


@pytest.fixture(scope="session")
def routing_report(routing_model, routing_task, tickets):
    """The knowledge report of the routing model, over three draws."""
    return knowledge_report(routing_model, routing_task, tickets, shots=4, seeds=3, evidence_sample=3)


@pytest.fixture(scope="session")
def questions_report(questions_model, questions_task, questions):
    """The knowledge report of the answering model, of one draw."""
    return knowledge_report(questions_model, questions_task, questions, evidence_sample=12)
