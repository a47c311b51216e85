"""Splits what a model thinks from what it answers. Models mark this by control tokens, so that it is done on ids."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple, Protocol

from lengthwise.models.tokenizer import ModelTokenizer

#: Pairs of tokens between which models think.
_TAGS = (("<think>", "</think>"), ("[THINK]", "[/THINK]"))


class Spoken(NamedTuple):
    """An answer, and what came before it. ``n_reasoning`` counts the tokens that are no part of the answer."""

    content: str
    reasoning: str | None = None
    n_reasoning: int = 0


class Thinking(Protocol):
    """How a model marks what it thinks."""

    def split(self, tokens: Sequence[int], prompt: Callable[[], str]) -> Spoken:
        """Splits the tokens that were written. ``prompt`` gives the rendered prompt, and is called only if it matters.

        Without any mark, all is the answer.
        """
        ...


class _Tags:
    """``<think>…</think>`` before the answer. The prompt may have begun it already."""

    def __init__(self, tokenizer: ModelTokenizer, tags: tuple[str, str], ids: tuple[int, int]) -> None:
        self._tokenizer, self._tags = tokenizer, tags
        self._first, self._last = ids

    def split(self, tokens: Sequence[int], prompt: Callable[[], str]) -> Spoken:
        end = tokens.index(self._last) if self._last in tokens else len(tokens)
        start = tokens.index(self._first) if self._first in tokens[:end] else None
        if end == len(tokens) and start is None and not prompt().rstrip().endswith(self._tags[0]):
            return Spoken(self._tokenizer.decode_batch([tokens])[0])
        before, thought = (tokens[:start], tokens[start + 1 : end]) if start is not None else ((), tokens[:end])
        answer = [*before, *tokens[end + 1 :]]
        content, reasoning = self._tokenizer.decode_batch([answer, thought])
        return Spoken(content.lstrip("\n"), reasoning.strip() or None, len(tokens) - len(answer))


class _Channels:
    """The channels of gpt-oss: ``<|channel|>analysis<|message|>…<|end|>``, and so on up to that of the answer."""

    ANSWER = "final"

    def __init__(self, tokenizer: ModelTokenizer, ids: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._channel, self._message, self._end, self._start = ids

    def split(self, tokens: Sequence[int], prompt: Callable[[], str]) -> Spoken:
        if self._channel not in tokens:
            return Spoken(self._tokenizer.decode_batch([tokens])[0])
        answer: list[int] = []
        thoughts: list[list[int]] = []
        for header, body in self._messages(tokens):
            if self._tokenizer.decode_batch([header])[0].split()[:1] == [self.ANSWER]:
                answer += body
            elif body:
                thoughts.append(body)
        content, *reasoning = self._tokenizer.decode_batch([answer, *thoughts])
        return Spoken(content, "\n\n".join(reasoning) or None, len(tokens) - len(answer))

    def _messages(self, tokens: Sequence[int]) -> list[tuple[list[int], list[int]]]:
        """The header of each message after ``<|channel|>``, and its text."""
        found: list[tuple[list[int], list[int]]] = []
        part: list[int] = []
        for token in tokens:
            if token == self._channel:
                found.append(([], []))
                part = found[-1][0]
            elif token == self._message and found:
                part = found[-1][1]
            elif token in (self._end, self._start):
                part = []
            else:
                part.append(token)
        return found


@cache
def of(tokenizer: ModelTokenizer, source: str) -> Thinking | None:
    """How the model of this tokenizer and template thinks; None if its template does not speak of it."""
    channels = tokenizer.ids_of("<|channel|>", "<|message|>", "<|end|>", "<|start|>")
    if "<|channel|>" in source and channels:
        return _Channels(tokenizer, channels)
    for tags in _TAGS:
        ids = tokenizer.ids_of(*tags)
        if tags[1] in source and ids:
            return _Tags(tokenizer, tags, (ids[0], ids[1]))
    return None
