"""Names, units and labels by Prometheus' conventions, and the page that lists them."""

import re
from pathlib import Path

import pytest

from tests.unit.metrics.known import known

ROOT = Path(__file__).parents[3]

#: Every label, and where its values come from. None of these can hold what a caller wrote.
LABELS = {
    "code": "errors of our own",
    "direction": "input, output",
    "kind": "registered kinds",
    "method": "seven methods, and OTHER",
    "model": "models.toml",
    "priority": "three",
    "python": "the interpreter",
    "quantization": "engines",
    "queue": "two",
    "result": "of our own",
    "revision": "models.toml and the folder's fingerprint",
    "role": "three",
    "route": "templates of routes, and unknown",
    "state": "of our own",
    "status": "of our own answers, and none",
    "version": "the package",
}
UNITS = {"seconds", "ratio", "tokens", "rows", "bytes"}


def test_names_are_ours_in_lower_case_and_end_as_their_type_asks() -> None:
    for metric in known():
        assert re.fullmatch(r"lengthwise(_[a-z]+)+", metric.name), metric
        assert metric.name.endswith("_total") == (metric.type == "counter"), metric
        assert not metric.name.endswith(("_count", "_sum", "_bucket", "_created")), metric
        assert not re.search(r"_(counter|gauge|histogram|ms|millis|minutes|hours|percent|kb|mb)(_|$)", metric.name), (
            metric
        )


def test_every_histogram_ends_with_its_unit() -> None:
    histograms = {metric.name for metric in known() if metric.type == "histogram"}
    assert len(histograms) == 6
    assert {name.rsplit("_", 1)[1] for name in histograms} <= UNITS


def test_every_metric_has_a_help_text_of_one_line() -> None:
    for metric in known():
        assert re.fullmatch(r"[A-Z].*\.", metric.meaning), metric
        assert "|" not in metric.meaning, metric


def test_no_label_but_these_is_used() -> None:
    assert {label for metric in known() for label in metric.labels} == LABELS.keys()


def test_tenants_are_labels_only_if_that_is_switched_on() -> None:
    by_tenant = {metric.name for metric in known(tenants=True) if "tenant" in metric.labels}
    assert by_tenant == {
        "lengthwise_items", "lengthwise_pending_tokens", "lengthwise_items_total", "lengthwise_tokens_total"
    }  # fmt: skip


def test_no_two_metrics_of_a_name_differ() -> None:
    names = [metric.name for metric in known()]
    assert len(names) == len(set(names))


def test_the_page_lists_every_metric() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.splitlines()
        if line.startswith("| `lengthwise_")
    ]
    documented = {
        (name.strip("`"), kind, tuple(re.findall(r"`(\w+)`", labels)), text) for name, kind, labels, text in rows
    }
    assert documented == {tuple(metric) for metric in known()}
    assert len(rows) == len(documented)


USED = re.compile(r"\blengthwise_[a-z_]+")


def bases(name: str) -> set[str]:
    """The metrics of which a series may be called this."""
    return {name, *(name.removesuffix(end) for end in ("_bucket", "_sum", "_count"))}


@pytest.mark.parametrize(
    "path", ["deploy/monitoring/alerts.yml", "deploy/monitoring/alerts_test.yml", "deploy/monitoring/dashboard.json"]
)
def test_alerts_and_dashboard_use_metrics_that_exist(path: str) -> None:
    names = {metric.name for metric in known()}
    used = set(USED.findall((ROOT / path).read_text("utf-8")))
    assert len(used) > 10
    assert {name for name in used if not bases(name) & names} == set()
