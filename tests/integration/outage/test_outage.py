"""A Postgres that is full or away is a 507 or a 503 with Retry-After, on every route and never a 500."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import psycopg
import pytest
from sqlalchemy import event
from sqlalchemy.engine import make_url
from starlette.testclient import TestClient

from api.app import create_app
from lengthwise import database
from lengthwise.kinds.openai import ENDPOINTS
from lengthwise.settings import Settings
from tests import servers as real
from tests.caller import calling
from tests.integration import route_examples
from tests.integration.conftest import RunWorker, read_job, submit
from tests.ledger import DEFAULT, sql

#: Every route that queries Postgres, those of a job with ``{job_id}``.
READS = [
    "/readyz",
    "/v1/jobs",
    "/v1/jobs/{job_id}",
    "/v1/jobs/{job_id}/results",
    "/v1/jobs/{job_id}/deliveries",
    "/v1/keys",
    "/v1/keys/{key_id}",
    "/v1/tenants",
    "/v1/tenants/{tenant_id}",
    "/v1/tenants/{tenant_id}/usage",
    "/v1/limits",
    "/v1/usage",
    "/v1/workers",
    "/v1/webhook-endpoints",
    "/v1/webhook-endpoints/{endpoint_id}",
    "/v1/webhook-endpoints/{endpoint_id}/deliveries",
    "/v1/deliveries/{delivery_id}",
    "/v1/files",
    "/v1/files/{file}",
    "/v1/files/{file}/content",
    "/v1/batches",
    "/v1/batches/{batch}",
]
WRITES = [
    ("POST", "/v1/jobs"),
    ("POST", "/v1/jobs/{job_id}/retry"),
    ("POST", "/v1/jobs/{job_id}/cancel"),
    ("DELETE", "/v1/jobs/{job_id}"),
    ("POST", "/v1/keys"),
    ("POST", "/v1/keys/{key_id}/rotate"),
    ("POST", "/v1/keys/{key_id}/revoke"),
    ("POST", "/v1/tenants"),
    ("PATCH", "/v1/tenants/{tenant_id}"),
    ("POST", "/v1/webhook-endpoints"),
    ("PATCH", "/v1/webhook-endpoints/{endpoint_id}"),
    ("POST", "/v1/webhook-endpoints/{endpoint_id}/rotate"),
    ("POST", "/v1/webhook-endpoints/{endpoint_id}/test"),
    ("POST", "/v1/webhook-endpoints/{endpoint_id}/replay"),
    ("POST", "/v1/deliveries/{delivery_id}/resend"),
    ("DELETE", "/v1/webhook-endpoints/{endpoint_id}"),
    ("POST", "/v1/files"),
    ("POST", "/v1/batches"),
    ("POST", "/v1/batches/{batch}/cancel"),
    ("DELETE", "/v1/files/{file}"),
]
ROUTES = [*(("GET", path) for path in READS), ("POST", "/v1/jobs/estimate"), *WRITES]
#: The synchronous endpoints, which make jobs as POST /v1/jobs does, and routes that query no database.
OTHERS = {
    *(("POST", path) for path in ENDPOINTS),
    ("GET", "/healthz"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{name}"),
    ("POST", "/v1/models/reload"),
}
#: Ids for routes of things that this test cannot create; they need not exist.
NOWHERE = dict.fromkeys(("job_id", "key_id", "endpoint_id", "delivery_id"), str(UUID(int=7))) | {
    "tenant_id": str(DEFAULT),
    "file": f"file-{7:032x}",
    "batch": f"batch_{7:032x}",
}


def ask(client: TestClient, method: str, path: str, ids: Mapping[str, str], key: str | None = None) -> httpx2.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    more = dict(route_examples.BODIES.get(f"{method.lower()} {path}", {}))
    if path == "/v1/batches" and method == "POST":
        more = {"json": {"input_file_id": ids["file"], "endpoint": "/v1/completions", "completion_window": "24h"}}
    return client.request(method, path.format(**ids), headers=headers, **more)


def assert_come_again(answer: httpx2.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] in ("application/problem+json", "application/json")
    assert int(answer.headers["retry-after"]) > 0
    assert "CaNaRy" not in answer.text


def test_every_route_is_covered_here(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    known = {(method.upper(), path) for path, operations in paths.items() for method in operations}
    assert known == {*ROUTES, *OTHERS}


def test_without_postgres_every_route_answers_with_retry_after(catalog: object, installed: Settings) -> None:
    dead = installed.model_copy(update={"database_url": "postgresql://nobody@127.0.0.1:1/none"})
    with calling(create_app(dead), raise_server_exceptions=False) as client:
        for method, path in ROUTES:
            for key in (None, "a"):
                assert_come_again(ask(client, method, path, NOWHERE, key), 503)
        assert client.get("/healthz").status_code == 200


@contextmanager
def every_session_ends_at_statement(client: TestClient, n: int) -> Iterator[None]:
    """Postgres ends the API's session at its n-th statement, as a restart would."""
    engine = client.app.state.shared.database.engine  # type: ignore[attr-defined]
    left = [n]

    def cut(connection: Any, *_: object) -> None:
        raw = connection.connection.driver_connection
        left[0] -= 1
        if left[0] == 0:
            with psycopg.connect(raw.info.dsn, password=raw.info.password) as other:
                other.execute("SELECT pg_terminate_backend(%s)", [raw.info.backend_pid])

    real_cursor = database.cursor

    def cursor(connection: Any, **options: Any) -> Any:
        cut(connection)
        return real_cursor(connection, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "cursor", cursor)
        event.listen(engine, "begin", cut)
        yield
        event.remove(engine, "begin", cut)


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=[f"{method} {path}" for method, path in ROUTES])
def test_a_postgres_that_restarts_at_any_moment_of_a_request_is_a_503(
    client: TestClient, run_worker: RunWorker, method: str, path: str
) -> None:
    ids = route_examples.create_ids(client)
    run_worker()
    statuses = set()
    for n in range(1, 14):
        backlog = client.app.state.shared.backlog  # type: ignore[attr-defined]
        backlog._due_at = backlog._measured_at = 0
        with every_session_ends_at_statement(client, n):
            answer = ask(client, method, path, ids, f"key-{n}")
        statuses.add(answer.status_code)
        if answer.status_code == 503:
            assert_come_again(answer, 503)
        if method == "DELETE" and answer.is_success:
            break
    assert 503 in statuses
    assert statuses <= {200, 201, 202, 204, 409, 503}


def test_a_session_that_was_lost_is_replaced_for_the_next_request(client: TestClient) -> None:
    job = submit(client, ["abc"])
    with every_session_ends_at_statement(client, 1):
        assert ask(client, "GET", "/v1/jobs/{job_id}", {"job_id": job["id"]}).status_code == 503
    assert read_job(client, job["id"])["state"] == "queued"


FULL = """
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN RAISE EXCEPTION 'could not extend file: CaNaRy' USING ERRCODE = '53100'; END$$
"""


@pytest.mark.parametrize("table", ["items", "shards", "results", "turns", "jobs", "deliveries"])
def test_a_full_table_of_any_kind_is_a_507(client: TestClient, run_worker: RunWorker, table: str) -> None:
    job = submit(client, ["abc"], webhook={"url": "https://8.8.8.8/"})
    sql(FULL)
    sql(f"CREATE TRIGGER no_room BEFORE INSERT OR UPDATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION no_room()")
    body = {"kind": "generate", "items": ["CaNaRy", "x" * 600]}
    writes = {
        "submit": lambda: client.post("/v1/jobs", json=body),
        "cancel": lambda: client.post(job["links"]["cancel"]),
        "delete": lambda: client.delete(job["links"]["self"]),
    }
    touching = {"deliveries": ["cancel"], "shards": list(writes), "jobs": list(writes)}
    answers = [writes[each]() for each in touching.get(table, ["submit"])]
    for answer in answers:
        assert_come_again(answer, 507)
    for path in READS:
        found = ask(client, "GET", path, NOWHERE | {"job_id": job["id"]}).status_code
        assert found == 200 or (found == 404 and "{" in path and "job_id" not in path), path
    assert sql("SELECT count(*) FROM items") == [(1,)], "nothing of it is stored"


def test_a_postgres_that_became_read_only_is_a_503(client: TestClient) -> None:
    """A failover as a caller sees it, until the API reaches the new primary."""
    ids = route_examples.create_ids(client)
    name = sql("SELECT current_database()")[0][0]
    sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    database.shut(client.app.state.shared.database)  # type: ignore[attr-defined]
    for method, path in WRITES:
        if not path.endswith("retry"):
            assert_come_again(ask(client, method, path, ids), 503)
    for path in READS:
        assert ask(client, "GET", path, ids).status_code == 200, path


@pytest.fixture
def small_disk(servers: real.Urls) -> Iterator[Path]:
    """A separate disk of 48 MiB to which the suite's Postgres can write."""
    if os.geteuid() != 0 or real.DATABASE_VARIABLE in os.environ:
        pytest.skip("needs root, to mount a small disk, and an embedded Postgres, to use it")
    with real.reachable_folder() as folder, ExitStack() as stack:
        disk = folder / "disk"
        disk.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(disk)]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("no disk can be mounted here")
        stack.callback(subprocess.run, ["umount", str(disk)], check=True)
        sockets = Path(str(make_url(servers.databases.template).query["host"]))
        os.chown(disk, sockets.stat().st_uid, sockets.stat().st_gid)
        yield disk


@pytest.fixture
def on_small_disk(servers: real.Urls, small_disk: Path, installed: Settings) -> Iterator[None]:
    """Moves the test's database to the small disk, and back afterwards."""
    url = make_url(installed.require_database_url()).set(drivername="postgresql")
    name, server = url.database, url.set(database="postgres").render_as_string(hide_password=False)

    def administer(*statements: str) -> None:
        database.engine().dispose()
        with psycopg.connect(server, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    administer(f"CREATE TABLESPACE small LOCATION '{small_disk}'", f"ALTER DATABASE {name} SET TABLESPACE small")
    yield
    administer(
        f"DROP DATABASE {name} WITH (FORCE)",
        "DROP TABLESPACE small",
        f"CREATE DATABASE {name}",
    )


@pytest.mark.usefixtures("on_small_disk")
def test_a_really_full_disk_is_a_507_and_existing_data_stays_readable(
    client: TestClient, run_worker: RunWorker
) -> None:
    first = submit(client, ["abc", "x" * 600], webhook={"url": "https://8.8.8.8/"})
    run_worker()
    before = client.get(first["links"]["results"]).content
    filler = {"kind": "generate", "items": [{"text": "x", "metadata": {"a": os.urandom(6_000).hex()}}] * 400}
    answers = [client.post("/v1/jobs", json=filler).status_code]
    while answers[-1] == 202:
        assert len(answers) < 60, "the disk is not full yet"
        answers.append(client.post("/v1/jobs", json=filler).status_code)
    refused = client.post("/v1/jobs", json=filler)
    assert_come_again(refused, 507)
    assert client.get(first["links"]["results"]).content == before
    taken = client.get("/v1/jobs", params={"limit": 100}).json()["data"]
    assert len(taken) == len(answers), "every job that was answered with 202, the first one, and no other"
    for method, path in ROUTES:
        answer = ask(client, method, path, NOWHERE | {"job_id": taken[0]["id"]})
        assert answer.status_code in (200, 201, 202, 204, 400, 404, 409, 507), answer.text
        assert answer.status_code != 507 or method != "GET"
