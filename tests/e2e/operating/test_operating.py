"""Runs every command of docs/operating.md unchanged, except those that other tests are known to run."""

import re
import shutil
from pathlib import Path

import httpx
import pytest

from tests import servers
from tests.caller import bearer
from tests.e2e.operating import page

#: Lines of blocks that do not run here, and where they run, or why they do not.
ELSEWHERE = {
    'pg_dump --format=custom --no-unlogged-table-data --file=backup.dump "$LENGTHWISE_DATABASE_URL"': "test_backup",
    'pg_restore --no-owner --exit-on-error --dbname="$LENGTHWISE_DATABASE_URL" backup.dump': "test_backup",
    "lengthwise worker --queues generate": "test_parts",
    "lengthwise worker --queues deliver": "test_parts",
    "LENGTHWISE_LOG_FORMAT=json LENGTHWISE_LOG_LEVEL=INFO lengthwise worker --queues generate": "test_canaries",
    "docker compose --profile monitoring up": "make test-monitoring runs the same files without containers",
    "pip install 'lengthwise[otel]'": "test_traces, with what is installed",
    "jq -c 'select(.level == \"ERROR\") | {time, message, errors}' .lengthwise/logs/*.log": "it needs jq, and a log",
}
ALERTS = page.ROOT / "deploy" / "monitoring" / "alerts.yml"


def commands_to_run() -> list[str]:
    return [block for block in page.blocks() if not any(line in ELSEWHERE for line in block.splitlines())]


@pytest.mark.skipif(shutil.which("curl") is None, reason="some requests of the page are made with curl")
def test_every_command_of_the_page_works(data: Path) -> None:
    with servers.up(data) as up:
        url = up.wait_ready()
        with httpx.Client(base_url=url, headers=bearer(up.key())) as client:
            key = client.post("/v1/keys", json={"name": "shop", "scopes": ["read"]}).json()["id"]
        environment = {
            "LENGTHWISE_URL": url,
            "LENGTHWISE_API_KEY": up.key(),
            "KEY_ID": key,
            **up.environment(),
        }
        ran = [page.run(block.replace("http://127.0.0.1:8000", url), environment) for block in commands_to_run()]
    assert len(ran) >= 7


def test_every_command_that_runs_elsewhere_is_on_the_page() -> None:
    lines = {line for block in page.blocks() for line in block.splitlines()}
    assert ELSEWHERE.keys() <= lines


def headings() -> set[str]:
    """The anchors of the page."""
    titles = re.findall(r"^#+ (.+)$", page.PAGE.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_link_within_the_page_leads_to_a_heading() -> None:
    links = re.findall(r"\]\(#([^)]+)\)", page.PAGE.read_text("utf-8"))
    assert links
    assert set(links) <= headings()


@pytest.mark.skipif(not ALERTS.exists(), reason="this checkout has no alert rules")
def test_every_alert_has_its_section_on_the_page_and_names_it() -> None:
    rules = ALERTS.read_text("utf-8")
    named = [alert.lower() for alert in re.findall(r"^ *- alert: (\w+)$", rules, re.MULTILINE)]
    assert named
    assert re.findall(r"^ *runbook: .*#(\w+)$", rules, re.MULTILINE) == named
    assert set(named) == {title for title in headings() if title.startswith("lengthwise")}
