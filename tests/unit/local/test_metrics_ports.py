"""The processes that one command starts serve their metrics on ports of their own."""

import pytest

from lengthwise.local import program


@pytest.mark.parametrize(
    ("queues", "devices", "ports"),
    [
        (["generate"], [], [9464]),
        (["generate", "deliver"], [], [9464, 9465]),
        (["deliver", "generate"], ["cuda:0", "cuda:1"], [9464, 9465, 9466]),
    ],
)
def test_each_process_has_the_next_port(queues: list[str], devices: list[str], ports: list[int]) -> None:
    started = program.workers(queues, devices, {"LENGTHWISE_METRICS_PORT": "9464"})
    assert [program.metrics_port(each) for each in started] == ports


@pytest.mark.parametrize("environment", [{}, {"LENGTHWISE_METRICS_PORT": "0"}, {"LENGTHWISE_METRICS_PORT": ""}])
def test_no_process_has_a_port_if_that_is_off(environment: dict[str, str]) -> None:
    started = program.workers(["generate", "deliver"], [], environment)
    assert [program.metrics_port(each) for each in started] == [0, 0]
    assert [program.with_metrics_port(environment, number) for number in range(3)] == [environment] * 3
