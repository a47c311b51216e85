"""Answers that were computed before, by tenant, prompt and decoding. The least recently used ones are evicted.

Knows nothing of jobs or items. The tenant is part of the key, so that no tenant learns what another one submitted.
"""

import hashlib
from array import array
from collections import OrderedDict
from functools import lru_cache
from uuid import UUID

from lengthwise.kinds.kind import Decoding, ModelAnswer, Prompt

#: Answers of one model that a process keeps: enough that a text in every chunk of a large job is computed once.
MAX_ANSWERS = 20_000
#: Bytes of keys and answers together.
MAX_BYTES = 2**25
#: Bytes of a number in a vector or of a token: a Python number, and its place in a tuple.
_NUMBER_BYTES = 32


class AnswerKeys:
    """Makes cache keys for prompts of one tenant, decoded in one way by one model."""

    def __init__(self, tenant_id: UUID, decoding: Decoding) -> None:
        self._start = tenant_id.bytes + _digest(decoding)

    def make(self, prompt: Prompt) -> bytes:
        """The key of a prompt. Two prompts have the same key only if a deterministic engine gives both one answer."""
        tokens, max_new_tokens, prefix = prompt
        # Prompts that differ have different keys, because the start has a fixed length and the prefix's length follows.
        return self._start + array("q", [max_new_tokens, len(prefix), *prefix, *tokens]).tobytes()


@lru_cache(1024)
def _digest(decoding: Decoding) -> bytes:
    """A digest of everything but the prompt and its limit that a greedy answer depends on."""
    matters = (decoding.beams, decoding.score, decoding.stop, decoding.repetition_penalty)
    return hashlib.blake2b(repr(matters).encode(), digest_size=16).digest()


class AnswerCache:
    """Only the engine's thread calls ``put``. The thread that prepares claims may call ``get`` at the same time."""

    def __init__(self, max_answers: int = MAX_ANSWERS, max_bytes: int = MAX_BYTES) -> None:
        self._answers: OrderedDict[bytes, ModelAnswer] = OrderedDict()
        self._max_answers = max_answers
        self._bytes_left = max_bytes

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: bytes) -> ModelAnswer | None:
        found = self._answers.get(key)
        if found is not None:
            try:  # noqa: SIM105 - ``suppress`` would cost more than all the rest
                self._answers.move_to_end(key)
            except KeyError:  # the other thread evicted it just now
                pass
        return found

    def put(self, key: bytes, answer: ModelAnswer) -> None:
        answers = self._answers
        if key in answers:
            return
        answers[key] = answer
        self._bytes_left -= _n_bytes(key, answer)
        while len(answers) > self._max_answers or (self._bytes_left < 0 and answers):
            self._bytes_left += _n_bytes(*answers.popitem(last=False))


def _n_bytes(key: bytes, answer: ModelAnswer) -> int:
    return len(key) + len(answer.text) + _NUMBER_BYTES * (len(answer.vector) + len(answer.tokens))
