"""Every counter and histogram of a process, each with its help and its unit. What the ledger knows is in ``queue``.

No label holds what a caller wrote: the values are names of ``models.toml``, kinds, and codes and states of our own.
A tenant's id is a label only if ``metrics_tenants`` is set.
"""

import collections
from collections.abc import Collection, Iterable, Sequence

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.registry import Collector

from lengthwise import bells, settings
from lengthwise.ledger.queue.claim import Claim
from lengthwise.ledger.queue.settle import Settlement
from lengthwise.states import Priority

# They would be a series more for each counter, which says when the process began.
disable_created_metrics()  # type: ignore[no-untyped-call]

#: The roles of processes. Those of workers are the names of their bells.
API, GENERATE, DELIVER = "api", bells.GENERATE, bells.DELIVER

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_BATCH_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_BATCH_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024)
_PADDING = (0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75)
_WAIT_SECONDS = (0.1, 0.5, 1, 5, 15, _MINUTE, 300, 900, _HOUR, 4 * _HOUR, 12 * _HOUR, _DAY, 3 * _DAY)
#: The first bucket counts the deadlines that were missed.
_MARGIN_SECONDS = (0, _MINUTE, 300, 900, _HOUR, 4 * _HOUR, 12 * _HOUR, _DAY, 7 * _DAY)
_REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Meters:
    """The counters and histograms of one process. Every method is cheap, and waits for no server."""

    def __init__(self, *, tenants: bool) -> None:
        self._has_tenants = tenants
        of_tenant = ("tenant",) if tenants else ()
        self._items = Counter(
            "lengthwise_items_total",
            "Items whose result this worker wrote. code says why an item failed, and is empty if it succeeded.",
            ("kind", "model", "result", "code", *of_tenant),
            registry=None,
        )
        self._tokens = Counter(
            "lengthwise_tokens_total",
            "Input and output tokens of the items that succeeded, as their results state them.",
            ("direction", *of_tenant),
            registry=None,
        )
        self._batch_seconds = _histogram(
            "lengthwise_batch_seconds", "Time of one engine batch.", ("model",), _BATCH_SECONDS, "seconds"
        )
        self._batch_rows = _histogram("lengthwise_batch_rows", "Requests in one engine batch.", ("model",), _BATCH_ROWS)
        self._padding_ratio = _histogram(
            "lengthwise_padding_ratio",
            "Padding in one engine batch, as a share of the input tokens that the engine computed.",
            ("model",),
            _PADDING,
            "ratio",
        )
        self._queue_wait = _histogram(
            "lengthwise_queue_wait_seconds",
            "Time from a job's submission until a worker claimed work of it, once for each claim.",
            ("priority",),
            _WAIT_SECONDS,
            "seconds",
        )
        self._deadline_margin = _histogram(
            "lengthwise_deadline_margin_seconds",
            "Time that was left until the deadline when a job ended. 0 is a missed deadline.",
            (),
            _MARGIN_SECONDS,
            "seconds",
        )
        self._model = Gauge(
            "lengthwise_model_info",
            "A model that this worker has loaded. The value is always 1.",
            ("model", "revision", "quantization"),
            registry=None,
        )
        self._failure = Gauge(
            "lengthwise_model_failed",
            "A model that this worker could not load when it last tried. The value is always 1.",
            ("model",),
            registry=None,
        )
        self._loads = Counter(
            "lengthwise_model_loads_total",
            "Attempts of this worker to load a model.",
            ("model", "result"),
            registry=None,
        )
        self._expired = Counter(
            "lengthwise_leases_expired_total",
            "Leases that expired because their worker had stopped renewing them.",
            registry=None,
        )
        self._quarantined = Counter(
            "lengthwise_quarantined_total",
            "Items that failed because each of them ran alone, and its workers died.",
            registry=None,
        )
        self._attempts = Counter(
            "lengthwise_webhook_attempts_total",
            "Attempts to deliver a webhook, by how they ended.",
            ("result",),
            registry=None,
        )
        self._requests = Counter(
            "lengthwise_http_requests_total",
            "Requests that the API answered, by the template of their path.",
            ("method", "route", "status"),
            registry=None,
        )
        self._request_seconds = _histogram(
            "lengthwise_http_request_seconds",
            "Time from a request's headers to the end of its answer.",
            ("method", "route"),
            _REQUEST_SECONDS,
            "seconds",
        )
        self._of_batch: dict[str, tuple[Histogram, Histogram, Histogram]] = {}
        self._loaded: dict[str, tuple[str, str, str]] = {}
        self._failed: set[str] = set()

    def of_role(self, role: str) -> Sequence[Collector]:
        """What a process of this role counts: ``API``, ``GENERATE`` or ``DELIVER``."""
        results = (self._items, self._tokens, self._deadline_margin)
        batches = (self._batch_seconds, self._batch_rows, self._padding_ratio)
        return {
            API: (self._requests, self._request_seconds),
            GENERATE: (*results, *batches, self._queue_wait, self._model, self._failure, self._loads),
            # The sweep expires jobs, and fails the items over which workers died.
            DELIVER: (*results, self._expired, self._quarantined, self._attempts),
        }[role]

    def count_batch(self, model: str, rows: int, seconds: float, padding: float) -> None:
        """One engine batch; ``padding`` is its share of the input tokens. Takes 2 to 3 µs."""
        of_model = self._of_batch.get(model)
        if of_model is None:
            of_model = self._of_batch[model] = (
                self._batch_rows.labels(model),
                self._batch_seconds.labels(model),
                self._padding_ratio.labels(model),
            )
        for histogram, value in zip(of_model, (rows, seconds, padding), strict=True):
            histogram.observe(value)

    def count_settled(self, written: Iterable[Settlement]) -> None:
        """Shards whose results were committed. The cost grows with the shards and not with their items."""
        items: collections.Counter[tuple[str, ...]] = collections.Counter()
        tokens: collections.Counter[tuple[str, ...]] = collections.Counter()
        for done in written:
            tenant = (str(done.tenant_id),) if self._has_tenants else ()
            for code, n_failed in done.n_errors.items():
                items[done.kind, done.model, "failed", code, *tenant] += n_failed
            items[done.kind, done.model, "succeeded", "", *tenant] += len(done.results) - sum(done.n_errors.values())
            tokens["input", *tenant] += done.used_input
            tokens["output", *tenant] += done.used_output
        for labels, n_items in items.items():
            self._items.labels(*labels).inc(n_items)
        for labels, n_tokens in tokens.items():
            self._tokens.labels(*labels).inc(n_tokens)

    def count_claim(self, claim: Claim) -> None:
        """How long the jobs of a claim have waited for it."""
        for job_id, priority in {shard.job_id: shard.priority for shard in claim.shards.values()}.items():
            self._queue_wait.labels(Priority(priority).name.lower()).observe(claim.jobs[job_id].waited_seconds)

    def count_ended(self, margins: Iterable[float]) -> None:
        """Jobs with a deadline that ended this many seconds before it."""
        for seconds in margins:
            self._deadline_margin.observe(max(0.0, seconds))

    def count_load(self, model: str, *, is_loaded: bool) -> None:
        self._loads.labels(model, "loaded" if is_loaded else "failed").inc()

    def show_model(self, name: str, revision: str, quantization: str) -> None:
        """A model is in memory from now on, in place of an earlier revision of it."""
        self.hide_model(name)
        self._loaded[name] = labels = (name, revision, quantization)
        self._model.labels(*labels).set(1)

    def hide_model(self, name: str) -> None:
        """A model is no longer in memory."""
        if labels := self._loaded.pop(name, None):
            self._model.remove(*labels)

    def show_failure(self, name: str) -> None:
        """A model could not be loaded. An older revision of it may be in memory."""
        self._failed.add(name)
        self._failure.labels(name).set(1)

    def hide_failure(self, name: str) -> None:
        """A model that could not be loaded is in memory, or is no longer wanted."""
        if name in self._failed:
            self._failed.remove(name)
            self._failure.remove(name)

    def keep_failures(self, names: Collection[str]) -> None:
        """Hides failures of models other than these."""
        for name in self._failed.difference(names):
            self.hide_failure(name)

    def count_expired_leases(self, n_leases: int) -> None:
        self._expired.inc(n_leases)

    def count_quarantined(self, n_items: int) -> None:
        self._quarantined.inc(n_items)

    def count_attempt(self, result: str) -> None:
        self._attempts.labels(result).inc()

    def count_request(self, method: str, route: str, status: str, seconds: float) -> None:
        self._requests.labels(method, route, status).inc()
        self._request_seconds.labels(method, route).observe(seconds)


def _histogram(
    name: str, documentation: str, labels: Sequence[str], buckets: Sequence[float], unit: str = ""
) -> Histogram:
    return Histogram(name, documentation, labels, unit=unit, registry=None, buckets=buckets)


#: The meters of ``get()``. As with ``database.engine()``, threads that ask first at the same time all get one of them.
_made: dict[str, Meters] = {}


def get() -> Meters:
    """The meters of this process."""
    return _made.get("process") or _made.setdefault("process", Meters(tenants=settings.get().metrics_tenants))


def forget() -> None:
    """Lets ``get()`` make new ones, with all counts at zero."""
    _made.clear()
