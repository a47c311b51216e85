"""How many of its connections to Postgres a process uses."""

from collections.abc import Callable, Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.pool import QueuePool

from lengthwise.database import Database


class ConnectionCollector(Collector):
    """``find`` gives the pool of this process. It is called at a scrape, since a worker makes its pool late."""

    def __init__(self, find: Callable[[], Database]) -> None:
        self._find = find

    def collect(self) -> Iterable[Metric]:
        """The connections that are in use and idle, and the limit. Asks no server."""
        pool = self._find().engine.pool
        assert isinstance(pool, QueuePool)  # noqa: S101 - that of every engine of ``lengthwise.database``
        connections = GaugeMetricFamily(
            "lengthwise_database_connections", "Connections of this process to Postgres.", labels=("state",)
        )
        connections.add_metric(("used",), pool.checkedout())
        connections.add_metric(("idle",), pool.checkedin())
        yield connections
        yield GaugeMetricFamily(
            "lengthwise_database_connections_limit",
            "The most connections that this process may have to Postgres.",
            value=pool.size(),
        )
