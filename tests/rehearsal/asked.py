"""The witnesses of every installation: the page, the commands, ``/readyz``, ``/metrics`` and Prometheus' alerts."""

import re
from collections.abc import Callable, Sequence
from html import unescape

import httpx

from tests.rehearsal.installation import RehearsedInstallation
from tests.rehearsal.witness import Witness

#: A command starts a Python, which takes half a second of a core.
COMMAND_PAUSE = 2.0

_BOX = re.compile(r'<div class="why[^"]*">(.*?)</div>', re.DOTALL)
_PARAGRAPH = re.compile(r"<p>(.*?)</p>", re.DOTALL)
_TAG = re.compile(r"<[^>]+>")

Find = Callable[[Sequence[str]], str | None]


def line(pattern: str) -> Find:
    """The first line in which the pattern is found."""
    sought = re.compile(pattern)
    return lambda lines: next((each for each in lines if sought.search(each)), None)


def no_line(pattern: str, sentence: str) -> Find:
    """This sentence, if the pattern is found in no line: what is missing tells of the incident."""
    sought = re.compile(pattern)
    return lambda lines: None if any(map(sought.search, lines)) else sentence


def said_on(page: str) -> list[str]:
    """What a page says in its boxes: what is not well, or why a job is not done."""
    paragraphs = [paragraph for box in _BOX.findall(page) for paragraph in _PARAGRAPH.findall(box)]
    return [" ".join(unescape(_TAG.sub("", each)).split()) for each in paragraphs]


def rows(printed: str) -> list[str]:
    """The rows of a printed table. A row that goes on below is made one."""
    return [" ".join(row.split()) for row in re.sub(r"\n {3,}", " ", printed).splitlines()]


class Asked:
    """Makes witnesses of an installation, each from how it tells of an incident."""

    def __init__(self, installation: RehearsedInstallation) -> None:
        self._installation = installation

    def overview(self, find: Find) -> Witness:
        return Witness("page, overview", lambda: said_on(self._installation.page("/page")), find)

    def job_page(self, job: Callable[[], str], find: Find) -> Witness:
        return Witness("page, job", lambda: said_on(self._installation.page(f"/page/jobs/{job()}")), find)

    def status(self, job: Callable[[], str], find: Find) -> Witness:
        return Witness(
            "`lengthwise status`", lambda: rows(self._installation.command("status", job())), find, COMMAND_PAUSE
        )

    def workers(self, find: Find) -> Witness:
        return Witness("`lengthwise workers`", lambda: rows(self._installation.command("workers")), find, COMMAND_PAUSE)

    def tenants(self, find: Find) -> Witness:
        def ask() -> list[str]:
            return rows(self._installation.command("tenants", "list"))

        return Witness("`lengthwise tenants list`", ask, find, COMMAND_PAUSE)

    def limits(self, key: Callable[[], str], find: Find) -> Witness:
        """``key``: that of a tenant."""

        def ask() -> list[str]:
            return rows(self._installation.command("limits", "--key", key()))

        return Witness("`lengthwise limits`", ask, find, COMMAND_PAUSE)

    def readyz(self, find: Find) -> Witness:
        def ask() -> list[str]:
            answer = httpx.get(f"{self._installation.url}/readyz", timeout=10)
            return [f"{answer.status_code} {answer.text}"]

        return Witness("`/readyz`", ask, find)

    def metrics(self, place: int, find: Find, lasts: str | None = None) -> Witness:
        """``place``: 0 is the API, 1 the generation worker, 2 the delivery worker."""
        url = f"http://127.0.0.1:{self._installation.ports[place]}/metrics"

        def ask() -> list[str]:
            return httpx.get(url, timeout=10).raise_for_status().text.splitlines()

        return Witness("`/metrics`", ask, find, lasts=lasts)

    def alert(self, name: str, lasts: str | None = None) -> list[Witness]:
        """Two witnesses: it is pending, and it fires."""

        def ask() -> list[str]:
            return [
                f"{each['labels']['alertname']} {each['state']}: {each['annotations']['summary']}. "
                f"{each['annotations']['description']}"
                for each in self._installation.scraper.alerts()
            ]

        pending, firing = f"alert {name}, pending", f"alert {name}, firing"
        return [
            Witness(pending, ask, line(rf"^{name} (pending|firing): "), lasts=""),
            Witness(firing, ask, line(rf"^{name} firing: "), lasts=lasts),
        ]
