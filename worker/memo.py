"""Answers that were computed before, by what was asked: the least recently used make room.

Knows nothing of jobs or items. A key holds whose question it was, so that no tenant learns from another's.
"""

from array import array
from collections import OrderedDict
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID

from lengthwise.kinds.kind import Answer, Prompt

#: What one process keeps: enough that a text repeated in each chunk of a large job is computed once.
MAX_ANSWERS = 20_000
MAX_CHARACTERS = 2**24


class Remembered(NamedTuple):
    answer: Answer
    #: Tokens that were generated for it.
    n_output: int


def key_of(tenant_id: UUID, pool: str, prompt: Prompt) -> bytes:
    """The same for two prompts of one tenant and pool exactly if a deterministic engine answers both alike."""
    asked = array("q", (prompt.max_new_tokens, len(prompt.decoder_prefix), *prompt.decoder_prefix, *prompt.tokens))
    return blake2b(asked.tobytes(), digest_size=16, key=tenant_id.bytes, person=_person(pool)).digest()


def _person(pool: str) -> bytes:
    return blake2b(pool.encode(), digest_size=16).digest()


class Memo:
    def __init__(self, max_answers: int = MAX_ANSWERS, max_characters: int = MAX_CHARACTERS) -> None:
        self._answers: OrderedDict[bytes, Remembered] = OrderedDict()
        self._max_answers = max_answers
        self._characters_left = max_characters

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: bytes) -> Remembered | None:
        found = self._answers.get(key)
        if found is not None:
            self._answers.move_to_end(key)
        return found

    def put(self, key: bytes, remembered: Remembered) -> None:
        if key in self._answers:
            return
        self._answers[key] = remembered
        self._characters_left -= len(remembered.answer.text)
        while len(self._answers) > self._max_answers or (self._characters_left < 0 and self._answers):
            _, oldest = self._answers.popitem(last=False)
            self._characters_left += len(oldest.answer.text)
