"""Compares files in the hub's cache with the sums by which the cache names them."""

import hashlib
import re
from pathlib import Path

from lengthwise.errors import ConfigurationError
from lengthwise.models.published.naming import said

_BLOCK = 1 << 20
_SHA256, _SHA1 = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{40}")


def refuse_damaged(folder: Path, name: str) -> None:
    """Compares a file with the sum by which the cache names it, and forgets it if it differs.

    ``huggingface_hub`` compares sizes alone, and would never fetch a file again that it has. Raises
    ``ConfigurationError``.
    """
    link = folder / name
    if not link.is_symlink():
        return
    kept = link.parent / link.readlink()
    if not _has_its_sum(kept):
        link.unlink()
        kept.unlink()
        raise ConfigurationError(
            f"{said(name)} was damaged on its way, or the hub has a damaged copy: it was deleted here; run the command "
            "again, which keeps what has arrived"
        )


def _has_its_sum(path: Path) -> bool:
    """Whether a file has the sum that it is named by: SHA-256, git's, or SHA-1 as of some mirrors."""
    if _SHA256.fullmatch(path.name):
        sums = [hashlib.sha256()]
    elif _SHA1.fullmatch(path.name):
        begin = b"blob %d\0" % path.stat().st_size
        sums = [hashlib.sha1(each, usedforsecurity=False) for each in (begin, b"")]
    else:  # a mirror may name files otherwise
        return True
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            for each in sums:
                each.update(block)
    return path.name in [each.hexdigest() for each in sums]
