"""Tells one revision of a model's folder from another, without reading gigabytes.

Knows nothing of what is in the files.
"""

import hashlib
from pathlib import Path

from lengthwise.errors import ConfigurationError
from lengthwise.models.manifest import MANIFEST

#: Hexadecimal digits: few enough to be part of each result.
_DIGITS = 16
#: Each file is sampled at so many places, evenly spread. A training step changes nearly every byte of the weights, so
#: samples suffice.
_SAMPLES = 16
_SAMPLE_BYTES = 1 << 16


def fingerprint(folder: Path) -> str:
    """The first 16 hexadecimal digits of a SHA-256 sum, the same on every machine that holds the same files.

    It is the sum of ``manifest.json`` if there is one, since that holds the sums of all files. Otherwise it is the sum
    of the name, the size and samples of every file in the folder that is not hidden. Raises ``ConfigurationError`` if a
    file cannot be read.
    """
    total = hashlib.sha256()
    listed = folder / MANIFEST
    try:
        if listed.is_file():
            total.update(listed.read_bytes())
        else:
            for path in sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")):
                total.update(f"{path.name} {path.stat().st_size}\n".encode())
                for sample in _samples(path):
                    total.update(sample)
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be read ({type(error).__name__})") from None
    return total.hexdigest()[:_DIGITS]


def _samples(path: Path) -> list[bytes]:
    """The whole file if it has a megabyte or less; else samples of its beginning, its end and evenly in between."""
    size = path.stat().st_size
    if size <= _SAMPLES * _SAMPLE_BYTES:
        return [path.read_bytes()]
    with path.open("rb") as file:
        taken = []
        for number in range(_SAMPLES):
            file.seek(number * (size - _SAMPLE_BYTES) // (_SAMPLES - 1))
            taken.append(file.read(_SAMPLE_BYTES))
    return taken
