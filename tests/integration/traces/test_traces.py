"""Traces from the request to the webhook, as a collector sees them."""

from collections.abc import Callable, Iterator

import pytest
from starlette.testclient import TestClient

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")

from lengthwise import traces
from lengthwise.traces.semantics import MAX_LINKS, SCHEMA_URL
from tests.fakes import PickyEngine
from tests.integration.conftest import EngineInstaller, RunWorker, submit
from tests.integration.traces.collector import CollectedSpan, Collector
from tests.integration.webhooks.hooks import Answers, status
from tests.integration.webhooks.test_http_attempt import ScriptedReceiver
from tests.ledger import sql
from worker.process import Worker

CANARY = "CaNaRy"
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADER = f"00-{TRACE}-{CALLER}-01"
SECRET = "whsec_" + "A" * 32
#: All spans that were exported until now. It ends the exports.
Exported = Callable[[], list[CollectedSpan]]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as made:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
        traces.set_up("test", "test-1")
        yield made
        traces.shut()


@pytest.fixture
def exported(collector: Collector) -> Exported:
    def taken() -> list[CollectedSpan]:
        traces.shut()
        assert not any(CANARY.encode() in body for body in collector.bodies)
        return collector.spans()

    return taken


def named(spans: list[CollectedSpan], name: str) -> list[CollectedSpan]:
    return [span for span in spans if span.name == name]


def test_one_trace_leads_from_the_request_to_the_webhook(
    exported: Exported, deliver: Callable[[], None], client: TestClient, run_worker: RunWorker
) -> None:
    script = Answers(status(200))
    with ScriptedReceiver(script) as receiver:
        hook = {"url": receiver.url(f"/{CANARY}"), "secret": SECRET}
        job = {"kind": "generate", "items": [{"text": CANARY, "id": CANARY}], "webhook": hook}
        answer = client.post("/v1/jobs", json=job, headers={"traceparent": HEADER, "tracestate": CANARY})
        assert answer.status_code == 202, answer.text
        run_worker()
        deliver()
    spans = exported()
    assert {span.trace for span in spans} == {TRACE}
    [post], [claim], [batch] = (named(spans, name) for name in ("POST /v1/jobs", "claim", "batch"))
    [sent] = named(spans, "deliver")
    assert (post.kind, post.parent) == ("SERVER", CALLER)
    assert (claim.kind, claim.parent, claim.links) == ("CONSUMER", post.id, [(TRACE, post.id)])
    assert batch.parent == claim.id
    assert {settled.parent for settled in named(spans, "settle")} == {claim.id}
    assert (sent.kind, sent.parent) == ("CLIENT", post.id)
    [(headers, _)] = script.received
    assert headers["traceparent"] == f"00-{TRACE}-{sent.id}-01"
    assert "tracestate" not in headers


def test_attributes_follow_the_pinned_conventions(
    exported: Exported, client: TestClient, run_worker: RunWorker
) -> None:
    submit(client, ["abc", "abcde"])
    run_worker()
    spans = exported()
    [post], [batch] = named(spans, "POST /v1/jobs"), named(spans, "batch")
    assert post.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/jobs",
        "http.response.status_code": 202,
    }
    assert batch.attributes == {
        "gen_ai.operation.name": "text_completion",
        "gen_ai.provider.name": "lengthwise",
        "gen_ai.request.model": "echo",
        "gen_ai.usage.input_tokens": 8,
        "gen_ai.usage.output_tokens": 8,
        "lengthwise.rows": 2,
        "lengthwise.computed_tokens": 10,
    }
    assert {span.schema for span in spans} == {SCHEMA_URL}
    assert post.service["service.name"] == "lengthwise"
    assert post.service["service.instance.id"] == "test-1"
    assert post.parent == ""


def test_a_claim_of_many_jobs_links_them_and_there_is_no_span_for_an_item(
    exported: Exported, client: TestClient, run_worker: RunWorker
) -> None:
    n_jobs, n_items = 5, 10
    for n in range(n_jobs):
        submit(client, [f"{n}{each}" for each in range(n_items)])
    run_worker()
    spans = exported()
    posts, claims = named(spans, "POST /v1/jobs"), named(spans, "claim")
    assert len({post.trace for post in posts}) == n_jobs
    linked = [link for claim in claims for link in claim.links]
    assert {(post.trace, post.id) for post in posts} <= set(linked)
    assert all((claim.parent == "") == (len(claim.links) > 1) for claim in claims)
    assert len(spans) < n_jobs * n_items


def test_links_have_a_limit() -> None:
    """Of the claim itself; the ledger allows more shards in one."""
    assert MAX_LINKS == 128


def test_more_links_than_the_limit_are_left_out(exported: Exported) -> None:
    many = [f"00-{TRACE}-{number:016x}-01" for number in range(1, 300)]
    traces.begin("claim", None, links=many).end()
    [claim] = exported()
    assert len(claim.links) == MAX_LINKS


def test_a_failed_batch_is_an_error_without_its_message(
    exported: Exported, client: TestClient, worker: Worker, install_engine: EngineInstaller
) -> None:
    install_engine(lambda spec: PickyEngine(spec, len(CANARY)))
    submit(client, [CANARY, "ab"])
    worker.generate("echo:1")
    failed = [span for span in named(exported(), "batch") if span.is_error]
    assert failed
    assert {span.attributes["error.type"] for span in failed} == {"EngineError"}
    assert {span.n_events for span in failed} == {0}


def test_a_refused_request_is_a_span_that_names_the_route(exported: Exported, client: TestClient) -> None:
    client.post(f"/v1/jobs/{CANARY}/cancel?{CANARY}", headers={"traceparent": CANARY})
    client.post(f"/{CANARY}")
    client.get("/v1/jobs")
    spans = exported()
    assert [span.name for span in spans] == ["POST /v1/jobs/{job_id}/cancel", "POST"]
    assert [span.attributes["http.response.status_code"] for span in spans] == [404, 404]
    assert {span.parent for span in spans} == {""}


def test_without_a_collector_a_webhook_has_the_callers_own_context(
    deliver: Callable[[], None], client: TestClient, run_worker: RunWorker
) -> None:
    script = Answers(status(200))
    with ScriptedReceiver(script) as receiver:
        hook = {"url": receiver.url(), "secret": SECRET}
        for headers in ({"traceparent": HEADER}, {}):
            job = {"kind": "generate", "items": ["a"], "webhook": hook}
            assert client.post("/v1/jobs", json=job, headers=headers).status_code == 202
        run_worker()
        deliver()
    assert {headers.get("traceparent") for headers, _ in script.received} == {HEADER, None}
    assert set(sql("SELECT trace FROM jobs")) == {(HEADER,), (None,)}
