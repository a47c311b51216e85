"""The embedded servers: what survives, what is refused, and that nothing is left behind."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from lengthwise.errors import ConfigurationError
from lengthwise.local.embedded import Servers, postgres
from tests.servers import processes_mentioning, reachable_folder, redis_client


@pytest.fixture
def folder() -> Iterator[Path]:
    with reachable_folder() as made:
        yield made


def _remember(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")


def _recall(database_url: str) -> object:
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT answer FROM kept").fetchone()
        return row and row[0]


def test_both_servers_answer_once_they_are_started(folder: Path) -> None:
    with Servers(folder / "data", durable=False) as servers:
        assert servers.database_url
        assert servers.redis_url
        with psycopg.connect(servers.database_url) as connection:
            assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)
        with redis_client(servers.redis_url) as client:
            assert client.ping()


def test_data_survives_a_restart(folder: Path) -> None:
    with Servers(folder / "data") as servers:
        assert servers.database_url
        _remember(servers.database_url)
    with Servers(folder / "data") as servers:
        assert servers.database_url
        assert _recall(servers.database_url) == 42


def test_data_survives_kill_9_of_postgres(folder: Path) -> None:
    with Servers(folder / "data", durable=False) as servers:
        assert servers.database_url
        _remember(servers.database_url)
        server = next(child for child in servers.children if child.name == "postgres")
        assert server.pid
        os.kill(server.pid, signal.SIGKILL)
    assert (folder / "data" / "postgres" / "postmaster.pid").exists()
    with Servers(folder / "data", durable=False) as servers:
        assert servers.database_url
        assert _recall(servers.database_url) == 42


def test_a_database_whose_making_was_killed_is_made_anew(folder: Path) -> None:
    """By the end of the machine or its container, at any moment of initdb."""
    data = folder / "data"
    with Servers(data, durable=False):
        pass
    (data / "postgres.unfinished").touch()
    (data / "postgres" / "global" / "pg_control").unlink()
    with Servers(data, durable=False) as servers:
        assert servers.database_url
        _remember(servers.database_url)
    assert not (data / "postgres.unfinished").exists()
    with Servers(data, durable=False) as servers:
        assert servers.database_url
        assert _recall(servers.database_url) == 42


def test_whoever_waits_for_a_server_that_refuses_is_told_why(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Servers(folder / "data", durable=False):
        pass
    monkeypatch.setattr(postgres, "_MENTION_SECONDS", 0.5)
    monkeypatch.setattr(postgres, "SUPERUSER", "nobody_of_this_name")
    said: list[str] = []

    def pause(seconds: float) -> None:
        time.sleep(seconds)
        if any("nobody_of_this_name" in line for line in said):
            raise InterruptedError

    with pytest.raises(InterruptedError):
        Servers(folder / "data", durable=False, say=said.append, pause=pause).start()
    assert said[-1].startswith("still waiting for PostgreSQL: ")


def test_a_stale_pid_file_of_a_reused_process_id_does_not_prevent_a_start(folder: Path) -> None:
    with Servers(folder / "data", durable=False):
        lines = (folder / "data" / "postgres" / "postmaster.pid").read_text().splitlines()
    pid_file = folder / "data" / "postgres" / "postmaster.pid"
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))
    with Servers(folder / "data", durable=False) as servers:
        assert servers.database_url


def test_a_second_start_on_the_same_folder_is_refused_and_the_first_continues(folder: Path) -> None:
    with Servers(folder / "data", durable=False) as servers:
        with pytest.raises(ConfigurationError, match="in use by another lengthwise"):
            Servers(folder / "data", durable=False).start()
        assert servers.database_url
        with psycopg.connect(servers.database_url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_no_process_and_no_socket_is_left(folder: Path) -> None:
    with Servers(folder / "data", durable=False) as servers:
        assert servers.database_url
        sockets = Path(servers.database_url.rsplit("host=", 1)[1])
        assert processes_mentioning(str(sockets))
    assert not processes_mentioning(str(sockets))
    assert not sockets.exists()


def test_a_folder_with_a_path_too_long_for_a_socket_works(folder: Path) -> None:
    deep = folder / ("d" * 60) / ("e" * 60)
    with Servers(deep, durable=False) as servers:
        assert servers.database_url


def test_servers_with_configured_urls_are_not_started(folder: Path) -> None:
    with Servers(folder / "data", database_url="postgresql://elsewhere/db", redis_url="redis://elsewhere") as servers:
        assert servers.children == []
        assert servers.database_url == "postgresql://elsewhere/db"


def test_the_error_names_a_folder_that_cannot_be_made(folder: Path) -> None:
    (folder / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"cannot write in .*--data"):
        Servers(folder / "file" / "data").start()


def test_a_server_that_cannot_start_says_why(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(postgres.SETTINGS, "shared_buffers", "lots")
    with pytest.raises(ConfigurationError, match="shared_buffers"):
        Servers(folder / "data", durable=False).start()
    assert not processes_mentioning(str(folder))
