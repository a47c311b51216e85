"""An installation that works, and a Prometheus that scrapes it."""

import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.caller import bearer
from tests.fakes import write_catalog
from tests.monitoring.programs import MONITORING, PROMETHEUS
from tests.servers import Up, free_port, reachable_folder, up, wait_until

#: The API's, the generation worker's and the delivery worker's port come after each other.
_N_PORTS = 3


class Scraper:
    """A Prometheus that answers queries."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=30)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query. Fails if the expression is not valid."""
        answer = self._client.get("/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", f"{expression}: {answer}"
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that are pending or firing. Raises ``httpx.HTTPError``."""
        found: list[dict[str, Any]] = self._client.get("/api/v1/alerts").raise_for_status().json()["data"]["alerts"]
        return found

    def is_ready(self) -> bool:
        try:
            return self._client.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def close(self) -> None:
        self._client.close()


@contextmanager
def running(folder: Path) -> Iterator[tuple[Up, Sequence[int]]]:
    """Runs ``lengthwise up`` on an echoing model. Yields it and the ports of its metrics."""
    ports = free_ports()
    environment = {
        "LENGTHWISE_MODELS": str(write_catalog(folder / "models")),
        "LENGTHWISE_METRICS_PORT": str(ports[0]),
        "LENGTHWISE_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
    }
    with reachable_folder() as servers, up(servers / "data", environment=environment) as started:
        yield started, ports


def deployed(ports: Sequence[int]) -> dict[str, Any]:
    """The configuration of ``deploy/monitoring`` with its alerts. Only its targets are others: these ports."""
    configuration: dict[str, Any] = yaml.safe_load((MONITORING / "prometheus.yml").read_text("utf-8"))
    [job] = configuration["scrape_configs"]
    del job["dns_sd_configs"]
    job["static_configs"] = _static(ports)
    configuration["rule_files"] = [str(MONITORING / file) for file in configuration["rule_files"]]
    return configuration


def _static(ports: Sequence[int]) -> list[dict[str, Any]]:
    return [{"targets": [f"127.0.0.1:{port}" for port in ports]}]


@contextmanager
def scraping(folder: Path, ports: Sequence[int]) -> Iterator[Scraper]:
    """Runs Prometheus, which scrapes these ports every second."""
    configuration = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [{"job_name": "lengthwise", "static_configs": _static(ports)}],
    }
    with prometheus(folder, configuration) as scraper:
        yield scraper


@contextmanager
def prometheus(folder: Path, configuration: Mapping[str, Any]) -> Iterator[Scraper]:
    """Runs Prometheus with this configuration, and with its files in this folder."""
    file, port = folder / "prometheus.yml", free_port()
    file.write_text(json.dumps(configuration))  # JSON is YAML
    command = [
        PROMETHEUS or "",
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'series'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        scraper = Scraper(f"http://127.0.0.1:{port}")
        try:
            wait_until(scraper.is_ready)
            yield scraper
        finally:
            scraper.close()
            process.terminate()


def work(started: Up) -> None:
    """Lets the installation do something for each panel: results, failures, and a webhook that nobody takes."""
    with httpx.Client(base_url=started.wait_ready(), headers=bearer(started.key()), timeout=60) as client:
        webhook = {"url": "http://127.0.0.1:9/", "secret": "whsec_YSBzZWNyZXQgb2YgdGhpcyB0ZXN0IGFsb25lIGFuZCBub25l"}
        items = ["abc", "abcdef"] + [f"number {number}" for number in range(200)]
        deadline = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        for kept in ({"webhook": webhook}, {"deadline": deadline}, {}):
            answer = client.post("/v1/jobs", json={"kind": "generate", "items": items, **kept})
            assert answer.status_code == 202, answer.text
            job = answer.json()["id"]
            wait_until(lambda job=job: client.get(f"/v1/jobs/{job}").json()["finished_at"])
            time.sleep(2)  # a scrape sees each job, so that the rates are not zero
        client.get("/nothing")


def free_ports() -> list[int]:
    """The ports of the metrics of an API, a generation worker and a delivery worker."""
    first = free_port()
    return list(range(first, first + _N_PORTS))
