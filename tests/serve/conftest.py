"""A model that is served, in this process."""

import pytest
from starlette.testclient import TestClient

from roots_kg.adaptation.task import Task
from roots_kg.model import RootsModel
from roots_kg.serve import ServeConfig, make_app
from roots_kg.serve.service import Service

LOCAL = "http://127.0.0.1"


@pytest.fixture(scope="session")
def adapted(encoder, bundle, routing_folder):
    """A model for the small routing task with the small graph."""
    model = RootsModel(encoder, graph=bundle)
    model.adapt(Task.load(routing_folder))
    return model


@pytest.fixture
def serving(adapted):
    """A function that starts a server with some settings, and gives a client; it stops after the test."""
    clients = []

    def start(model=adapted, **settings):
        app = make_app(Service(model, "routing"), ServeConfig(**settings))
        client = TestClient(app, base_url=LOCAL, raise_server_exceptions=False)
        clients.append(client.__enter__())
        return client

    yield start
    for client in clients:
        client.__exit__(None, None, None)
