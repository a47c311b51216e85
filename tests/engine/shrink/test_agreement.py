import pytest

from tests.engine import tiny
from tests.engine.conftest import Load
from tests.engine.decode.test_generation import run
from worker.engine.protocol import FinishReason
from worker.engine.transformer.shrink.agreement import TokenAgreement, teacher_forced_agreement


@pytest.mark.parametrize("quantization", ["none", "int8"])
@pytest.mark.parametrize("kind", sorted(tiny.GENERATIVE))
def test_a_model_agrees_with_every_token_of_its_own(kind: str, quantization: str, load: Load) -> None:
    engine = load(kind, quantization)
    requests = [
        request._replace(max_new_tokens=limit, decoder_prefix=prefix)
        for request, limit, prefix in zip(
            tiny.requests(), (12, 1, 9, 0, 30, 12, 5), ((), (5,), (), (), (9, 10, 11), (), ()), strict=True
        )
    ]
    answers = run(engine, requests)
    written = sum(len(answer.tokens) + (answer.finish_reason is FinishReason.STOP) for answer in answers.values())
    assert written > 20
    assert teacher_forced_agreement(engine, requests, [answers[request.id] for request in requests]) == TokenAgreement(
        written, written
    )


@pytest.mark.parametrize("kind", ["llama", "marian"])
def test_an_invented_last_token_is_the_only_one_not_agreed_with(kind: str, load: Load) -> None:
    engine, requests = load(kind, "none"), tiny.requests()
    answers = run(engine, requests)
    other = {
        number: answer._replace(tokens=(*answer.tokens[:-1], 3 + (answer.tokens[-1] - 2) % 100))
        if answer.finish_reason is FinishReason.LENGTH
        else answer
        for number, answer in answers.items()
    }
    invented = sum(other[number] != answer for number, answer in answers.items())
    assert invented > 2
    found = teacher_forced_agreement(engine, requests, [other[request.id] for request in requests])
    assert found.total - found.same == invented


def test_without_written_tokens_nothing_is_compared(load: Load) -> None:
    engine, requests = load("llama", "none"), tiny.requests(max_new_tokens=0)
    answers = run(engine, requests)
    assert teacher_forced_agreement(engine, requests, [answers[request.id] for request in requests]) == TokenAgreement(
        0, 0
    )
