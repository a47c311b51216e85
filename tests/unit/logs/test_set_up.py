"""The logs of a whole process, in an interpreter of its own: the set-up replaces what pytest needs."""

import json
import subprocess
import sys
from typing import Any

import pytest

CANARY = "CaNaRy"


def run(script: str, *, form: str = "json", level: str = "INFO") -> str:
    """What the script writes to standard error, after the set-up."""
    begin = (
        "import logging, sys, threading, warnings\n"
        "from lengthwise import logs\n"
        f"logs.set_up('api', 'api-1', form={form!r}, level={level!r})\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", begin + script], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.stdout == ""
    return ran.stderr


def lines(script: str, level: str = "INFO") -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(script, level=level).splitlines()]


LOGS_ALL = """
for name in ("lengthwise.a", "api.b", "worker.c", "uvicorn.error", "celery.worker", "celery.app.trace", "httpcore"):
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logging.getLogger(name).log(level, "said")
"""


@pytest.mark.parametrize(
    ("level", "ours", "told", "others"),
    [("DEBUG", 4, 3, 2), ("INFO", 3, 3, 2), ("WARNING", 2, 2, 2), ("ERROR", 1, 1, 1)],
)
def test_the_level_is_that_of_our_own_lines(level: str, ours: int, told: int, others: int) -> None:
    found = [line["logger"] for line in lines(LOGS_ALL, level)]
    assert [found.count(name) for name in ("lengthwise.a", "api.b", "worker.c")] == [ours] * 3
    assert [found.count(name) for name in ("uvicorn.error", "celery.worker")] == [told] * 2
    assert [found.count(name) for name in ("celery.app.trace", "httpcore")] == [others] * 2


UNCAUGHT = {
    "a thread": f"t = threading.Thread(target=lambda: int('{CANARY}')); t.start(); t.join()",
    "the process": f"int('{CANARY}')",
    "a destructor": f"class Falls:\n  def __del__(self): int('{CANARY}')\nFalls()",
    "a warning": f"warnings.warn('{CANARY}')",
    "the loop": (
        f"import asyncio\nasync def run(): asyncio.get_running_loop().call_soon(int, '{CANARY}')\nasyncio.run(run())"
    ),
}


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("script", UNCAUGHT.values(), ids=UNCAUGHT)
def test_what_nobody_caught_is_a_line_without_a_message(script: str, form: str) -> None:
    said = run(script, form=form)
    assert CANARY not in said
    assert "Traceback" not in said
    if form == "json":
        [line] = [json.loads(each) for each in said.splitlines()]
        assert line["level"] in ("WARNING", "ERROR", "CRITICAL")


@pytest.mark.parametrize("name", ["multiprocessing", "some.library"])
def test_a_logger_that_passes_nothing_on_writes_lines_of_the_same_form(name: str) -> None:
    """Python would print their bare words. Celery's pool of processes logs so."""
    script = f"of = logging.getLogger({name!r})\nof.propagate = False\nof.error('process %s ended', 7)"
    [line] = lines(script)
    assert (line["logger"], line["level"], line["worker"]) == (name, "ERROR", "api-1")
    assert (line["message"] == "process 7 ended") == (name == "multiprocessing")


@pytest.mark.parametrize(("package", "is_shown"), [("celery", True), ("torch", True), ("psycopg", False)])
def test_the_words_of_a_warning_are_shown_if_it_is_about_the_process(package: str, is_shown: bool) -> None:
    said = f"warnings.showwarning({CANARY + chr(10) + 'again'!r}, UserWarning, '/a/site-packages/{package}/b.py', 3)"
    [line] = lines(said)
    assert line["message"] == f"UserWarning{f': {CANARY} again' if is_shown else ''}, {package}/b.py:3"


def test_a_handler_that_fails_prints_nothing() -> None:
    said = run(
        f"class Bad:\n  def __str__(self): raise ValueError('{CANARY}')\nlogging.getLogger('api').error('%s', Bad())"
    )
    assert CANARY not in said
    assert "could not be written" in said


def test_a_second_set_up_replaces_the_first() -> None:
    again = "logs.set_up('api', 'api-2', form='json', level='INFO')\nlogging.getLogger('api').info('once')"
    assert [(line["worker"], line["message"]) for line in lines(again)] == [("api-2", "once")]
