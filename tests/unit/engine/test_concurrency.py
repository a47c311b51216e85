"""How many concurrent requests a server gets."""

from worker.engine.openai.concurrency import Concurrency


def answer(concurrency: Concurrency, rounds: int, seconds: float = 1.0, n_tokens: int = 10) -> None:
    for _ in range(rounds):
        for _ in range(max(8, concurrency.limit)):
            concurrency.record_answer(seconds, n_tokens)


def test_it_grows_by_one_each_round_up_to_the_limit_while_latency_is_stable() -> None:
    concurrency = Concurrency(12)
    limits = []
    for _ in range(10):
        limits.append(concurrency.limit)
        answer(concurrency, 1)
    assert limits == [4, 5, 6, 7, 8, 9, 10, 11, 12, 12]


def test_it_starts_within_the_limit() -> None:
    assert Concurrency(1).limit == 1


def test_it_does_not_grow_while_tokens_take_longer_than_before() -> None:
    concurrency = Concurrency(64)
    answer(concurrency, 2)
    assert concurrency.limit == 6
    answer(concurrency, 10, seconds=3.0)
    assert concurrency.limit == 6
    answer(concurrency, 1)
    assert concurrency.limit == 7


def test_a_long_answer_does_not_count_as_slow() -> None:
    concurrency = Concurrency(64)
    answer(concurrency, 1)
    answer(concurrency, 1, seconds=50.0, n_tokens=500)
    assert concurrency.limit == 6
    for _ in range(4):
        concurrency.record_answer(50.0, 500)
        concurrency.record_answer(0.5, 0)
    assert concurrency.limit == 7


def test_a_refusal_halves_it_once_per_round() -> None:
    concurrency = Concurrency(64)
    answer(concurrency, 16)
    assert concurrency.limit == 20
    for _ in range(20):
        concurrency.record_refusal(began_at=5.0, now=10.0)
    assert concurrency.limit == 10
    concurrency.record_refusal(began_at=11.0, now=12.0)
    assert concurrency.limit == 5


def test_one_request_at_a_time_is_always_allowed() -> None:
    concurrency = Concurrency(64)
    for second in range(20):
        concurrency.record_refusal(began_at=second, now=second)
    assert concurrency.limit == 1
    answer(concurrency, 1)
    assert concurrency.limit == 2


def test_after_a_refusal_the_latency_baseline_is_measured_again() -> None:
    concurrency = Concurrency(64)
    answer(concurrency, 2)
    concurrency.record_refusal(began_at=1.0, now=2.0)
    answer(concurrency, 1, seconds=5.0)
    assert concurrency.limit == 4
