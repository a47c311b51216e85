"""A real Prometheus scrapes a real installation, and runs every expression of the dashboard and of the alerts."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.monitoring.installation import Scraper, running, scraping, work
from tests.monitoring.programs import MONITORING, marks, promtool
from tests.servers import wait_until

pytestmark = [*marks, pytest.mark.alone]

DASHBOARD: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text("utf-8"))
#: The panels of which some expression finds nothing while nothing goes wrong, or once all work is done.
QUIET = {
    "Items that wait",
    "Failed items",
    "Items that wait or run",
    "Tokens that wait or run",
    "Time until the nearest deadline",
    "Failed items by code",
    "Models that could not be loaded",
}


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Scraper, list[int]]]:
    folder = tmp_path_factory.mktemp("monitored")
    with running(folder) as (started, ports), scraping(folder, ports) as scraper:
        wait_until(lambda: len(scraper.query("up == 1")) == len(ports))
        work(started)
        finished = "sum(lengthwise_items_total) >= 606"
        wait_until(lambda: scraper.query(finished))
        wait_until(lambda: scraper.query("sum(rate(lengthwise_items_total[1m])) > 0"))
        wait_until(lambda: scraper.query("sum(lengthwise_webhook_attempts_total) > 0"))
        wait_until(lambda: scraper.query("sum(rate(lengthwise_webhook_attempts_total[1m])) >= 0"))
        yield scraper, list(ports)


@pytest.fixture
def scraper(installation: tuple[Scraper, list[int]]) -> Scraper:
    return installation[0]


@pytest.mark.parametrize("place", range(3), ids=["api", "generate", "deliver"])
def test_promtool_finds_nothing_to_mend(installation: tuple[Scraper, list[int]], place: int) -> None:
    shown = httpx.get(f"http://127.0.0.1:{installation[1][place]}/metrics", timeout=30)
    assert shown.status_code == 200
    assert promtool("check", "metrics", sent=shown.content) == ""


def test_each_process_says_its_role(scraper: Scraper) -> None:
    roles = [each["metric"]["role"] for each in scraper.query("lengthwise_build_info")]
    assert sorted(roles) == ["api", "deliver", "generate"]


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_every_expression_of_the_dashboard_finds_something(scraper: Scraper, panel: dict[str, Any]) -> None:
    found = [scraper.query(target["expr"].replace("$__rate_interval", "1m")) for target in panel["targets"]]
    if panel["title"] not in QUIET:
        assert all(found), panel["title"]


def test_every_expression_of_the_alerts_runs_and_a_healthy_installation_raises_none(scraper: Scraper) -> None:
    rules = (MONITORING / "alerts.yml").read_text("utf-8")
    plain = re.findall(r"^ +expr: (?!>)(.+)$", rules, re.MULTILINE)
    folded = re.findall(r"^ +expr: >\n((?: {10,}.+\n)+)", rules, re.MULTILINE)
    expressions = [*plain, *(" ".join(each.split()) for each in folded)]
    assert len(expressions) == rules.count("- alert: ")
    assert {expression: scraper.query(expression) for expression in expressions if scraper.query(expression)} == {}


def test_the_figures_are_those_of_the_work(scraper: Scraper) -> None:
    [items] = scraper.query('sum(lengthwise_items_total{kind="generate", model="echo", result="succeeded"})')
    assert float(items["value"][1]) == 606
    [attempts] = scraper.query('sum(lengthwise_webhook_attempts_total{result="connect_refused"})')
    assert float(attempts["value"][1]) >= 1
    [margin] = scraper.query('sum(lengthwise_deadline_margin_seconds_bucket{le="3600.0"})')
    assert float(margin["value"][1]) == 1
