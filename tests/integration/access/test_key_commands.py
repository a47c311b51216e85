"""``lengthwise keys`` and ``lengthwise tenants``, against a running API."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.testclient import TestClient
from typer.testing import CliRunner

from lengthwise.cli.main import app
from lengthwise.errors import LengthwiseError
from tests.caller import KEY
from tests.integration.access import keys
from tests.servers import wait_until

#: Depending on its version, Typer has its own Result or uses click's.
Result = Any
Run = Callable[..., Result]


@pytest.fixture
def run(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs commands in a folder where ``lengthwise up`` has its data."""
    server = uvicorn.Server(uvicorn.Config(client.app, port=0, log_config=None, lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started)
    monkeypatch.setenv("LENGTHWISE_URL", "http://{}:{}".format(*server.servers[0].sockets[0].getsockname()))
    monkeypatch.delenv("LENGTHWISE_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    data = tmp_path / ".lengthwise"
    data.mkdir()
    (data / "admin.key").write_text(f"{KEY}\n")
    try:
        yield lambda *arguments: CliRunner().invoke(app, arguments)
    finally:
        server.should_exit = True
        thread.join(20)


def read_output(ran: Result) -> Any:
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)


def test_a_key_is_made_listed_rotated_and_revoked(run: Run, client: TestClient) -> None:
    made = run("keys", "create", "shop", "--scopes", "read, submit", "--expires-in", "90d")
    key = made.stdout.strip()
    assert keys.ask(client, key).status_code == 200
    assert key not in made.stderr
    (listed,) = read_output(run("keys", "list", "--json"))
    assert (listed["name"], listed["scopes"]) == ("shop", ["read", "submit"])
    assert listed["id"].replace("-", "") in key
    rotated = read_output(run("keys", "rotate", listed["id"], "--overlap", "1h", "--json"))
    for each in (key, rotated["key"]):
        assert keys.ask(client, each).status_code == 200
    assert run("keys", "revoke", rotated["id"]).exit_code == 0
    wait_until(lambda: keys.ask(client, rotated["key"]).status_code == 401, patience=10)
    table = run("keys", "list").stdout
    assert "shop" in table
    assert key not in table


def test_a_tenant_is_made_and_its_limits_are_set_and_removed(run: Run, client: TestClient) -> None:
    tenant = run("tenants", "create", "shop", "--weight", "2", "--max-open-jobs", "5").stdout.strip()
    changed = read_output(
        run("tenants", "set", tenant, "--max-open-jobs", "none", "--max-pending-tokens", "7", "--json")
    )
    found = client.get(f"/v1/tenants/{tenant}").json()
    assert found == changed | {"limits": found["limits"]}
    shown = {each["name"]: each for each in read_output(run("tenants", "list", "--json"))}
    assert (shown["shop"]["weight"], shown["shop"]["max_open_jobs"], shown["shop"]["max_pending_tokens"]) == (
        2,
        None,
        7,
    )
    made = read_output(run("keys", "create", "theirs", "--tenant", tenant, "--json"))
    assert made["tenant"] == tenant
    assert [key["id"] for key in read_output(run("keys", "list", "--tenant", tenant, "--json"))] == [made["id"]]
    assert "shop" in run("tenants", "list").stdout


def test_a_long_list_is_read_to_its_end(run: Run, client: TestClient) -> None:
    made = [keys.new_key(client, "read")["id"] for _ in range(101)]
    assert [key["id"] for key in read_output(run("keys", "list", "--json"))] == made[::-1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("keys", "create", "shop", "--scopes", "CaNaRy"), "422: scopes"),
        (("keys", "create", "shop", "--expires-in", "soon"), "--expires-in: "),
        (("keys", "list", "--key", "CaNaRy"), "401: a valid API key is needed"),
        (("keys", "list", "--data", "nowhere"), "no API key"),
        (("keys", "list", "--url", "http://127.0.0.1:1"), "there is no answer"),
        (("keys", "revoke", "none"), "404: there is no such key"),
        (("tenants", "set", "none", "--max-open-jobs", "all"), "--max-open-jobs: "),
        (("tenants", "create", "default"), "409: another tenant has this name"),
    ],
)
def test_an_error_is_one_line(run: Run, arguments: tuple[str, ...], words: str) -> None:
    ran = run(*arguments)
    said = str(ran.exception) if isinstance(ran.exception, LengthwiseError) else ran.stderr.removeprefix("lengthwise: ")
    assert said.startswith(words)
    assert ran.exit_code != 0
    assert "CaNaRy" not in said
