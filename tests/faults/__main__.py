"""``python -m tests.faults`` injects every fault under every seed. It prints a table and a JSON object as last line."""

import argparse
import multiprocessing
import signal
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from rich.console import Console

from tests.faults import report
from tests.faults.busy import ON_BUSY_MACHINE, Allowance, busy_machine
from tests.faults.run import FAULTS, FaultOutcome, leave_when_stopped, run_seed


def main() -> None:
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    names = [fault.name for fault in FAULTS if not given.only or any(part in fault.name for part in given.only)]
    if not names:
        sys.exit(f"no fault matches --only; the faults are: {', '.join(fault.name for fault in FAULTS)}")
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    kept = given.keep or Path(tempfile.mkdtemp(prefix="faults-"))
    kept.mkdir(parents=True, exist_ok=True)
    progress = Console(stderr=True)
    outcomes: list[FaultOutcome] = []
    with busy_machine(given.busy):
        for seed, found in _runs(seeds, names, given, kept):
            outcomes += found
            seconds = sum(outcome.seconds for outcome in found)
            n_ok = sum(outcome.is_ok for outcome in found)
            progress.print(f"seed {seed}: {n_ok} of {len(found)} faults passed, {seconds:.0f} s")
    if any(kept.iterdir()):
        progress.print(f"the logs are in {kept}", soft_wrap=True)
    else:
        kept.rmdir()
    outcomes.sort(key=lambda outcome: (names.index(outcome.name), outcome.seed))
    report.show(outcomes, len(seeds), len(names), Console(width=None if sys.stdout.isatty() else 160))
    sys.exit(0 if all(outcome.is_ok for outcome in outcomes) else 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", metavar="PART", help="only faults whose name contains one of these")
    parser.add_argument("--items", type=int, default=800, help="items submitted for each fault")
    parser.add_argument("--parallel", type=int, default=1, help="installations at a time; each needs about one core")
    parser.add_argument(
        "--busy", type=int, default=0, metavar="N", help="make the machine busy: N processes for each core, and a disk"
    )
    parser.add_argument(
        "--keep",
        type=Path,
        help="a folder in which to keep all logs; without it, only the logs of what breaks are kept",
    )
    return parser.parse_args()


def _runs(
    seeds: range, names: list[str], given: argparse.Namespace, kept: Path
) -> Iterator[tuple[int, list[FaultOutcome]]]:
    """Yields each seed's outcomes as soon as it is done.

    Every seed has a process of its own. The processes that it starts end with it, or with the pool.
    """
    run = partial(
        run_seed,
        names=names,
        n_items=given.items,
        keep=kept,
        keeps_all=given.keep is not None,
        say=report.say,
        allowance=ON_BUSY_MACHINE if given.busy else Allowance(),
    )
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(given.parallel, initializer=leave_when_stopped, maxtasksperchild=1) as pool:
        for found in pool.imap_unordered(run, seeds):
            yield found[0].seed, found


if __name__ == "__main__":
    main()
