"""Checks that every refusal must pass, whatever was sent."""

import logging
from typing import Any

import pytest
from starlette.testclient import TestClient

from lengthwise.tables import metadata

#: Part of every hostile request. No answer and no log may contain it.
CANARY = "CaNaRy"

#: Tables that any request may write to, a refused one too.
_OF_REQUESTS = {"rates", "usage"}
_COUNTED = sorted(metadata.tables.keys() - _OF_REQUESTS)
_ROWS = " UNION ALL ".join(f"SELECT '{name}' AS name, count(*) AS n FROM {name}" for name in _COUNTED)  # noqa: S608


def rows(client: TestClient) -> dict[str, int]:
    """How many rows each table has."""
    with client.app.state.shared.database.begin() as connection:  # type: ignore[attr-defined]
        return {row.name: row.n for row in connection.exec_driver_sql(_ROWS)}


class RefusalProbe:
    """Sends requests, and checks that each is refused cleanly."""

    def __init__(self, client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
        self._client = client
        self._caplog = caplog
        caplog.set_level(logging.DEBUG)

    def of(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """The problem details of the answer. Checks that nothing is written, repeated or logged."""
        before = rows(self._client)
        answer = self._client.request(method, path, follow_redirects=False, **request)
        assert 400 <= answer.status_code < 500, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        problem: dict[str, Any] = answer.json()
        assert problem["status"] == answer.status_code
        assert problem["type"] == f"urn:lengthwise:problem:{problem['title'].replace(' ', '-')}"
        assert set(problem) <= {"type", "title", "status", "detail", "field", "index"}
        said = answer.text + str(answer.headers.multi_items())
        ours = [record for record in self._caplog.records if not record.name.startswith(("httpx", "httpcore"))]
        assert CANARY.lower() not in said.lower()
        assert not any(CANARY in record.getMessage() + str(record.exc_info) for record in ours)
        assert rows(self._client) == before
        return problem

    def of_job(self, content: Any, form: str = "application/json") -> tuple[int, str | None, int | None]:
        """The status, field and index of a refused submission, given as bytes or as an object."""
        sent = (
            {"content": content, "headers": {"content-type": form}} if isinstance(content, bytes) else {"json": content}
        )
        problem = self.of("POST", "/v1/jobs", **sent)
        return problem["status"], problem.get("field"), problem.get("index")


@pytest.fixture
def refusals(strict: TestClient, caplog: pytest.LogCaptureFixture) -> RefusalProbe:
    return RefusalProbe(strict, caplog)
