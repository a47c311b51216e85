"""Measures what an operator asks of a large installation. The last line printed is one JSON object.

``python -m benchmarks.operate`` starts its own PostgreSQL and Redis, and fills them with a million jobs, of which
100,000 are open, and with a million waiting shards. Then it asks for a scrape, the overview, lists, jobs and workers:
each some times in a row (warm), and once after Postgres was restarted and its files were dropped from memory (cold).
It takes about ten minutes and 3 GiB of disk.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.console import begun
from benchmarks.operate.filling import InstallationSize, fill
from benchmarks.operate.looks import Look, looks
from benchmarks.operate.measuring import LookTimes, measure, servers
from lengthwise import database, migrate

QUICK = {"jobs": 2_000, "open_jobs": 200, "shards": 2_000, "rounds": 1}


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operate", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it works")
    parser.add_argument("--jobs", type=int, default=1_000_000, help="small jobs")
    parser.add_argument("--open-jobs", type=int, default=100_000, help="those of them that are open")
    parser.add_argument("--shards", type=int, default=1_000_000, help="waiting shards of large jobs")
    parser.add_argument("--rounds", type=int, default=9, help="times that each question is asked warm")
    parser.add_argument("--no-cold", action="store_true", help="do not measure after a restart of Postgres")
    parser.add_argument("--folder", type=Path, help="where to put the data")
    if parser.parse_args(arguments).quick:
        parser.set_defaults(**QUICK)
    return parser.parse_args(arguments)


def main() -> None:
    given, console = parse_options(), begun()
    size = InstallationSize(given.jobs, given.open_jobs, given.shards)
    with tempfile.TemporaryDirectory(prefix="lengthwise-operate-", dir=given.folder) as folder:
        Path(folder).chmod(0o711)  # PostgreSQL may run as another user
        data, began_at = Path(folder) / "data", time.monotonic()
        with servers(data) as url:
            migrate.upgrade(url)
            known = fill(database.engine(), size)
        console.print(
            f"filled with {size.jobs:,} jobs, {size.open_jobs:,} of them open, and {size.shards:,} waiting shards"
            f" in {time.monotonic() - began_at:.0f} s"
        )
        every = list(looks(known))
        found = measure(data, every, given.rounds, has_cold=not given.no_cold)
    console.print(table(every, found))
    print(json.dumps(figures(every, found)))


def table(every: Sequence[Look], found: Mapping[str, LookTimes]) -> Table:
    made = Table("milliseconds", title="What an operator asks", title_justify="left")
    for column in ("may take", "warm", "longest", "cold"):
        made.add_column(column, justify="right")
    for look in every:
        times = found[look.name]
        is_late = look.bound_ms is not None and times.warm > look.bound_ms
        made.add_row(
            look.name,
            "" if look.bound_ms is None else f"{look.bound_ms:.0f}",
            f"{times.warm:.1f}{' !' if is_late else ''}",
            f"{times.longest:.1f}",
            "" if times.cold is None else f"{times.cold:.1f}",
        )
    return made


def figures(every: Sequence[Look], found: Mapping[str, LookTimes]) -> dict[str, Any]:
    return {
        look.name: {
            "bound_ms": look.bound_ms,
            "warm_ms": round(found[look.name].warm, 1),
            "longest_ms": round(found[look.name].longest, 1),
            "cold_ms": None if (cold := found[look.name].cold) is None else round(cold, 1),
        }
        for look in every
    }


if __name__ == "__main__":
    main()
