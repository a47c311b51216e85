"""A small repository for what goes wrong while a model is fetched, and whether it has arrived."""

from collections.abc import Callable
from pathlib import Path

from tests.published.loopback.hub import Hub
from worker.importing.fetch import fetch

NAME = "example/small"
WEIGHTS = "model.safetensors"

#: Runs ``lengthwise model add`` with the arguments, and returns the line with which it refuses.
Refused = Callable[..., str]


def assert_fetched(folder: Path) -> None:
    """The model arrives now, whole, and without the files for other programs."""
    found = fetch(NAME).folder
    names = ("config.json", "tokenizer.json", "1_Pooling/config.json", "README.md", WEIGHTS)
    assert {path.relative_to(found).as_posix() for path in found.rglob("*") if path.is_file()} == set(names)
    assert all((found / name).read_bytes() == (folder / name).read_bytes() for name in names)


def downloads(hub: Hub) -> set[str]:
    """The files whose content was asked for, by the ends of their paths."""
    return {path.rpartition("/")[2] for method, path in hub.requests if method == "GET" and "/api/" not in path}
