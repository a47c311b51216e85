"""An installation whose processes can be broken one by one, and a Prometheus with the alerts of deploy/monitoring."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from pydantic_core import from_json

from lengthwise import child, migrate
from lengthwise.child import Child, Program
from lengthwise.client import KEY_VARIABLE, URL_VARIABLE
from lengthwise.local import program
from lengthwise.local.embedded import Servers
from tests import caller
from tests.fakes import write_echo_model
from tests.faults.receiver import FaultyReceiver
from tests.monitoring.installation import Scraper, deployed, free_ports, prometheus
from tests.servers import DATABASE_VARIABLE, MASTER_KEY, REDIS_VARIABLE, free_port, wait_until

#: Seconds of a batch of 64 items of each model. A worker loads the first two when it starts, and the last when a job
#: needs it.
PACES = {"steady": 0.1, "slow": 1.0, "fragile": 0.1}
_MODEL = """
[models.{name}]
path = "{name}"
engine = "echo"
batch_tokens = 4096
batch_rows = 64
max_new_tokens = 512
[models.{name}.generate]
"""
_COMMAND_SECONDS = 60.0


class RehearsedInstallation:
    """What an incident may break, and whom it may ask."""

    def __init__(self, url: str, children: Sequence[Child], ports: Sequence[int], models: Path) -> None:
        self.url = url
        self.api, self.worker, self.deliver = children
        self.ports = ports
        #: The folder of the models on the machine of the worker. The API has a copy of its own.
        self.models = models
        self.receiver = FaultyReceiver()
        self.client = httpx.Client(base_url=url, headers=caller.bearer(), timeout=60)
        self._page = httpx.Client(base_url=url, timeout=60, follow_redirects=True)
        self.scraper: Scraper
        #: The texts of each job.
        self._sent: dict[str, list[str]] = {}

    def sign_in(self) -> None:
        """Signs in to the page by key, as a browser does."""
        self._page.post("/page/sign-in", data={"key": caller.KEY}, headers={"Origin": self.url}).raise_for_status()

    def page(self, path: str) -> str:
        """A page as HTML."""
        shown = self._page.get(path).raise_for_status()
        assert shown.url.path == path, f"the page asked for {shown.url.path}"
        return shown.text

    def command(self, *arguments: str) -> str:
        """What ``lengthwise`` with these arguments prints. Raises ``subprocess.SubprocessError``."""
        environment = {**os.environ, URL_VARIABLE: self.url, KEY_VARIABLE: caller.KEY}
        command = [sys.executable, "-P", "-m", "lengthwise", *arguments]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=_COMMAND_SECONDS
        ).stdout

    def submit(self, model: str, n_items: int, key: str = caller.KEY, **more: Any) -> httpx.Response:
        """Submits a job of so many items, which no other job has: the worker would remember its answers."""
        mark = uuid4().hex
        items = [f"{mark} {number}" for number in range(n_items)]
        body = {"kind": "generate", "model": model, "items": items, **more}
        answer = self.client.post("/v1/jobs", json=body, headers=caller.bearer(key))
        if answer.status_code == httpx.codes.ACCEPTED:
            self._sent[answer.json()["id"]] = items
        return answer

    def must_submit(self, model: str, n_items: int, **more: Any) -> str:
        """Submits a job. Returns its id."""
        answer = self.submit(model, n_items, **more)
        assert answer.status_code == 202, answer.text
        job: str = answer.json()["id"]
        return job

    def job(self, job: str, key: str = caller.KEY) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/v1/jobs/{job}", headers=caller.bearer(key)).raise_for_status().json()
        return found

    def results(self, job: str, key: str = caller.KEY) -> list[dict[str, Any]]:
        answer = self.client.get(f"/v1/jobs/{job}/results", headers=caller.bearer(key)).raise_for_status()
        return [from_json(line) for line in answer.content.splitlines()]

    def wait_whole(self, job: str, patience: float, key: str = caller.KEY) -> None:
        """Waits until the job has ended. Fails unless each of its items has its own answer."""
        wait_until(lambda: self.job(job, key)["finished_at"], patience)
        answers = {line["index"]: line.get("output", {}).get("text") for line in self.results(job, key)}
        assert answers == {index: text[::-1] for index, text in enumerate(self._sent[job])}, f"job {job} is not whole"

    def close(self) -> None:
        self.client.close()
        self._page.close()


@contextmanager
def running(folder: Path) -> Iterator[RehearsedInstallation]:
    """Starts all processes, and stops them at the end. Files, and logs in ``folder / "data" / "logs"``, stay there."""
    with ExitStack() as exits:
        servers = exits.enter_context(Servers(folder / "data", durable=False))
        assert servers.database_url
        assert servers.redis_url
        migrate.upgrade(servers.database_url)
        url, ports = f"http://127.0.0.1:{free_port()}", free_ports()
        models = _write_models(folder / "models")
        shutil.copytree(models, folder / "models-of-api")
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("LENGTHWISE_")},
            DATABASE_VARIABLE: servers.database_url,
            REDIS_VARIABLE: servers.redis_url,
            **caller.VARIABLES,
            "LENGTHWISE_MASTER_KEY": MASTER_KEY,
            "LENGTHWISE_METRICS_PORT": str(ports[0]),
            "LENGTHWISE_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        }
        children = [Child(each, servers.logs / f"{each.name}.log") for each in _programs(url, environment, folder)]
        installation = RehearsedInstallation(url, children, ports, models)
        exits.callback(installation.close)
        exits.enter_context(installation.receiver)
        exits.callback(lambda: child.stop(children, 10.0))
        for each in children:
            each.start()
        wait_until(program.api_is_ready("127.0.0.1", httpx.URL(url).port or 0), 60)
        for each in (installation.worker, installation.deliver):
            wait_until(program.worker_is_ready(each), 60)
        installation.sign_in()
        (folder / "prometheus").mkdir()
        installation.scraper = exits.enter_context(prometheus(folder / "prometheus", deployed(ports)))
        wait_until(lambda: len(installation.scraper.query('up{job="lengthwise"} == 1')) == len(ports), 60)
        yield installation


def _programs(url: str, environment: Mapping[str, str], folder: Path) -> list[Program]:
    """The API, a generation worker and a delivery worker."""
    api, worker, deliver = (program.with_metrics_port(environment, number) for number in range(3))
    api["LENGTHWISE_MODELS"] = str(folder / "models-of-api" / "models.toml")
    worker["LENGTHWISE_MODELS"] = deliver["LENGTHWISE_MODELS"] = str(folder / "models" / "models.toml")
    return [
        program.api("127.0.0.1", httpx.URL(url).port or 0, api),
        program.worker(program.GENERATE, 1, worker),
        program.worker(program.DELIVER, 1, deliver),
    ]


def _write_models(folder: Path) -> Path:
    for name, seconds in PACES.items():
        write_echo_model(folder / name, seconds_per_batch=seconds)
    (folder / "models.toml").write_text("".join(_MODEL.format(name=name) for name in PACES))
    return folder
