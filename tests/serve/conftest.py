"""A model that is served, in this process."""

import pytest
from starlette.testclient import TestClient

from roots_kg.serve import ServeConfig, make_app
from roots_kg.serve.service import Service

LOCAL = "http://127.0.0.1"


@pytest.fixture
def serving(routing):
    """A function that starts a server with some settings, and gives a client; it stops after the test."""
    clients = []

    def start(model=routing, **settings):
        app = make_app(Service(model, "routing"), ServeConfig(**settings))
        client = TestClient(app, base_url=LOCAL, raise_server_exceptions=False)
        clients.append(client.__enter__())
        return client

    yield start
    for client in clients:
        client.__exit__(None, None, None)
