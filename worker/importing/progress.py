"""The progress bars of a download."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from huggingface_hub.utils.tqdm import tqdm


@contextmanager
def bars() -> Iterator[type[tqdm]]:
    """The class of the bars. All are closed at the end: after an error ``huggingface_hub`` leaves some of them open.

    The next message would then stand on the line of a bar.
    """
    made: list[tqdm] = []

    class Bar(tqdm):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]
            made.append(self)

    try:
        yield Bar
    finally:
        for bar in made:
            bar.close()
