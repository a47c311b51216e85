"""What is counted after known work."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from lengthwise.ledger.queue.claim import Claim, ClaimedJob, ClaimedShard
from lengthwise.ledger.queue.settle import ItemResult, Settlement
from lengthwise.metrics import meters
from lengthwise.metrics.meters import Meters
from lengthwise.metrics.registry import registry_of
from lengthwise.states import ResultStatus

TENANT = UUID(int=5)
JOB = UUID(int=6)


class Counted:
    """Meters, and a registry of all that one role shows of them."""

    def __init__(self, role: str, *, tenants: bool = False) -> None:
        self.meters = Meters(tenants=tenants)
        self._registry = CollectorRegistry()
        for each in self.meters.of_role(role):
            self._registry.register(each)

    def value(self, name: str, **labels: str) -> float | None:
        return self._registry.get_sample_value(name, labels)

    def samples(self, name: str) -> dict[tuple[str, ...], float]:
        """The values of a series by its labels' values."""
        return {
            tuple(sample.labels.values()): sample.value
            for family in self._registry.collect()
            for sample in family.samples
            if sample.name == name
        }


@pytest.fixture
def generation() -> Counted:
    return Counted(meters.GENERATE)


@pytest.fixture
def delivery() -> Counted:
    return Counted(meters.DELIVER)


def settled(shard: int, n_items: int, **more: Any) -> Settlement:
    results = [ItemResult(index, ResultStatus.SUCCEEDED, b"{}\n") for index in range(n_items)]
    return Settlement(shard, 0, results, 1, 1, 1.0, kind="chat", model="m", tenant_id=TENANT, **more)


def test_items_are_counted_by_result_and_code(generation: Counted) -> None:
    errors = {"too_long": 2, "engine_error": 1}
    generation.meters.count_settled([settled(1, 10, n_errors=errors, used_input=70, used_output=7), settled(2, 5)])
    generation.meters.count_settled([settled(3, 1, n_errors={"too_long": 1}, used_input=1)])
    assert generation.samples("lengthwise_items_total") == {
        ("chat", "m", "succeeded", ""): 12,
        ("chat", "m", "failed", "too_long"): 3,
        ("chat", "m", "failed", "engine_error"): 1,
    }
    assert generation.samples("lengthwise_tokens_total") == {("input",): 71, ("output",): 7}


def test_items_and_tokens_are_counted_by_tenant_if_that_is_switched_on() -> None:
    counted = Counted(meters.GENERATE, tenants=True)
    counted.meters.count_settled([settled(1, 3, n_errors={"too_long": 1}, used_input=7)])
    assert counted.samples("lengthwise_items_total") == {
        ("chat", "m", "succeeded", "", str(TENANT)): 2,
        ("chat", "m", "failed", "too_long", str(TENANT)): 1,
    }
    assert counted.value("lengthwise_tokens_total", direction="input", tenant=str(TENANT)) == 7


def test_a_batch_is_counted_in_three_histograms(generation: Counted) -> None:
    for _ in range(3):
        generation.meters.count_batch("m", 64, 0.2, 0.25)
    assert generation.value("lengthwise_batch_rows_sum", model="m") == 192
    assert generation.value("lengthwise_batch_rows_bucket", model="m", le="64.0") == 3
    assert generation.value("lengthwise_batch_rows_bucket", model="m", le="32.0") == 0
    assert generation.value("lengthwise_batch_seconds_count", model="m") == 3
    assert generation.value("lengthwise_padding_ratio_sum", model="m") == 0.75


def test_a_wait_is_counted_once_for_each_job_of_a_claim(generation: Counted) -> None:
    jobs = {
        id_: ClaimedJob(id_, TENANT, "chat", "m", {}, True, seconds) for id_, seconds in ((JOB, 3.0), (TENANT, 0.4))
    }
    shards = [
        ClaimedShard(number, job, 1, 0, 0, priority, 0.0, 1, 1, 0)
        for number, job, priority in ((1, JOB, 2), (2, JOB, 2), (3, TENANT, 0))
    ]
    generation.meters.count_claim(Claim(UUID(int=1), jobs, {shard.id: shard for shard in shards}, []))
    assert generation.samples("lengthwise_queue_wait_seconds_count") == {("background",): 1, ("interactive",): 1}
    assert generation.value("lengthwise_queue_wait_seconds_sum", priority="background") == 3.0


def test_a_missed_deadline_is_in_the_first_bucket(delivery: Counted) -> None:
    delivery.meters.count_ended([0.0, -17.0, 30.0, 5_000.0])
    assert delivery.value("lengthwise_deadline_margin_seconds_bucket", le="0.0") == 2
    assert delivery.value("lengthwise_deadline_margin_seconds_bucket", le="60.0") == 3
    assert delivery.value("lengthwise_deadline_margin_seconds_sum") == 5_030.0


def test_a_model_is_shown_while_it_is_loaded_and_with_its_present_revision(generation: Counted) -> None:
    generation.meters.show_model("m", "r1", "int8")
    generation.meters.show_model("other", "r", "fp32")
    generation.meters.show_model("m", "r2", "int8")
    assert generation.samples("lengthwise_model_info") == {("m", "r2", "int8"): 1, ("other", "r", "fp32"): 1}
    generation.meters.hide_model("m")
    generation.meters.hide_model("m")
    assert generation.samples("lengthwise_model_info") == {("other", "r", "fp32"): 1}


def test_a_failed_model_is_shown_until_that_is_over_or_it_is_named_no_more(generation: Counted) -> None:
    for name in ("a", "b", "b", "c"):
        generation.meters.show_failure(name)
    assert generation.samples("lengthwise_model_failed") == {("a",): 1, ("b",): 1, ("c",): 1}
    generation.meters.show_model("a", "older", "int8")
    generation.meters.hide_failure("b")
    generation.meters.hide_failure("b")
    generation.meters.keep_failures(["a", "b"])
    assert generation.samples("lengthwise_model_failed") == {("a",): 1}


def test_what_the_sweep_and_the_deliveries_count(delivery: Counted) -> None:
    delivery.meters.count_expired_leases(3)
    delivery.meters.count_quarantined(2)
    for result in ("delivered", "delivered", "timeout", "status_5xx"):
        delivery.meters.count_attempt(result)
    assert delivery.value("lengthwise_leases_expired_total") == 3
    assert delivery.value("lengthwise_quarantined_total") == 2
    assert delivery.samples("lengthwise_webhook_attempts_total") == {
        ("delivered",): 2, ("timeout",): 1, ("status_5xx",): 1
    }  # fmt: skip


@pytest.fixture
def fresh() -> Iterator[None]:
    meters.forget()
    yield
    meters.forget()


@pytest.mark.parametrize("role", [meters.API, meters.GENERATE, meters.DELIVER])
def test_a_process_also_shows_itself(fresh: None, role: str) -> None:
    registry = registry_of(role)
    names = {sample.name for family in registry.collect() for sample in family.samples}
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total", "python_gc_collections_total"} <= names
    builds = [family for family in registry.collect() if family.name == "lengthwise_build"]
    assert [sample.labels["role"] for sample in builds[0].samples] == [role]
    assert not {name for name in names if name.endswith("_created")}


def test_two_registries_may_show_the_same_meters(fresh: None) -> None:
    assert registry_of(meters.API) is not registry_of(meters.API)


def test_threads_that_ask_first_at_the_same_time_get_the_same_meters(
    fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise one of them would count for ever in meters that no registry shows."""
    n_threads = 4
    arrived, real = Barrier(n_threads, timeout=30), Meters

    def slow(*, tenants: bool) -> Meters:
        made = real(tenants=tenants)
        arrived.wait()  # until every thread has made its own
        return made

    monkeypatch.setattr(meters, "Meters", slow)
    with ThreadPoolExecutor(n_threads) as threads:
        found = [each.result() for each in [threads.submit(meters.get) for _ in range(n_threads)]]
    assert {id(each) for each in [*found, meters.get()]} == {id(found[0])}
