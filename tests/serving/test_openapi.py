"""Whatever the OpenAPI description allows, and much that it does not: no answer is a fault."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from schemathesis import GenerationMode

EXAMPLES = 15
CHECKED = settings(
    deadline=None,
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.fixture
def api(service):
    client, _ = service("serving.limits.k=50", "serving.hosts=[testserver]")
    return schemathesis.openapi.from_asgi("/openapi.json", client.app)


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_no_fault(api, mode):
    answered = set()
    for found in api.get_all_operations():
        operation = found.ok()
        takes_something = operation.body or operation.query or operation.path_parameters
        if mode is GenerationMode.NEGATIVE and not takes_something:
            continue  # nothing wrong can be sent

        @CHECKED
        @seed(0)
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case):
            response = case.call()
            answered.add((case.method, case.path, response.status_code))
            assert response.status_code < 500, f"{case.as_curl_command()}: {response.text}"

        ask()
    asked = {(method, path) for method, path, _ in answered}
    assert {("POST", "/recommendations"), ("POST", "/users/{user_id}/reviews")} <= asked
    assert 422 in {status for _, _, status in answered}


def test_every_route_says_what_it_does(api):
    for path, methods in api.raw_schema["paths"].items():
        for method, operation in methods.items():
            assert operation["description"], (method, path)
