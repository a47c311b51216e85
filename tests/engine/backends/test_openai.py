"""The engine ``openai`` against a real HTTP server that refuses, fails, is slow or goes away."""

import logging
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from lengthwise import settings
from lengthwise.errors import ConfigurationError
from lengthwise.kinds.moderate import ModerateOptions
from tests.engine import tiny
from tests.engine.backends.served import served
from tests.engine.completions import KEY, CompletionServer, ServerFault, completion_server, written
from tests.servers import wait_until
from worker.engine import registry
from worker.engine.completions import completions
from worker.engine.openai import queue
from worker.engine.openai.engine import OpenAIEngine
from worker.engine.protocol import Completion, EngineError, EngineUnavailable, Request, Sampling

SECRET = 101


@pytest.fixture
def server() -> Iterator[CompletionServer]:
    with completion_server() as running:
        yield running


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "_FIRST_PAUSE_SECONDS", 0.01)


def many(count: int = 40) -> list[Request]:
    draw = Random(5)
    return [Request(number, [draw.randrange(3, 100) for _ in range(9)], 6) for number in range(count)]


def right(request: Request) -> tuple[int, ...]:
    ids, _, reason = written(list(request.tokens), request.max_new_tokens, [])
    return tuple(ids[:-1] if reason == "stop" else ids)


def is_right(requests: list[Request], completions: list[Completion]) -> bool:
    return {completion.id: completion.tokens for completion in completions} == {
        request.id: right(request) for request in requests
    }


def test_it_is_found_by_its_name_and_asks_nobody_before_its_first_batch(
    server: CompletionServer, tmp_path: Path
) -> None:
    engine = registry.load(served(tmp_path, server))
    assert isinstance(engine, OpenAIEngine)
    assert engine.capabilities().is_packed
    assert server.bodies == []


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_passes_is_tried_again(server: CompletionServer, tmp_path: Path, status: int) -> None:
    server.faults = [ServerFault(status) for _ in range(3)]
    engine, requests = OpenAIEngine.load(served(tmp_path, server)), many()
    assert is_right(requests, list(completions(engine, requests)))
    assert len(server.bodies) == len(requests) + 3


def test_a_connection_that_breaks_is_tried_again(server: CompletionServer, tmp_path: Path) -> None:
    server.faults = [ServerFault(), ServerFault()]
    engine, requests = OpenAIEngine.load(served(tmp_path, server)), many(10)
    assert is_right(requests, list(completions(engine, requests)))
    assert len(server.bodies) == 12


def test_nothing_is_sent_while_the_server_wants_to_be_left_alone(server: CompletionServer, tmp_path: Path) -> None:
    server.faults = [ServerFault(429, {"Retry-After": "1"})]
    engine, requests = OpenAIEngine.load(served(tmp_path, server, max_concurrency=1)), many(3)
    assert is_right(requests, list(completions(engine, requests)))
    first, *others = server.began_at
    assert len(others) == 3
    assert min(others) - first >= 1


def test_a_server_that_refuses_is_given_fewer_at_once_until_it_bears_them(
    server: CompletionServer, tmp_path: Path
) -> None:
    server.most, server.delay = 3, 0.1
    engine, requests = OpenAIEngine.load(served(tmp_path, server)), many(24)
    assert is_right(requests, list(completions(engine, requests)))
    assert len(server.bodies) > len(requests)
    assert server.n_most <= server.most + 1


def test_it_gives_a_server_that_keeps_up_more_and_more(server: CompletionServer, tmp_path: Path) -> None:
    server.delay = 0.05
    engine, requests = OpenAIEngine.load(served(tmp_path, server)), many(60)
    list(completions(engine, requests[:7]))
    assert server.n_most == 4
    list(completions(engine, requests))
    assert server.n_most > 4


def test_never_more_at_once_than_allowed(server: CompletionServer, tmp_path: Path) -> None:
    server.delay = 0.005
    list(completions(OpenAIEngine.load(served(tmp_path, server, max_concurrency=2)), many()))
    assert server.n_most == 2


def test_completions_come_as_they_finish(server: CompletionServer, tmp_path: Path) -> None:
    server.poisonous, server.poison = 110, ServerFault(500, delay=0.3)
    requests = [Request(0, [110], 4), *many(8)[1:]]
    answers = completions(OpenAIEngine.load(served(tmp_path, server)), requests)
    assert sorted(next(answers).id for _ in range(7)) == list(range(1, 8))
    with pytest.raises(EngineError):
        next(answers)


@pytest.mark.parametrize(
    "fault", [ServerFault(400), ServerFault(413), ServerFault(422), ServerFault(500), ServerFault()]
)
def test_a_request_that_the_server_cannot_answer_is_alone_to_fail_and_nothing_is_told_of_it(
    server: CompletionServer, tmp_path: Path, fault: ServerFault, caplog: pytest.LogCaptureFixture
) -> None:
    fault.body = f'{{"error": "cannot continue {SECRET}"}}'.encode()
    server.poisonous, server.poison = SECRET, fault
    requests = [*many(10), Request(77, [5, SECRET], 4)]
    answers = []
    with caplog.at_level(logging.DEBUG), pytest.raises(EngineError) as caught:
        for completion in completions(OpenAIEngine.load(served(tmp_path, server)), requests):
            answers.append(completion)
    assert is_right(requests[:-1], answers)
    assert str(SECRET) not in str(caught.value) + caplog.text
    assert caught.value.__cause__ is None


def test_a_request_that_takes_too_long_is_its_own_fault_while_the_server_answers_others(
    server: CompletionServer, tmp_path: Path
) -> None:
    server.poisonous, server.poison = SECRET, ServerFault(200, delay=0.5)
    engine = OpenAIEngine.load(served(tmp_path, server, timeout_seconds=0.2))
    with pytest.raises(EngineError, match=r"no answer within 0\.2 s"):
        list(completions(engine, [Request(0, [SECRET], 4)]))
    assert is_right(many(3), list(completions(engine, many(3))))


def test_a_batch_in_which_nothing_is_answered_for_long_ends_before_all_of_it_failed(
    server: CompletionServer, tmp_path: Path
) -> None:
    server.poisonous, server.poison = SECRET, ServerFault(200, delay=0.6)
    engine = OpenAIEngine.load(served(tmp_path, server, timeout_seconds=0.2))
    with pytest.raises(EngineError):
        list(completions(engine, [Request(number, [SECRET], 4) for number in range(40)]))
    assert len(server.bodies) < 40


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"choices": []}', b'{"choices": [{"text": 5}]}', b'"\xff"'])
def test_an_answer_that_is_no_completion_is_an_error(server: CompletionServer, tmp_path: Path, body: bytes) -> None:
    server.faults = [ServerFault(200, body=body)]
    with pytest.raises(EngineError):
        list(completions(OpenAIEngine.load(served(tmp_path, server)), many(1)))
    assert len(server.bodies) == 1, "another try would not help"


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with completion_server() as gone:
        spec = served(tmp_path, gone)
    with pytest.raises(EngineUnavailable, match="cannot be reached"):
        list(completions(OpenAIEngine.load(spec), many()))


def test_a_server_that_dies_is_unavailable_and_what_it_answered_stays(server: CompletionServer, tmp_path: Path) -> None:
    engine, requests = OpenAIEngine.load(served(tmp_path, server, max_concurrency=1)), many(10)
    answers = []
    with pytest.raises(EngineUnavailable):
        for completion in completions(engine, requests):
            answers.append(completion)
            if len(answers) == 3:
                server.shutdown()
                server.server_close()
                server.faults = [ServerFault() for _ in range(9)]  # for the connections that are still open
    assert is_right(requests[: len(answers)], answers)
    assert len(answers) >= 3


@pytest.mark.parametrize("status", [401, 403, 404, 307])
def test_a_server_that_refuses_everybody_is_unavailable(server: CompletionServer, tmp_path: Path, status: int) -> None:
    server.faults = [ServerFault(status, {"location": "http://127.0.0.1:1/"})]
    with pytest.raises(EngineUnavailable, match=str(status)):
        list(completions(OpenAIEngine.load(served(tmp_path, server)), many(1)))
    assert len(server.bodies) == 1


def test_a_server_that_stays_busy_is_unavailable_for_as_long_as_it_says(
    server: CompletionServer, tmp_path: Path
) -> None:
    server.faults = [ServerFault(503, {"Retry-After": "700"})]
    with pytest.raises(EngineUnavailable) as caught:
        list(completions(OpenAIEngine.load(served(tmp_path, server)), many(1)))
    assert caught.value.retry_after == 700


def test_the_key_is_sent_and_is_nowhere_else(
    server: CompletionServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TESTS_KEY", KEY)
    server.faults = [ServerFault(401)]
    with caplog.at_level(logging.DEBUG):
        engine = OpenAIEngine.load(served(tmp_path, server, key_variable="TESTS_KEY"))
        with pytest.raises(EngineUnavailable) as caught:
            list(completions(engine, many(1)))
    assert server.keys == [f"Bearer {KEY}"]
    assert KEY not in caplog.text + str(caught.value) + repr(vars(engine)) + repr(vars(engine._server))


def test_without_a_key_none_is_sent(server: CompletionServer, tmp_path: Path) -> None:
    list(completions(OpenAIEngine.load(served(tmp_path, server)), many(1)))
    assert server.keys == [None]


def test_what_a_server_may_not_know_is_said_only_where_it_was_asked_for(
    server: CompletionServer, tmp_path: Path
) -> None:
    engine = OpenAIEngine.load(served(tmp_path, server))
    plain, drawn = many(2)
    list(completions(engine, [plain]))
    list(completions(engine, [drawn._replace(sampling=Sampling(0.5, 1.0, 7, 3, repetition_penalty=1.2), stop=("x",))]))
    assert server.bodies[0].keys() == {"model", "prompt", "max_tokens", "temperature"}
    more = {name: server.bodies[1][name] for name in server.bodies[1].keys() - server.bodies[0].keys()}
    assert more == {"top_p": 1.0, "top_k": 7, "seed": 3, "repetition_penalty": 1.2, "stop": ["x"]}


def test_ids_that_a_server_does_not_give_are_an_error(server: CompletionServer, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="returns_token_ids"):
        list(completions(OpenAIEngine.load(served(tmp_path, server, returns_token_ids=True)), many(1)))


def test_an_answer_ends_where_the_context_does(server: CompletionServer, tmp_path: Path) -> None:
    list(completions(OpenAIEngine.load(served(tmp_path, server)), [Request(0, [5] * 120, 50, decoder_prefix=(7, 8))]))
    assert server.bodies[0]["max_tokens"] == 6


@pytest.mark.parametrize(
    ("options", "named"),
    [({"key_variable": "NO_SUCH_KEY"}, "NO_SUCH_KEY"), ({"timeout_seconds": 100.0}, "LENGTHWISE_HANG_SECONDS")],
)
def test_a_table_that_does_not_fit_this_process_is_named(
    server: CompletionServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, object], named: str
) -> None:
    monkeypatch.delenv("LENGTHWISE_HANG_SECONDS", raising=False)
    settings.get.cache_clear()
    with pytest.raises(ConfigurationError, match=named):
        OpenAIEngine.load(served(tmp_path, server, **options))


def test_a_model_without_a_server_or_for_moderation_is_refused(server: CompletionServer, tmp_path: Path) -> None:
    spec = served(tmp_path, server)
    with pytest.raises(ConfigurationError, match=r"models\.served\.server"):
        OpenAIEngine.load(spec.model_copy(update={"server": None}))
    with pytest.raises(ConfigurationError, match="moderate"):
        OpenAIEngine.load(spec.model_copy(update={"kind_options": {"moderate": ModerateOptions()}}))


def test_a_batch_that_is_given_up_leaves_nothing_open(server: CompletionServer, tmp_path: Path) -> None:
    server.delay = 0.05
    batch = OpenAIEngine.load(served(tmp_path, server)).start()
    batch.add(many(8))
    while not batch.step():
        pass
    batch.close()
    n_begun = len(server.bodies)
    wait_until(lambda: server.n_now == 0)
    assert len(server.bodies) == n_begun < 8


def test_the_ids_of_an_answer_can_be_read_from_its_text() -> None:
    """The text that the server writes names its ids; the other tests rely on that."""
    ids, text, _ = written([5, 6], 6, [])
    assert text == tiny.text([token for token in ids if token != tiny.END])
