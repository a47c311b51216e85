"""What the caller gives as items: refuses what is no series of texts, and reads the values of columns.

It knows pandas, polars, NumPy and Arrow by how their objects look, and imports none of them.
"""

import os
from collections.abc import AsyncIterable, Iterator, Mapping
from typing import Any


def iterate(items: Any) -> Iterator[Any]:
    """The items. Raises ``TypeError``, which says what to give instead, if iterating would give something else."""
    if (advice := _advice(items)) is not None:
        raise TypeError(f"items is of type {type(items).__name__}: {advice}")
    try:
        return iter(items)
    except TypeError:
        raise TypeError(f'items is of type {type(items).__name__}: give an iterable, as in submit(["text"])') from None


def _advice(items: Any) -> str | None:
    match items:
        case None:
            return 'give an iterable of texts, as in submit(["text"])'
        case str():
            return 'for one text write submit(["text"]), and for a file submit_file(path)'
        case bytes() | bytearray() | memoryview():
            return "decode it, as in submit([data.decode()])"
        case os.PathLike():
            return "submit_file(path) submits a file"
        case Mapping():
            return "for one item write submit([item])"
        case AsyncIterable():
            return "only AsyncClient takes asynchronous iterables"
    # Looked up on the type: a pandas Series has an attribute for each of its labels.
    columns = getattr(type(items), "columns", None)
    if columns is not None and not callable(columns):
        return 'name its column of texts, as in submit(df["text"])'
    return None


def plain(item: Any, index: int) -> str | Mapping[str, Any]:
    """A text or a mapping; an Arrow scalar becomes one. Raises ``TypeError``, which says where the item is."""
    found = item.as_py() if hasattr(item, "as_py") else item
    if not isinstance(found, (str, Mapping)):
        raise TypeError(
            f"items[{index}] is neither a str nor a mapping but {type(found).__name__}{_item_advice(found)}"
        )
    if isinstance(found, Mapping) and any(map(_is_nan, found.values())):
        raise TypeError(f"items[{index}] has a field that is NaN: leave the field out, or fill it")
    return found


def _item_advice(item: Any) -> str:
    if item is None or _is_nan(item) or type(item).__name__ in ("NAType", "NaTType"):
        return ': a missing value; leave such items out, or fill them, as in df["text"].fillna("")'
    if isinstance(item, (bytes, bytearray)):
        return ": decode it first"
    if hasattr(item, "__len__"):
        return ""
    return ": convert it first, as in submit(map(str, items))"


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and value != value
