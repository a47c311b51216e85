"""Starts every part separately on servers that the environment names, as the README does for production."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from lengthwise.child import Child, Program
from tests.caller import bearer
from tests.fakes import write_catalog
from tests.servers import DATABASE_VARIABLE, REDIS_VARIABLE, Urls, wait_until


@pytest.fixture
def environment(servers: Urls, database_url: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    named = {DATABASE_VARIABLE: database_url, REDIS_VARIABLE: redis_url}
    return {**os.environ, **named, "LENGTHWISE_MODELS": str(write_catalog(tmp_path))}


@pytest.fixture
def parts(environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """Runs ``lengthwise migrate``, then ``api`` and one worker per queue. Yields the API's URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])

    def started(name: str, *arguments: str) -> Child:
        command = [sys.executable, "-P", "-m", "lengthwise", *arguments]
        child = Child(Program(name, command, environment=environment), tmp_path / f"{name}.log")
        child.start()
        return child

    with ExitStack() as stack:
        migration = started("migrate", "migrate")
        stack.callback(migration.kill)
        wait_until(lambda: not migration.is_running)
        assert "up to date" in migration.output()
        for name, arguments in {
            "api": ("api", "--host", "0.0.0.0", "--port", port),  # noqa: S104 - as in the README
            "generate": ("worker", "--queues", "generate"),
            "deliver": ("worker", "--queues", "deliver"),
        }.items():
            stack.callback(started(name, *arguments).kill)
        yield f"http://127.0.0.1:{port}"


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_the_parts_by_themselves_are_the_whole_system(parts: str) -> None:
    wait_until(lambda: answers(parts))
    with httpx.Client(base_url=parts, headers=bearer()) as client:
        created = client.post("/v1/jobs", json={"kind": "generate", "items": ["stressed"]}).json()
        wait_until(lambda: client.get(f"/v1/jobs/{created['id']}").json()["finished_at"] is not None)
        assert '"desserts"' in client.get(f"/v1/jobs/{created['id']}/results").text
