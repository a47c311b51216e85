"""What the benchmark of an operator's questions measures, without servers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from benchmarks.operate import __main__ as program
from benchmarks.operate import measuring
from benchmarks.operate.filling import KnownJobs
from benchmarks.operate.looks import LISTS, Look, looks
from benchmarks.operate.measuring import LookTimes


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """The names of the looks that were asked for in each run of the servers."""
    made: list[list[str]] = []

    @contextmanager
    def asked(data: Path) -> Iterator[list[str]]:
        made.append([])
        yield made[-1]

    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "1").write_bytes(b"rows")
    monkeypatch.setattr(measuring, "asked", asked)
    monkeypatch.setattr(measuring, "_files_of_postgres", lambda: tmp_path)
    return made


def look(name: str) -> Look:
    def ask(run: Any) -> None:
        run.append(name)

    return Look(name, 20.0, ask)


def test_each_look_is_warm_after_its_first_time_and_cold_in_a_run_of_its_own(
    runs: list[list[str]], tmp_path: Path
) -> None:
    found = measuring.measure(tmp_path, [look("a"), look("b")], rounds=2, has_cold=True)
    assert runs == [["a"] * 3 + ["b"] * 3, ["a"], ["b"]]
    assert list(found) == ["a", "b"]
    assert all(0 <= times.warm <= times.longest and times.cold is not None for times in found.values())
    assert (tmp_path / "base" / "1").read_bytes() == b"rows"


def test_the_cold_runs_can_be_left_out(runs: list[list[str]], tmp_path: Path) -> None:
    found = measuring.measure(tmp_path, [look("a")], rounds=1, has_cold=False)
    assert runs == [["a", "a"]]
    assert found["a"].cold is None


def test_every_look_has_a_name_of_its_own_and_every_list_the_bound_of_lists() -> None:
    every = list(looks(KnownJobs(UUID(int=1), UUID(int=2), UUID(int=3))))
    assert len({each.name for each in every}) == len(every)
    assert {each.bound_ms for each in every if each.name.startswith("GET /v1/jobs?")} == {50.0}
    assert len([each for each in every if each.name.startswith("GET /v1/jobs?")]) == len(LISTS) - 1


def test_what_takes_longer_than_it_may_is_marked() -> None:
    found = {"a": LookTimes(30.0, 31.0, None), "b": LookTimes(3.0, 31.0, 40.0)}
    every = [look("a"), look("b")]
    warm = list(program.table(every, found).columns[2].cells)
    assert warm == ["30.0 !", "3.0"]
    assert program.figures(every, found)["b"] == {"bound_ms": 20.0, "warm_ms": 3.0, "longest_ms": 31.0, "cold_ms": 40.0}


def test_a_quick_run_is_small_unless_a_size_is_given() -> None:
    given = program.parse_options(["--quick", "--rounds", "3"])
    assert (given.jobs, given.open_jobs, given.shards, given.rounds) == (2_000, 200, 2_000, 3)
    assert program.parse_options([]).jobs == 1_000_000
