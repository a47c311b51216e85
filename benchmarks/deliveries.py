"""Measures how soon the first webhook attempt follows the end of a job: ``python -m benchmarks.deliveries``.

It runs real processes: API, delivery worker, PostgreSQL and Redis. No generation worker runs, so one-item jobs stay
queued until they are cancelled over HTTP at a steady rate. Each end goes to two endpoints: one answers, the other
accepts the connection and never answers. The last line printed is one JSON object.
"""

import argparse
import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from statistics import quantiles
from typing import Any
from uuid import UUID

import psycopg

from benchmarks.queue import stack
from benchmarks.queue.corpus import write_catalog
from benchmarks.queue.meter import MeteredCost
from benchmarks.queue.stack import BenchmarkStack

_CALLERS = 4
_TIMEOUT_SECONDS = 30.0
_LATENCIES = """
SELECT extract(epoch FROM min(attempts.started_at) - jobs.finished_at)::float8
FROM jobs JOIN deliveries ON deliveries.job_id = jobs.id AND deliveries.endpoint_id = %s
LEFT JOIN attempts ON attempts.delivery_id = deliveries.id
WHERE jobs.id = ANY(%s) GROUP BY jobs.id, jobs.finished_at
"""


class Receivers:
    """Two webhook receivers on loopback, served by their own thread: one answers, the other hangs."""

    def __init__(self) -> None:
        self.n_answered = 0
        self.n_hanging = 0
        self.ports: list[int] = []

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            headers = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in headers.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.partition(b":")[2]))
            self.n_answered += 1
            writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            await writer.drain()
        writer.close()

    async def _hang(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n_hanging += 1
        with suppress(OSError, asyncio.CancelledError):
            while await reader.read(65_536):
                pass
        writer.close()

    async def _serve(self, ready: threading.Event, over: asyncio.Event) -> None:
        servers = [await asyncio.start_server(handler, "127.0.0.1", 0) for handler in (self._answer, self._hang)]
        self.ports = [server.sockets[0].getsockname()[1] for server in servers]
        ready.set()
        await over.wait()
        for server in servers:
            server.close()

    @contextmanager
    def running(self) -> Iterator[None]:
        loop, ready, over = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

        def serve() -> None:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:  # its exit closes hanging connections
                runner.run(self._serve(ready, over))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        ready.wait()
        try:
            yield
        finally:
            loop.call_soon_threadsafe(over.set)
            thread.join(5)


def cancel(running: BenchmarkStack, jobs: list[str], rate: float) -> float:
    """Cancels these jobs at ``rate`` jobs per second from a few threads. Returns the rate that it reached."""
    began = time.monotonic()

    def call(first: int) -> None:
        client = running.client()
        for n in range(first, len(jobs), _CALLERS):
            time.sleep(max(0.0, began + n / rate - time.monotonic()))
            client.cancel(jobs[n])

    threads = [threading.Thread(target=call, args=(first,)) for first in range(_CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(jobs) / (time.monotonic() - began)


def measure(running: BenchmarkStack, rate: float, seconds: float) -> dict[str, Any]:
    receivers = Receivers()
    with receivers.running(), psycopg.connect(running.bench.database("ours"), autocommit=True) as database:
        client = running.client()
        good, _ = (client.register(f"http://127.0.0.1:{port}/hook", "job.cancelled") for port in receivers.ports)
        cancel(running, [client.submit_one("warm", "normal") for _ in range(40)], 20)
        jobs = [client.submit_one("x", "normal") for _ in range(int(rate * seconds))]
        meter = running.meter()
        before = meter.read()
        reached = cancel(running, jobs, rate)
        cost = MeteredCost.between(before, meter.read())
        gives_up_at = time.monotonic() + _TIMEOUT_SECONDS
        found: list[float | None] = [None]
        while time.monotonic() < gives_up_at and (len(found) < len(jobs) or None in found):
            time.sleep(0.5)
            found = [each for (each,) in database.execute(_LATENCIES, [good, [UUID(job) for job in jobs]])]
    known = [each * 1000 for each in found if each is not None]
    cuts = quantiles(known, n=100, method="inclusive")
    return {
        "jobs": len(jobs),
        "jobs_per_second": round(reached, 1),
        "first_attempts": len(known),
        "p50_ms": round(cuts[49], 1),
        "p99_ms": round(cuts[98], 1),
        "longest_ms": round(max(known), 1),
        "connections_that_hang": receivers.n_hanging,
        "cpu_seconds": {name: round(used, 2) for name, used in cost.cpu.items()},
        "seconds": round(cost.seconds, 1),
        "others_share": round(cost.others_share, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deliveries", description=__doc__)
    parser.add_argument("--rate", type=float, default=100, help="jobs per second")
    parser.add_argument("--seconds", type=float, default=10, help="duration in seconds")
    given = parser.parse_args()
    with stack.bench() as bench:
        catalog = write_catalog(bench.folder / "instant")
        extra = {"LENGTHWISE_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}
        with stack.ours(bench, catalog, workers=0, extra=extra) as running:
            print(json.dumps(measure(running, given.rate, given.seconds)))


if __name__ == "__main__":
    main()
