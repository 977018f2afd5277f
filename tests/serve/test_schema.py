"""What the OpenAPI description allows, and what it does not, never breaks the server."""

from collections import defaultdict

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error

from roots_kg.serve import ServeConfig, make_app
from roots_kg.serve.service import Service


def test_no_request_breaks_the_server(routing):
    limits = ServeConfig(allow_edits=True, max_new_tokens=24, hosts=("*",))
    schema = schemathesis.openapi.from_asgi("/openapi.json", make_app(Service(routing, "routing"), limits))
    operations = [found.ok() for found in schema.get_all_operations()]
    assert {operation.path for operation in operations} >= {"/predict", "/explain", "/graph", "/generate"}
    seen = defaultdict(set)
    for operation in operations:
        takes_something = operation.body or operation.query or operation.path_parameters
        for mode in GenerationMode if takes_something else [GenerationMode.POSITIVE]:

            @settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            @given(case=operation.as_strategy(generation_mode=mode))
            def never_breaks(case):
                answer = case.call_and_validate(checks=[not_a_server_error])
                seen[case.operation.path].add(answer.status_code)

            never_breaks()
    assert all(200 in seen[path] for path in ("/predict", "/explain", "/encode", "/generate"))
