"""Small Parquet files that become large when they are read, each in another way."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MIB = 2**20


def written(table: pa.Table, **how: Any) -> bytes:
    out = BytesIO()
    pq.write_table(table, out, **{"compression": "zstd"} | how)
    return out.getvalue()


def repeated_text(mib: int) -> bytes:
    """One long text in a dictionary page, and rows that are references to it."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 64, pa.int32()), pa.array(["a" * (mib * MIB // 64)]))
    return written(pa.table({"text": text}), dictionary_pagesize_limit=mib * MIB)


def long_text(mib: int) -> bytes:
    """One page of one text."""
    return written(pa.table({"text": ["a" * (mib * MIB)]}), use_dictionary=False)


def list_of_nulls(mib: int) -> bytes:
    """One row whose list has a null for each 4 bytes of levels."""
    n = mib * MIB // 4
    nulls = pa.ListArray.from_arrays(pa.array([0, n], pa.int32()), pa.nulls(n, pa.int32()))
    return written(pa.table({"text": ["a"], "more": nulls}), data_page_size=2**30)


def list_of_lists(mib: int) -> bytes:
    """One row of empty lists."""
    n = mib * MIB // 8
    inner = pa.ListArray.from_arrays(_zeros(n + 1), pa.array([], pa.int8()))
    outer = pa.ListArray.from_arrays(pa.array([0, n], pa.int32()), inner)
    return written(pa.table({"text": ["a"], "more": outer}), data_page_size=2**30)


def _zeros(n: int) -> pa.Array:
    return pa.Array.from_buffers(pa.int32(), n, [None, pa.py_buffer(bytes(4 * n))])


def flags(mib: int) -> bytes:
    """One row of a bit an element, each of which is a value of its own when it is shown."""
    n = mib * MIB // 4
    bits = pa.Array.from_buffers(pa.bool_(), n, [None, pa.py_buffer(bytes(n // 8 + 1))])
    return written(pa.table({"text": ["a"], "more": pa.ListArray.from_arrays(pa.array([0, n], pa.int32()), bits)}))


def zeros(mib: int) -> bytes:
    """A page of binary values that are all zeros, beside the texts."""
    more = pa.array([bytes(mib * MIB // 16)] * 16)
    return written(pa.table({"text": ["a"] * 16, "more": more}), use_dictionary=False, data_page_size=2**30)


def names(mib: int) -> bytes:
    """A struct of long names: each row shows all of them, although it stores nothing."""
    kind = pa.struct([(f"{at:0>1000}", pa.null()) for at in range(64)])
    rows = mib * MIB // 64_000
    return written(pa.table({"text": ["a"] * rows, "more": pa.nulls(rows, kind)}))


BOMBS: dict[str, Callable[[int], bytes]] = {
    each.__name__: each for each in (repeated_text, long_text, list_of_nulls, list_of_lists, flags, zeros, names)
}
