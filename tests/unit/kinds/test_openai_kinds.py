"""The kinds of OpenAI's endpoints: the requests to the engine, and the answers in OpenAI's form."""

import base64
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from openai.types import CreateEmbeddingResponse, ModerationCreateResponse
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from pydantic import ValidationError
from pydantic_core import from_json, to_json

from lengthwise import kinds
from lengthwise.kinds.kind import KindModel
from lengthwise.kinds.openai.moderations import CATEGORIES
from lengthwise.ledger.queue.claim import Claim, ClaimedItem, ClaimedJob, ClaimedShard
from lengthwise.models import tokenizer
from lengthwise.models.catalog import Catalog, ModelSpec
from lengthwise.states import ResultStatus
from tests.fakes import CATALOG, write_echo_model
from tests.unit.models.prompts import families
from worker.engine.protocol import Completion, FinishReason
from worker.generation.work import Work

JOB = UUID(int=7)
SAID = [{"role": "user", "content": "abc"}]
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> KindModel:
    folder = tmp_path_factory.mktemp("model")
    write_echo_model(folder / "echo")
    Path(folder / "echo" / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    tables = "[models.echo.chat]\n[models.echo.embed]\n[models.echo.moderate]\nharmless = ['fine']\n"
    path = folder / "models.toml"
    path.write_text(CATALOG + tables)
    spec = Catalog.read(path).models["echo"]
    return KindModel(spec, tokenizer.load(spec))


def work(model: KindModel, kind: str, bodies: Sequence[dict[str, Any]], labels: Sequence[str] = ()) -> Work:
    items = [
        ClaimedItem(0, index, 1, to_json({"id": f"id-{index}", "request": f"{index:032x}", "body": body}))
        for index, body in enumerate(bodies)
    ]
    shard = ClaimedShard(
        0, JOB, deaths=1, attempts=0, bucket=0, priority=1, vkey=0, n_items=len(items), n_tokens=1, store=0
    )
    job = ClaimedJob(JOB, UUID(int=1), kind, "echo", {}, deduplicate=True)
    return Work(Claim(uuid4(), {JOB: job}, {0: shard}, items), model, labels)


def lines(done: Work) -> list[dict[str, Any]]:
    [settlement] = done.take_finished()
    return [from_json(result.line) for result in sorted(settlement.results, key=lambda result: int(result.index))]


def ids(model: KindModel, text: str) -> tuple[int, ...]:
    return tuple(model.tokenizer.encode([text])[0])


def chat(**more: Any) -> dict[str, Any]:
    return {"model": "echo", "messages": SAID, **more}


def test_each_line_is_decoded_with_its_own_parameters(model: KindModel) -> None:
    bodies = [chat(), chat(stop="c", max_tokens=2), chat(temperature=0.5, top_p=0.9, seed=3), chat(temperature=0.5)]
    asked = [work(model, "chat.completions", bodies).request(index) for index in range(4)]
    assert [(each.stop, each.max_new_tokens) for each in asked] == [((), 509), (("c",), 2), ((), 509), ((), 509)]
    assert [each.sampling.temperature for each in asked] == [0, 0, 0.5, 0.5]
    assert (asked[2].sampling.top_p, asked[2].sampling.seed) == (0.9, 3)
    assert asked[3].sampling.seed == work(model, "chat.completions", bodies).request(3).sampling.seed, "begun anew"


def test_a_penalty_goes_with_greedy_and_drawn_requests_and_keeps_answers_apart(model: KindModel) -> None:
    bodies = [chat(), chat(repetition_penalty=1), chat(repetition_penalty=1.5), chat(repetition_penalty=1.5)]
    doing = work(model, "chat.completions", [*bodies, chat(repetition_penalty=1.5, temperature=0.5)])
    assert len(doing.pieces) == 4, "the same prompt with the same penalty is asked once"
    assert [doing.request(index).sampling.repetition_penalty for index in range(4)] == [None, 1, 1.5, 1.5]
    assert [doing.request(index).sampling.temperature for index in range(4)] == [0, 0, 0, 0.5]


def test_an_answer_that_misses_its_schema_is_retried_and_then_fails(model: KindModel) -> None:
    doing = work(model, "chat.completions", [chat(response_format=FORMAT)] * 2)
    assert len(doing.pieces) == 1, "alike, and nothing is drawn: asked once"
    asked = doing.request(0)
    assert model.tokenizer.decode_batch([asked.tokens])[0].startswith("Answer with JSON of this schema")
    doing.answer([Completion(0, ids(model, "nonsense"), FinishReason.STOP)])
    assert [doing.request(at).sampling.temperature for at in (1, 2)] == [0.7, 0.7]
    doing.answer([Completion(1, ids(model, '{"a": 1}'), FinishReason.STOP)])
    doing.answer([Completion(2, ids(model, '{"a": "1"}'), FinishReason.STOP)])
    assert doing.request(3).sampling.seed != doing.request(2).sampling.seed
    doing.answer([Completion(3, ids(model, "[]"), FinishReason.STOP)])
    good, bad = sorted(lines(doing), key=lambda line: int(line["response"]["status_code"]))
    assert good["response"]["body"]["choices"][0]["message"]["content"] == '{"a": 1}'
    tokens = len(asked.tokens)
    assert good["response"]["body"]["usage"]["prompt_tokens"] == 2 * tokens, "both times are what it used"
    assert bad["response"]["body"]["error"]["code"] == "schema_not_met"


@pytest.mark.parametrize(
    ("form", "text", "is_met"),
    [
        ({"type": "text"}, "x", True),
        ({"type": "json_object"}, '{"b": 1}', True),
        ({"type": "json_object"}, "[1]", False),
        ({"type": "json_object"}, '{"b": NaN}', False),
        (FORMAT, '{"a": 1}', True),
        (FORMAT, '{"a": 1}}', False),
    ],
)
def test_a_format_accepts_only_answers_that_follow_it(
    model: KindModel, form: dict[str, Any], text: str, is_met: bool
) -> None:
    doing = work(model, "chat.completions", [chat(response_format=form)])
    doing.answer([Completion(0, ids(model, text), FinishReason.STOP)])
    assert (len(doing.pieces) == 1) is is_met


@pytest.mark.parametrize(
    "schema",
    [
        {"type": 3},
        {"$ref": "https://example.com/s.json"},
        {"pattern": "("},
        {"allOf": [{"$ref": "file:///etc/passwd"}]},
    ],
)
def test_an_invalid_schema_or_one_with_outside_references_is_refused(schema: dict[str, Any]) -> None:
    body = chat(response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}})
    with pytest.raises(ValidationError):
        kinds.find("chat.completions").item_type.model_validate({"id": "a", "request": "b", "body": body})


def test_the_openai_sdks_types_accept_our_answers(model: KindModel) -> None:
    doing = work(model, "chat.completions", [chat(), chat(max_tokens=1)])
    doing.answer([Completion(0, ids(model, "cba"), FinishReason.STOP), Completion(1, (9,), FinishReason.LENGTH)])
    for line, reason in zip(lines(doing), ("stop", "length"), strict=True):
        answer = ChatCompletion.model_validate(line["response"]["body"], strict=True)
        assert answer.choices[0].finish_reason == reason
    body = {"model": "echo", "input": SAID, "text": {"format": {"type": "json_object"}}}
    doing = work(model, "responses", [body])
    doing.answer([Completion(0, ids(model, "{}"), FinishReason.STOP)])
    response = Response.model_validate_json(to_json(lines(doing)[0]["response"]["body"]), strict=True)
    assert response.output_text == "{}"


def test_texts_become_vectors_as_numbers_or_base64(model: KindModel) -> None:
    doing = work(
        model,
        "embeddings",
        [{"model": "echo", "input": ["a", "b"]}, {"model": "echo", "input": "c", "encoding_format": "base64"}],
    )
    vectors = [(0.5, 1.0), (0.25, 2.0), (4.0, 8.0)]
    doing.answer([Completion(at, (), FinishReason.VECTOR, vector=vector) for at, vector in enumerate(vectors)])
    floats, packed = (line["response"]["body"] for line in lines(doing))
    answer = CreateEmbeddingResponse.model_validate_json(to_json(floats), strict=True)
    assert [tuple(each.embedding) for each in answer.data] == vectors[:2]
    assert array("f", base64.b64decode(packed["data"][0]["embedding"])).tolist() == [4.0, 8.0]
    assert floats["usage"] == {"prompt_tokens": 2, "total_tokens": 2}


def embedding(text: str | list[str], **more: Any) -> dict[str, Any]:
    return {"model": "echo", "input": text, **more}


@pytest.mark.parametrize(
    ("more", "most"),
    [
        ({}, None),
        ({"truncate": False}, None),
        ({"truncate": None, "truncate_prompt_tokens": None}, None),
        ({"truncate": True}, 512),
        ({"truncate_prompt_tokens": -1}, 512),
        ({"truncate": True, "truncate_prompt_tokens": 7}, 7),
        ({"truncate_prompt_tokens": 7}, 7),
        ({"truncate_prompt_tokens": 100_000}, 512),
    ],
    ids=str,
)
def test_a_text_to_embed_is_cut_only_if_its_request_says_so(
    model: KindModel, more: dict[str, Any], most: int | None
) -> None:
    texts = ["ab" * 300, "abc"]
    doing = work(model, "embeddings", [embedding(texts, **more)])
    found = [list(doing.request(index).tokens) for index in range(2)]
    assert model.spec.context == 512
    assert found == [each[:most] for each in model.tokenizer.encode(texts)]
    doing.answer([Completion(index, (), FinishReason.VECTOR, vector=(1.0,)) for index in range(2)])
    assert lines(doing)[0]["response"]["body"]["usage"]["prompt_tokens"] == sum(map(len, found)), "what was read"


@pytest.mark.parametrize(
    "more",
    [
        *({"truncate_prompt_tokens": count} for count in (0, -2, 2**31, 1.5, "7", True)),
        *({"truncate": switch} for switch in (1, "true", ["true"])),
        {"truncate": False, "truncate_prompt_tokens": 7},
    ],
    ids=str,
)
def test_a_wrong_truncation_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        kinds.find("embeddings").item_type.model_validate({"id": "a", "request": "b", "body": embedding("a", **more)})


def test_a_text_to_embed_that_is_too_long_is_an_error_that_names_the_limit_and_the_option() -> None:
    kind = kinds.find("embeddings")
    item = kind.item_type.model_validate({"id": "a", "request": "b", "body": embedding("CaNaRy")})
    response = from_json(kind.failed(0, item, "too_long", ResultStatus.FAILED, 512))["response"]
    error = response["body"]["error"]
    assert (response["status_code"], error["code"]) == (400, "context_length_exceeded")
    assert "at most 512 tokens" in error["message"] and '"truncate": true' in error["message"]
    assert "canary" not in error["message"].lower()


def test_a_moderation_names_all_of_openais_categories(model: KindModel) -> None:
    bodies = [{"model": "echo", "input": ["a", "b"]}]
    doing = work(model, "moderations", bodies, labels=("hate", "threat", "spam", "fine"))
    for at, scores in enumerate([(0.9, 0.6, 0.1, 0.9), (0.1, 0.2, 0.7, 0.9)]):
        doing.answer([Completion(at, (), FinishReason.LABEL, scores)])
    body = lines(doing)[0]["response"]["body"]
    answer = ModerationCreateResponse.model_validate_json(to_json(body), strict=True)
    first, second = body["results"]
    for result in (first, second):
        for part in ("categories", "category_scores", "category_applied_input_types"):
            assert tuple(result[part]) == CATEGORIES
    assert {name for name, is_set in first["categories"].items() if is_set} == {"hate", "harassment/threatening"}
    assert (second["flagged"], any(second["categories"].values())) == (True, False), "spam is no category of OpenAI's"
    assert answer.results[0].flagged


def test_the_line_of_an_item_that_never_ran_says_why(model: KindModel) -> None:
    kind = kinds.find("chat.completions")
    item = kind.item_type.model_validate({"id": 'a"b', "request": "c", "body": chat()})
    for status, code in ((ResultStatus.CANCELLED, "batch_cancelled"), (ResultStatus.EXPIRED, "batch_expired")):
        line = from_json(kind.failed(0, item, status, status))
        assert (line["id"], line["custom_id"], line["response"]) == ("batch_req_c", 'a"b', None)
        assert line["error"]["code"] == code


def test_what_the_engine_wrote_is_split_by_its_tokens(tmp_path: Path) -> None:
    spec = ModelSpec.from_table("echo", {"path": families.write(tmp_path, "gpt-oss"), "chat": {}})
    thinking = KindModel(spec, tokenizer.load(spec))
    channel, message, end, start = thinking.tokenizer.ids_of("<|channel|>", "<|message|>", "<|end|>", "<|start|>")
    written = (channel, *ids(thinking, "analysis"), message, *ids(thinking, "Hm."), end)
    written += (start, *ids(thinking, "assistant"), channel, *ids(thinking, "final"), message, *ids(thinking, "4"))
    doing = work(thinking, "chat.completions", [chat()])
    doing.answer([Completion(0, written, FinishReason.STOP)])
    [line] = lines(doing)
    told = line["response"]["body"]
    assert (told["choices"][0]["message"]["content"], told["choices"][0]["message"]["reasoning_content"]) == (
        "4",
        "Hm.",
    )
    assert told["usage"]["completion_tokens"] == len(written)
    assert told["usage"]["completion_tokens_details"] == {"reasoning_tokens": len(written) - 1}
