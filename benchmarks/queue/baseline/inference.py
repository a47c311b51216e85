"""Turns texts into result lines. Each process has one engine, one tokenizer and one connection."""

from collections.abc import Sequence
from functools import cache

from pydantic_core import to_json

from benchmarks.queue.baseline import configuration, store
from lengthwise.models import tokenizer
from worker.engine.completions import completions
from worker.engine.echo import EchoEngine
from worker.engine.protocol import Completion, Request


@cache
def engine() -> EchoEngine:
    return EchoEngine.load(configuration.model())


@cache
def connection() -> store.Connection:
    return store.connect(configuration.database_url())


def lines(keys: Sequence[store.Key], texts: Sequence[str]) -> list[tuple[store.Key, bytes]]:
    """Runs the texts as one engine batch."""
    spec = configuration.model()
    words = tokenizer.load(spec)
    encoded = words.encode(texts)
    requests = [Request(number, ids, spec.max_new_tokens) for number, ids in enumerate(encoded)]
    return [
        (keys[done.id], _line(keys[done.id][1], words.decode_batch([done.tokens])[0], len(encoded[done.id]), done))
        for done in completions(engine(), requests)
    ]


def _line(index: int, text: str, n_input: int, done: Completion) -> bytes:
    output = {"text": text, "finish_reason": done.finish_reason.value}
    usage = {"input_tokens": n_input, "output_tokens": len(done.tokens)}
    return to_json({"index": index, "status": "succeeded", "output": output, "usage": usage}) + b"\n"
