"""Answers that were computed before, by what was asked: the least recently used make room.

Knows nothing of jobs or items. A key holds whose question it was, so that no tenant learns from another's.
"""

import hashlib
from array import array
from collections import OrderedDict
from contextlib import suppress
from functools import lru_cache
from uuid import UUID

from lengthwise.kinds.kind import Answer, Decoding, Prompt

#: What one process keeps: enough that a text repeated in each chunk of a large job is computed once.
MAX_ANSWERS = 20_000
#: Of keys and answers together.
MAX_BYTES = 2**25
#: One number of a vector: a float of Python, and its place in a tuple.
_NUMBER_BYTES = 32


class CacheKey:
    """Makes the keys of one tenant's prompts, of one model, that are answered in one way."""

    def __init__(self, tenant_id: UUID, decoding: Decoding) -> None:
        self._whose = tenant_id.bytes + _digest(decoding)

    def key_of(self, prompt: Prompt) -> bytes:
        """The same for two prompts exactly if a deterministic engine answers both alike."""
        tokens, max_new_tokens, prefix, _ = prompt
        # Whose it is has always the same length; the prefix ends where its length says.
        return self._whose + array("q", [max_new_tokens, len(prefix), *prefix, *tokens]).tobytes()


@lru_cache(1024)
def _digest(decoding: Decoding) -> bytes:
    """Of what an answer depends on beside its prompt, as long as nothing is drawn; a limit is the prompt's own."""
    matters = (decoding.beams, decoding.score, decoding.stop)
    return hashlib.blake2b(repr(matters).encode(), digest_size=16).digest()


class AnswerCache:
    """Asked by the thread that makes a claim ready while the engine's thread puts answers in: no other may put."""

    def __init__(self, max_answers: int = MAX_ANSWERS, max_bytes: int = MAX_BYTES) -> None:
        self._answers: OrderedDict[bytes, Answer] = OrderedDict()
        self._max_answers = max_answers
        self._bytes_left = max_bytes

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: bytes) -> Answer | None:
        found = self._answers.get(key)
        if found is not None:
            with suppress(KeyError):  # it was forgotten this moment
                self._answers.move_to_end(key)
        return found

    def put(self, key: bytes, answer: Answer) -> None:
        answers = self._answers
        if key in answers:
            return
        answers[key] = answer
        self._bytes_left -= len(key) + _bytes_of(answer)
        while len(answers) > self._max_answers or (self._bytes_left < 0 and answers):
            oldest, forgotten = answers.popitem(last=False)
            self._bytes_left += len(oldest) + _bytes_of(forgotten)


def _bytes_of(answer: Answer) -> int:
    return len(answer.text) + _NUMBER_BYTES * len(answer.vector)
