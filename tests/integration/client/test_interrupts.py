"""Ctrl-C and SIGTERM at any moment of a command: it says whether a job exists, and which. In real processes."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typer.testing import CliRunner

from lengthwise.cli import connection, watch
from lengthwise.cli.main import app
from lengthwise.client._error import refusal
from tests.integration.client.test_client import n_jobs
from tests.integration.conftest import RunWorker, read_job, submit
from tests.integration.wire import over_http
from tests.ledger import sql

#: A parent may have set SIGINT to be ignored, which a child inherits.
COMMAND = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from lengthwise.__main__ import main
main()
"""

#: As ``COMMAND``, but it is interrupted at one point of its start.
AT_ITS_START = """
import os, signal, sys
number, where = int(sys.argv.pop(1)), sys.argv.pop(1)
signal.signal(signal.SIGINT, signal.default_int_handler)
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == where:
            os.kill(os.getpid(), number)
sys.meta_path.insert(0, Interrupting())
from lengthwise.__main__ import main
if where == "client":
    from lengthwise.cli import connection
    connection.open_client = lambda *_, **__: os.kill(os.getpid(), number)
main()
"""

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
both = pytest.mark.parametrize(("signalled", "code"), SIGNALS, ids=["ctrl-c", "sigterm"])


class HeldApi:
    """The API, which stops at one moment of each request whose method, path and query match ``held``.

    ``reached`` is set then. The request goes on once ``go_on`` is set.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.held = "nothing"
        #: "unread": before the body is read; "read": before the API has it; "unanswered": once the answer is made;
        #: "begun": after its first bytes.
        self.moment = "unread"
        #: Whether the API goes on when it is asked for a job by its idempotency key.
        self.goes_on_when_asked = False
        #: Whether the test has ended, so that no request is to wait for a job.
        self.is_over = False
        self.reached, self.go_on = threading.Event(), threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        named = f"{scope['method']} {scope['path']}?{scope['query_string'].decode()}"
        if self.goes_on_when_asked and "?limit=1&idempotency_key=" in named:
            await self._app(scope, receive, send)
            self.go_on.set()
        elif not re.match(self.held, named):
            await self._app(scope, receive, send)
        elif self.moment == "unread":
            await self._hold()
            if not self.is_over:
                await self._app(scope, receive, send)
        elif self.moment == "unanswered":
            await self._answer_late(scope, receive, send)
        elif self.moment == "read":
            await self._app(scope, await self._all_of(receive), send)
        else:
            await self._app(scope, receive, self._broken(send))

    async def _hold(self) -> None:
        self.reached.set()
        while not self.go_on.is_set():
            await asyncio.sleep(0.01)

    async def _answer_late(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        await self._app(scope, receive, keep)
        await self._hold()
        for message in answer:
            await send(message)

    async def _all_of(self, receive: Receive) -> Receive:
        """Reads the whole body, and holds before the API may have it."""
        messages = [await receive()]
        while messages[-1].get("more_body"):
            messages.append(await receive())
        await self._hold()

        async def again() -> Message:
            return messages.pop(0) if messages else await receive()

        return again

    def _broken(self, send: Send) -> Send:
        async def part(message: Message) -> None:
            if body := message.get("body"):
                await send({"type": message["type"], "body": body[:50], "more_body": True})
                await self._hold()
                message["body"] = body[50:]
            await send(message)

        return part


@pytest.fixture
def held(client: TestClient) -> HeldApi:
    return HeldApi(client.app)


@pytest.fixture
def url(held: HeldApi) -> Iterator[str]:
    with over_http(held) as found:
        yield found
        held.is_over = True
        held.go_on.set()


@pytest.fixture
def start(url: str, api_key: str, tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts a command. It is killed when the test ends, if it still runs."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, at: str = url) -> "subprocess.Popen[str]":
        environment = {**os.environ, "LENGTHWISE_URL": at, "LENGTHWISE_API_KEY": api_key, "COLUMNS": "200"}
        command = [sys.executable, "-P", "-c", COMMAND, *arguments]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        started.append(subprocess.Popen(command, env=environment, cwd=tmp_path, text=True, **pipes))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def interrupted(process: "subprocess.Popen[str]", signalled: signal.Signals, code: int) -> str:
    """What the command says after the signal."""
    process.send_signal(signalled)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    assert "Traceback" not in stderr
    assert stdout == ""
    return stderr


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "in.txt").write_text("abc\nde fg\n")
    return "in.txt"


def only_job(client: TestClient) -> dict[str, Any]:
    [found] = client.get("/v1/jobs").json()["data"]
    return dict(found)


def key_in(stderr: str) -> str:
    return stderr.partition("--idempotency-key ")[2].partition("`")[0]


@both
def test_while_the_file_is_read_it_says_that_nothing_was_sent(
    start: Any, tmp_path: Path, signalled: signal.Signals, code: int
) -> None:
    os.mkfifo(tmp_path / "in.txt")
    process = start("submit", "in.txt", "--kind", "generate")
    with (tmp_path / "in.txt").open("wb") as writing:  # opens once the command reads
        writing.write(b"abc\n")
        writing.flush()
        stderr = interrupted(process, signalled, code)
    assert "nothing was sent, so there is no job" in stderr
    assert n_jobs() == 0


@both
@pytest.mark.parametrize("where", ["lengthwise.cli.main", "httpx", "lengthwise.client", "lengthwise.kinds", "client"])
def test_while_the_command_starts_it_says_that_there_is_no_job(
    tmp_path: Path, file: str, where: str, signalled: signal.Signals, code: int
) -> None:
    command = [sys.executable, "-P", "-c", AT_ITS_START, str(int(signalled)), where]
    ran = subprocess.run([*command, "submit", file, "--kind", "generate"], cwd=tmp_path, text=True, capture_output=True)
    assert ran.returncode == code, ran.stderr
    assert ran.stderr.strip() == "nothing was sent, so there is no job"
    assert ran.stdout == ""


@both
def test_while_the_file_is_sent_it_says_that_there_is_no_job(
    start: Any, held: HeldApi, file: str, signalled: signal.Signals, code: int
) -> None:
    held.held = "POST /v1/jobs"
    process = start("submit", file, "--kind", "generate", "--idempotency-key", "it's-mine")
    assert held.reached.wait(60)
    stderr = interrupted(process, signalled, code)
    assert "there is no job, unless the API had everything" in stderr
    assert "`lengthwise jobs --idempotency-key 'it'\"'\"'s-mine'`" in stderr, "as a shell reads it"
    assert n_jobs() == 0


@both
def test_once_the_job_is_made_but_its_answer_is_not_here_it_says_the_id(
    start: Any, held: HeldApi, client: TestClient, file: str, signalled: signal.Signals, code: int
) -> None:
    held.held, held.moment = "POST /v1/jobs", "unanswered"
    process = start("submit", file, "--kind", "generate", "-o", "out.txt")
    assert held.reached.wait(60)
    stderr = interrupted(process, signalled, code)
    job = only_job(client)
    assert f"the job {job['id']} goes on: wait for it with `lengthwise results {job['id']} --wait`" in stderr
    assert f"`lengthwise cancel {job['id']}`" in stderr
    assert job["state"] == "queued"


def test_a_job_that_the_api_makes_after_the_interruption_is_found_too(
    start: Any, held: HeldApi, client: TestClient, file: str
) -> None:
    held.held, held.moment, held.goes_on_when_asked = "POST /v1/jobs", "read", True
    process = start("submit", file, "--kind", "generate")
    assert held.reached.wait(60)
    stderr = interrupted(process, signal.SIGINT, 130)
    assert f"the job {only_job(client)['id']} goes on" in stderr


def test_the_key_that_it_names_finds_the_job_later(start: Any, held: HeldApi, client: TestClient, file: str) -> None:
    held.held, held.moment = "POST /v1/jobs", "unanswered"
    process = start("submit", file, "--kind", "generate")
    assert held.reached.wait(60)
    key = key_in(interrupted(process, signal.SIGINT, 130))
    submit(client, ["another"])
    asked = start("jobs", "--idempotency-key", key, "--json")
    stdout, _ = asked.communicate(timeout=60)
    [(ours,)] = sql("SELECT id FROM jobs WHERE idempotency_key = :key", key=key)
    assert [job["id"] for job in json.loads(stdout)] == [str(ours)]


def test_a_second_ctrl_c_ends_the_question_at_once(start: Any, held: HeldApi, file: str) -> None:
    held.held = r"POST|GET .*idempotency_key="
    process = start("submit", file, "--kind", "generate")
    assert held.reached.wait(60)
    held.reached.clear()
    process.send_signal(signal.SIGINT)
    assert held.reached.wait(60), "the question"
    stderr = interrupted(process, signal.SIGINT, 130)
    assert key_in(stderr), "it was said before the API was asked"


@both
def test_where_nothing_listens_it_says_at_once_that_it_retries_and_then_that_nobody_answers(
    start: Any, file: str, signalled: signal.Signals, code: int
) -> None:
    process = start("submit", file, "--kind", "generate", at="http://127.0.0.1:9")
    first = process.stderr.readline()
    assert "ConnectError" in first and "trying again for up to 120 s" in first
    stderr = interrupted(process, signalled, code)
    assert "the API does not say whether there is a job" in stderr
    assert key_in(stderr)


@both
@pytest.mark.parametrize("command", ["submit", "results", "status"])
def test_while_it_waits_it_says_the_id_and_that_the_job_goes_on(
    start: Any, held: HeldApi, client: TestClient, file: str, command: str, signalled: signal.Signals, code: int
) -> None:
    held.held = r"GET /v1/jobs/.*\?wait="
    if command == "submit":
        process = start("submit", file, "--kind", "generate", "-o", "my out.csv", "--force")
    else:
        waits = ["--watch"] if command == "status" else ["--wait", "-o", "my out.csv"]
        process = start(command, submit(client, ["abc"])["id"], *waits)
    assert held.reached.wait(60)
    stderr = interrupted(process, signalled, code)
    job = only_job(client)
    options = {"submit": " -o 'my out.csv' --force", "results": " -o 'my out.csv'", "status": ""}[command]
    assert f"the job {job['id']} goes on: wait for it with `lengthwise results {job['id']} --wait{options}`" in stderr
    assert f"`lengthwise cancel {job['id']}`" in stderr
    assert job["state"] == "queued"


@both
def test_while_it_downloads_out_stays_and_it_says_how_to_go_on(
    start: Any,
    held: HeldApi,
    client: TestClient,
    run_worker: RunWorker,
    tmp_path: Path,
    signalled: signal.Signals,
    code: int,
) -> None:
    job = submit(client, ["abc", "de fg"])["id"]
    run_worker()
    (tmp_path / "out.csv").write_text("mine\n")
    held.held, held.moment = rf"GET /v1/jobs/{job}/results\?", "begun"
    process = start("results", job, "-o", "out.csv", "--force")
    assert held.reached.wait(60)
    stderr = interrupted(process, signalled, code)
    assert f"the job {job} keeps its results: go on with `lengthwise results {job} -o out.csv --force`" in stderr
    assert (tmp_path / "out.csv").read_text() == "mine\n"
    assert {path.name for path in tmp_path.glob("*out*")} <= {"out.csv", "out.csv.part"}
    held.held = "nothing"
    process = start("results", job, "-o", "out.csv", "--force")
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert (tmp_path / "out.csv").read_text().count("\n") == 3


def test_a_retry_that_is_interrupted_says_the_id_of_the_new_job(
    start: Any, held: HeldApi, client: TestClient, run_worker: RunWorker
) -> None:
    job = submit(client, ["abc", "x" * 600])["id"]
    run_worker()
    sql("UPDATE items SET payload = :short WHERE index = 1", short=b'{"text":"abc"}')
    held.held, held.moment = f"POST /v1/jobs/{job}/retry", "unanswered"
    process = start("retry", job)
    assert held.reached.wait(60)
    stderr = interrupted(process, signal.SIGINT, 130)
    made = client.get("/v1/jobs").json()["data"][0]
    assert made["retry_of"] == job
    assert f"the job {made['id']} goes on" in stderr


@pytest.mark.parametrize("command", ["cancel", "delete"])
def test_a_change_that_is_interrupted_says_how_to_look_at_the_job(
    start: Any, held: HeldApi, client: TestClient, command: str
) -> None:
    job = submit(client, ["abc"])["id"]
    held.held = "POST" if command == "cancel" else "DELETE"
    process = start(command, job)
    assert held.reached.wait(60)
    assert f"`lengthwise status {job}` shows it" in interrupted(process, signal.SIGINT, 130)
    assert read_job(client, job)["state"] == "queued"


@pytest.mark.parametrize("command", [["jobs"], ["models"], ["status", "a"]])
def test_a_command_that_only_looks_ends_without_a_word(start: Any, held: HeldApi, command: list[str]) -> None:
    held.held = "GET"
    process = start(*command)
    assert held.reached.wait(60)
    assert interrupted(process, signal.SIGINT, 130) == ""


def test_other_commands_say_that_they_retry_too(start: Any) -> None:
    process = start("jobs", at="http://127.0.0.1:9")
    _, stderr = process.communicate(timeout=60)
    assert stderr.count("trying again for up to 3 s") == 1
    assert stderr.rstrip().endswith("name another")
    assert process.returncode == 3


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_stays_away_leaves_the_id_or_the_key_of_the_job(
    url: str, client: TestClient, monkeypatch: pytest.MonkeyPatch, api_key: str, status: int
) -> None:
    """In this process, with shorter retries than a user has."""
    monkeypatch.setattr(connection, "LONG_RETRY_SECONDS", 0.5)
    monkeypatch.setattr(connection, "ASK_SECONDS", 0.5)
    monkeypatch.setenv("LENGTHWISE_API_KEY", api_key)
    submitted = ["submit", "-", "--kind", "generate", "--wait"]
    lost = CliRunner().invoke(app, [*submitted, "--url", "http://127.0.0.1:9"], input=b'"abc"')
    assert lost.exit_code == 3
    assert (
        f"it is not known whether there is a job: `lengthwise jobs --idempotency-key {key_in(lost.stderr)}`"
        in lost.stderr
    )

    def refuse(*_: Any, **__: Any) -> None:
        raise refusal(status, None, b'{"title":"away"}')

    monkeypatch.setattr(watch, "until_ended", refuse)
    away = CliRunner().invoke(app, [*submitted, "--url", url], input=b'"abc"')
    assert away.exit_code == 3
    assert f"the job {only_job(client)['id']} goes on" in away.stderr
