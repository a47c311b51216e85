"""Compares a prepared model with its original on a sample: their speed, and how far their answers agree."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lengthwise.models.catalog import ModelSpec
from worker.engine.completions import completions
from worker.engine.protocol import Architecture, Completion, Request
from worker.engine.transformer.engine import TorchEngine
from worker.engine.transformer.shrink.agreement import teacher_forced_agreement, vector_agreement
from worker.generation.plan import planner
from worker.prepare.sample import Sample, batches

#: How many times the sample is run. The fastest run counts, because other programs may slow the machine down.
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the answers of both models agree, as shares from 0 to 1; None if a share does not apply to the model."""

    items: int
    #: Items with the same tokens in both answers; for a classifier, items with the same verdict on every label.
    identical: float | None = None
    #: Tokens that are equal at the same position of both answers, as a share of the longer answer.
    tokens: float | None = None
    #: Tokens of the original's answers that the prepared model would choose too, after the original's tokens before.
    forced_top1: float | None = None
    #: A classifier's labels on the same side of the threshold in both answers.
    labels: float | None = None
    #: The largest difference between a classifier's two probabilities of a label.
    largest_difference: float | None = None
    #: The mean and the least cosine between an embedder's two vectors of a text.
    mean_cosine: float | None = None
    least_cosine: float | None = None
    #: Texts whose nearest other text of the sample is the same by both embedders' vectors.
    neighbours: float | None = None


@dataclass(slots=True)
class Side:
    """One of the two models: its answers by the ids of the requests, and the seconds of each round."""

    engine: TorchEngine
    answers: dict[int, Completion] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=lambda: [0.0] * ROUNDS)

    def run(self, batch: Sequence[Request], round_number: int) -> None:
        began_at = time.perf_counter()
        self.answers.update((completion.id, completion) for completion in completions(self.engine, batch))
        self.seconds[round_number] += time.perf_counter() - began_at


def compare(before: Side, after: Side, spec: ModelSpec, sample: Sample, advance: Callable[[int], None]) -> Agreement:
    """Runs the sample through both models, which alternate batch by batch.

    Calls ``advance`` with the number of requests of each finished batch, ``total`` requests in all.
    """
    cut = planner(before.engine.capabilities())
    lengths = [len(request.tokens) for request in sample.requests]
    cuts = batches(sample, cut(lengths, spec.batch_tokens, spec.batch_rows))
    for round_number in range(ROUNDS):
        for number, batch in enumerate(cuts):
            # The model that runs second has warmer caches, so each goes first equally often.
            for side in (before, after) if (round_number + number) % 2 == 0 else (after, before):
                side.run(batch, round_number)
                advance(len(batch))
    architecture = before.engine.capabilities().architecture
    if architecture is Architecture.CLASSIFIER:
        return _label_agreement(before, after, sample)
    if architecture is Architecture.EMBEDDER:
        return _vector_agreement(before, after, sample)
    return _token_agreement(before, after, sample, _forced_top1(before, after, cuts, advance))


def total(sample: Sample) -> int:
    """The most requests that ``compare`` reports to ``advance``."""
    return len(sample.requests) * (2 * ROUNDS + 1)


def _label_agreement(before: Side, after: Side, sample: Sample) -> Agreement:
    names = before.engine.capabilities().labels
    shown = [place for place, name in enumerate(names) if name not in sample.ignored_labels]
    pairs = [_answers(before, after, request) for request in sample.requests]
    scores = [[(one.scores[place], two.scores[place]) for place in shown] for one, two in pairs]
    same = [[(old >= sample.threshold) == (new >= sample.threshold) for old, new in item] for item in scores]
    labels = [each for item in same for each in item]
    largest = max(abs(old - new) for item in scores for old, new in item)
    identical = sum(map(all, same)) / sample.n_items
    return Agreement(sample.n_items, identical, labels=share(sum(labels), len(labels)), largest_difference=largest)


def _vector_agreement(before: Side, after: Side, sample: Sample) -> Agreement:
    one, two = ([side.answers[request.id].vector for request in sample.requests] for side in (before, after))
    found = vector_agreement(one, two)
    return Agreement(
        sample.n_items,
        mean_cosine=found.mean_cosine,
        least_cosine=found.least_cosine,
        neighbours=share(found.same_neighbours, found.total),
    )


def _token_agreement(before: Side, after: Side, sample: Sample, forced_top1: float | None) -> Agreement:
    differing, same, longest = set(), 0, 0
    for request in sample.requests:
        one, two = _answers(before, after, request)
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


def _answers(before: Side, after: Side, request: Request) -> tuple[Completion, Completion]:
    return before.answers[request.id], after.answers[request.id]


def share(part: int, total: int) -> float:
    """The share of ``part`` in ``total``; 1 if there is nothing to compare."""
    return part / total if total else 1.0
