"""Counts the tokens of checked items for their model. Knows nothing of requests, files or tables."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, TypeVar

from lengthwise.errors import InvalidInput, Unanswerable
from lengthwise.kinds import pool as pools
from lengthwise.kinds.kind import Decoding, JobItem, JobParams, Kind, KindModel, Prompt
from lengthwise.ledger.jobs.arrangement import NewItem
from lengthwise.models import tokenizer
from lengthwise.models.catalog import ModelSpec
from lengthwise.states import ResultStatus

Raw = TypeVar("Raw")

#: Items checked and counted together, by number and by bytes: enough to share each step's fixed cost, few enough to
#: stay in a core's cache and beneath the garbage collector's threshold (a counted token takes a hundred bytes). It is
#: also little enough to take far less than a second on a busy core: the transaction gives a sign of life in between.
_PORTION_ITEMS = 64
_PORTION_BYTES = 2**18
#: Characters that count as one token at least. A token of ordinary text has two to five.
_MOST_CHARACTERS = 8
#: Bytes of an item beyond its first 1,024 that count as one token at least: metadata, and messages and parts without
#: text. In memory they may take forty times as much.
_MOST_BYTES = 16
_FREE_BYTES = 1024


class CheckedItem(NamedTuple):
    """One item, and the JSON that is stored for it."""

    item: JobItem
    payload: bytes


@dataclass(frozen=True, slots=True)
class ItemTarget:
    """What a request asks for: the kind, the model and the parameters."""

    kind: Kind
    spec: ModelSpec
    params: JobParams


@dataclass(frozen=True, slots=True)
class Portion:
    """Checked items for one target, in the caller's order.

    ``places`` holds each item's place in the request: its index, or the number of its line.
    """

    target: ItemTarget
    checked: Sequence[CheckedItem]
    places: Sequence[int]

    def part(self, start: int, end: int) -> "Portion":
        return Portion(self.target, self.checked[start:end], self.places[start:end])


class CountedPortion(NamedTuple):
    """Items ready to be written, and the pools that they name."""

    items: list[NewItem]
    pools: set[str]


#: Called with the place of an item that the model's template does not take. It may raise; then nothing more is read.
Refuse = Callable[[int, InvalidInput], None]


def in_portions(raws: Iterable[Raw], n_bytes: Callable[[Raw], int]) -> Iterator[list[Raw]]:
    """Splits what was sent into portions, limited by number and by size. ``n_bytes`` gives the size of one."""
    found: list[Raw] = []
    size = 0
    for raw in raws:
        found.append(raw)
        size += n_bytes(raw)
        if len(found) == _PORTION_ITEMS or size >= _PORTION_BYTES:
            yield found
            found, size = [], 0
    if found:
        yield found


def counted(portion: Portion, refuse: Refuse) -> Iterator[CountedPortion]:
    """The portion's items with their lengths, without those that were refused.

    A text that all items share counts once for each item. So a portion may be cut into smaller parts here.
    """
    shared = sum(len(text) for text in portion.target.params.shared_texts())
    start, size = 0, 0
    for end, each in enumerate(portion.checked, 1):
        size += shared + len(each.payload)
        if size >= _PORTION_BYTES or end == len(portion.checked):
            yield from _counted(portion.part(start, end), refuse)
            start, size = end, 0


def _counted(portion: Portion, refuse: Refuse) -> Iterator[CountedPortion]:
    target = portion.target
    kind, spec = target.kind, target.spec
    items = [item for item, _ in portion.checked]
    try:
        prompts = kind.prompts(KindModel(spec, tokenizer.load_counting(spec)), target.params, items, 0)
    except (InvalidInput, Unanswerable) as error:
        if len(items) == 1:
            if isinstance(error, InvalidInput):
                refuse(portion.places[0], error)
            else:
                yield _unanswerable(portion, error.code)
            return
        # At least one item is wrong. Counted one by one, only the wrong ones are refused.
        for at in range(len(items)):
            yield from _counted(portion.part(at, at + 1), refuse)
        return
    requirements = _requirements(target, items)
    distinct = set(requirements)
    most = max(min_answer for _, min_answer in distinct)
    all_fit = _misfit(chain.from_iterable(prompts), spec.context, most) is None
    found = []
    rows = zip(portion.places, portion.checked, prompts, requirements, strict=True)
    for place, (item, payload), each, (pool, min_answer) in rows:
        lengths = [len(prompt.tokens) for prompt in each]
        code = None if all_fit else _misfit(each, spec.context, min_answer)
        refusal = _failed(target, place, item, code) if code else None
        n_tokens = sum(lengths) or 1
        if len(payload) > n_tokens * _MOST_CHARACTERS:
            n_tokens = max(n_tokens, _cost(item, payload))
        found.append(NewItem(n_tokens, payload, refusal, lengths, pool))
    yield CountedPortion(found, {pool for pool, _ in distinct})


def _failed(target: ItemTarget, place: int, item: JobItem, code: str) -> bytes:
    limit = target.spec.context if code == "too_long" else None
    return target.kind.failed(place, item, code, ResultStatus.FAILED, limit)


def _unanswerable(portion: Portion, code: str) -> CountedPortion:
    """A portion of one item that ends with this error, without running."""
    [(item, payload)] = portion.checked
    [(pool, _)] = _requirements(portion.target, [item])
    refusal = _failed(portion.target, portion.places[0], item, code)
    return CountedPortion([NewItem(1, payload, refusal, [], pool)], {pool})


def _cost(item: JobItem, payload: bytes) -> int:
    """What an item counts in tokens of which the model reads next to nothing.

    Such an item is parsed, cleaned and cut all the same, so that not many of them may be in one claim.
    """
    of_text = sum(map(len, item.texts())) // _MOST_CHARACTERS
    return max(of_text, (len(payload) - _FREE_BYTES) // _MOST_BYTES)


#: The pool of an item, and the fewest tokens that its model must be able to write.
_Requirement = tuple[str, int]


def _requirements(target: ItemTarget, items: Sequence[JobItem]) -> list[_Requirement]:
    kind, spec, params = target.kind, target.spec, target.params
    if kind.decodes_per_item:
        return [_requirement(spec, kind.decoding(spec, params, item, 0)) for item in items]
    return [_requirement(spec, kind.decoding(spec, params, items[0], 0))] * len(items)


def _requirement(spec: ModelSpec, decoding: Decoding) -> _Requirement:
    return pools.name(spec.name, decoding), int(decoding.max_new_tokens > 0)


def _misfit(prompts: Iterable[Prompt], max_tokens: int, min_answer: int) -> str | None:
    """Why the model cannot run one of the prompts, or cannot write ``min_answer`` tokens after it."""
    for tokens, max_new, _ in prompts:
        if not tokens:
            return "empty_prompt"
        if len(tokens) > max_tokens or max_new < min_answer:
            return "too_long"
    return None
