"""Requests that Schemathesis makes from the OpenAPI document, sent to the live installation."""

import time
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok

from tests import openapi
from tests.hostile.installation import Installation
from tests.hostile.verdict import Outcome

_STALL_SECONDS = 25.0


def described(installation: Installation, first_seed: int, count: int) -> Outcome:
    """Sends about ``count`` requests, the same number to each operation."""
    document = schemathesis.openapi.from_url(f"{installation.url}/openapi.json", config=openapi.config())
    openapi.authenticate(document, installation.key)
    operations = [found.ok() for found in document.get_all_operations() if isinstance(found, Ok)]
    outcome = Outcome("from the OpenAPI document")
    for number, operation in enumerate(operations):

        @seed(first_seed * 1000 + number)
        @settings(
            max_examples=max(count // len(operations), 1),
            phases=[Phase.generate],
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy())
        def sends(case: Case[Any]) -> None:
            began = time.monotonic()
            what = f"for {case.method} {case.path}"
            try:
                answer = case.call(base_url=installation.url)
                outcome.saw(answer.status_code, answer.content, what)
                case.validate_response(answer)
            except (Failure, FailureGroup) as error:
                outcome.problem(f"{type(error).__name__} {what}: {str(error)[:200]}")
            if time.monotonic() - began > _STALL_SECONDS:
                outcome.problem(f"a stall {what}")

        sends()
    return outcome
