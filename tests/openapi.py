"""What Schemathesis needs to test this API by its OpenAPI document: which checks hold, and the key."""

from typing import Any

from schemathesis import Case
from schemathesis.config import SchemathesisConfig
from schemathesis.schemas import BaseSchema

from tests.caller import KEY, bearer

#: A schema cannot express which language pairs exist, or that a host must be public.
_UNSAYABLE = "positive_data_acceptance"


def config() -> SchemathesisConfig:
    """All checks but those that the document cannot promise to hold."""
    made = SchemathesisConfig()
    made.projects.default.checks.update(excluded_check_names=[_UNSAYABLE])
    return made


def authenticate(document: BaseSchema, key: str = KEY) -> None:
    """Makes every request of the document carry the key."""

    class InstallationKey:
        """An authentication that Schemathesis can tell from keys that it invented itself."""

        def get(self, case: Case[Any], context: Any) -> dict[str, str]:
            return bearer(key)

        def set(self, case: Case[Any], data: dict[str, str], context: Any) -> None:
            case.headers.update(data)

    document.auth()(InstallationKey)
