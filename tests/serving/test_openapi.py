"""Whatever the OpenAPI description allows, and much that it does not: no answer is a fault."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig

EXAMPLES = 15
# A category that no product has, a time that is none, more in all than may be asked for: no schema
# says so. What breaks a rule may also be too large.
ALSO_EXPECTED = SchemathesisConfig.from_dict(
    {
        "checks": {
            "positive_data_acceptance": {"expected-statuses": ["2xx", 401, 403, 404, 409, 422]},
            "negative_data_rejection": {"expected-statuses": [400, 401, 403, 404, 413, 415, 422]},
        }
    }
)
CHECKED = settings(
    deadline=None,
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


KEY = {"X-API-Key": "boss"}


@pytest.fixture(params=[False, True], ids=["open", "with a key"])
def api(request, service):
    overrides = ["serving.admin_key=boss"] if request.param else []
    client, _ = service("serving.limits.k=50", "serving.hosts=[testserver]", *overrides)
    return schemathesis.openapi.from_asgi("/openapi.json", client.app, config=ALSO_EXPECTED)


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_no_fault(api, mode, request):
    has_key = "with a key" in request.node.name
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
            response = case.call_and_validate(headers=KEY if has_key else {})
            answered.add((case.method, case.path, response.status_code))

        ask()
    asked = {(method, path) for method, path, _ in answered}
    assert {("POST", "/recommendations"), ("POST", "/users/{user_id}/reviews")} <= asked
    assert 422 in {status for _, _, status in answered}


def test_every_route_says_what_it_does(api):
    for path, methods in api.raw_schema["paths"].items():
        for method, operation in methods.items():
            assert operation["description"], (method, path)
