"""Measures a loaded model: the memory of its tensors, and its speed on batches of a few short texts."""

import time
from itertools import cycle, islice
from typing import NamedTuple

from lengthwise.models import tokenizer
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.listing.load_report import LoadFigures
from worker.engine.completions import completions
from worker.engine.protocol import Request
from worker.engine.transformer.engine import TorchEngine

_TEXTS = ("Hello, how are you?", "我吃了一个苹果。", "Please click the shopping cart to pay.")
#: Rows of the trial's batches, and the tokens that each may write. A batch takes up to four times as long as the one
#: before it, so that the trial of a large model ends early, with a smaller batch.
_SIZES = ((1, 1), (2, 2), (4, 4), (8, 8), (16, 16), (32, 16))
_GROWTH = 4
#: How many times the largest batch runs again, if there is time.
_REPEATS = 2
#: The trial's time, beside its first two batches, each of which reads one text.
_SECONDS = 2.0


class _Trial(NamedTuple):
    """One batch."""

    n_items: int
    n_tokens: int
    seconds: float


def figures(engine: TorchEngine, spec: ModelSpec) -> LoadFigures:
    """The figures of the largest batch that fits the time; the first one only warms up.

    ``spec`` gives tokenizer and limits. Raises ``EngineError`` if the model cannot answer.
    """
    found = _largest(engine, spec)
    known = engine.capabilities()
    return LoadFigures(
        memory_bytes=engine.memory_bytes,
        items_per_second=round(found.n_items / found.seconds, 2),
        tokens_per_second=round(found.n_tokens / found.seconds, 2),
        precision="int8" if known.quantization == "int8" else "bf16" if known.quantization == "bf16" else "fp32",
        device=known.device,
        threads=engine.threads,
    )


def _largest(engine: TorchEngine, spec: ModelSpec) -> _Trial:
    encoded = tokenizer.load(spec).encode(_TEXTS)
    longest = max(1, spec.context // 2)  # a decoder-only model writes into the rest
    texts = [tokens[:longest] for tokens in encoded if tokens] or [[0]]
    found = _run(engine, texts, *_SIZES[0])
    ends_at = time.perf_counter() + _SECONDS
    for number, (rows, new_tokens) in enumerate(_SIZES):
        if number and time.perf_counter() + _GROWTH * found.seconds > ends_at:
            return found
        found = _run(engine, texts, min(rows, spec.batch_rows), new_tokens)
    for _ in range(_REPEATS):  # the fastest counts, because other programs may slow the machine down
        if time.perf_counter() + found.seconds > ends_at:
            break
        found = min(found, _run(engine, texts, found.n_items, new_tokens), key=lambda each: each.seconds)
    return found


def _run(engine: TorchEngine, texts: list[list[int]], rows: int, new_tokens: int) -> _Trial:
    inputs = list(islice(cycle(texts), rows))
    requests = [Request(number, tokens, new_tokens) for number, tokens in enumerate(inputs)]
    began_at = time.perf_counter()
    n_written = sum(len(answer.tokens) for answer in completions(engine, requests))
    return _Trial(rows, sum(map(len, inputs)) + n_written, time.perf_counter() - began_at)
