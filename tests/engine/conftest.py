from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.engine import tiny
from worker.engine.transformer.engine import TorchEngine
from worker.engine.transformer.kernel_check import check_kernels

pytest.register_assert_rewrite("worker.engine.conformance")

#: The precisions whose answers have the same bits in any batch; fp32 only on our own kernels.
same_bits = pytest.mark.parametrize(
    "precision",
    [
        "int8",
        pytest.param("none", marks=pytest.mark.skipif(not check_kernels(), reason="there are no kernels here")),
    ],
)

#: Takes a kind of model; gives transformers' model in memory, and the folder it was written to.
Written = Callable[[str], tuple[Any, Path]]
#: Takes a kind of model and a precision; gives our engine.
Load = Callable[[str, str], TorchEngine]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models run on one thread: on a busy machine they would only wait for a second one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Writes each kind of model once per session; tests must not change these folders."""

    @cache
    def write(kind: str) -> tuple[Any, Path]:
        folder = tmp_path_factory.mktemp(kind)
        return tiny.write(kind, folder), folder

    return write


@pytest.fixture(scope="session")
def load(written: Written) -> Load:
    """Loads each kind of model once per session and precision."""

    @cache
    def load_once(kind: str, quantization: str) -> TorchEngine:
        return tiny.load(written(kind)[1], quantization)

    return load_once


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    """A model's folder, for a test to damage."""
    tiny.write("llama", tmp_path)
    return tmp_path
