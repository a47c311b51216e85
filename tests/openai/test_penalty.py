"""``repetition_penalty`` reaches a tiny model through the SDK's ``extra_body``, a batch and a native job."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import BadRequestError, OpenAI

from lengthwise.models import manifest
from tests.engine import tiny
from tests.ledger import sql
from tests.openai.calls import conserved, jsonl, run
from tests.openai.conftest import RunWorker, working

TABLE = """
[models.tiny]
path = "tiny"
quantization = "none"
device = "cpu"
max_new_tokens = 24
[models.tiny.generate]
[models.tiny.chat]
"""
PROMPT = "w005 w006 w007 "


@pytest.fixture
def catalog(catalog: Path) -> Path:
    folder = catalog.parent / "tiny"
    folder.mkdir()
    tiny.write("llama", folder)
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    manifest.write(folder, sorted(path.name for path in folder.iterdir() if path.name != manifest.MANIFEST))
    catalog.write_text(catalog.read_text() + TABLE)
    return catalog


def completion(sdk: OpenAI, **options: Any) -> str:
    return sdk.completions.create(model="tiny", prompt=PROMPT, max_tokens=24, extra_body=options).choices[0].text


def chat(sdk: OpenAI, **options: Any) -> str:
    messages: Any = [{"role": "user", "content": PROMPT}]
    answer = sdk.chat.completions.create(model="tiny", messages=messages, max_tokens=24, extra_body=options)
    return answer.choices[0].message.content or ""


def response(sdk: OpenAI, **options: Any) -> str:
    return sdk.responses.create(model="tiny", input=PROMPT, max_output_tokens=24, extra_body=options).output_text


@pytest.mark.parametrize("ask", [completion, chat, response])
def test_a_penalty_changes_the_answer_and_one_of_1_does_not(
    ask: Callable[..., str], sdk: OpenAI, run_worker: RunWorker
) -> None:
    with working(run_worker):
        plain, neutral, none = ask(sdk), ask(sdk, repetition_penalty=1), ask(sdk, repetition_penalty=None)
        penalized = ask(sdk, repetition_penalty=2)
    assert plain and plain == neutral == none
    assert penalized != plain
    assert repeats(penalized) < repeats(plain)


def repeats(answer: str) -> int:
    words = answer.split()
    return len(words) - len(set(words))


def test_a_batch_and_a_native_job_give_the_answers_of_single_requests(
    sdk: OpenAI, url: str, api_key: str, run_worker: RunWorker
) -> None:
    penalties = {"a": None, "b": 0.7, "c": 2}
    with working(run_worker):
        alone = {name: completion(sdk, repetition_penalty=penalty) for name, penalty in penalties.items()}
    assert len(set(alone.values())) == len(alone), "they must differ to prove anything"
    lines = [
        {
            "custom_id": name,
            "method": "POST",
            "url": "/v1/completions",
            "body": {"model": "tiny", "prompt": PROMPT, "max_tokens": 24, "repetition_penalty": penalty},
        }
        for name, penalty in penalties.items()
    ]
    output, _ = conserved(sdk, run(sdk, jsonl(lines), run_worker, endpoint="/v1/completions"), list(penalties))
    assert {name: row["response"]["body"]["choices"][0]["text"] for name, row in output.items()} == alone
    headers = {"authorization": f"Bearer {api_key}"}
    body = {"kind": "generate", "model": "tiny", "items": [PROMPT], "max_new_tokens": 24, "repetition_penalty": 0.7}
    job = httpx.post(f"{url}/v1/jobs", json=body, headers=headers).raise_for_status().json()
    run_worker()
    [line] = httpx.get(f"{url}{job['links']['results']}", headers=headers).text.splitlines()
    assert json.loads(line)["output"]["text"] == alone["b"]


@pytest.mark.parametrize("penalty", [0, -1, 2.01, "CaNaRy", True, [1]])
def test_a_wrong_penalty_is_refused_by_its_name(sdk: OpenAI, penalty: Any) -> None:
    for ask in (completion, chat, response):
        with pytest.raises(BadRequestError) as refused:
            ask(sdk, repetition_penalty=penalty)
        assert refused.value.param == "repetition_penalty"
        assert "canary" not in refused.value.message.lower()
    assert sql("SELECT count(*) FROM jobs") == [(0,)]
