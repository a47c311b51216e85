"""A real PgBouncer in transaction mode before the suite's Postgres, if the machine has one."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from lengthwise.child import Account, Child, Program, stop
from tests.servers import free_port, wait_until

#: Debian installs it where only root looks.
PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/sbin")
#: Few sessions of the server for many clients, so that consecutive transactions seldom get the same one.
SESSIONS = 6
_CONFIGURATION = """\
[databases]
{name} = host={host} port={port} dbname={name} user={user} {password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
max_client_conn = 500
server_round_robin = 1
server_login_retry = 1
logfile = {folder}/pgbouncer.log
"""


class PgBouncer:
    """It may be killed and started again on the same port."""

    def __init__(self, database_url: str, folder: Path) -> None:
        url = make_url(database_url)
        self._port = free_port()
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(
            _CONFIGURATION.format(
                name=url.database,
                host=url.query.get("host", url.host),
                port=url.query.get("port", url.port or 5432),
                user=url.username,
                password=f"password={url.password}" if url.password else "",
                listen_port=self._port,
                folder=folder,
                sessions=SESSIONS,
            )
        )
        self.url = f"postgresql://{url.username}@127.0.0.1:{self._port}/{url.database}"
        account = _account(str(url.query.get("host", "")))
        if account is not None:
            os.chown(folder, account.uid, account.gid)
        self._child = Child(
            Program("pgbouncer", [str(PROGRAM), str(configuration)], account=account), folder / "output"
        )

    def start(self) -> None:
        self._child.start()
        wait_until(self._answers, 20)

    def kill(self) -> None:
        self._child.kill()

    def stop(self) -> None:
        stop([self._child], 0)

    def _answers(self) -> bool:
        assert self._child.is_running, self._child.output()
        try:
            with psycopg.connect(self.url, connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False


def _account(sockets: str) -> Account | None:
    """The user to run it as. It refuses to run as root, and must reach the server's socket."""
    if os.getuid():
        return None
    owner = Path(sockets).stat() if sockets.startswith("/") else None
    return Account(owner.st_uid, owner.st_gid) if owner and owner.st_uid else Account(65534, 65534)


@contextmanager
def pooled(database_url: str) -> Iterator[PgBouncer]:
    """Runs a PgBouncer for this database."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        bouncer = PgBouncer(database_url, Path(folder))
        try:
            bouncer.start()
            yield bouncer
        finally:
            bouncer.stop()
