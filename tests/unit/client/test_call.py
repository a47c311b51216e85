"""The client's logic without I/O: what it retries, when, and when it gives up."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lengthwise import errors
from lengthwise.client import _call, _results
from lengthwise.client._effect import (
    Effect,
    HttpRequest,
    HttpResponse,
    OpenEffect,
    PauseEffect,
    ReadEffect,
    SendEffect,
    Steps,
    YieldEffect,
)
from lengthwise.client._error import RefusedError, UnreachableError
from lengthwise.client._results import SeenResults
from lengthwise.client._retry_budget import TRANSIENT_STATUSES, RetryBudget


def refusal(status: int, retry_after: str | None = None) -> HttpResponse:
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return HttpResponse(status, headers, b'{"title":"t","detail":"d","field":"f","index":3}')


def played(steps: Steps[Any], script: list[Any]) -> tuple[list[Effect], Any]:
    """Runs the call with the script's outcomes for its requests and reads. Returns its effects and its result."""
    effects: list[Effect] = []
    rest = iter(script)
    outcome: Any = None
    try:
        effect = next(steps)
        while True:
            effects.append(effect)
            outcome = None if isinstance(effect, (PauseEffect, YieldEffect)) else next(rest)
            effect = steps.throw(outcome) if isinstance(outcome, Exception) else steps.send(outcome)
    except StopIteration as end:
        return effects, end.value


def pauses(effects: list[Effect]) -> list[float]:
    return [effect.seconds for effect in effects if isinstance(effect, PauseEffect)]


@pytest.mark.parametrize("status", sorted(TRANSIENT_STATUSES))
def test_a_transient_error_is_retried_no_earlier_than_retry_after(status: int) -> None:
    request = HttpRequest("GET", "/v1/models")
    script = [refusal(status, "7"), UnreachableError("lost"), refusal(status), HttpResponse(200, {}, b"x")]
    effects, answer = played(_call.send(request, RetryBudget(60)), script)
    assert answer.content == b"x"
    assert [effect for effect in effects if not isinstance(effect, PauseEffect)] == [SendEffect(request)] * 4
    asked, *backoff = pauses(effects)
    assert asked == 7
    assert all(0 < seconds <= 1 for seconds in backoff)


@pytest.mark.parametrize("status", [400, 401, 404, 409, 413, 415, 422, 500])
def test_a_permanent_error_is_raised_at_once(status: int) -> None:
    with pytest.raises(RefusedError) as refused:
        played(_call.models(RetryBudget(60)), [refusal(status, "1")])
    assert (refused.value.status, refused.value.field, refused.value.index) == (status, "f", 3)


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        (refusal(429, "61"), errors.TooBusy),
        (refusal(507, "60"), errors.Unavailable),
        (refusal(503), errors.Unavailable),
    ],
)
def test_a_spent_retry_budget_raises_the_last_error(last: HttpResponse, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        played(_call.models(RetryBudget(30)), [last] * 100)


@given(seconds=st.floats(0, 300), asked=st.lists(st.none() | st.integers(0, 30), min_size=200, max_size=200))
def test_no_call_pauses_longer_than_its_retry_budget(seconds: float, asked: list[int | None]) -> None:
    budget, waited = RetryBudget(seconds), 0.0
    with pytest.raises(RefusedError):
        for each in asked:
            waited += budget.pause_after(_call.to_error(refusal(503, None if each is None else str(each)))).seconds
    assert waited <= seconds


def test_an_answer_of_another_server_is_named_as_such() -> None:
    with pytest.raises(RefusedError, match="is this the right URL"):
        played(_call.models(RetryBudget(60)), [HttpResponse(404, {}, b"<html>")])
    with pytest.raises(RefusedError):
        played(_call.models(RetryBudget(60)), [HttpResponse(302, {"location": "/elsewhere"})])


def results(script: list[Any]) -> tuple[list[Effect], list[Any]]:
    effects, _ = played(_results.results("a", -1, True, RetryBudget(60), bytes), script)
    return effects, [value for effect in effects if isinstance(effect, YieldEffect) for value in effect.values]


def line(index: int) -> bytes:
    return b'{"index":%d}\n' % index


def opened(state: str) -> HttpResponse:
    return HttpResponse(200, {"lengthwise-job-state": state})


def test_each_result_of_a_running_job_is_yielded_once_and_requests_continue_at_the_first_gap() -> None:
    script = [
        *(opened("running"), line(0) + line(2), b""),
        *(opened("running"), line(2)[:5], line(2)[5:] + line(1) + b'{"ind', UnreachableError("cut")),
        *(opened("completed"), line(3), line(4), b""),
    ]
    effects, given_lines = results(script)
    assert given_lines == [line(at).strip() for at in (0, 2, 1, 3, 4)]
    asked = [effect.request.query["after"] for effect in effects if isinstance(effect, OpenEffect)]
    assert asked == [-1, 0, 2]
    assert len(pauses(effects)) == 1


def test_a_download_that_ends_within_a_line_continues() -> None:
    _, given_lines = results([opened("completed"), line(0) + b'{"index":1', b"", opened("completed"), line(1), b""])
    assert given_lines == [line(0).strip(), line(1).strip()]


@given(batches=st.lists(st.lists(st.integers(0, 20), max_size=8), max_size=8))
def test_progress_takes_each_index_once(batches: list[list[int]]) -> None:
    progress, taken = SeenResults(-1), []
    for batch in batches:
        taken += [index for index, _ in progress.take([(index, b"") for index in dict.fromkeys(batch)])]
    assert sorted(taken) == sorted({index for batch in batches for index in batch})
    assert progress.after == next(at for at in range(22) if at not in taken) - 1


def test_a_get_quotes_the_id_and_states_its_wait() -> None:
    effects, _ = played(_call.get("a/../b", RetryBudget(1), 30), [HttpResponse(200, {}, INFO)])
    (sent,) = (effect.request for effect in effects if isinstance(effect, SendEffect))
    assert (sent.path, sent.wait_seconds) == ("/v1/jobs/a%2F..%2Fb", 30)
    assert not any(isinstance(effect, ReadEffect) for effect in effects)


@pytest.mark.parametrize("key", ["", "a b", "ключ", "x" * 256, "a\nb"])
def test_an_idempotency_key_that_no_header_can_hold_is_refused_before_anything_is_sent(key: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="visible ASCII") as refused:
        played(_call.retry("a", key, RetryBudget(1)), [])
    assert not key or key not in str(refused.value)


def test_a_pause_names_its_error_and_the_seconds_that_are_left() -> None:
    script = [UnreachableError("lost"), refusal(503, "7"), HttpResponse(200, {}, b"x")]
    effects, _ = played(_call.send(HttpRequest("GET", "/"), RetryBudget(60)), script)
    first, second = (effect for effect in effects if isinstance(effect, PauseEffect))
    assert (str(first.error), first.left_seconds) == ("lost", 60)
    assert (type(second.error).__name__, second.left_seconds) == ("UnavailableError", 60 - first.seconds)


INFO = json.dumps(
    {
        "id": "a", "kind": "generate", "model": "echo", "params": {}, "priority": "normal", "state": "queued",
        "counts": dict.fromkeys(("total", "pending", "succeeded", "failed", "cancelled", "expired"), 0),
        "items_per_second": 0, "estimated_end_at": None, "created_at": "2031-01-31T12:00:00Z", "finished_at": None,
        "deadline_at": None, "expires_at": None, "retry_of": None, "webhook": None, "usage": {}, "engine": {},
        "a field of a newer server": 1,
    }
).encode()  # fmt: skip
