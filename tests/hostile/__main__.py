"""``python -m tests.hostile`` attacks a live installation. It prints a table, and ends with 1 if a promise was broken.

First the corpus, an attack at a time. Then ``--requests`` generated requests, and ``--described`` ones that
Schemathesis makes from the OpenAPI document. A second caller sends honest requests all the while.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
from rich.console import Console

from tests.caller import bearer
from tests.hostile.attacker import Attacker
from tests.hostile.corpus import ATTACKS
from tests.hostile.described import described
from tests.hostile.flood import flood
from tests.hostile.installation import Installation, installation
from tests.hostile.second_caller import second_caller
from tests.hostile.verdict import CANARY, MemoryGauge, Outcome, Row, show


def main() -> None:
    given = _arguments()
    names = [name for name in ATTACKS if not given.only or any(part in name for part in given.only)]
    progress = Console(stderr=True)
    rows: list[Row] = []
    with installation(given.keep) as attacked:
        loaded = attacked.memory()

        def run(name: str, attack: Callable[[Outcome], None]) -> None:
            rows.append(_watched(attacked, Outcome(name), attack, loaded))
            last = rows[-1].outcome
            progress.print(f"{name}: {last.n_requests:,} requests, {last.seconds:.0f} s, {len(last.problems)} problems")

        for name in names:
            run(name, lambda outcome, name=name: _attack(attacked, outcome, name))  # type: ignore[misc]
        if given.requests:
            run("generated", lambda outcome: _flood(attacked, outcome, given, progress))
        if given.described:
            run("described", lambda outcome: outcome.add(described(attacked, given.seed, given.described)))
        run("afterwards", lambda outcome: _works(attacked, outcome))
    show(rows, Console(width=None if sys.stdout.isatty() else 180))
    total = sum((row.outcome.statuses for row in rows), Counter[int]())
    n_problems = sum(len(row.outcome.problems) for row in rows)
    figures = {"requests": sum(total.values()), "statuses": dict(sorted(total.items())), "problems": n_problems}
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.exit(1 if n_problems else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="PART", help="only attacks whose name contains one of these")
    parser.add_argument("--requests", type=int, default=0, help="number of generated requests")
    parser.add_argument("--described", type=int, default=0, help="number of requests from the OpenAPI document")
    parser.add_argument("--seed", type=int, default=1, help="another seed makes other requests: shards of a long run")
    parser.add_argument("--callers", type=int, default=2, help="processes that send generated requests")
    parser.add_argument("--keep", type=Path, help="a folder in which to keep all logs")
    return parser.parse_args()


def _watched(
    attacked: Installation, outcome: Outcome, attack: Callable[[Outcome], None], loaded: dict[str, int]
) -> Row:
    began = time.monotonic()
    with MemoryGauge(attacked) as gauge, second_caller(attacked.url, attacked.key) as waits:
        attack(outcome)
    outcome.seconds = time.monotonic() - began
    outcome.judge(waits, gauge.peaks, loaded)
    if CANARY in attacked.words():
        outcome.problem("a log repeats what was sent")
    return Row(outcome, waits, gauge.peaks)


def _attack(attacked: Installation, outcome: Outcome, name: str) -> None:
    attacker = Attacker(attacked, outcome)
    try:
        ATTACKS[name](attacker)
    finally:
        attacker.close()


def _flood(attacked: Installation, outcome: Outcome, given: argparse.Namespace, progress: Console) -> None:
    began = time.monotonic()
    for found in flood(attacked.port, attacked.key, given.seed, given.requests, given.callers):
        outcome.add(found)
        if outcome.n_requests % 20_000 < 2_000:
            rate = outcome.n_requests / (time.monotonic() - began)
            progress.print(f"  {outcome.n_requests:,} requests, {rate:,.0f}/s, {len(outcome.problems)} problems")


def _works(attacked: Installation, outcome: Outcome) -> None:
    """What was accepted ends, and a new job is done."""
    with httpx.Client(base_url=attacked.url, headers=bearer(attacked.key), timeout=60) as client:
        made = client.post("/v1/jobs", json={"kind": "translate", "source": "en", "target": "de", "items": ["I read."]})
        job, ends_at = made.json()["id"], time.monotonic() + 300
        while not (found := client.get(f"/v1/jobs/{job}").json())["finished_at"] and time.monotonic() < ends_at:
            time.sleep(0.5)
        outcome.saw(made.status_code)
        if found["counts"].get("succeeded") != 1:
            outcome.problem("an honest job was not done afterwards")


if __name__ == "__main__":
    main()
