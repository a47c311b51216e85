"""Bindings of the C kernels for single tokens: argmax over scores, storing new keys and values, rotary embedding."""

import torch

from worker.engine.transformer.native.library import kernels, serves, usable_kernels


def argmax(scores: torch.Tensor) -> list[int]:
    """The index of each row's greatest score ``[rows, columns]``; of equal ones, the first. Falls back to torch."""
    fits_kernel = scores.device.type == "cpu" and scores.dtype == torch.float32 and scores.stride(1) == 1
    if not fits_kernel or usable_kernels() is None:
        chosen: list[int] = scores.argmax(dim=1).tolist()
        return chosen
    return native_argmax(scores)


def native_argmax(scores: torch.Tensor) -> list[int]:
    """``argmax`` by the C kernel, for fp32 scores whose rows are contiguous."""
    rows, columns = scores.shape
    places = torch.empty(rows, dtype=torch.int64)
    run, threads = kernels().lengthwise_greatest, torch.get_num_threads()
    run(scores.data_ptr(), scores.stride(0), columns, places.data_ptr(), rows, threads)
    found: list[int] = places.tolist()
    return found


def can_store_kv(keys: torch.Tensor, values: torch.Tensor) -> bool:
    """Whether ``store_kv`` can take these new keys and values ``[..., size]``."""
    is_dense = keys.stride(-1) == values.stride(-1) == 1
    return is_dense and keys.shape[-1] == values.shape[-1] and serves(keys) and serves(values)


def kv_dtype(keys: torch.Tensor, values: torch.Tensor, fp16: bool) -> torch.dtype:
    """The type of a KV cache for such keys and values: fp16 where ``fp16`` asks for it and our kernels can read it."""
    return torch.float16 if fp16 and can_store_kv(keys, values) else keys.dtype


def clamped_to(states: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The numbers as ``dtype``, clamped to its range, which is what ``store_kv`` does too."""
    if states.dtype == dtype:
        return states
    largest = torch.finfo(dtype).max
    return states.clamp(-largest, largest).to(dtype)


def store_kv(
    keys: torch.Tensor,
    values: torch.Tensor,
    all_keys: torch.Tensor,
    all_values: torch.Tensor,
    places: torch.Tensor,
) -> None:
    """Writes the keys and values of new tokens, ``[tokens, heads, size]``, into a cache of fp32 or fp16 vectors.

    ``places`` ``[2, tokens]`` holds for each token the index of its first head's vector in the cache, and the distance
    in vectors from one head to the next.
    """
    tokens, heads, size = keys.shape
    kernels().lengthwise_store(
        keys.data_ptr(),
        *keys.stride()[:2],
        values.data_ptr(),
        *values.stride()[:2],
        all_keys.data_ptr(),
        all_values.data_ptr(),
        all_keys.dtype == torch.float16,
        places.data_ptr(),
        places.data_ptr() + places.stride(0) * places.itemsize,
        tokens,
        heads,
        size,
    )


def rotated(x: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
    """Applies the rotary embedding to ``x`` ``[tokens, heads, size]`` by ``cosines`` and ``sines`` ``[tokens, size]``.

    All are fp32; the cosines and sines are contiguous, and so is each vector of ``x``.
    """
    tokens, heads, size = x.shape
    out, threads = x.new_empty(tokens, heads, size), torch.get_num_threads()
    kernels().lengthwise_rotate(
        x.data_ptr(),
        *x.stride()[:2],
        cosines.data_ptr(),
        sines.data_ptr(),
        out.data_ptr(),
        tokens,
        heads,
        size,
        threads,
    )
    return out
