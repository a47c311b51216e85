"""What a model reads of each text to moderate, and what its answers say together.

The reader of texts is imported late: the command line lists kinds where its packages are not installed.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lengthwise.errors import Unanswerable
from lengthwise.kinds.kind import KindModel, ModelAnswer, Prompt

Span = tuple[int, int]


def text_prompts(model: KindModel, texts: Sequence[str]) -> list[list[Prompt]]:
    """The prompts of each text: one for each segment, or for each window of a segment that the model cannot read whole.

    A blank text has none. Raises ``Unanswerable`` if a text is too intricate.
    """
    from lengthwise.text.moderation import segments as read

    with _answerable():
        segments = [read(text) for text in texts]
    flat = [segment for each in segments for segment in each]
    windows = iter(model.tokenizer.windows(flat, model.spec.context))
    return [[Prompt(window.ids, max_new_tokens=0) for _ in each for window in next(windows)] for each in segments]


def text_spans(model: KindModel, text: str) -> list[Span]:
    """The characters of ``text`` that each of its prompts was made of. Raises ``Unanswerable``."""
    from lengthwise.text.moderation import traced_segments

    with _answerable():
        segments = traced_segments(text)
    windows = model.tokenizer.windows([segment.text for segment in segments], model.spec.context)
    return [
        segment.span(window.start, window.end)
        for segment, each in zip(segments, windows, strict=True)
        for window in each
    ]


@contextmanager
def _answerable() -> Iterator[None]:
    from lengthwise.text.moderation import TooIntricate

    try:
        yield
    except TooIntricate:
        raise Unanswerable("too_intricate") from None


def greatest(answers: Sequence[ModelAnswer]) -> dict[str, tuple[float, int]]:
    """The greatest score of each label, and the place of the answer that has it. The first of equals counts."""
    found: dict[str, tuple[float, int]] = {}
    for place, answer in enumerate(answers):
        for label, score in zip(answer.labels, answer.scores, strict=True):
            if label not in found or score > found[label][0]:
                found[label] = score, place
    return found
