"""Lets incidents happen, one after the other, and notes what everyone said."""

import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx

from tests.monitoring.installation import Scraper
from tests.rehearsal.incidents import Incident
from tests.rehearsal.witness import Outcome, wait_for_health, wait_for_words

Say = Callable[[str], None]

#: What a part of an incident raises if something is not as it should be.
_PROBLEMS = (AssertionError, httpx.HTTPError, subprocess.SubprocessError, OSError)
#: All alerts that fired since the start.
_FIRED = 'max by (alertname) (max_over_time(ALERTS{alertstate="firing"}[1h]))'


def rehearse_all(incidents: Sequence[Incident], say: Say) -> list[Outcome]:
    """Lets all incidents happen. Returns their outcomes in the same order."""
    beside = [each for each in incidents if each.runs_beside]
    with ThreadPoolExecutor(max(1, len(beside))) as pool:
        under_way = {each: pool.submit(rehearse, each, say) for each in beside}
        done = {each: rehearse(each, say) for each in incidents if not each.runs_beside}
        return [under_way[each].result() if each in under_way else done[each] for each in incidents]


def rehearse(incident: Incident, say: Say) -> Outcome:
    """Breaks it, listens, mends it, and listens until all are well again."""
    outcome = Outcome(incident.title)

    def say_of(line: str) -> None:
        say(f"{incident.name:8} {line}")

    is_broken = False
    try:
        incident.prepare()
        say_of(incident.title)
        began_at, is_broken = time.monotonic(), True
        incident.begin()
        witnesses = incident.witnesses()
        outcome.statements = wait_for_words(witnesses, began_at, incident.patience, say_of)
        mended_at, is_broken = time.monotonic(), False
        incident.mend()
        say_of("mended")
        wait_for_health(witnesses, outcome.statements, mended_at, incident.patience, say_of)
        outcome.statements += incident.silent()
        outcome.ending = incident.wait_whole()
        say_of(outcome.ending)
    except _PROBLEMS as error:
        outcome.problem = f"{type(error).__name__}: {error}"
        say_of(outcome.problem)
    finally:
        if is_broken:
            with suppress(*_PROBLEMS):
                incident.mend()
    return outcome


def unexpected(incidents: Sequence[Incident], scraper: Scraper) -> list[str]:
    """Alerts that fired although no incident is one of theirs."""
    expected = {witness.name for incident in incidents for witness in incident.witnesses()}
    fired = {each["metric"]["alertname"] for each in scraper.query(_FIRED)}
    return sorted(name for name in fired if f"alert {name}, firing" not in expected)
