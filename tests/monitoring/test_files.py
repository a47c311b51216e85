"""The configuration, the alert rules and their tests, as promtool judges them."""

from tests.monitoring.programs import MONITORING, marks, promtool

pytestmark = marks


def test_the_configuration_and_its_rules_are_valid() -> None:
    said = promtool("check", "config", "prometheus.yml")
    assert "SUCCESS" in said
    n_rules = (MONITORING / "alerts.yml").read_text("utf-8").count("- alert: ")
    assert f"{n_rules} rules found" in promtool("check", "rules", "alerts.yml")


def test_each_alert_fires_when_it_should_and_only_then() -> None:
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yml")
