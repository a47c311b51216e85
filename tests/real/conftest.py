"""Two real models, made from packages. Without the packages, the tests that need them are skipped."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from benchmarks.fidelity import processor
from tests.engine.conftest import one_thread

__all__ = ["one_thread"]

#: Bounds of int8 are for inputs of 8 bits.
needs_vnni = pytest.mark.skipif(not processor.has_vnni(), reason="without VNNI, inputs have 7 bits: int8 costs more")


@pytest.fixture(scope="session")
def models() -> Iterator[Path]:
    """Where models are made. It is removed at the end: they have 600 MB."""
    with TemporaryDirectory(prefix="lw-real-") as folder:
        yield Path(folder)
