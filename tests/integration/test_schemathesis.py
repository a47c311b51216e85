"""Requests that the OpenAPI document itself suggests, one by one and in sequences: answered as it says, never a 5xx."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.result import Ok
from schemathesis.schemas import BaseSchema
from starlette.testclient import TestClient

#: Few enough that the whole takes a minute.
FEW = settings(
    max_examples=20, stateful_step_count=6, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)

load_all_checks()
#: No schema can say which language pairs there are, or that a host must be public.
UNSAYABLE: list[Any] = [CHECKS.get_one("positive_data_acceptance")]


@pytest.fixture
def document(client: TestClient) -> BaseSchema:
    found: BaseSchema = schemathesis.openapi.from_asgi("/openapi.json", client.app)
    return found


def test_each_operation_answers_as_documented(document: BaseSchema) -> None:
    for operation in document.get_all_operations():
        assert isinstance(operation, Ok)

        @FEW
        @given(operation.ok().as_strategy())
        def answers_as_documented(case: Case[Any]) -> None:
            case.call_and_validate(excluded_checks=UNSAYABLE)

        answers_as_documented()


def test_sequences_of_operations_answer_as_documented(document: BaseSchema) -> None:
    document.as_state_machine().run(settings=FEW)
