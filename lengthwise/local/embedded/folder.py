"""The data folder, which one ``lengthwise up`` at a time may use, and the temporary folder for its sockets."""

import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import IO

from lengthwise.child import Account, Pause
from lengthwise.errors import ConfigurationError
from lengthwise.local.embedded.account import can_reach

#: How long the servers of an ``up`` that was killed may still take to end.
_ORPHAN_SECONDS = 20.0
#: A unix socket's path has at most 108 bytes, and PostgreSQL adds ``/.s.PGSQL.5432.lock`` to the folder.
_LONGEST_BASE = 75


class Folder:
    """The folder ``data``. From ``open`` to ``close`` it is locked against other processes."""

    def __init__(self, data: Path, pause: Pause) -> None:
        # resolve() would follow links, but messages should name the path that the user gave.
        self.path = Path(os.path.abspath(data))  # noqa: PTH100
        self.logs = self.path / "logs"
        self._pause = pause
        self._locks: list[IO[str]] = []
        self._link = self.path / "sockets"
        self._sockets: Path | None = None

    def open(self) -> None:
        """Makes and locks the folder. Logs of the last run get the suffix ``.1``.

        Raises ``ConfigurationError`` if another process uses the folder, or it cannot be written.
        """
        try:
            if not self.path.exists():
                self.path.mkdir(parents=True)
                self.path.chmod(0o711)  # PostgreSQL's own user must get through, whatever root's umask is
            self.logs.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from None
        self._lock("lock", 0, f"{self.path} is in use by another lengthwise: stop it, or give another --data")
        for log in self.logs.glob("*.log"):
            log.replace(log.with_name(f"{log.name}.1"))

    def lock_postgres(self) -> int:
        """Locks a file that all processes of the server inherit. It is free again once the last of them has ended.

        Returns its file descriptor. Waits for the server of an ``up`` that was killed.
        """
        refusal = f"a PostgreSQL server still uses {self.path}: stop it, or give another --data"
        return self._lock("postgres.lock", _ORPHAN_SECONDS, refusal)

    def _lock(self, name: str, patience: float, refusal: str) -> int:
        try:
            handle = (self.path / name).open("w")
        except OSError as error:
            raise self._unwritable(error) from None
        self._locks.append(handle)
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return handle.fileno()
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise ConfigurationError(refusal) from None
                self._pause(0.1)

    def _unwritable(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(f"cannot write in {self.path}: {error.strerror}; give another --data")

    def sockets(self, account: Account | None) -> Path:
        """A private folder with a short path. The path of ``data`` may be long, or its file system without sockets.

        The folder belongs to the first account that asks.
        """
        if self._sockets is None:
            bases = dict.fromkeys([Path(tempfile.gettempdir()), Path("/tmp")])  # noqa: S108 - TMPDIR may not fit
            fit = [base for base in bases if len(bytes(base)) <= _LONGEST_BASE and can_reach(account, base)]
            if not fit:
                raise ConfigurationError(
                    "there is no folder for unix sockets: set TMPDIR to a folder with a short path"
                )
            self._forget_sockets(fit)
            self._sockets = Path(tempfile.mkdtemp(prefix="lw-", dir=fit[0]))
            self._link.symlink_to(self._sockets)
            if account is not None:
                os.chown(self._sockets, account.uid, account.gid)
        return self._sockets

    def _forget_sockets(self, bases: list[Path]) -> None:
        """Removes the folder that an ``up`` left when it was killed. Removes only folders that look like our own."""
        if self._link.is_symlink():
            left = self._link.readlink()
            if left.parent in bases and left.name.startswith("lw-"):
                shutil.rmtree(left, ignore_errors=True)
            self._link.unlink()

    def close(self) -> None:
        """Unlocks the folder, and removes the folder of the sockets."""
        if self._sockets is not None:
            self._forget_sockets([self._sockets.parent])
            self._sockets = None
        while self._locks:
            self._locks.pop().close()
