"""The prefix cache: shared beginnings of prompts are computed once, and answers have the same bits as without it."""

import random

import pytest
import torch

from tests.engine import tiny
from tests.engine.conftest import Load, Written
from tests.engine.decode.test_generation import greedy, run
from worker.engine.protocol import Request
from worker.engine.transformer.attention.kv_past import CHUNK
from worker.engine.transformer.attention.kv_slots import PrefixKV
from worker.engine.transformer.attention.prefix_cache import PrefixCache, shared_prefix_length

LENGTHS = (1, 5, 30, 61, 62, 63, 64, 65, 90)


def words(count: int, seed: int) -> list[int]:
    draw = random.Random(seed)
    return [draw.randrange(3, tiny.VOCABULARY) for _ in range(count)]


def requests(prefix: list[int], lengths: tuple[int, ...] = LENGTHS) -> list[Request]:
    return [Request(number, prefix + words(length, number), 8) for number, length in enumerate(lengths)]


@pytest.mark.parametrize("kind", sorted(tiny.DECODERS))
@pytest.mark.parametrize("n_prefix", [63, 64, 130])
def test_exact_answers_behind_a_shared_prefix_are_those_of_transformers(
    kind: str, n_prefix: int, written: Written, load: Load
) -> None:
    model, _ = written(kind)
    asked = requests(words(n_prefix, 100 + n_prefix))
    expected = {request.id: greedy(model, request) for request in asked}
    for _ in ("unknown", "known"):
        found = run(load(kind, "none"), asked)
        assert {number: completion.tokens for number, completion in found.items()} == expected


@pytest.mark.parametrize("kind", sorted(tiny.DECODERS))
def test_int8_answers_have_the_same_bits_however_much_of_the_prompt_is_known(kind: str, load: Load) -> None:
    engine = load(kind, "int8")
    asked = requests(words(130, 7))
    alone = {request.id: run(engine, [request])[request.id] for request in asked}
    assert len({token for completion in alone.values() for token in completion.tokens}) >= 6, "they must vary"
    strangers = [Request(90 + request.id, request.tokens, 8) for request in tiny.requests()]
    assert run(engine, asked) == alone, "read for all at once"
    assert run(engine, asked[:2]) == {number: alone[number] for number in (0, 1)}, "known from before"
    among = run(engine, [*asked, *strangers])
    assert {number: among[number] for number in alone} == alone, "nothing is shared with these"
    assert {request.id: run(engine, [request])[request.id] for request in asked} == alone, "known, and alone"


def test_only_whole_chunks_are_shared_and_every_prompt_keeps_a_token() -> None:
    prefix = words(2 * CHUNK, 1)
    assert shared_prefix_length([prefix, prefix]) == CHUNK
    assert shared_prefix_length([[*prefix, 5], [*prefix, 6]]) == 2 * CHUNK
    assert shared_prefix_length([[*prefix[:-1], 5], [*prefix[:-1], 6]]) == CHUNK
    assert shared_prefix_length([[5, *prefix], [6, *prefix]]) == 0


def stored(tokens: int) -> list[PrefixKV]:
    return [PrefixKV(torch.zeros(1, 2, tokens, 4), torch.zeros(1, 2, tokens, 4))]


def test_the_longest_cached_prefix_is_found() -> None:
    known, tokens = PrefixCache(), words(300, 2)
    for length in (64, 192, 128):
        known.put(tokens[:length], stored(length))
    known.put(words(256, 3), stored(256))
    assert known.longest(tokens)[0] == 192
    assert known.longest(tokens[:191])[0] == 128
    assert known.longest(words(300, 4)) == (0, [])


def test_the_least_recently_used_prefix_is_evicted() -> None:
    first, second, third = (words(64, seed) for seed in (1, 2, 3))
    known = PrefixCache(max_bytes=2 * 64 * 2 * 2 * 4 * 4)
    known.put(first, stored(64))
    known.put(second, stored(64))
    assert known.longest(first)[0] == 64
    known.put(third, stored(64))
    assert [known.longest(tokens)[0] for tokens in (first, second, third)] == [64, 0, 64]
    known.put(words(640, 5), stored(640))
    assert [known.longest(tokens)[0] for tokens in (first, third)] == [0, 0], "it does not fit at all"
