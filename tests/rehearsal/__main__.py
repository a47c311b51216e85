"""``python -m tests.rehearsal`` lets each incident happen to one real installation, and prints who said what, and when.

It takes about ten minutes, because the alerts wait as long as they do in operation.
"""

import argparse
import signal
import sys
import time
from pathlib import Path

from tests.monitoring.programs import PROMETHEUS
from tests.rehearsal import report
from tests.rehearsal.incidents import INCIDENTS
from tests.rehearsal.installation import running
from tests.rehearsal.run import rehearse_all, unexpected
from tests.servers import reachable_folder


def main() -> None:
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    if PROMETHEUS is None:
        sys.exit("Prometheus is missing: `make rehearse` unpacks it")
    began_at = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began_at:5.0f} s  {line}", file=sys.stderr, flush=True)  # noqa: T201

    with reachable_folder() as folder, running(folder) as installation:
        say("the installation and Prometheus run")
        made = [
            each(installation, is_patient=given.patient)
            for each in INCIDENTS
            if given.only is None or each.name in given.only
        ]
        outcomes = rehearse_all(made, say)
        strange = unexpected(made, installation.scraper)
        is_ok = not strange and all(outcome.is_ok for outcome in outcomes)
        if not is_ok:
            for process in (installation.api, installation.worker, installation.deliver):
                say(f"{process.name}:{process.last_lines(20)}")
    shown = report.table(outcomes, strange)
    print(shown)  # noqa: T201
    if given.write is not None:
        given.write.write_text(shown, "utf-8")
    sys.exit(0 if is_ok else 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.rehearsal", description=__doc__)
    names = [each.name for each in INCIDENTS]
    parser.add_argument("--only", nargs="+", choices=names, help="only these incidents")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table to this file, too")
    parser.add_argument(
        "--patient", action="store_true", help="wait for alerts that come or end late (some minutes more)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
