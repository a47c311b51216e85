"""The name of a pool, which says what items may share an engine batch. Knows nothing of the items."""

from lengthwise.kinds.kind import Decoding


def name(model: str, decoding: Decoding) -> str:
    """``model:rows``: the model, and how many rows of a batch each request takes; 0 if nothing is written.

    Requests of one batch may differ in everything else that ``Decoding`` says.
    """
    return f"{model}:{decoding.beams if decoding.max_new_tokens else 0}"


def rows_of(pool: str) -> int:
    """How many rows of a batch each request takes; 0 if nothing is written."""
    return int(pool.rpartition(":")[2])


def model_of(pool: str) -> str:
    """The model that a pool's items need."""
    return pool.rpartition(":")[0]
