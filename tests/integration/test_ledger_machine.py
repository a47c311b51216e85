"""The ledger against a model of itself: whatever the steps and their order, every item ends exactly once."""

from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from lengthwise import database
from lengthwise.ledger import cancel, read, sweep
from lengthwise.ledger.claim import Claim, claim_exhausted, heartbeat, release
from lengthwise.ledger.settle import complete, settle
from lengthwise.states import ResultStatus
from tests.ledger import DEFAULT, figures, line, put, settlements, sql, submit, take
from worker.signing import new_secret

MAX_ATTEMPTS = 3


@dataclass
class Job:
    hook: bool
    n_items: int
    state: str = "open"
    #: Whose line each index has.
    results: dict[int, bytes] = field(default_factory=dict)


@dataclass
class Shard:
    job: UUID
    indexes: list[int]
    attempts: int
    holder: UUID | None
    is_overdue: bool = False


class Ledger(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        sql("TRUNCATE jobs, items, shards, results, deliveries, turns CASCADE")
        self.jobs: dict[UUID, Job] = {}
        self.claims: list[Claim] = []
        self.shards: dict[int, Shard] = {}

    def held(self, claimed: Claim) -> set[int]:
        return {shard for shard in claimed.attempts if self.shards[shard].holder == claimed.token}

    def end_those_done(self) -> None:
        for job in self.jobs.values():
            if job.state == "open" and len(job.results) == job.n_items:
                job.state = "completed"

    def drop(self, job: UUID, state: str) -> None:
        self.jobs[job].state = state
        for shard in self.shards.values():
            if shard.job == job:
                shard.holder = None

    @rule(
        lengths=st.lists(st.sampled_from([5, 6, 50]), min_size=1, max_size=6), per=st.integers(1, 3), hook=st.booleans()
    )
    def submit(self, lengths: list[int], per: int, hook: bool) -> None:
        webhook = ("http://receiver.example/", new_secret()) if hook else None
        job = submit(["x" * length for length in lengths], shard_items=per, webhook=webhook)
        self.jobs[job] = Job(hook, len(lengths))

    @rule(items=st.integers(1, 8))
    def claim(self, items: int) -> None:
        claimed = take(items=items)
        if claimed is None:
            assert sql("SELECT FROM shards WHERE state = 'ready'") == []
            return
        self.claims.append(claimed)
        for shard, attempts in claimed.attempts.items():
            mine = [item for item in claimed.items if item.shard_id == shard]
            known = self.shards.get(shard)
            assert attempts == (known.attempts + 1 if known else 1)
            assert known is None or known.holder is None
            assert self.jobs[mine[0].job_id].state == "open"
            self.shards[shard] = Shard(mine[0].job_id, [item.index for item in mine], attempts, claimed.token)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        claimed = data.draw(st.sampled_from(self.claims))
        chosen = data.draw(st.lists(st.sampled_from(claimed.shard_ids), unique=True, min_size=1))
        expected = self.held(claimed) & set(chosen)
        assert put(claimed, chosen).shard_ids == expected
        for shard in expected:
            self.shards[shard].holder = None
            own = self.shards[shard]
            self.jobs[own.job].results |= {index: line(index, claimed) for index in own.indexes}
        self.end_those_done()

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        claimed = data.draw(st.sampled_from(self.claims))
        with database.engine().begin() as connection:
            release(connection, claimed.token, claimed.shard_ids)
        for shard in self.held(claimed):
            self.shards[shard].holder = None
            self.shards[shard].attempts -= 1

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def beat(self, data: st.DataObject) -> None:
        claimed = data.draw(st.sampled_from(self.claims))
        with database.engine().begin() as connection:
            assert heartbeat(connection, claimed.token, claimed.shard_ids, lease_seconds=60) == self.held(claimed)
        for shard in self.held(claimed):
            self.shards[shard].is_overdue = False

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        claimed = data.draw(st.sampled_from(self.claims))
        sql(
            "UPDATE shards SET lease_until = now() - interval '1 second' WHERE token = :token AND state = 'leased'",
            token=claimed.token,
        )
        for shard in self.held(claimed):
            self.shards[shard].is_overdue = True

    @rule()
    def sweep(self) -> None:
        overdue = [shard for shard in self.shards.values() if shard.holder and shard.is_overdue]
        with database.engine().begin() as connection:
            sweep.expire_leases(connection, max_attempts=MAX_ATTEMPTS)
        with database.engine().begin() as connection:
            token = uuid4()
            lost = claim_exhausted(connection, token, max_attempts=MAX_ATTEMPTS, lease_seconds=60)
            if lost:
                settle(connection, token, settlements(lost, status=ResultStatus.FAILED))
        with database.engine().begin() as connection:
            assert sweep.finished_jobs(connection) == []
            complete(connection, [])
        for shard in overdue:
            shard.holder = None
            if shard.attempts >= MAX_ATTEMPTS:
                assert lost
                self.jobs[shard.job].results |= {index: line(index, lost) for index in shard.indexes}
        self.end_those_done()

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(list(self.jobs)))
        with database.engine().begin() as connection:
            was_due = cancel.cancel(connection, job, DEFAULT)
        assert was_due == (self.jobs[job].state == "open" and self.jobs[job].hook)
        if self.jobs[job].state == "open":
            self.drop(job, "cancelled")

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def expire(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(list(self.jobs)))
        sql("UPDATE jobs SET deadline_at = now() - interval '1 second' WHERE id = :job", job=job)
        with database.engine().begin() as connection:
            cancel.expire(connection)
        if self.jobs[job].state == "open":
            self.drop(job, "expired")

    @invariant()
    def every_item_is_in_one_place(self) -> None:
        due = [job for (job,) in sql("SELECT job_id FROM deliveries ORDER BY job_id")]
        assert due == sorted(id_ for id_, job in self.jobs.items() if job.hook and job.state != "open")
        for id_, job in self.jobs.items():
            now = figures(id_)
            assert now.state == job.state
            assert (job.state == "open") == (now.counts["pending"] > 0)
            with database.engine().begin() as connection:
                found = read.results(connection, id_, after=-1, limit=100, chunk_items=10_000, n_items=now.n_items).rows
            assert {row.index: row.line for row in found if row.line is not None} == job.results
            assert len(found) == len({row.index for row in found}) == now.n_items - now.counts["pending"]


@pytest.mark.usefixtures("installed")
def test_every_item_ends_once_whatever_the_order_of_steps() -> None:
    run_state_machine_as_test(
        Ledger,
        settings=settings(
            max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
