"""``lengthwise up`` with metrics: each process has a port, which survives the process that opened it."""

import os
import re
import signal
from pathlib import Path

import httpx
import pytest

from tests.fakes import write_catalog
from tests.servers import free_port, processes_mentioning, up, wait_until

pytestmark = pytest.mark.alone


def scrape(port: int, path: str = "/metrics") -> httpx.Response | None:
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=30)
    except httpx.TransportError:
        return None


def started_at(port: int) -> float | None:
    """When the process that answers there began; None if none does."""
    shown = scrape(port)
    found = shown and re.search(r"^process_start_time_seconds (\S+)$", shown.text, re.MULTILINE)
    return float(found[1]) if found else None


def child_of_worker(port: int) -> int:
    """The process that computes: its parent, which only watches, has the same environment."""
    ids = processes_mentioning(f"LENGTHWISE_METRICS_PORT={port}")
    parents = {each: int(Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[1]) for each in ids}
    [child] = [each for each, parent in parents.items() if parent in ids]
    return child


def test_each_process_serves_its_own_metrics_also_after_it_was_replaced(data: Path, tmp_path: Path) -> None:
    first = free_port()
    environment = {"LENGTHWISE_MODELS": str(write_catalog(tmp_path)), "LENGTHWISE_METRICS_PORT": str(first)}
    with up(data, environment=environment) as running:
        said = f"metrics on 127.0.0.1, port: api {first}, generate-1 {first + 1}, deliver-1 {first + 2}\n"
        assert said in running.progress.read_text()
        for port, role in ((first, "api"), (first + 1, "generate"), (first + 2, "deliver")):
            wait_until(lambda port=port: scrape(port))
            shown = scrape(port)
            assert shown is not None
            assert f'role="{role}"' in shown.text
        for path in ("/healthz", "/readyz"):
            for port in (first + 1, first + 2):
                answer = scrape(port, path)
                assert answer is not None
                assert answer.status_code == 200, answer.text
        before = started_at(first + 1)
        os.kill(child_of_worker(first + 1), signal.SIGKILL)
        wait_until(lambda: started_at(first + 1) not in (before, None))


def test_without_the_setting_nothing_is_served_and_nothing_said(data: Path, tmp_path: Path) -> None:
    with up(data, environment={"LENGTHWISE_MODELS": str(write_catalog(tmp_path))}) as running:
        assert "metrics" not in running.progress.read_text()
