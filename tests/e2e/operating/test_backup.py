"""A backup under load is restored into a new server, by the commands of docs/operating.md, and the jobs go on."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import httpx
from pydantic_core import from_json

from lengthwise.local.embedded import Servers
from tests import servers
from tests.caller import ADMIN_VARIABLE, PEPPER_VARIABLE, bearer
from tests.e2e.operating import page
from tests.fakes import write_catalog
from tests.servers import DATABASE_VARIABLE, REDIS_VARIABLE, wait_until

#: So many that the job runs for longer than the dump takes, in batches of 64 that take a tenth of a second.
TEXTS = [f"{number} " + "ab cd" * (number % 20) for number in range(8_000)]


def submit(client: httpx.Client, texts: list[str]) -> str:
    answer = client.post("/v1/jobs", json={"kind": "generate", "items": texts})
    assert answer.status_code == 202, answer.text
    job: str = answer.json()["id"]
    return job


def job(client: httpx.Client, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/v1/jobs/{job_id}").raise_for_status().json()
    return found


def has_ended(client: httpx.Client, job_id: str) -> bool:
    state: str = job(client, job_id)["state"]
    return state == "completed"


def results(client: httpx.Client, job_id: str) -> list[tuple[int, str]]:
    lines = client.get(f"/v1/jobs/{job_id}/results").raise_for_status().content.splitlines()
    return [(line["index"], line["output"]["text"]) for line in map(from_json, lines)]


def answers(texts: list[str]) -> list[tuple[int, str]]:
    return [(index, text[::-1]) for index, text in enumerate(texts)]


def test_a_backup_under_load_is_restored_into_a_new_server_and_the_jobs_go_on(data: Path, tmp_path: Path) -> None:
    models = {"LENGTHWISE_MODELS": str(write_catalog(tmp_path, seconds_per_batch=0.1))}
    with servers.up(data, environment=models) as old:
        with httpx.Client(base_url=old.wait_ready(), headers=bearer(old.key()), timeout=60) as client:
            ended = submit(client, TEXTS[:50])
            wait_until(lambda: has_ended(client, ended))
            shown = job(client, ended)
            key = client.post("/v1/keys", json={"name": "shop", "scopes": ["read"]}).json()["key"]
            running = submit(client, TEXTS)
            wait_until(lambda: job(client, running)["counts"]["succeeded"] > 100)
            while_dumping = dump(old, client, tmp_path)
            assert job(client, running)["counts"]["pending"] > 0, "the job ended before its backup did"
            secrets = {
                name: (data / file).read_text().strip()
                for name, file in {
                    ADMIN_VARIABLE: "admin.key",
                    PEPPER_VARIABLE: "key.pepper",
                    "LENGTHWISE_MASTER_KEY": "master.key",
                }.items()
            }
        old.stop()

    with servers.reachable_folder() as folder, Servers(folder / "servers", durable=False) as fresh:
        assert fresh.database_url
        assert fresh.redis_url
        urls = {DATABASE_VARIABLE: fresh.database_url, REDIS_VARIABLE: fresh.redis_url}
        assert "up to date" in page.run(page.block("pg_restore"), urls, tmp_path)
        environment = {**models, **urls, **secrets}
        with servers.up(folder / "new", environment=environment) as new:
            url = new.wait_ready()
            assert httpx.get(f"{url}/v1/jobs", headers=bearer(key)).status_code == 200, "keys are what they were"
            with httpx.Client(base_url=url, headers=bearer(secrets[ADMIN_VARIABLE]), timeout=60) as client:
                assert job(client, ended) == shown
                assert results(client, ended) == answers(TEXTS[:50])
                wait_until(lambda: has_ended(client, running), 240)
                assert results(client, running) == answers(TEXTS)
                kept = [each["id"] for each in client.get("/v1/jobs", params={"limit": 100}).json()["data"]]
                assert set(kept) <= {ended, running, *while_dumping}, "no job is there that was not submitted"
                for each in set(kept) & set(while_dumping):
                    wait_until(partial(has_ended, client, each))
                    assert results(client, each) == answers(["abc"])
                after = submit(client, ["new"])
                wait_until(lambda: has_ended(client, after))


def dump(old: servers.Up, client: httpx.Client, folder: Path) -> list[str]:
    """Runs the page's command while jobs are submitted. Returns these jobs."""
    is_over = Event()

    def load() -> list[str]:
        submitted: list[str] = []
        while not is_over.is_set() and len(submitted) < 90:
            submitted.append(submit(client, ["abc"]))
            is_over.wait(0.02)
        return submitted

    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(load)
        try:
            page.run(page.block("pg_dump"), old.environment(), folder)
        finally:
            is_over.set()
        return loading.result(60)
