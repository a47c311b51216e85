"""The work on a claim: requests, answers, and shards that are completed."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic_core import from_json, to_json

from lengthwise import kinds
from lengthwise.kinds.generate import GenerateKind
from lengthwise.kinds.kind import KindModel, ModelAnswer
from lengthwise.kinds.translate import TranslateKind
from lengthwise.ledger.queue.claim import Claim, ClaimedItem, ClaimedJob, ClaimedShard
from lengthwise.ledger.queue.settle import Settlement
from lengthwise.models import tokenizer
from lengthwise.models.catalog import Catalog
from lengthwise.states import ResultStatus
from tests.fakes import write_catalog
from tests.panics import panic_on
from worker.engine.completions import completions
from worker.engine.echo import EchoEngine
from worker.engine.protocol import Completion, FinishReason
from worker.generation.answer_cache import AnswerCache
from worker.generation.work import Work
from worker.generation.work.items import refuse

JOB = UUID(int=7)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> KindModel:
    spec = Catalog.read(write_catalog(tmp_path_factory.mktemp("model"))).models["echo"]
    return KindModel(spec, tokenizer.load(spec))


def claim(texts: Sequence[str], kind: str = "generate", params: dict[str, Any] | None = None, per: int = 2) -> Claim:
    """A claim of one job, in shards of ``per`` items numbered from 0."""
    items = [
        ClaimedItem(index // per, index, len(text), to_json({"text": text, "id": f"id-{index}"}))
        for index, text in enumerate(texts)
    ]
    job = ClaimedJob(JOB, UUID(int=1), kind, "echo", params or {}, deduplicate=True)
    numbers = sorted({item.shard_id for item in items})
    shards = {
        number: ClaimedShard(
            number,
            JOB,
            deaths=1,
            attempts=0,
            bucket=0,
            priority=1,
            vkey=number,
            n_items=per,
            n_tokens=per,
            store=0,
        )
        for number in numbers
    }
    return Claim(uuid4(), {JOB: job}, shards, items)


def answer(work: Work, indexes: Sequence[int], model: KindModel) -> None:
    work.answer(list(completions(EchoEngine(model.spec), [work.request(index) for index in indexes])))


def lines(work: Work) -> list[dict[str, Any]]:
    found = [from_json(result.line) for done in work.take_finished() for result in done.results]
    return sorted(found, key=lambda line: int(line["index"]))


def test_answers_reach_their_items_in_any_order(model: KindModel) -> None:
    texts = [f"text {number}" for number in range(20)]
    work = Work(claim(texts), model)
    answer(work, Random(3).sample(range(20), 20), model)
    assert {line["id"]: line["output"]["text"] for line in lines(work)} == {
        f"id-{number}": text[::-1] for number, text in enumerate(texts)
    }


def test_a_text_on_which_the_tokenizer_panics_ends_its_item_alone(
    model: KindModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    panic_on(monkeypatch, model.tokenizer, "CaNaRy")
    work = Work(claim(["a", "a CaNaRy", "b", "c"]), model)
    answer(work, range(3), model)
    found = lines(work)
    assert [line.get("error", {}).get("code") for line in found] == [None, "untokenizable", None, None]
    assert work.unfinished_shards == []


def test_a_shard_is_returned_once_and_only_when_it_is_complete(model: KindModel) -> None:
    work = Work(claim(["a", "b", "c", "d"]), model)
    answer(work, [0, 2, 3], model)
    assert [done.shard_id for done in work.take_finished()] == [1]
    assert work.take_finished() == []
    assert work.unfinished_shards == [0]
    work.fail(1, "engine_error")
    [last] = work.take_finished()
    assert [result.status for result in last.results] == [ResultStatus.SUCCEEDED, ResultStatus.FAILED]
    assert last.counts.n_failed == 1
    assert work.unfinished_shards == []


def test_a_settlement_states_what_its_shard_cost(model: KindModel) -> None:
    work = Work(claim(["a" * 10, "b" * 4, "c" * 6, "d" * 6]), model)
    for batch, computed in (
        ([0, 1, 2], [10, 10, 10]),
        ([3], [6]),
        ([3], [6]),
    ):  # the last one twice, because it failed first
        work.charge(batch, computed)
    answer(work, range(4), model)
    first, second = work.take_finished()
    assert (first.n_padded, first.n_output) == (20, 14)
    assert (second.n_padded, second.n_output) == (10 + 6 + 6, 12)
    assert [first.n_batches, second.n_batches] == pytest.approx([2 / 3, 1 / 3 + 2])


def test_a_result_line_states_the_tokens_of_its_item(model: KindModel) -> None:
    work = Work(claim(["abc", "defgh"], params={"max_new_tokens": 4}), model)
    answer(work, [1, 0], model)
    assert [line["usage"] for line in lines(work)] == [
        {"input_tokens": 3, "output_tokens": 3},
        {"input_tokens": 5, "output_tokens": 4},
    ]


def test_each_item_is_sampled_with_its_own_seed(model: KindModel) -> None:
    work = Work(claim(["a", "b"], params={"seed": 5, "temperature": 0.5, "stop": ["z"]}), model)
    requests = [work.request(index) for index in range(2)]
    assert [request.sampling.seed for request in requests] == [5, 6]
    assert {(request.sampling.temperature, request.stop) for request in requests} == {(0.5, ("z",))}


def test_beam_search_takes_a_row_for_each_beam(model: KindModel) -> None:
    params = {"source": "en", "target": "de"}
    for more, beams in (({}, 1), ({"beams": 4}, 4)):
        work = Work(claim(["a", "b"], "translate", params | more), model)
        assert [work.request(index).beams for index in range(2)] == [beams, beams]
        assert work.beams == beams


def test_an_item_without_text_to_translate_needs_no_engine(model: KindModel) -> None:
    work = Work(
        claim(["{name}"], "translate", {"source": "en", "target": "de"}), KindModel(splitting(model), model.tokenizer)
    )
    assert work.pieces == []
    assert [line["output"]["text"] for line in lines(work)] == ["{name}"]


def splitting(model: KindModel) -> Any:
    options = model.spec.kind_options["translate"].model_copy(update={"placeholders": "split"})
    return model.spec.model_copy(update={"kind_options": {"translate": options}})


def test_an_answer_that_lost_its_marks_is_translated_again_around_the_placeholders(model: KindModel) -> None:
    work = Work(claim(["ab {name} cd"], "translate", {"source": "en", "target": "de"}), model)
    [request] = [work.request(0)]
    bare = request.tokens[:3]
    work.answer(list(completions(EchoEngine(model.spec), [type(request)(0, bare, 10)])))
    assert work.take_finished() == []
    assert len(work.pieces) == 3
    answer(work, [1, 2], model)
    assert [line["output"]["text"] for line in lines(work)] == ["ba {name} dc"]


def test_an_item_of_thousands_of_windows_runs_in_many_batches_and_has_one_result(model: KindModel) -> None:
    letters = Random(5)
    text = "".join(letters.choice("abcdefgh") for _ in range(100_000))
    small = KindModel(model.spec.model_copy(update={"max_input_tokens": 64}), model.tokenizer)
    work = Work(claim([text, "short"], "moderate"), small, ("hate",))
    assert len(work.pieces) == len(range(0, 100_000 - 16, 48)) + 1 == 2084
    batches = [list(range(start, min(start + 64, 2084))) for start in range(0, 2084, 64)]
    for batch in batches:
        work.charge(batch, work.lengths(batch))
        scores = [0.75 if index == 1500 else 0.25 for index in batch]
        work.answer([Completion(at, (), FinishReason.LABEL, (each,)) for at, each in zip(batch, scores, strict=True)])
    [done] = work.take_finished()
    long, short = (from_json(result.line) for result in sorted(done.results, key=lambda result: int(result.index)))
    assert long["output"]["scores"] == {"hate": 0.75}
    assert long["output"]["spans"] == {"hate": [1500 * 48, 1500 * 48 + 64]}
    assert long["usage"]["input_tokens"] == 100_000 + 16 * 2082
    assert "spans" not in short["output"]
    assert done.n_padded == 100_000 + 16 * 2082 + len("short")
    assert done.n_batches == pytest.approx(len(batches))


def numbered(done: Sequence[Settlement]) -> dict[int, Any]:
    return {result.index: from_json(result.line) for each in done for result in each.results}


def test_identical_items_are_computed_once_and_each_has_its_own_line(model: KindModel) -> None:
    work = Work(claim(["same", "other", "same", "same"]), model)
    assert len(work.pieces) == 2
    answer(work, [0, 1], model)
    done = work.take_finished()
    found = numbered(done)
    assert [found[index]["output"]["text"] for index in range(4)] == ["emas", "rehto", "emas", "emas"]
    assert [found[index]["id"] for index in range(4)] == [f"id-{index}" for index in range(4)]
    assert found[0]["usage"] == found[3]["usage"]
    assert {each.shard_id: each.n_deduplicated for each in done} == {0: 0, 1: 2}


def test_an_answer_is_cached_beyond_its_claim_for_its_tenant_alone(model: KindModel) -> None:
    cache = AnswerCache()
    first = Work(claim(["same", "other"]), model, known=cache)
    answer(first, [0, 1], model)
    again = Work(claim(["other", "same"]), model, known=cache)
    assert again.pieces == []
    assert [each.n_deduplicated for each in again.take_finished()] == [2]
    theirs = claim(["other", "same"])
    theirs.jobs[JOB] = replace(theirs.jobs[JOB], tenant_id=UUID(int=2))
    assert len(Work(theirs, model, known=cache).pieces) == 2


@pytest.mark.parametrize("params", [{"stop": ["e"]}, {"score": True}, {"max_new_tokens": 2}])
def test_a_cached_answer_is_not_used_for_other_parameters(model: KindModel, params: dict[str, Any]) -> None:
    cache = AnswerCache()
    answer(Work(claim(["same"]), model, known=cache), [0], model)
    assert len(Work(claim(["same"], params=params), model, known=cache).pieces) == 1


def test_each_job_of_a_claim_is_decoded_with_its_own_parameters(model: KindModel) -> None:
    first, second = claim(["a"], params={"stop": ["x"]}), claim(["b"], params={"temperature": 0.5, "seed": 3})
    other = UUID(int=8)
    job = replace(second.jobs[JOB], id=other)
    shard = replace(second.shards[0], id=5, job_id=other)
    items = [*first.items, second.items[0]._replace(shard_id=5)]
    both = Claim(first.token, first.jobs | {other: job}, first.shards | {5: shard}, items)
    requests = [Work(both, model).request(index) for index in range(2)]
    assert [(request.stop, request.sampling.temperature) for request in requests] == [(("x",), 0.0), ((), 0.5)]


@pytest.mark.parametrize("params", [{"temperature": 0.5}, {}], ids=["drawn", "switched off"])
def test_sampled_items_and_those_that_must_not_be_shared_are_always_computed(
    model: KindModel, params: dict[str, Any]
) -> None:
    claimed = claim(["same"] * 4, params=params)
    if not params:
        claimed.jobs[JOB] = replace(claimed.jobs[JOB], deduplicate=False)
    assert len(Work(claimed, model).pieces) == 4


def test_items_that_shared_a_failed_computation_run_by_themselves(model: KindModel) -> None:
    work = Work(claim(["same"] * 3, per=3), model)
    work.fail(0, "engine_error")
    assert len(work.pieces) == 3
    answer(work, [1, 2], model)
    [done] = work.take_finished()
    assert {index: line["status"] for index, line in numbered([done]).items()} == {
        0: "failed", 1: "succeeded", 2: "succeeded"
    }  # fmt: skip
    assert done.n_deduplicated == 0


def test_a_refused_claim_is_settled_without_a_model() -> None:
    done = refuse(claim(["a", "b", "c"]), "worker_lost")
    assert [(each.shard_id, each.counts.n_failed, each.n_output) for each in done] == [(0, 2, 0), (1, 1, 0)]
    found = [from_json(result.line) for each in done for result in each.results]
    assert [(line["index"], line["id"], line["error"]["code"]) for line in found] == [
        (index, f"id-{index}", "worker_lost") for index in range(3)
    ]


def test_a_blank_item_has_a_warning_and_others_have_none(model: KindModel) -> None:
    work = Work(claim([" ", "abc", " \n\t", "\u3000", "d", " e"]), model)
    answer(work, range(len(work.pieces)), model)
    done = work.take_finished()
    found = numbered(done)
    assert [found[index].get("warnings") for index in range(6)] == [["blank"], None, ["blank"], ["blank"], None, None]
    assert "warnings" not in found[1], "a line without warnings has no byte of them"
    assert {each.shard_id: each.n_warned for each in done} == {0: {"blank": 1}, 1: {"blank": 2}, 2: {}}


def warning_of(*codes: str) -> Any:
    return lambda *_: codes


@pytest.mark.parametrize(
    ("codes", "written"),
    [(("copied",), ["copied"]), (("length", "copied"), ["length", "copied"]), (("repeats", "repeats"), ["repeats"])],
)
def test_each_warning_of_an_item_is_written_and_counted_once(
    model: KindModel, monkeypatch: pytest.MonkeyPatch, codes: tuple[str, ...], written: list[str]
) -> None:
    monkeypatch.setattr(GenerateKind, "warnings", warning_of(*codes))
    work = Work(claim(["same", "same", "other"], per=3), model)
    answer(work, range(len(work.pieces)), model)
    [done] = work.take_finished()
    assert [line["warnings"] for line in numbered([done]).values()] == [written] * 3
    assert done.n_warned == dict.fromkeys(written, 3)


def test_an_item_that_fails_or_runs_again_has_no_warning_of_the_answer_that_was_dropped(
    model: KindModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TranslateKind, "warnings", warning_of("copied"))
    work = Work(claim(["ab {name} cd", "x"], "translate", {"source": "en", "target": "de"}), model)
    [request] = [work.request(0)]
    work.answer(list(completions(EchoEngine(model.spec), [type(request)(0, request.tokens[:3], 10)])))
    assert work.take_finished() == []
    work.fail(1, "engine_error")
    answer(work, [2, 3], model)
    [done] = work.take_finished()
    assert (done.counts.n_failed, done.n_warned) == (1, {"copied": 1})
    assert "warnings" not in numbered([done])[1]


def test_a_line_of_the_openai_surface_has_no_warnings(model: KindModel) -> None:
    kind = kinds.find("completions")
    assert kind.warnings(model, None, None, {}, []) == ()


@pytest.mark.parametrize("score", [True, False])
def test_only_a_job_that_asks_for_scores_gets_the_answers_probability(model: KindModel, score: bool) -> None:
    work = Work(claim(["a"], params={"score": score}), model)
    assert work.request(0).is_scored is score
    work.answer([Completion(0, (4,), FinishReason.STOP, log_probability=-0.5)])
    output = numbered(work.take_finished())[0]["output"]
    assert output.get("score") == (-0.5 if score else None)
    assert ("score" in output) is score


def test_the_answer_cache_counts_the_size_of_vectors() -> None:
    cache = AnswerCache(max_bytes=32 * 1000)
    for key in (b"a", b"b", b"c"):
        cache.put(key, ModelAnswer("", "vector", vector=(0.5,) * 400))
    assert (cache.get(b"a"), len(cache)) == (None, 2)


def test_each_shard_of_a_batch_that_ends_is_a_step(model: KindModel) -> None:
    ended: list[int] = []
    work = Work(claim(["a", "b", "c"]), model, on_step=lambda: ended.append(len(ended)))
    answer(work, [0], model)
    assert not ended
    answer(work, [1], model)
    assert ended == [0]
    work.fail(2, "engine_error")
    assert ended == [0, 1]
