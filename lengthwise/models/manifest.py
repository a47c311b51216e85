"""Checks a model's folder against its ``manifest.json``, which has the size and the SHA-256 sum of each file.

``{"files": {"model.safetensors": {"sha256": "…", "bytes": 123}}}``. Knows nothing of what is in the files.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from lengthwise.errors import ConfigurationError
from lengthwise.models import plain_file

MANIFEST = "manifest.json"
#: What was measured of the model. It is never listed, because it is measured anew.
REPORT = "report.json"
#: For a folder whose files are right and whose manifest is not.
TRUST = "or, if you trust its files, write a new manifest: lengthwise model manifest FOLDER"
#: Ends the messages about a file that is not the one of the manifest.
REMEDY = f": copy the file again; {TRUST}"
_MOST_BYTES = 8 << 20


def exists(folder: Path) -> bool:
    """Whether the folder has a manifest."""
    return (folder / MANIFEST).is_file()


def lists(folder: Path, name: str) -> bool:
    """Whether the manifest lists this file. Raises ``ConfigurationError`` if there is no manifest that can be read."""
    return name in _listed(folder)


def verify(folder: Path, names: Iterable[str] | None = None) -> None:
    """Compares files of ``folder`` with its manifest. Each file is read once.

    ``names`` are the files that matter to the caller; each must be listed. ``None`` means all that are listed. Raises
    ``ConfigurationError``, which names the first file that is missing, not listed or different.
    """
    with opened(folder, list(_listed(folder)) if names is None else list(names)):
        pass


def check(folder: Path, name: str, content: bytes) -> None:
    """Compares the bytes that were read of a file with the manifest, if the folder has one.

    Raises ``ConfigurationError``.
    """
    if exists(folder):
        _compare(name, _entry(_listed(folder), name), len(content), hashlib.sha256(content).hexdigest())


@contextmanager
def opened(folder: Path, names: Sequence[str]) -> Iterator[list[Path]]:
    """Opens large files and compares them with the manifest, if the folder has one. Gives paths to the open files.

    These paths lead to what was compared, whatever happens to the folder. Raises ``ConfigurationError`` as ``verify``
    does, and at the end if a file was written to in the meantime.
    """
    with ExitStack() as stack:
        try:
            files = [stack.enter_context(_place(folder, name).open("rb")) for name in names]
            before = list(map(_stamp, files))
            if exists(folder):
                listed = _listed(folder)
                for name, file in zip(names, files, strict=True):
                    entry, size = _entry(listed, name), os.fstat(file.fileno()).st_size
                    # The size costs nothing to check, and tells a file that is only half copied.
                    digest = hashlib.file_digest(file, "sha256").hexdigest() if size == entry.get("bytes") else ""
                    _compare(name, entry, size, digest)
        except OSError as error:
            raise ConfigurationError(f"{error.filename or folder} cannot be read ({type(error).__name__})") from None
        yield [Path(f"/proc/self/fd/{file.fileno()}") for file in files]
        for name, file, stamp in zip(names, files, before, strict=True):
            if _stamp(file) != stamp:
                raise ConfigurationError(f"{name} was written to while it was read: copy it again")


def write(folder: Path, names: Iterable[str]) -> None:
    """Writes the manifest of the named files of ``folder``."""
    files = {name: {"sha256": _digest(folder / name), "bytes": (folder / name).stat().st_size} for name in names}
    (folder / MANIFEST).write_text(json.dumps({"files": files}, indent=2) + "\n", "utf-8")


def write_all(folder: Path) -> int:
    """Writes the manifest of all files of ``folder`` but hidden ones and the report, and returns their number.

    Raises ``ConfigurationError`` if there is none, or they cannot be read or the manifest not written.
    """
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    names = [path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts)]
    names = sorted(name for name in names if name not in (MANIFEST, REPORT))
    if not names:
        raise ConfigurationError(f"{folder} has no files")
    try:
        write(folder, names)
    except OSError as error:
        raise ConfigurationError(f"{error.filename or folder} cannot be used ({type(error).__name__})") from None
    return len(names)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _listed(folder: Path) -> dict[str, Any]:
    found = plain_file.parsed(plain_file.read(folder, MANIFEST, _MOST_BYTES), MANIFEST)
    files = found.get("files") if isinstance(found, dict) else None
    if not isinstance(files, dict):
        raise ConfigurationError(f"{MANIFEST}: files must be a table of names")
    return files


def _entry(files: dict[str, Any], name: str) -> dict[str, Any]:
    entry = files.get(name)
    if not isinstance(entry, dict):
        raise ConfigurationError(f"{name} is not listed in {MANIFEST}{REMEDY}")
    return entry


def _compare(name: str, entry: dict[str, Any], size: int, digest: str) -> None:
    if size != entry.get("bytes"):
        raise ConfigurationError(f"{name} is not of the size in {MANIFEST}{REMEDY}")
    if digest != entry.get("sha256"):
        raise ConfigurationError(f"{name} does not match its SHA-256 sum in {MANIFEST}{REMEDY}")


def _place(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.resolve().parent.is_relative_to(folder.resolve()) and not path.is_symlink():
        raise ConfigurationError(f"{MANIFEST} lists a file outside its folder")
    return path


def _stamp(file: IO[bytes]) -> tuple[int, int, int]:
    """A value that changes when the file is written to. No user can set the time of the last change of a file."""
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns
