"""The generator makes the same requests from the same seed, valid ones among them, and the verdict counts."""

import json
import time
from collections import Counter
from itertools import islice

import pytest

from tests.hostile.generated import VALID, requests
from tests.hostile.second_caller import Waits
from tests.hostile.verdict import CANARY, Outcome


def test_a_seed_makes_the_same_requests_again_at_any_time_and_another_makes_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, other = (list(islice(requests(seed, "key"), 500)) for seed in (7, 8))
    assert first != other
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert first == list(islice(requests(7, "key"), 500))


def test_requests_can_be_written_and_are_of_all_sorts() -> None:
    made = list(islice(requests(1, "key"), 5_000))
    assert all(request.path.isascii() and " " not in request.path for request in made)
    paths = Counter(request.path.split("?")[0] for request in made)
    assert all(paths[path] for _, path, _ in VALID if "{id}" not in path)
    bodies = [json.loads(json.dumps(body)) for _, _, body in VALID if body is not None]
    unchanged = [
        request for request in made if request.body and request.body in {json.dumps(b).encode() for b in bodies}
    ]
    assert unchanged, "some requests are valid"
    assert sum("key" in request.headers["Authorization"] for request in made) > 4_000


def test_a_server_error_an_echo_and_a_slow_answer_are_problems() -> None:
    outcome = Outcome("x")
    outcome.saw(200, CANARY.encode())
    outcome.saw(422, b"{}")
    assert outcome.problems == []
    outcome.saw(503)
    outcome.saw(422, CANARY.encode())
    waits = Waits([("GET /healthz", 0.0, 0.1, 200), ("GET /healthz", 0.0, 1.1, 200), ("GET /healthz", 0.0, 0.1, 500)])
    outcome.judge(waits, {"api": 10, "worker": 10}, {"api": 1, "worker": 1})
    assert len(outcome.problems) == 4
    outcome.judge(Waits(), {"api": 401 * 2**20, "worker": 400 * 2**20}, {"api": 0, "worker": 90 * 2**20})
    assert len(outcome.problems) == 6
    assert (outcome.n_requests, outcome.statuses[422]) == (4, 2)
