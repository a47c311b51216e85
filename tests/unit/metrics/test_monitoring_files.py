"""The alert rules and the dashboard, as far as they can be judged without Prometheus."""

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
MONITORING = ROOT / "deploy" / "monitoring"
ALERTS = (MONITORING / "alerts.yml").read_text("utf-8")
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text("utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def alerts() -> dict[str, str]:
    """The text of each rule by its name."""
    _, *rules = re.split(r"^ +- alert: ", ALERTS, flags=re.MULTILINE)
    return {rule.splitlines()[0]: rule for rule in rules}


def test_every_alert_says_what_it_means_and_where_to_read_on() -> None:
    page = (ROOT / "docs" / "operating.md").read_text("utf-8")
    headings = set(re.findall(r"^#{2,4} (\w+)$", page, re.MULTILINE))
    assert len(alerts()) > 10
    for name, rule in alerts().items():
        assert re.search(r"severity: (warning|critical)\}", rule), name
        assert re.search(r"^ +summary: \S.*\n +description: \S", rule, re.MULTILINE), name
        assert f"runbook: docs/operating.md#{name.lower()}\n" in rule, name
    assert {heading for heading in headings if heading.startswith("Lengthwise")} == alerts().keys()


def test_every_alert_has_a_test_in_which_it_fires() -> None:
    tests = (MONITORING / "alerts_test.yml").read_text("utf-8")
    assert set(re.findall(r'ALERTS\{alertname="(\w+)"', tests)) == alerts().keys()


def test_the_dashboard_is_of_grafana_11_and_chooses_its_data_source() -> None:
    assert DASHBOARD["schemaVersion"] in range(39, 42)
    [variable] = DASHBOARD["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Overview", "Queue", "Engine", "Webhooks", "API and servers"]


def test_every_panel_has_a_unit_a_text_thresholds_and_legends() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    for panel in PANELS:
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["description"].endswith("."), panel["title"]
        assert defaults["unit"], panel["title"]
        assert defaults["thresholds"]["steps"][0] == {"color": "green", "value": None}, panel["title"]
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}", panel["title"]
            assert target["legendFormat"] or panel["type"] == "table", panel["title"]


def test_no_two_panels_overlap() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
                assert x < 24, panel["title"]


def test_docker_compose_publishes_no_port_of_metrics() -> None:
    compose = (ROOT / "docker-compose.yml").read_text("utf-8")
    published = re.findall(r'^ +- "(.+:\d+)"$', compose, re.MULTILINE)
    assert sorted(each.rsplit(":", 1)[1] for each in published) == ["3000", "8000", "9090"]
    assert all(each.startswith(("127.0.0.1:", "${PUBLISH_ON:-127.0.0.1}:")) for each in published)
    assert re.findall(r"image: (prom/prometheus|grafana/grafana):v?\d+\.\d+\.\d+$", compose, re.MULTILINE) == [
        "prom/prometheus", "grafana/grafana"
    ]  # fmt: skip
