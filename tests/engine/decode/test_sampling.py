import pytest
import torch

from tests.engine import tiny
from tests.engine.conftest import Load
from tests.engine.decode.test_generation import EVERY, run
from worker.engine.protocol import Request, Sampling
from worker.engine.transformer.decode.sampling import draw


def sampled(seed: int = 0) -> list[Request]:
    return [
        request._replace(sampling=Sampling(temperature=0.9, top_p=0.95, top_k=50, seed=seed + request.id))
        for request in tiny.requests()
    ]


@pytest.mark.parametrize("kind", EVERY)
def test_a_draw_can_be_repeated_and_does_not_depend_on_neighbours(kind: str, load: Load) -> None:
    engine = load(kind, "int8")
    together = run(engine, sampled())
    assert together == run(engine, sampled())
    assert together == {request.id: run(engine, [request])[request.id] for request in sampled()}


def test_another_seed_draws_another_answer(load: Load) -> None:
    assert run(load("llama", "int8"), sampled()) != run(load("llama", "int8"), sampled(seed=100))


def test_one_row_may_be_drawn_beside_greedy_ones(load: Load) -> None:
    engine, greedy = load("llama", "int8"), tiny.requests()
    mixed = run(engine, [sampled()[0], *greedy[1:]])
    plain = run(engine, greedy)
    assert mixed | {0: plain[0]} == plain


LOGITS = torch.log(torch.tensor([0.1, 0.4, 0.2, 0.3]))


@pytest.mark.parametrize(("point", "token"), [(0.0, 1), (0.39, 1), (0.41, 3), (0.69, 3), (0.71, 2), (0.91, 0)])
def test_a_point_falls_into_the_share_of_its_token(point: float, token: int) -> None:
    assert draw(LOGITS, Sampling(temperature=1.0), point) == token


def test_top_k_leaves_only_the_likeliest() -> None:
    assert {draw(LOGITS, Sampling(temperature=1.0, top_k=2), point / 100) for point in range(100)} == {1, 3}


def test_top_p_leaves_the_fewest_that_reach_it() -> None:
    assert {draw(LOGITS, Sampling(temperature=1.0, top_p=0.65), point / 100) for point in range(100)} == {1, 3}
    assert {draw(LOGITS, Sampling(temperature=1.0, top_p=0.0), point / 100) for point in range(100)} == {1}


def test_a_low_temperature_sharpens() -> None:
    assert {draw(LOGITS, Sampling(temperature=0.01), point / 100) for point in range(99)} == {1}


@pytest.mark.parametrize("temperature", [5e-324, 1e-300, 1e-45, 1e-40, 1e-38, 1e-37, 1e-20])
@pytest.mark.parametrize(("top_p", "top_k"), [(1.0, 0), (5e-324, 0), (0.5, 2**31 - 1), (1.0, 3)])
def test_the_lowest_temperatures_take_the_likeliest_token(temperature: float, top_p: float, top_k: int) -> None:
    for scores in (LOGITS, 100 * LOGITS, LOGITS - 1000, torch.tensor([-torch.inf, 5.0, -torch.inf, 1.0])):
        for point in (0.0, 0.5, 0.999):
            assert draw(scores, Sampling(temperature, top_p, top_k), point) == 1
