"""Why a job is not done, judged by facts alone, and what is said of it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.jobs.progress import errors, message
from lengthwise.ledger.jobs import search
from lengthwise.ledger.why.facts import PoolShards
from lengthwise.ledger.why.judgement import Crew, SeenWorker, Why, of_open_job
from lengthwise.states import NOT_NAMED, Reason, WorkerRole, WorkerState

NOW = datetime(2031, 1, 31, 12, tzinfo=UTC)

_COUNT = st.integers(0, 2)


def pool(**more: Any) -> PoolShards:
    none: dict[str, Any] = dict.fromkeys(PoolShards.__slots__, 0)
    given = {"pool": "echo:1", "priority": 1, "next_at": None, "tokens": [], "share": 1.0, "is_beyond": False}
    return PoolShards(**none | given | more)


def worker(role: str = "generate", state: str = "idle", *, models: Any = ()) -> SeenWorker:
    return SeenWorker(WorkerRole(role), WorkerState(state), NOW, list(models))


BROKEN = {"name": "echo", "state": "failed", "reason": "its folder is missing", "failed_at": NOW.isoformat()}
UNNAMED = BROKEN | {"reason": NOT_NAMED}
PAUSED = {"name": "echo", "state": "loaded", "paused_until": (NOW + timedelta(seconds=9)).isoformat()}

#: Facts for which each reason holds, in the order of the reasons.
HOLDING: dict[Reason, dict[str, Any]] = {
    Reason.RUNNING: {"n_held": 1, "tokens": [uuid4()]},
    Reason.MODEL_UNKNOWN: {"n_ready": 1, "n_claimable": 1},
    Reason.MODEL_NOT_SERVED: {"n_ready": 1, "n_claimable": 1},
    Reason.ENGINE_PAUSED: {"n_ready": 1, "n_claimable": 1},
    Reason.RETRYING: {"n_ready": 1},
    Reason.BISECTING: {"n_ready": 1, "n_claimable": 1, "n_suspects": 1},
    Reason.BEHIND_URGENT: {"n_ready": 1, "n_claimable": 1, "n_ahead": 2, "n_urgent_ahead": 1},
    Reason.BEHIND_OTHERS: {"n_ready": 1, "n_claimable": 1, "n_ahead": 1},
    Reason.NEXT: {"n_ready": 1, "n_claimable": 1},
}
MODELS = {Reason.MODEL_UNKNOWN: UNNAMED, Reason.MODEL_NOT_SERVED: BROKEN, Reason.ENGINE_PAUSED: PAUSED}


def with_own_model(reason: Reason) -> tuple[PoolShards, list[dict[str, Any]]]:
    """A pool of a model of its own, for which the reason holds, and what workers say of that model."""
    shards = pool(**HOLDING[reason] | {"pool": f"{reason}:1"})
    return shards, [MODELS[reason] | {"name": f"{reason}"}] if reason in MODELS else []


@pytest.mark.parametrize("reason", HOLDING)
def test_each_reason_holds_alone(reason: Reason) -> None:
    shards, models = with_own_model(reason)
    found = of_open_job([shards], Crew([worker(models=models), worker("deliver")]), {}, NOW)
    assert found.reason is reason


@given(reasons=st.lists(st.sampled_from(list(HOLDING)), min_size=1, unique=True))
def test_of_several_reasons_the_first_is_given(reasons: list[Reason]) -> None:
    shards, models = zip(*map(with_own_model, reasons), strict=True)
    crew = Crew([worker(models=[entry for each in models for entry in each]), worker("deliver")])
    assert of_open_job(shards, crew, {}, NOW).reason is min(reasons, key=list(Reason).index)


POOLS = st.builds(
    pool,
    pool=st.sampled_from(["echo:1", "other:2", "strange"]),
    **dict.fromkeys(
        ("n_held", "n_held_suspects", "n_expired", "n_ready", "n_claimable", "n_suspects", "n_ahead", "n_urgent_ahead"),
        _COUNT,
    ),
    next_at=st.none() | st.just(NOW),
    is_beyond=st.booleans(),
)
WORKERS = st.builds(
    worker,
    st.sampled_from(list(WorkerRole)),
    st.sampled_from(list(WorkerState)),
    models=st.sampled_from([(), [BROKEN], [UNNAMED], [PAUSED], [{"name": "echo", "state": "loaded"}]]),
)


@given(
    shards=st.lists(POOLS, max_size=3),
    workers=st.lists(WORKERS, max_size=3),
    waiting=st.dictionaries(st.sampled_from(["echo:1", "other:2", "third:1"]), st.integers(0, 2)),
)
def test_whatever_the_facts_one_reason_is_given_in_one_sentence(
    shards: list[PoolShards], workers: list[SeenWorker], waiting: dict[str, int]
) -> None:
    found = of_open_job(shards, Crew(workers), waiting, NOW)
    sentence = message.of_batch(found)
    assert sentence.endswith(".")
    assert ". " not in sentence
    assert len(sentence) < 300


@pytest.mark.parametrize("reason", sorted(set(Reason) - {Reason.ENDED}))
def test_a_sentence_is_complete_when_little_is_known(reason: Reason) -> None:
    sentence = message.of_batch(Why(reason, model="echo"))
    assert sentence[0].isupper() or sentence[0].isdigit()
    assert sentence.endswith(".")
    assert " None" not in sentence


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"index":3,"id":"a","status":"failed","error":{"code":"too_long","message":"m"}}', ("too_long", "a")),
        (b'{"index":3,"status":"failed","error":{"code":"too_long","message":"m"}}', ("too_long", None)),
        (
            b'{"id":"batch_req_1","custom_id":"a","response":{"status_code":500,"body":{"error":{"code":"engine_error"}}}'
            b',"error":null}',
            ("engine_error", "a"),
        ),
        (b'{"custom_id":"a","response":null,"error":{"code":"batch_expired"}}', ("batch_expired", "a")),
        (b"{}", ("unknown", None)),
        (b"[1]", ("unknown", None)),
    ],
)
def test_the_code_and_the_id_are_read_from_lines_of_both_forms(line: bytes, expected: tuple[str, str | None]) -> None:
    assert errors._read(line) == expected


@given(prefix=st.text(min_size=1, max_size=4), rest=st.text(max_size=4), other=st.text(max_size=4))
def test_a_text_begins_with_a_prefix_if_it_is_in_its_range(prefix: str, rest: str, other: str) -> None:
    """Texts without surrogates, which Postgres cannot store, are in the order of their code points."""
    beyond = search._beyond(prefix)
    assert prefix <= prefix + rest
    assert beyond is None or prefix + rest < beyond
    in_range = prefix <= other and (beyond is None or other < beyond)
    assert in_range == other.startswith(prefix)
