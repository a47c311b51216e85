"""Requests that the OpenAPI document itself suggests, one by one and in sequences: answered as it says, never a 5xx."""

from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import FlakyStrategyDefinition
from schemathesis import Case
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from schemathesis.schemas import BaseSchema
from starlette.testclient import TestClient

from tests.caller import bearer

#: Few enough that the whole takes some minutes.
FEW = settings(
    max_examples=15,
    stateful_step_count=6,
    phases=[Phase.generate],
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

#: No schema can say which language pairs there are, or that a host must be public.
UNSAYABLE = "positive_data_acceptance"


class InstallationKey:
    """The installation's own, by which the checks of authentication tell it from what they made up themselves."""

    def get(self, case: Case[Any], context: Any) -> dict[str, str]:
        return bearer()

    def set(self, case: Case[Any], data: dict[str, str], context: Any) -> None:
        case.headers.update(data)


@pytest.fixture
def document(client: TestClient) -> BaseSchema:
    """Asked under the key."""
    config = SchemathesisConfig()
    config.projects.default.checks.update(excluded_check_names=[UNSAYABLE])
    found: BaseSchema = schemathesis.openapi.from_asgi("/openapi.json", client.app, config=config)
    found.auth()(InstallationKey)
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
    # What the API answered, new ids each time, is in what is drawn next: Hypothesis may find it cannot draw it again.
    with suppress(FlakyStrategyDefinition):
        document.as_state_machine().run(settings=FEW)
