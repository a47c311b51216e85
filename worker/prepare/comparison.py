"""Runs a sample through a model before and after, side by side: speed, and how far their answers agree."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lengthwise.models.catalog import ModelSpec
from worker.engine.completions import completions
from worker.engine.protocol import Architecture, Completion, Request
from worker.engine.transformer.engine import TorchEngine
from worker.engine.transformer.shrink.agreement import teacher_forced_agreement
from worker.generation.plan import planner
from worker.prepare.sample import Sample, batches

#: How often the sample is run; the fastest run counts, for others share the machine.
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Agreement:
    """Shares from 0 to 1. What does not apply to a model of this kind, or to its architecture, is None."""

    items: int
    #: Items whose answers are the same token for token; of a classifier: all of whose labels are the same.
    identical: float
    #: Tokens that stand at the same place of both answers, of the longer answer's.
    tokens: float | None = None
    #: Tokens that the prepared model too would write after what the original wrote before them.
    forced_top1: float | None = None
    #: A classifier's labels that are on the same side of the threshold, and the largest difference of a probability.
    labels: float | None = None
    largest_difference: float | None = None


@dataclass(slots=True)
class Side:
    """One of both models: its answers in the order of the requests, and the seconds of each round."""

    engine: TorchEngine
    answers: dict[int, Completion] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=lambda: [0.0] * ROUNDS)

    def run(self, batch: Sequence[Request], turn: int) -> None:
        began = time.perf_counter()
        self.answers.update((completion.id, completion) for completion in completions(self.engine, batch))
        self.seconds[turn] += time.perf_counter() - began


def compare(before: Side, after: Side, spec: ModelSpec, sample: Sample, advance: Callable[[int], None]) -> Agreement:
    """Runs the sample through both, batch by batch in turn. ``advance`` is told of requests as they are done, of which
    there are ``total``.
    """
    cut = planner(before.engine.capabilities())
    lengths = [len(request.tokens) for request in sample.requests]
    cuts = batches(sample, cut(lengths, spec.batch_tokens, spec.batch_rows))
    for turn in range(ROUNDS):
        for number, batch in enumerate(cuts):
            # Each goes first as often as the other: what runs second finds a warmer machine.
            for side in (before, after) if (turn + number) % 2 == 0 else (after, before):
                side.run(batch, turn)
                advance(len(batch))
    if before.engine.capabilities().architecture is Architecture.CLASSIFIER:
        return _of_labels(before, after, sample)
    return _of_tokens(before, after, sample, _forced_top1(before, after, cuts, advance))


def total(sample: Sample) -> int:
    """How many requests ``advance`` will be told of at most."""
    return len(sample.requests) * (2 * ROUNDS + 1)


def _of_labels(before: Side, after: Side, sample: Sample) -> Agreement:
    pairs = [_both(before, after, request) for request in sample.requests]
    same = [
        [
            (old >= sample.threshold) == (new >= sample.threshold)
            for old, new in zip(one.scores, two.scores, strict=True)
        ]
        for one, two in pairs
    ]
    labels = [each for item in same for each in item]
    largest = max((abs(old - new) for one, two in pairs for old, new in zip(one.scores, two.scores, strict=True)))
    identical = sum(map(all, same)) / sample.n_items
    return Agreement(sample.n_items, identical, labels=share(sum(labels), len(labels)), largest_difference=largest)


def _of_tokens(before: Side, after: Side, sample: Sample, forced_top1: float | None) -> Agreement:
    differing, same, longest = set(), 0, 0
    for request in sample.requests:
        one, two = _both(before, after, request)
        if (one.tokens, one.finish_reason) != (two.tokens, two.finish_reason):
            differing.add(sample.item_of[request.id])
        same += sum(old == new for old, new in zip(one.tokens, two.tokens, strict=False))
        longest += max(len(one.tokens), len(two.tokens))
    identical = 1 - len(differing) / sample.n_items
    return Agreement(sample.n_items, identical, tokens=share(same, longest), forced_top1=forced_top1)


def _forced_top1(
    before: Side, after: Side, cuts: Sequence[Sequence[Request]], advance: Callable[[int], None]
) -> float | None:
    if not after.engine.fits:
        return None
    same = count = 0
    for batch in cuts:
        found = teacher_forced_agreement(after.engine, batch, [before.answers[request.id] for request in batch])
        same, count = same + found.same, count + found.total
        advance(len(batch))
    return share(same, count)


def _both(before: Side, after: Side, request: Request) -> tuple[Completion, Completion]:
    return before.answers[request.id], after.answers[request.id]


def share(part: int, whole: int) -> float:
    """Of nothing, everything agrees."""
    return part / whole if whole else 1.0
