"""The two forms of a log line."""

import json
import logging
import os
import re
import sys
from typing import Any
from uuid import UUID

import pytest

from lengthwise import logs
from lengthwise.logs.form import ConsoleFormatter, JsonFormatter, LineFormatter

CANARY = "CaNaRy"
JOB = UUID(int=7)
FORMS = pytest.mark.parametrize("form", [JsonFormatter, ConsoleFormatter])


def record(name: str, said: object, *arguments: object, error: BaseException | None = None, **more: Any) -> Any:
    information = (type(error), error, error.__traceback__) if error else None
    made = logging.LogRecord(name, logging.WARNING, "/site-packages/lib/file.py", 12, said, arguments, information, "f")
    made.created = 0.25
    vars(made).update(more)
    return made


def shown(form: type[LineFormatter], given: logging.LogRecord) -> str:
    return form("generate", "generate-1@host").format(given)


def test_a_json_line_has_all_that_is_bound() -> None:
    with logs.bound(job=JOB, shard=3, batch=None):
        line = shown(JsonFormatter, record("worker.generation", "a batch of %d", 8, fields={"seconds": 1 / 3}))
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.250Z",
        "level": "WARNING",
        "logger": "worker.generation",
        "message": "a batch of 8",
        "role": "generate",
        "worker": "generate-1@host",
        "pid": os.getpid(),
        "job": str(JOB),
        "shard": 3,
        "seconds": 0.333333,
    }


def test_a_json_line_is_one_line_whatever_is_in_it() -> None:
    with logs.bound(pool="a\nb\u2028c\ud800"):
        line = shown(JsonFormatter, record("worker", "two\nlines \U0001f600"))
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert json.loads(line)["message"] == "two\nlines \U0001f600"


def test_a_console_line_is_read_from_left_to_right() -> None:
    with logs.bound(job=JOB, shards=[1, 2]):
        line = shown(ConsoleFormatter, record("worker.generation", "a batch of %d", 8))
    ids = f"job={JOB} shards=1,2"
    who = f"[generate-1@host {os.getpid()}]"
    assert line == f"1970-01-01T00:00:00.250Z WARNING worker.generation {who} a batch of 8 {ids}"


@FORMS
def test_an_error_is_shown_without_its_message(form: type[LineFormatter]) -> None:
    try:
        raise ValueError(CANARY)
    except ValueError as error:
        passed = shown(form, record("worker", "failed", **logs.raised(error)))
        caught = shown(form, record("uvicorn.error", "failed", error=error))
    for line in (passed, caught):
        assert "ValueError" in line
        assert re.search(r"test_form\.py:\d+ test_an_error_is_shown_without_its_message", line)
        assert CANARY not in line


@FORMS
@pytest.mark.parametrize(
    "given",
    [
        record("asyncio", f"Exception in callback {CANARY}"),
        record("httpcore.http11", "send %s", CANARY),
        record("psycopg", "error: %s", CANARY),
        record("sqlalchemy.engine.Engine", f"INSERT {CANARY}"),
        record("multipart", CANARY),
        record("somebodys.kind", CANARY),
        record("uvicorn.error", f"Exception in ASGI application\n{CANARY}"),
        record("celery.app.trace", "Task %(name)s raised: %(exc)s", {"name": "generate", "exc": CANARY}),
        record("celery.worker.request", "Task handler raised error: %r", CANARY, error=ValueError(CANARY)),
        record("worker", "too few arguments %s %s", CANARY),
        record("root", "%d", CANARY),
    ],
    ids=lambda given: given.name,
)
def test_what_a_library_says_of_a_text_is_not_shown(form: type[LineFormatter], given: logging.LogRecord) -> None:
    line = shown(form, given)
    assert CANARY not in line
    assert given.name in line


@FORMS
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (record("uvicorn.error", "Uvicorn running on %s", "http://127.0.0.1"), "Uvicorn running on http://127.0.0.1"),
        (record("celery.worker.consumer", "Connected to %s", "redis"), "Connected to redis"),
        (record("transformers.modeling", "this model has no head"), "this model has no head"),
        (record("asyncio", "secret"), "a line that is not shown, because it may hold a text, file.py:12 f"),
    ],
)
def test_what_a_library_says_of_the_installation_is_shown(
    form: type[LineFormatter], given: logging.LogRecord, said: str
) -> None:
    assert said in shown(form, given)


def test_what_a_library_would_say_of_an_error_is_left_out_visibly() -> None:
    given = record("celery.worker.request", "Task handler raised error: %r", CANARY, error=ValueError(CANARY))
    assert json.loads(shown(JsonFormatter, given))["message"] == "Task handler raised error: …"


def test_an_error_of_a_task_names_the_task() -> None:
    told = {"name": "generate", "description": "raised unexpected", "exc": CANARY}
    line = json.loads(shown(JsonFormatter, record("celery.app.trace", "%(exc)s", told)))
    assert line["message"] == "task generate raised unexpected"


def test_the_standard_form_of_an_error_is_never_kept_on_the_record() -> None:
    """Another handler would print it."""
    try:
        raise ValueError(CANARY)
    except ValueError:
        made = record("worker", "failed")
        made.exc_info = sys.exc_info()
    shown(JsonFormatter, made)
    assert made.exc_text is None
