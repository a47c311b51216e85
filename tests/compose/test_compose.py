"""`docker compose up` on this machine. `make test-compose` runs these tests; they need a Docker engine."""

import base64
import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from tests.caller import VARIABLES, bearer
from tests.servers import free_port

ROOT = Path(__file__).parents[2]
PATIENCE = 120
TEXTS = {"apple": ("我吃了一个苹果。", "zh", "en", "I ate an apple.")}


def compose(*arguments: str, environment: dict[str, str]) -> str:
    """Runs Docker Compose (the plugin or the older program) on the test's own project."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    program = ["docker", "compose"] if plugin else [str(shutil.which("docker-compose"))]
    files = ["-f", "docker-compose.yml", "-f", "tests/compose/receiver.yml", "-p", "lengthwise-test"]
    ran = subprocess.run(
        [*program, *files, *arguments],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    print(ran.stdout, ran.stderr)
    assert ran.returncode == 0, f"docker compose {arguments[0]} failed"
    return ran.stdout


@pytest.fixture
def stack() -> Iterator[dict[str, str]]:
    environment = {
        "PORT": str(free_port()),
        "RECEIVER_PORT": str(free_port()),
        "LENGTHWISE_WEBHOOK_ALLOWED_NETWORKS": "172.16.0.0/12,192.168.0.0/16",
        **VARIABLES,
        "DOCKER_BUILDKIT": "1",
        "COMPOSE_DOCKER_CLI_BUILD": "1",
    }
    try:
        compose("build", environment=environment)
        compose("up", "-d", environment=environment)
        yield environment
    finally:
        compose("logs", "--tail", "40", environment=environment)
        compose("down", "--volumes", "--timeout", "30", environment=environment)


def wait_for(what: str, ask: Callable[[], Any]) -> Any:
    ends_at = time.monotonic() + PATIENCE
    while time.monotonic() < ends_at:
        try:
            if answer := ask():
                return answer
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"no {what} after {PATIENCE} s")


@pytest.mark.timeout(1500)
def test_a_job_goes_through_containers_and_its_webhook_comes_back(stack: dict[str, str]) -> None:
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    with httpx.Client(base_url=f"http://127.0.0.1:{stack['PORT']}", headers=bearer()) as client:
        wait_for("ready API", lambda: client.get("/readyz").status_code == 200)
        items = [{"id": name, "text": text, "source": a, "target": b} for name, (text, a, b, _) in TEXTS.items()]
        webhook = {"url": "http://receiver:9000/", "secret": secret}
        created = client.post("/v1/jobs", json={"kind": "translate", "items": items, "webhook": webhook})
        assert created.status_code == 202, created.text
        job_id = created.json()["id"]
        wait_for("end of the job", lambda: client.get(f"/v1/jobs/{job_id}").json()["finished_at"])
        results = [json.loads(line) for line in client.get(f"/v1/jobs/{job_id}/results").iter_lines()]
    assert {row["id"]: row["output"]["text"] for row in results} == {name: row[3] for name, row in TEXTS.items()}
    url = f"http://127.0.0.1:{stack['RECEIVER_PORT']}/"
    (received,) = wait_for("webhook", lambda: httpx.get(url).json())
    event = Webhook(secret).verify(received["body"], received["headers"])
    assert event["type"] == "job.completed"
    assert event["data"]["id"] == job_id
    print("results:", results)
    print("webhook:", received)


def test_the_images_hold_what_they_should(stack: dict[str, str]) -> None:
    """The API's image has no torch, and neither image runs as root."""
    torch = ["python", "-c", "import importlib.util as u; print(u.find_spec('torch') is not None)"]
    assert compose("run", "--rm", "--no-deps", "-T", "api", *torch, environment=stack).split()[-1] == "False"
    assert compose("run", "--rm", "--no-deps", "-T", "worker", *torch, environment=stack).split()[-1] == "True"
    for service in ("api", "worker"):
        assert compose("run", "--rm", "--no-deps", "-T", service, "id", "-u", environment=stack).split()[-1] != "0"


def test_the_containers_can_do_only_what_they_must(stack: dict[str, str]) -> None:
    for service in ("api", "worker", "deliver"):
        tried = "touch /tmp/x && ! touch /home/lengthwise/x && grep CapEff /proc/self/status"
        said = compose("run", "--rm", "--no-deps", "-T", service, "sh", "-c", tried, environment=stack)
        assert int(said.split()[-1], 16) == 0, service
        secrets = compose("run", "--rm", "--no-deps", "-T", service, "env", environment=stack)
        assert ("LENGTHWISE_MASTER_KEY" in secrets) == (service != "worker")
        assert ("LENGTHWISE_KEY_PEPPER" in secrets) == (service == "api")
    asked = compose("exec", "-T", "redis", "env", "-u", "REDISCLI_AUTH", "redis-cli", "ping", environment=stack)
    assert "NOAUTH" in asked


def test_the_api_starts_with_public_secrets_on_this_machine_alone(stack: dict[str, str]) -> None:
    published = stack | {"PUBLISH_ON": "0.0.0.0"}  # noqa: S104 - nothing is published by `run`
    del published["LENGTHWISE_ADMIN_KEY"], published["LENGTHWISE_KEY_PEPPER"]
    said = compose("run", "--rm", "-T", "api", "sh", "-c", "lengthwise api 2>&1; true", environment=published)
    assert "is the default of docker-compose.yml, which everybody knows" in said
