"""Runs a download with progress bars, and ends it at once if the command is interrupted."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from huggingface_hub import close_session
from huggingface_hub.utils.tqdm import tqdm

#: Set while a download has to end. A process downloads one model at a time.
_ends = threading.Event()


class Interrupted(Exception):
    """What a thread of a download that has to end raises."""


def refuse_interrupted() -> None:
    """Raises ``Interrupted`` if the download has to end."""
    if _ends.is_set():
        raise Interrupted


def run(download: Callable[[type[tqdm]], str]) -> str:
    """Runs ``download`` with a class of progress bars, and returns what it returns.

    All bars are closed at the end: after an error ``huggingface_hub`` leaves some of them open, and the next message
    would stand on the line of a bar. It also finishes all files that it has begun before Ctrl-C ends it, which may take
    hours. So it runs in a thread here, and each of its own threads ends when its connection is closed.
    """
    made: list[tqdm] = []

    class Bar(tqdm):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]
            made.append(self)

        def update(self, n: float | None = 1) -> bool | None:
            refuse_interrupted()
            return super().update(n)  # type: ignore[no-any-return]

    try:
        with ThreadPoolExecutor(1) as pool:
            try:
                return pool.submit(download, Bar).result()
            except BaseException:
                _ends.set()
                close_session()  # a block has ten megabytes: nobody waits for the rest of them
                raise
    finally:
        _ends.clear()
        for bar in made:
            bar.close()
