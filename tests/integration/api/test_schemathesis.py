"""Requests generated from the OpenAPI document, single and in sequences, are answered as it says, never with a 5xx."""

from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import FlakyStrategyDefinition
from schemathesis import Case
from schemathesis.core.result import Ok
from schemathesis.schemas import BaseSchema
from starlette.testclient import TestClient

from tests import openapi

#: Few enough examples for a run of some minutes.
FEW = settings(
    max_examples=15,
    stateful_step_count=6,
    phases=[Phase.generate],
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def document(client: TestClient) -> BaseSchema:
    """The document, requested with the key."""
    found: BaseSchema = schemathesis.openapi.from_asgi("/openapi.json", client.app, config=openapi.config())
    openapi.authenticate(found)
    return found


def test_each_operation_answers_as_documented(document: BaseSchema) -> None:
    met = set()
    for operation in document.get_all_operations():
        assert isinstance(operation, Ok)

        @FEW
        @given(operation.ok().as_strategy())
        def answers_as_documented(case: Case[Any]) -> None:
            met.add(case.call_and_validate().status_code)

        answers_as_documented()
    assert 200 in met
    assert 401 not in met, "the key opens nothing"


def test_sequences_of_operations_answer_as_documented(document: BaseSchema) -> None:
    # Later draws contain the API's answers, which have new ids each time, so Hypothesis may fail to repeat them.
    with suppress(FlakyStrategyDefinition):
        document.as_state_machine().run(settings=FEW)
