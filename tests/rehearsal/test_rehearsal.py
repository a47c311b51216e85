"""The rehearsal must hear what is said: each of its parts is tried without an installation."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
import yaml

from api.admin import limits, readiness
from api.jobs.backlog import Filling
from api.jobs.progress import message
from lengthwise.ledger.why.judgement import Why
from lengthwise.states import Reason
from tests.monitoring.installation import deployed
from tests.monitoring.programs import MONITORING
from tests.rehearsal import report
from tests.rehearsal.asked import line, no_line, rows, said_on
from tests.rehearsal.incidents import INCIDENTS, Incident
from tests.rehearsal.run import rehearse, rehearse_all, unexpected
from tests.rehearsal.witness import Outcome, Statement, Witness, wait_for_health, wait_for_words

NOW = datetime(2031, 1, 31, 12, tzinfo=UTC)


def ignore(_: str) -> None:
    pass


def witness(ask: Callable[[], list[str]], lasts: str | None = None) -> Witness:
    return Witness("w", ask, line("broken"), pause=0.01, lasts=lasts)


def test_a_page_is_heard_in_its_boxes_alone() -> None:
    page = """<p>nothing</p><div class="why tone-bad">
    <p><strong>Not well:</strong> no worker is
    alive</p><p><code>m</code>: &lt;gone&gt;</p></div><div class="other"><p>nothing</p></div>"""
    assert said_on(page) == ["Not well: no worker is alive", "m: <gone>"]


def test_a_row_that_goes_on_below_is_one() -> None:
    printed = " job    7\n why    The only worker\n        is silent.\n state  running\n"
    assert rows(printed) == ["job 7", "why The only worker is silent.", "state running"]


def test_what_is_missing_tells_of_an_incident_too() -> None:
    assert line("^b")(["a", "bc"]) == "bc"
    assert line("^b")(["a"]) is None
    assert no_line("^b", "no b")(["a"]) == "no b"
    assert no_line("^b", "no b")(["a", "b"]) is None


def test_the_seconds_are_those_from_the_incident_to_the_first_words() -> None:
    began_at = time.monotonic()

    def ask() -> list[str]:
        if time.monotonic() - began_at < 0.1:
            raise httpx.ConnectError("it does not answer")
        return ["broken"] if time.monotonic() - began_at > 0.3 else ["fine"]

    [found] = wait_for_words([witness(ask)], began_at - 5, 60, ignore)
    assert found.sentence == "broken"
    assert found.said_after is not None
    assert 5.3 <= found.said_after < 60
    assert not found.is_complete
    wait_for_health([witness(lambda: ["fine"])], [found], time.monotonic(), 60, ignore)
    assert found.is_complete


def test_a_witness_that_says_nothing_is_missed() -> None:
    [found] = wait_for_words([witness(lambda: ["fine"], lasts="for an hour")], time.monotonic(), 0.05, ignore)
    assert (found.said_after, found.is_complete) == (None, False)


def test_a_witness_that_never_falls_silent_is_missed_unless_it_lasts_by_design() -> None:
    for lasts, is_complete in ((None, False), ("for an hour", True)):
        asked = [witness(lambda: ["broken"], lasts)]
        found = wait_for_words(asked, time.monotonic(), 60, ignore)
        wait_for_health(asked, found, time.monotonic(), 0.05, ignore)
        assert found[0].is_complete is is_complete


class Trial(Incident):
    """It breaks nothing."""

    name, title = "trial", "a trial"
    fails = ""

    def begin(self) -> None:
        self.steps = ["begun"]
        assert self.fails != "begin", "it cannot begin"

    def witnesses(self) -> list[Witness]:
        return [witness(lambda: ["fine"] if "mended" in self.steps else ["broken"])]

    def mend(self) -> None:
        self.steps.append("mended")

    def wait_whole(self) -> str:
        assert self.fails != "end", "an item is missing"
        return "the job ended"


@pytest.mark.parametrize(("fails", "problem"), [("", None), ("begin", "cannot begin"), ("end", "item is missing")])
def test_whatever_fails_the_incident_is_mended_and_its_problem_told(fails: str, problem: str | None) -> None:
    trial = Trial(cast(Any, None))
    trial.fails = fails
    outcome = rehearse(trial, ignore)
    assert trial.steps == ["begun", "mended"]
    assert outcome.is_ok is (problem is None)
    assert (problem or "") in (outcome.problem or "")


def test_outcomes_are_in_the_order_of_their_incidents() -> None:
    class Beside(Trial):
        title, runs_beside = "beside", True

    made = [each(cast(Any, None)) for each in (Trial, Beside, Trial)]
    assert [each.title for each in rehearse_all(made, ignore)] == ["a trial", "beside", "a trial"]


def incidents() -> list[Incident]:
    return [each(cast(Any, SimpleNamespace(ports=[1, 2, 3])), is_patient=True) for each in INCIDENTS]


def test_every_alert_that_is_rehearsed_exists_and_other_ones_are_unexpected() -> None:
    rules = yaml.safe_load((MONITORING / "alerts.yml").read_text("utf-8"))["groups"][0]["rules"]
    names = {rule["alert"] for rule in rules}
    said = {each.name for incident in incidents() for each in incident.witnesses() if each.name.startswith("alert ")}
    rehearsed = {re.split("[ ,]", name)[1] for name in said}
    assert len(rehearsed) == 7
    assert rehearsed <= names
    fired = [{"metric": {"alertname": name}} for name in names]
    scraper = cast(Any, SimpleNamespace(query=lambda _: fired))
    assert set(unexpected(incidents(), scraper)) == names - rehearsed


def test_the_alerts_wait_as_long_as_they_do_in_operation() -> None:
    shipped = yaml.safe_load((MONITORING / "prometheus.yml").read_text("utf-8"))
    rehearsed = deployed([1, 2])
    assert rehearsed["global"] == shipped["global"]
    assert rehearsed["rule_files"] == [str(MONITORING / "alerts.yml")]
    [job] = rehearsed["scrape_configs"]
    assert (job["job_name"], job["static_configs"]) == ("lengthwise", [{"targets": ["127.0.0.1:1", "127.0.0.1:2"]}])


#: What a full limit of three open jobs says.
FULL = limits.message("open_jobs", Filling(3, 3))

#: What the product says in each incident, and which witness must hear it.
SENTENCES = [
    ("freeze", "page, overview", f"Not well: {readiness.NO_GENERATION}"),
    ("freeze", "page, job", message.of_batch(Why(Reason.NO_WORKER, workers=1, since=NOW))),
    ("freeze", "`lengthwise status`", message.of_batch(Why(Reason.NO_WORKER, workers=1, since=NOW))),
    ("freeze", "`lengthwise workers`", "generate generate-1 host lost 20 s ago 0.0 14"),
    ("freeze", "`/metrics`", 'lengthwise_workers{role="generate",state="lost"} 1.0'),
    ("model", "page, job", message.of_batch(Why(Reason.MODEL_NOT_SERVED, "fragile", workers=1, cause="it is torn"))),
    ("model", "page, overview", "fragile: it is torn"),
    ("model", "`/metrics`", 'lengthwise_model_failed{model="fragile"} 1.0'),
    ("deliver", "page, overview", f"Not well: {readiness.NO_DELIVERY}"),
    ("deliver", "page, job", message.of_batch(Why(Reason.DELIVERING, n_webhooks=1))),
    ("deliver", "`/metrics`", "lengthwise_webhook_oldest_seconds 0.25"),
    ("quota", "page, overview", f"Limit reached by rehearsal: {FULL}"),
    ("quota", "`lengthwise tenants list`", f"rehearsal: {FULL}"),
    ("quota", "`lengthwise limits`", f"limit reached: {FULL}"),
    ("quota", "`/metrics`", 'lengthwise_http_requests_total{method="POST",route="/v1/jobs",status="429"} 7.0'),
]


@pytest.mark.parametrize(("incident", "who", "sentence"), SENTENCES)
def test_each_witness_hears_what_the_product_says_and_nothing_else(incident: str, who: str, sentence: str) -> None:
    [sought] = [each for made in incidents() if made.name == incident for each in made.witnesses() if each.name == who]
    well = [
        'lengthwise_workers{role="generate",state="lost"} 0.0',
        "lengthwise_webhook_oldest_seconds 0.0",
        "generate generate-1 host working 1 s ago 12.0 14",
        message.of_batch(Why(Reason.RUNNING, workers=1)),
    ]
    assert sought.find([*well, sentence]) == sentence
    assert sought.find(well) is None


def test_the_table_quotes_everyone() -> None:
    outcome = Outcome(
        "it freezes",
        [
            Statement("page", "a | b", 15.6, 3.2),
            Statement("alert, pending", "soon", 31.0, note=""),
            Statement("status", note="nothing, by design"),
            Statement("readyz"),
        ],
        "the job ended",
    )
    assert report.table([outcome], ["LengthwiseStrange"]).splitlines()[2:] == [
        "| it freezes | page | 16 s | a &#124; b | 3 s |",
        "|  | alert, pending | 31 s | soon |  |",
        "|  | status | never | nothing, by design |  |",
        "|  | readyz | never |  |  |",
        "|  | the work |  | the job ended |  |",
        "",
        "Alerts that fired without a reason: LengthwiseStrange.",
    ]
