"""Texts that are too long for /v1/embeddings are cut if a request says so, through the SDK and through a batch."""

from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from tests.engine import tiny
from tests.ledger import sql
from tests.openai.calls import Line, conserved, jsonl, run
from tests.openai.conftest import RunWorker, working

CONTEXT = 128
TABLE = """
[models.tiny]
path = "tiny"
quantization = "none"
device = "cpu"
[models.tiny.embed]
"""
#: Each option, and how many tokens it leaves of a text that is too long.
CUTS: list[tuple[dict[str, Any], int]] = [
    ({"truncate": True}, CONTEXT),
    ({"truncate_prompt_tokens": -1}, CONTEXT),
    ({"truncate_prompt_tokens": 100_000}, CONTEXT),
    ({"truncate": True, "truncate_prompt_tokens": 7}, 7),
    ({"truncate_prompt_tokens": 1}, 1),
]


@pytest.fixture
def catalog(catalog: Path) -> Path:
    (catalog.parent / "tiny").mkdir()
    tiny.write("embed-bert", catalog.parent / "tiny")
    catalog.write_text(catalog.read_text() + TABLE)
    return catalog


def words(n_tokens: int) -> str:
    """A text of as many tokens, no two of which are alike within a hundred."""
    return tiny.text([5 + number % 100 for number in range(n_tokens)])


LONG = words(CONTEXT + 1)


@pytest.mark.parametrize(("options", "most"), CUTS, ids=str)
def test_the_vector_of_a_text_that_is_cut_is_that_of_its_beginning(
    sdk: OpenAI, run_worker: RunWorker, options: dict[str, Any], most: int
) -> None:
    with working(run_worker):
        cut = sdk.embeddings.create(model="tiny", input=LONG, extra_body=options)
        begin, shorter, whole = sdk.embeddings.create(
            model="tiny", input=[words(most), words(most + 1)[5:], words(CONTEXT)]
        ).data
    assert cut.data[0].embedding == pytest.approx(begin.embedding, abs=1e-5)
    assert cut.data[0].embedding != pytest.approx(shorter.embedding, abs=1e-3)
    assert (cut.data[0].embedding == pytest.approx(whole.embedding, abs=1e-5)) is (most == CONTEXT)
    assert (cut.usage.prompt_tokens, cut.usage.total_tokens) == (most, most)


def test_a_text_that_fits_is_not_changed_by_an_option_to_cut_it(sdk: OpenAI, run_worker: RunWorker) -> None:
    with working(run_worker):
        found = [
            sdk.embeddings.create(model="tiny", input=[words(CONTEXT), words(3)], extra_body=options)
            for options in ({}, {"truncate": True}, {"truncate": None, "truncate_prompt_tokens": None})
        ]
    assert {answer.usage.prompt_tokens for answer in found} == {CONTEXT + 3}
    first, *others = [[each.embedding for each in answer.data] for answer in found]
    for other in others:
        assert [pytest.approx(each, abs=1e-5) for each in first] == other


@pytest.mark.parametrize("options", [{}, {"truncate": False}, {"truncate": None}], ids=str)
@pytest.mark.parametrize("texts", [LONG, ["w005 ", LONG]], ids=["alone", "among others"])
def test_a_text_that_is_too_long_is_refused_with_the_limit_and_the_way_out(
    sdk: OpenAI, texts: str | list[str], options: dict[str, Any]
) -> None:
    with pytest.raises(BadRequestError) as refused:
        sdk.embeddings.create(model="tiny", input=texts, extra_body=options)
    assert refused.value.code == "context_length_exceeded"
    assert f"at most {CONTEXT} tokens" in refused.value.message
    assert '"truncate": true' in refused.value.message
    assert sql("SELECT count(*) FROM jobs") == [(0,)]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"truncate": "CaNaRy"}, "truncate"),
        ({"truncate": 1}, "truncate"),
        ({"truncate_prompt_tokens": 0}, "truncate_prompt_tokens"),
        ({"truncate_prompt_tokens": -2}, "truncate_prompt_tokens"),
        ({"truncate_prompt_tokens": 1.5}, "truncate_prompt_tokens"),
        ({"truncate_prompt_tokens": True}, "truncate_prompt_tokens"),
        ({"truncate": False, "truncate_prompt_tokens": 7}, "truncate_prompt_tokens"),
    ],
    ids=str,
)
def test_a_wrong_option_is_refused_by_its_name(sdk: OpenAI, options: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        sdk.embeddings.create(model="tiny", input="w005 ", extra_body=options)
    assert field in f"{refused.value.param} {refused.value.message}"
    assert "canary" not in refused.value.message.lower()
    assert sql("SELECT count(*) FROM jobs") == [(0,)]


def embedding_line(custom_id: str, text: str | list[str], **body: Any) -> Line:
    body = {"model": "tiny", "input": text, **body}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/embeddings", "body": body}


@pytest.mark.usefixtures("each_store")
def test_each_line_of_a_batch_says_whether_its_texts_are_cut(sdk: OpenAI, run_worker: RunWorker) -> None:
    lines = [embedding_line(f"{number}", LONG, **options) for number, (options, _) in enumerate(CUTS)]
    lines += [embedding_line("refused", LONG), embedding_line("several", [LONG, words(4)], truncate_prompt_tokens=6)]
    lines += [embedding_line(f"begin {most}", words(most)) for most in (CONTEXT, 7, 1)]
    batch = run(sdk, jsonl(lines), run_worker, endpoint="/v1/embeddings")
    output, errors = conserved(sdk, batch, [line["custom_id"] for line in lines])
    [refused] = errors.values()
    error = refused["response"]["body"]["error"]
    assert (refused["custom_id"], refused["response"]["status_code"]) == ("refused", 400)
    assert error["code"] == "context_length_exceeded" and f"at most {CONTEXT} tokens" in error["message"]
    bodies = {name: row["response"]["body"] for name, row in output.items()}
    for number, (_, most) in enumerate(CUTS):
        [found], [begin] = bodies[f"{number}"]["data"], bodies[f"begin {most}"]["data"]
        assert found["embedding"] == pytest.approx(begin["embedding"], abs=1e-5)
        assert bodies[f"{number}"]["usage"] == {"prompt_tokens": most, "total_tokens": most}
    assert bodies["several"]["usage"]["prompt_tokens"] == 6 + 4


def test_a_wrong_option_in_a_batch_is_named_by_its_line(sdk: OpenAI, run_worker: RunWorker) -> None:
    lines = [embedding_line("fine", "w005 "), embedding_line("wrong", "w005 ", truncate_prompt_tokens=0)]
    batch = run(sdk, jsonl(lines), run_worker, endpoint="/v1/embeddings")
    assert batch.status == "failed"
    assert batch.errors and batch.errors.data
    [error] = batch.errors.data
    assert (error.line, error.code, error.param) == (2, "invalid_request", "truncate_prompt_tokens")
