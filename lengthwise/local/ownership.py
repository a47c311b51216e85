"""Whether a file can have been written only by this user or by root, so that its keys or its code may be used."""

import grp
import os
import pwd
import stat
from pathlib import Path

from lengthwise.errors import ConfigurationError


def own(path: Path) -> Path:
    """``path`` without links, once it and every folder above it proved to be ours or root's alone.

    In a folder such as ``/tmp`` everyone may write, but nobody may replace another's file; that suffices for the
    folders above. Raises ``ConfigurationError``, which names the first place that others could change, and ``OSError``
    if there is no such file.
    """
    found = path.resolve(strict=True)
    for place in (found, *found.parents):
        status = place.stat()
        if status.st_uid not in (os.geteuid(), 0):
            raise ConfigurationError(f"{place} belongs to another user: give it to this one, or remove it")
        keeps_entries = place != found and status.st_mode & stat.S_ISVTX
        others = stat.S_IWOTH if _is_alone_in(status.st_gid) else stat.S_IWOTH | stat.S_IWGRP
        if status.st_mode & others and not keeps_entries:
            raise ConfigurationError(f"others may write {place}: chmod go-w {place}")
    return found


def _is_alone_in(gid: int) -> bool:
    """Whether the group is the user's own, as many systems make for each user. Its members may write by default."""
    try:
        user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(gid)
    except KeyError:
        return False
    return group.gr_name == user and set(group.gr_mem) <= {user}
