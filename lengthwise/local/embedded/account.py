"""PostgreSQL refuses to run as root. This gives it an OS user of its own, and files that this user can reach."""

import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from lengthwise.child import Account, as_user
from lengthwise.errors import ConfigurationError

Say = Callable[[str], None]

#: The name that the wheel's own launcher uses too, so that a machine has only one such user.
USER = "pgserver"
#: Where data and programs go if the user cannot reach their place, such as below /root.
REACHABLE = Path("/var/lib/lengthwise")


def choose(data: Path, say: Say) -> Account | None:
    """The account that runs PostgreSQL on ``data``; None is this process's own. Raises ``ConfigurationError``."""
    owner = data.stat() if data.exists() else None
    if os.geteuid() != 0:
        if owner and owner.st_uid != os.geteuid():
            raise ConfigurationError(f"{data} belongs to another user: run as that user, or give another --data")
        return None
    if owner and owner.st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    entry = _entry(say)
    return Account(entry.pw_uid, entry.pw_gid)


def _entry(say: Say) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(USER)
    except KeyError:
        pass
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if useradd is None:
        raise ConfigurationError(f"PostgreSQL refuses to run as root: create the OS user {USER}, or do not run as root")
    say(f"PostgreSQL refuses to run as root: creating the OS user {USER} for it")
    command = [useradd, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", USER]
    subprocess.run(command, check=True)  # noqa: S603
    return pwd.getpwnam(USER)


def can_reach(account: Account | None, path: Path) -> bool:
    """Whether the account may search ``path`` (a folder) or run it (a file)."""
    if account is None:
        return os.access(path, os.X_OK)
    test = ["/usr/bin/test", "-x", str(path)]
    return subprocess.run(test, cwd="/", check=False, **as_user(account)).returncode == 0  # noqa: S603


def place_data(account: Account | None, wanted: Path, say: Say) -> Path:
    """The folder of the data: ``wanted``, or if the account cannot reach that, another one to which it links.

    If it is missing, it is made, empty and owned by the account.
    """
    if not wanted.exists():
        place = wanted
        if not can_reach(account, wanted.parent):
            place = Path(tempfile.mkdtemp(prefix="data-", dir=_reachable()))
            say(f"the OS user {USER} cannot reach {wanted.parent}: PostgreSQL's data is in {place}")
            wanted.unlink(missing_ok=True)
            wanted.symlink_to(place)
        place.mkdir(mode=0o700, exist_ok=True)
    if account is not None:
        os.chown(wanted, account.uid, account.gid)
    return wanted.resolve()


def place_programs(account: Account | None, folder: Path, libraries: Path) -> Path:
    """``folder`` if the account can reach it, else a copy of it and of the libraries beside its parent."""
    if can_reach(account, folder / "bin" / "postgres"):
        return folder
    version = hashlib.sha256(bytes(folder) + str(folder.stat().st_mtime_ns).encode()).hexdigest()[:12]
    root = _reachable() / f"programs-{version}"
    copy = root / folder.parent.name / folder.name
    if not copy.exists():
        unfinished = Path(tempfile.mkdtemp(prefix="copy-", dir=root.parent))
        shutil.copytree(libraries, unfinished / libraries.name)
        needless = shutil.ignore_patterns("include", "*.a")
        shutil.copytree(folder, unfinished / folder.parent.name / folder.name, ignore=needless)
        for path in (unfinished, *unfinished.rglob("*")):
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444))
        unfinished.rename(root)
    if not can_reach(account, copy / "bin" / "postgres"):
        raise ConfigurationError(f"the OS user {USER} cannot reach {REACHABLE}: give it access, or do not run as root")
    return copy


def _reachable() -> Path:
    if not REACHABLE.exists():
        REACHABLE.mkdir(parents=True)
        REACHABLE.chmod(0o755)  # root's umask may be stricter
    return REACHABLE
