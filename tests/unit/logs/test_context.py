"""The ids that log lines show."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from lengthwise import logs


def test_bound_ids_are_there_for_the_block_alone() -> None:
    with logs.bound(request="r", job="a"):
        with logs.bound(job="b", shard=1):
            assert dict(logs.current()) == {"request": "r", "job": "b", "shard": 1}
        assert dict(logs.current()) == {"request": "r", "job": "a"}
    assert dict(logs.current()) == {}


def test_a_thread_has_them_only_if_they_are_carried() -> None:
    with ThreadPoolExecutor(1) as threads, logs.bound(job="a"):
        assert threads.submit(lambda: dict(logs.current())).result() == {}
        carried = logs.carried(lambda: dict(logs.current()))
        assert threads.submit(carried).result() == {"job": "a"}


def test_what_a_carried_function_binds_does_not_come_back() -> None:
    def binds() -> None:
        logs.bound(shard=7).__enter__()

    with logs.bound(job="a"):
        logs.carried(binds)()
        assert dict(logs.current()) == {"job": "a"}


def test_an_error_takes_along_what_the_innermost_block_knew() -> None:
    with pytest.raises(KeyError) as raised, logs.bound(job="a"), logs.bound(shard=1):
        raise KeyError
    assert logs.raised(raised.value)["raised_in"] == {"job": "a", "shard": 1}
    assert logs.raised(KeyError())["raised_in"] == {}
    assert dict(logs.current()) == {}


def test_a_single_id_is_named_and_of_many_the_first_eight() -> None:
    assert logs.named("job", {"a": 1}) == {"job": "a", "jobs": None, "n_jobs": None}
    found = logs.named("shard", range(100))
    assert found == {"shard": None, "shards": [0, 1, 2, 3, 4, 5, 6, 7], "n_shards": 100}


def test_an_inner_claim_of_many_jobs_hides_the_job_of_the_outer_one() -> None:
    with logs.bound(**logs.named("job", ["a"])), logs.bound(**logs.named("job", ["b", "c"])):
        shown = {name: value for name, value in logs.current().items() if value is not None}
    assert shown == {"jobs": ["b", "c"], "n_jobs": 2}
