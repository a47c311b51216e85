"""What is done to each token's vectors and scores between the products, each in one call."""

import torch

from worker.engine.transformer.native.library import kernels, serves, usable_kernels


def argmax(scores: torch.Tensor) -> list[int]:
    """The place of each row's greatest score ``[rows, columns]``, the first if there are several."""
    is_ours = scores.device.type == "cpu" and scores.dtype == torch.float32 and scores.stride(1) == 1
    if not is_ours or usable_kernels() is None:
        chosen: list[int] = scores.argmax(dim=1).tolist()
        return chosen
    return native_argmax(scores)


def native_argmax(scores: torch.Tensor) -> list[int]:
    """The same by our kernel: fp32, each row's scores side by side."""
    rows, columns = scores.shape
    places = torch.empty(rows, dtype=torch.int64)
    run, threads = kernels().lengthwise_greatest, torch.get_num_threads()
    run(scores.data_ptr(), scores.stride(0), columns, places.data_ptr(), rows, threads)
    found: list[int] = places.tolist()
    return found


def can_store_kv(keys: torch.Tensor, values: torch.Tensor) -> bool:
    """Whether ``store`` takes these new keys and values ``[..., size]``."""
    is_dense = keys.stride(-1) == values.stride(-1) == 1
    return is_dense and keys.shape[-1] == values.shape[-1] and serves(keys) and serves(values)


def kv_dtype(keys: torch.Tensor, values: torch.Tensor, halves: bool) -> torch.dtype:
    """What such keys and values are to be kept as: fp16 where ``halves`` are wanted and our kernels read them."""
    return torch.float16 if halves and can_store_kv(keys, values) else keys.dtype


def clamped_to(states: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """As they are to be kept, what is too large for it cut off: as ``store`` does."""
    if states.dtype == dtype:
        return states
    most = torch.finfo(dtype).max
    return states.clamp(-most, most).to(dtype)


def store(
    keys: torch.Tensor,
    values: torch.Tensor,
    all_keys: torch.Tensor,
    all_values: torch.Tensor,
    places: torch.Tensor,
) -> None:
    """Writes new tokens' keys and values, ``[tokens, heads, size]``, into memory of fp32 or fp16.

    ``places`` ``[2, tokens]``: where among all vectors each token's first head goes, and how far on the next.
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
    """``x`` ``[tokens, heads, size]`` turned by its tokens' angles ``[tokens, size]``, both fp32 and dense."""
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
