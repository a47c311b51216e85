"""Measures how fast a job is done if the database is far away: through a proxy that delays every byte.

``python -m benchmarks.distance`` runs the same job at several distances, in turns, with an engine whose batches take 50
ms. It prints a table and, as its last line, one JSON object.
"""

import argparse
import json
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table
from sqlalchemy.engine import make_url

from benchmarks.queue import measure, stack
from benchmarks.queue.corpus import Corpus, texts, write_catalog
from benchmarks.queue.stack import BenchmarkServers
from tests.faults.proxy import Proxy

_BATCH_SECONDS = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.distance", description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--milliseconds", type=float, nargs="+", default=[0, 1, 5, 20], help="each way; the first is the measure"
    )
    given = parser.parse_args()
    rates: dict[float, list[float]] = {each: [] for each in given.milliseconds}
    with stack.bench() as bench:
        corpus = Corpus.write(texts(given.items, seed=1), bench.folder / "job.ndjson")
        catalog = write_catalog(bench.folder / "slow", _BATCH_SECONDS)
        for _ in range(given.rounds):
            for milliseconds in given.milliseconds:
                rates[milliseconds].append(_rate(bench, catalog, corpus, milliseconds))
    table = Table("ms each way", "items/s", "share")
    nearest = median(rates[given.milliseconds[0]])
    for milliseconds, found in rates.items():
        table.add_row(f"{milliseconds:g}", f"{median(found):,.0f}", f"{median(found) / nearest:.0%}")
    Console().print(table)
    print(json.dumps({"items_per_second": {f"{each:g}": found for each, found in rates.items()}}))


def _rate(bench: BenchmarkServers, catalog: Path, corpus: Corpus, milliseconds: float) -> float:
    """Items a second from the answer of the POST, whose own way is not measured, to the end of the job."""
    url = make_url(bench.database("ours"))
    with Proxy(Path(str(url.query["host"])) / ".s.PGSQL.5432", milliseconds / 1000) as proxy:
        through = url.set(host="127.0.0.1", port=proxy.port, query={}).render_as_string(hide_password=False)
        with stack.ours(bench, catalog, extra={"LENGTHWISE_DATABASE_URL": through}) as running:
            measure.warm_up(running)
            measured = measure.run(running, corpus)
    return measured.items / measured.steps["work"].seconds


if __name__ == "__main__":
    main()
