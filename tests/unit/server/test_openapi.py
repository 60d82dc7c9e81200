"""What the OpenAPI document promises is what the service does: requests made from it, on the fakes.

schemathesis makes requests from the document, good and bad ones, and holds every answer to it: no
defect (5xx), no status, header, type or document that is not described. Not asked is that every
request which fits the document is accepted (a reference can be well-formed and name nothing), nor
that unknown query parameters are refused.
"""

from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from tests.unit.server.test_routes import World, operations

from layerproof.model.access import Role

load_all_checks()
_WORLD = World(Path("/nonexistent"))


# What takes no input can be asked nothing wrong.
_CASES = [
    (method, path, mode)
    for method, path in operations(_WORLD.app)
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or path not in ("/healthz", "/readyz")
]


@pytest.mark.parametrize(("method", "path", "mode"), _CASES)
def test_answers_are_as_described(method: str, path: str, mode: GenerationMode) -> None:
    world = World(Path("/nonexistent"))
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", world.app)
    operation = schema[path][method]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=12,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def check(case: schemathesis.Case) -> None:
        case.call_and_validate(
            headers=world.headers(Role.ADMIN),
            excluded_checks=[positive_data_acceptance, negative_data_rejection],
        )

    check()
