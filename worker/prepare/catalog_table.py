"""Adds a model's table to ``models.toml``. What is in the file stays as it is, comments included."""

import os
import tempfile
from pathlib import Path

from lengthwise.errors import ConfigurationError
from lengthwise.models.catalog import DEMO_CATALOG, Catalog

_HEAD = "# The models that this installation serves: docs/models.md says what a table may hold.\n"


def writable(path: Path) -> Path:
    """The file to add to: ``path``, or ``models.toml`` here if that is the demo's file, which the package owns."""
    return Path("models.toml") if path.resolve() == DEMO_CATALOG.resolve() else path


def known(path: Path) -> Catalog | None:
    """The models of the file; None if there is no such file. Raises ``ConfigurationError`` if it is not valid."""
    return Catalog.read(path) if path.exists() else None


def add(path: Path, table: str) -> None:
    """Appends the table. The file is replaced as a whole, or stays as it was.

    Raises ``ConfigurationError`` if the file would not be valid then, or cannot be written.
    """
    try:
        before = path.read_bytes() if path.exists() else _HEAD.encode()
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        path.parent.mkdir(parents=True, exist_ok=True)
        # In the same folder, because the paths in the file are relative to it, and so that it can be moved into place.
        with tempfile.NamedTemporaryFile(dir=path.absolute().parent, prefix=f".{path.name}.", delete=False) as made:
            made.write(before + (b"" if before.endswith(b"\n") else b"\n") + b"\n" + table.strip().encode() + b"\n")
            made.flush()
            os.fsync(made.fileno())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written ({type(error).__name__})") from None
    new = Path(made.name)
    try:
        Catalog.read(new)
        new.chmod(mode)
        new.replace(path.resolve())
    except ConfigurationError as error:
        raise ConfigurationError(str(error).replace(str(new), f"{path} with the new table")) from None
    finally:
        new.unlink(missing_ok=True)
