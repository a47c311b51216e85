"""The name of a pool: which items may share an engine batch. Knows nothing of what is in one."""

from lengthwise.kinds.kind import Decoding


def name(model: str, decoding: Decoding) -> str:
    """``model:rows``: the model, and how many rows a request takes in the engine, 0 where nothing is written.

    All else of ``Decoding`` is each request's own.
    """
    return f"{model}:{decoding.beams if decoding.max_new_tokens else 0}"


def rows_of(pool: str) -> int:
    """Rows that a request takes; 0 where nothing is written."""
    return int(pool.rpartition(":")[2])


def model_of(pool: str) -> str:
    """The model that a pool's items need."""
    return pool.rpartition(":")[0]
