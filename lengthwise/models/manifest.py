"""Checks a model's folder against its ``manifest.json``, which has the size and the SHA-256 sum of each file.

``{"files": {"model.safetensors": {"sha256": "…", "bytes": 123}}}``. Knows nothing of what is in the files.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lengthwise.errors import ConfigurationError

MANIFEST = "manifest.json"


def verify(folder: Path, names: Iterable[str] | None = None) -> None:
    """Compares files of ``folder`` with its manifest. Each file is read once.

    ``names`` are the files that matter to the caller; each must be listed. ``None`` means all that are listed. Raises
    ``ConfigurationError``, which names the first file that is missing, not listed or different.
    """
    files = _listed(folder)
    for name in files if names is None else names:
        entry = files.get(name)
        if not isinstance(entry, dict):
            raise ConfigurationError(f"{folder / name} is not listed in {MANIFEST}")
        _compare(folder, name, entry)


def digest(path: Path) -> str:
    """The SHA-256 sum of a file in hexadecimal. The file is read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(folder: Path, names: Iterable[str]) -> None:
    """Writes the manifest of the named files of ``folder``."""
    files = {name: {"sha256": digest(folder / name), "bytes": (folder / name).stat().st_size} for name in names}
    (folder / MANIFEST).write_text(json.dumps({"files": files}, indent=2) + "\n", "utf-8")


def _listed(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        files = json.loads(path.read_bytes())["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{path} cannot be read ({type(error).__name__})") from None
    if not isinstance(files, dict):
        raise ConfigurationError(f"{path}: files must be a table of names")
    return files


def _compare(folder: Path, name: str, entry: dict[str, Any]) -> None:
    path = folder / name
    if not path.resolve().parent.is_relative_to(folder.resolve()) and not path.is_symlink():
        raise ConfigurationError(f"{folder / MANIFEST} lists a file outside its folder")
    try:
        # The size costs nothing to check, and tells a file that is only half copied from one that was changed.
        if path.stat().st_size != entry.get("bytes"):
            raise ConfigurationError(f"{path} is not of the size in {MANIFEST}: copy it again")
        if digest(path) != entry.get("sha256"):
            raise ConfigurationError(f"{path} does not match its SHA-256 sum in {MANIFEST}")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({type(error).__name__})") from None
