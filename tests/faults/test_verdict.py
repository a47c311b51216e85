"""The harness must find what it counts: each kind of wrong result is shown to it."""

import json
from typing import Any

import pytest

from tests.faults.client import AcknowledgedJob
from tests.faults.verdict import Verdict, judge_results

JOB = AcknowledgedJob("a job", ["abc", "defg", "poison"], {2: "worker_lost"}, None)
RIGHT: list[dict[str, Any]] = [
    {"index": 0, "output": {"text": "cba"}},
    {"index": 1, "output": {"text": "gfed"}},
    {"index": 2, "error": {"code": "worker_lost"}},
]


def judged(lines: list[dict[str, Any]], n_output: int = 7, total: int = 3) -> Verdict:
    verdict = Verdict()
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    judge_results(JOB, content, {"usage": {"output_tokens": n_output}, "counts": {"total": total}}, verdict)
    return verdict


def test_what_is_right_is_held_against_nobody() -> None:
    assert judged(RIGHT) == Verdict()


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        (RIGHT[1:], "lost"),
        ([RIGHT[0], {"index": 1, "error": {"code": "worker_lost"}}, RIGHT[2]], "lost"),
        ([*RIGHT[:2], {"index": 2, "error": {"code": "out_of_memory"}}], "lost"),
        ([RIGHT[0], *RIGHT], "doubled"),
        ([{"index": 0, "output": {"text": "gfed"}}, *RIGHT[1:]], "misaligned"),
        ([*RIGHT[:2], {"index": 2, "output": {"text": "nosiop"}}], "misaligned"),
    ],
)
def test_each_wrong_is_counted_as_what_it_is(lines: list[dict[str, Any]], name: str) -> None:
    right = {line["index"]: len(line["output"]["text"]) for line in lines if line in RIGHT and "output" in line}
    verdict = judged(lines, n_output=sum(right.values()))
    found = {name: getattr(verdict, name) for name in ("lost", "doubled", "misaligned")}
    assert found == {"lost": 0, "doubled": 0, "misaligned": 0} | {name: 1}
    assert verdict.notes


def test_tokens_that_were_counted_twice_are_seen_where_results_cannot_double() -> None:
    assert judged(RIGHT, n_output=10).doubled == 1
