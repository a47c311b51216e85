"""How much of each limit is in use: a limit says that it is reached exactly while it refuses."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from lengthwise import AsyncClient, Client, database
from lengthwise.ledger.accounts import rate
from lengthwise.ledger.queue import pending
from lengthwise.settings import Settings
from tests import ledger
from tests import servers as real
from tests.integration.access import keys
from tests.integration.access.test_key_commands import Run, read_output, run
from tests.integration.access.test_limits import JOB
from tests.integration.api.test_backpressure import measure_again
from tests.integration.conftest import RunWorker, serving
from tests.integration.queue.test_query_plans import explain, filled_with, indexes, rows_read
from tests.integration.route_examples import HOOK
from tests.integration.wire import over_http
from tests.ledger import DEFAULT, sql

__all__ = ["run"]

#: A thousand times as many jobs as one look may read: 50 tenants with 2,000 open and 2,000 ended jobs each.
_MANY_JOBS = """
INSERT INTO tenants (id, name)
SELECT lpad(to_hex(1 + n), 32, '0')::uuid, 'tenant ' || n FROM generate_series(1, 49) n;
INSERT INTO jobs (id, tenant_id, kind, model, params, priority, state, n_items, n_tokens, n_arrival_padded,
                  chunk_items, is_tallied, finished_at)
SELECT gen_random_uuid(), lpad(to_hex(1 + n % 50), 32, '0')::uuid, 'generate', 'm', '{}', 1,
       CASE WHEN n / 50 % 2 = 0 THEN 'open' ELSE 'completed' END, 1, 1, 1, 10000, false,
       CASE WHEN n / 50 % 2 = 1 THEN now() END
FROM generate_series(0, 199999) n;
ANALYZE;
"""


@pytest.fixture
def small(servers: real.Urls, tmp_path: Path) -> Iterator[TestClient]:
    """An API that takes 100 tokens, 60 of one tenant, and two webhook endpoints."""
    limits = {"max_pending_tokens": 100, "max_tenant_pending_tokens": 60, "max_webhook_endpoints": 2}
    with serving(servers, tmp_path, **limits) as client:
        yield client


def with_key(client: TestClient, name: str = "shop", **limits: Any) -> tuple[str, str]:
    """A new tenant with these limits, and its key."""
    tenant = keys.new_tenant(client, name, **limits)
    return tenant, keys.new_key(client, "submit", "read", "webhooks", tenant=tenant)["key"]


def own(client: TestClient, key: str) -> dict[str, Any]:
    """What a key sees of the limits of its tenant."""
    answer = keys.ask(client, key, path="/v1/limits")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def post(client: TestClient, key: str, length: int = 3) -> int:
    """The status of a new job of so many tokens."""
    return keys.ask(client, key, "POST", json=JOB | {"items": ["x" * length]}).status_code


def test_every_limit_says_what_is_in_force_and_what_is_in_use(client: TestClient) -> None:
    tenant, key = with_key(client, max_open_jobs=3, max_pending_tokens=50, max_requests_per_minute=10)
    assert [post(client, key) for _ in range(2)] == [202, 202]
    assert keys.ask(client, key, "POST", "/v1/webhook-endpoints", json=HOOK).status_code == 201
    found = client.get(f"/v1/tenants/{tenant}").json()["limits"]
    requests = found.pop("requests_per_minute")
    assert (requests["limit"], requests["message"], requests["at_least"]) == (10, None, False)
    assert 0 < requests["used"] <= 3, "the allowance refills meanwhile"
    calm = {"at_least": False, "message": None}
    assert found == {
        "object": "limits",
        "open_jobs": {"used": 2, "limit": 3, **calm},
        "pending_tokens": {"used": 6, "limit": 50, **calm},
        "webhook_endpoints": {"used": 1, "limit": 50, **calm},
        "installation": None,
    }


def test_the_list_and_the_tenants_own_key_say_the_same(client: TestClient) -> None:
    tenant, key = with_key(client, max_open_jobs=1)
    keys.new_tenant(client, "idle")
    assert post(client, key) == 202
    found = client.get(f"/v1/tenants/{tenant}").json()["limits"]
    assert found["open_jobs"]["used"] == 1
    listed = {each["name"]: each["limits"] for each in client.get("/v1/tenants").json()["data"]}
    assert listed["shop"] == own(client, key) == found
    assert listed["idle"]["open_jobs"]["used"] == listed["idle"]["pending_tokens"]["used"] == 0
    admin = keys.new_key(client, "admin", tenant=tenant)["key"]
    [theirs] = keys.ask(client, admin, path="/v1/tenants").json()["data"]
    assert theirs["limits"] == found


@pytest.mark.parametrize("limit", [1, 3])
def test_open_jobs_say_that_their_limit_is_reached_exactly_while_jobs_are_refused(
    client: TestClient, run_worker: RunWorker, limit: int
) -> None:
    _, key = with_key(client, max_open_jobs=limit)
    for n_open in range(limit):
        found = own(client, key)["open_jobs"]
        assert (found["used"], found["message"]) == (n_open, None)
        assert post(client, key) == 202
    found = own(client, key)["open_jobs"]
    assert found["message"] == f"{limit} of {limit} open jobs; new jobs are refused until one ends"
    assert post(client, key) == 429
    run_worker()
    assert own(client, key)["open_jobs"] == {"used": 0, "at_least": False, "limit": limit, "message": None}
    assert post(client, key) == 202


def test_a_limit_that_was_lowered_shows_how_far_it_is_exceeded(client: TestClient) -> None:
    tenant, key = with_key(client, max_open_jobs=3)
    assert [post(client, key) for _ in range(3)] == [202] * 3
    client.patch(f"/v1/tenants/{tenant}", json={"max_open_jobs": 1})
    assert own(client, key)["open_jobs"]["message"] == "3 of 1 open jobs; new jobs are refused until one ends"


def test_tokens_say_that_their_limit_is_reached_exactly_while_jobs_are_refused(small: TestClient) -> None:
    _, key = with_key(small)
    assert post(small, key, 59) == 202
    assert own(small, key)["pending_tokens"] == {"used": 59, "at_least": False, "limit": 60, "message": None}
    assert post(small, key, 30) == 202
    found = own(small, key)
    said = "89 of 60 input tokens that wait or run; new jobs are refused until some are done"
    assert (found["pending_tokens"]["message"], found["installation"]) == (said, None)
    assert post(small, key) == 429
    sql("UPDATE jobs SET state = 'completed', finished_at = now()")
    measure_again(small)
    assert own(small, key)["pending_tokens"]["message"] is None
    assert post(small, key) == 202


def test_every_tenant_hears_that_all_together_have_too_much_waiting_but_not_how_much(small: TestClient) -> None:
    _, key = with_key(small)
    _, other = with_key(small, "other")
    _, idle = with_key(small, "idle")
    assert [post(small, each, 59) for each in (key, other)] == [202, 202]
    found = own(small, idle)
    assert found["pending_tokens"] == {"used": 0, "at_least": False, "limit": 60, "message": None}
    assert found["installation"].startswith("all tenants together have 100 or more input tokens waiting")
    assert "118" not in f"{found}"
    assert post(small, idle) == 429


def test_a_tenant_that_may_have_no_tokens_is_refused_for_good(client: TestClient) -> None:
    _, key = with_key(client, max_pending_tokens=0)
    found = own(client, key)["pending_tokens"]
    assert found["message"] == "0 of 0 input tokens that wait or run; new jobs are refused"
    assert post(client, key) == 429


def test_webhook_endpoints_say_that_their_limit_is_reached(small: TestClient) -> None:
    _, key = with_key(small)
    statuses = [keys.ask(small, key, "POST", "/v1/webhook-endpoints", json=HOOK).status_code for _ in range(3)]
    assert statuses == [201, 201, 409]
    found = own(small, key)["webhook_endpoints"]
    assert found["message"] == "2 of 2 webhook endpoints; new ones are refused until one is deleted"


def test_requests_say_that_their_limit_is_reached(client: TestClient) -> None:
    tenant, key = with_key(client, max_requests_per_minute=1)
    assert keys.ask(client, key).status_code == 200
    found = client.get(f"/v1/tenants/{tenant}").json()["limits"]["requests_per_minute"]
    said = "1 of 1 requests a minute; further ones are refused until the allowance refills"
    assert found == {"used": 1, "at_least": False, "limit": 1, "message": said}
    assert keys.ask(client, key).status_code == 429


@pytest.mark.parametrize("per_minute", [1, 4])
@pytest.mark.parametrize("is_own", [True, False], ids=["own limit", "limit of the settings"])
def test_a_quota_of_requests_is_used_up_exactly_when_the_next_one_is_refused(
    installed: Settings, per_minute: int, is_own: bool
) -> None:
    if is_own:
        sql("UPDATE tenants SET max_requests_per_minute = :limit", limit=per_minute)
    default = None if is_own else per_minute
    with database.engine().begin() as connection:
        for n_taken in range(per_minute + 1):
            assert rate.count_used(connection, {DEFAULT: per_minute}) == {DEFAULT: n_taken}
            used_up = rate.find_used_up(connection, default, most=5)
            taken = rate.take_request(connection, DEFAULT, per_minute)
            assert used_up == ({} if taken.is_allowed else {DEFAULT: per_minute})
            assert taken.is_allowed is (n_taken < per_minute)
        assert rate.find_used_up(connection, default, most=0) == {}


def test_without_a_limit_jobs_are_counted_and_requests_are_not(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, key = with_key(client)
    assert [post(client, key) for _ in range(3)] == [202] * 3
    found = own(client, key)
    assert found["open_jobs"] == {"used": 3, "at_least": False, "limit": None, "message": None}
    assert found["requests_per_minute"] == {"used": None, "at_least": False, "limit": None, "message": None}
    monkeypatch.setattr(pending, "_FEW_JOBS", 2)
    assert own(client, key)["open_jobs"] == {"used": 2, "at_least": True, "limit": None, "message": None}


def test_each_tenants_jobs_are_counted_to_a_bound_of_its_own(
    installed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "_FEW_JOBS", 1)
    tenants = [ledger.new_tenant() for _ in range(4)]
    for n_jobs, tenant in enumerate(tenants):
        for _ in range(n_jobs):
            ledger.submit(["a"], tenant=tenant)
    with database.engine().begin() as connection:
        found = pending.count_open_jobs(connection, dict(zip(tenants, [None, 5, None, 2], strict=True)))
        assert pending.count_open_jobs(connection, {}) == {}
    assert [tuple(found[tenant]) for tenant in tenants] == [(0, False), (1, False), (1, True), (2, True)]


def test_the_sums_of_a_backlog_count_jobs_that_have_no_tokens_left(installed: Settings) -> None:
    tenant = ledger.new_tenant()
    for _ in range(2):
        ledger.submit(["abc"], tenant=tenant)
    sql("UPDATE jobs SET n_tokens = 0")
    with database.engine().begin() as connection:
        assert pending.sum_by_tenant(connection)[tenant] == (0, 2, None, None)


def test_a_look_at_many_tenants_reads_only_as_many_open_jobs_as_it_counts(servers: real.Urls) -> None:
    tenants = [UUID(int=1 + n) for n in range(51)]  # the last one has no job
    with filled_with(servers, _MANY_JOBS):
        with database.engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM (ANALYZE) jobs"))  # as autovacuum does
        nodes = explain(pending._N_OPEN_OF_EACH, tenants=tenants, mosts=[99] * len(tenants))
        assert "jobs_tenant_open_idx" in indexes(nodes)
        assert rows_read(nodes) <= 51 * 100


def test_commands_say_what_is_in_use_and_what_is_refused(run: Run, client: TestClient) -> None:
    _, key = with_key(client, "[red]shop", max_open_jobs=1)
    before = run("limits", "--key", key)
    assert before.exit_code == 0, before.output
    assert "limit reached" not in before.stdout
    assert post(client, key) == 202
    said = "1 of 1 open jobs; new jobs are refused until one ends"
    shown = [" ".join(line.split()) for line in run("limits", "--key", key).stdout.splitlines()]
    assert {"open jobs 1 of 1", "requests a minute no limit", f"limit reached: {said}"} <= set(shown)
    assert read_output(run("limits", "--key", key, "--json"))["open_jobs"]["message"] == said
    listed = run("tenants", "list").stdout
    assert f"[red]shop: {said}" in listed.splitlines()
    assert "default: " not in listed
    [shop] = [each for each in read_output(run("tenants", "list", "--json")) if each["name"] == "[red]shop"]
    assert shop["limits"]["open_jobs"]["message"] == said


def test_both_clients_say_what_is_in_use(client: TestClient) -> None:
    _, key = with_key(client, max_open_jobs=1)
    assert post(client, key) == 202

    async def ask(url: str) -> Any:
        async with AsyncClient(url, key) as asked:
            return await asked.limits()

    with over_http(client.app) as url, Client(url, key) as blocking:
        found = blocking.limits()
        assert asyncio.run(ask(url)) == found
    assert (found.open_jobs.used, found.open_jobs.limit, found.installation) == (1, 1, None)
    assert found.open_jobs.message == "1 of 1 open jobs; new jobs are refused until one ends"
    assert found.webhook_endpoints.used == 0
