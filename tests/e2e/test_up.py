"""``lengthwise up`` for a newcomer: one command, a line that says ready, and no processes left at the end."""

import http.client
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest

from tests.caller import bearer
from tests.fakes import write_catalog, write_config
from tests.servers import (
    DATABASE_VARIABLE,
    OF_AN_INSTALLATION,
    Up,
    processes_mentioning,
    up,
    wait_until,
)


def _status(url: str, path: str = "/readyz", key: str | None = None) -> int:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        connection.request("GET", path, headers={} if key is None else bearer(key))
        return connection.getresponse().status
    finally:
        connection.close()


def _database(running: Up) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(running.environment()[DATABASE_VARIABLE])


def test_it_says_ready_and_is(data: Path) -> None:
    with up(data) as running:
        assert _status(running.wait_ready()) == 200
        assert running.said.read_text().count("\n") == 1


def test_its_first_key_lets_in_and_is_still_the_same_after_a_restart(data: Path) -> None:
    with up(data, "--workers", "0") as running:
        url, key = running.wait_ready(), running.key()
        assert running.progress.read_text().count(key) == 1
        assert _status(url, "/v1/jobs") == 401
        made = _lengthwise("keys", "create", "shop", "--data", str(data), "--url", url)
        assert made.returncode == 0, made.stderr
        assert _status(url, "/v1/jobs", made.stdout.strip()) == 200
        running.stop()
    with up(data, "--workers", "0") as running:
        assert _status(running.wait_ready(), "/v1/jobs", made.stdout.strip()) == 200
        assert running.key() == key
        assert key not in running.progress.read_text()
        assert not any(key in log.read_text() for log in (data / "logs").iterdir())


def test_sigterm_stops_everything_it_started(data: Path) -> None:
    with up(data) as running:
        sockets = running.environment()[DATABASE_VARIABLE].rsplit("host=", 1)[1]
        assert len(processes_mentioning(sockets)) >= 5
        assert running.stop() == 0
        assert processes_mentioning(sockets) == []
        assert not Path(sockets).exists()


def test_ctrl_c_stops_it_too_while_it_is_still_starting(data: Path) -> None:
    running = Up(data)
    wait_until(lambda: "servers ready" in running.progress.read_text())
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(60) == 0
    assert running.said.read_text() == ""
    assert processes_mentioning(str(data)) == []


def test_a_restart_keeps_the_data(data: Path) -> None:
    with up(data, "--workers", "0") as running:
        with _database(running) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        running.stop()
    with up(data, "--workers", "0") as running, _database(running) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_what_is_killed_is_started_again(data: Path) -> None:
    with up(data) as running:
        url = running.wait_ready()
        postmaster = int((data / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        generate = processes_mentioning("--queues\0generate")
        os.kill(postmaster, signal.SIGKILL)
        for pid in generate:
            if str(running.process.pid) in Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: running.progress.read_text().count("restart in 1 s") == 2)
        wait_until(lambda: _is_ready(url))
        wait_until(lambda: (data / "logs" / "generate-1.log").read_text().count(" ready.") == 2)


def _is_ready(url: str) -> bool:
    try:
        return _status(url) == 200
    except OSError:
        return False


#: Nothing may be left for longer after ``lengthwise up`` was killed.
_LEFT_SECONDS = 10.0


def test_when_it_is_killed_what_it_started_ends_too_and_the_next_one_starts(data: Path) -> None:
    with up(data) as running:
        sockets = running.environment()[DATABASE_VARIABLE].rsplit("host=", 1)[1]
        running.process.kill()
        running.process.wait()
        with up(data) as after:
            wait_until(lambda: processes_mentioning(sockets) == [], patience=_LEFT_SECONDS)
            assert _status(after.wait_ready()) == 200
            assert not Path(sockets).exists()


def test_when_it_is_killed_with_an_engine_that_hangs_nothing_is_left(data: Path) -> None:
    with up(data) as running:
        sockets = running.environment()[DATABASE_VARIABLE].rsplit("host=", 1)[1]
        running.wait_ready()
        for process in processes_mentioning("--queues\0generate"):
            if process in processes_mentioning(sockets):
                os.kill(process, signal.SIGSTOP)
        running.process.kill()
        running.process.wait()
        wait_until(lambda: processes_mentioning(sockets) == [], patience=_LEFT_SECONDS)


@pytest.mark.parametrize("after_seconds", [0, 0.4, 0.8, 1.2, 2.0])
def test_when_it_is_killed_while_it_starts_nothing_is_left(data: Path, after_seconds: float) -> None:
    mark = f"killed-{uuid4()}"
    running = Up(data, environment={"A_MARK": mark})
    wait_until(lambda: "servers ready" in running.progress.read_text())
    time.sleep(after_seconds)
    running.process.kill()
    running.process.wait()
    # PostgreSQL overwrites its environment with its title, but names its folder in its command line.
    wait_until(lambda: not processes_mentioning(mark) + processes_mentioning(str(data)), patience=_LEFT_SECONDS)


def test_a_second_one_on_the_same_folder_says_so_in_one_line(data: Path) -> None:
    with up(data, "--workers", "0") as running:
        second = _lengthwise("up", "--data", str(data), "--port", "0")
        assert second.returncode == 2
        assert second.stderr == f"lengthwise: {data} is in use by another lengthwise: stop it, or give another --data\n"
        assert _status(running.wait_ready()) == 200


def test_a_port_in_use_is_named(data: Path) -> None:
    with up(data, "--workers", "0") as running:
        port = str(urlsplit(running.wait_ready()).port)
        second = _lengthwise("up", "--data", str(data.with_name("other")), "--port", port)
        assert second.returncode == 2
        assert second.stderr.count("\n") == 1
        assert f"port {port}" in second.stderr


@pytest.mark.parametrize("command", ["api", "worker", "migrate"])
def test_a_command_without_its_servers_names_the_variable(command: str) -> None:
    ran = _lengthwise(command)
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"lengthwise: {DATABASE_VARIABLE}")
    assert ran.stderr.count("\n") == 1


def _lengthwise(*arguments: str) -> subprocess.CompletedProcess[str]:
    bare = {name: value for name, value in os.environ.items() if name not in OF_AN_INSTALLATION}
    command = [sys.executable, "-P", "-m", "lengthwise", *arguments]
    return subprocess.run(command, env=bare, capture_output=True, text=True, timeout=60, check=False)


def _catalog(folder: Path) -> Path:
    """Two models, of which the second has no folder."""
    path = write_catalog(folder)
    path.write_text(path.read_text() + '[models.gone]\npath = "gone"\n[models.gone.moderate]\n')
    return path


def test_it_says_which_model_cannot_be_served_and_a_job_for_it_is_refused_at_once(data: Path, tmp_path: Path) -> None:
    path = _catalog(tmp_path / "models")
    (tmp_path / "in.txt").write_text("I will find you\n")
    with up(data, environment={"LENGTHWISE_MODELS": str(path)}) as running:
        url, key = running.wait_ready(), running.key()
        said = "model gone cannot be served: the folder that models.toml names does not exist"
        assert running.progress.read_text().count(said) == 1
        server = ("--url", url, "--key", key)
        refused = _lengthwise("submit", str(tmp_path / "in.txt"), "--kind", "moderate", *server)
        assert (refused.returncode, said in refused.stderr) == (3, True)
        listed = _lengthwise("models", *server).stdout
        assert "gone cannot be served: the folder that models.toml names does not exist" in listed
        assert "To mend it: copy the model's folder there" in listed
        write_config(path.parent / "gone", "BertForSequenceClassification", id2label={"0": "hate"})
        weights = _lengthwise("submit", str(tmp_path / "in.txt"), "--kind", "moderate", *server)
        assert "no model.safetensors" in weights.stderr


def test_without_a_model_that_can_be_served_it_does_not_start(data: Path, tmp_path: Path) -> None:
    path = _catalog(tmp_path / "models")
    (path.parent / "echo" / "tokenizer.json").unlink()
    running = Up(data, environment={"LENGTHWISE_MODELS": str(path)})
    assert running.process.wait(60) == 2
    said = running.progress.read_text()
    assert said.startswith("lengthwise: no model can be served\nmodel echo cannot be served: ")
    assert "\nmodel gone cannot be served: " in said
    assert not data.exists()
