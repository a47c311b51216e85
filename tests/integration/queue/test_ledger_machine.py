"""The ledger compared with a model of itself: in any order of steps, every item ends exactly once."""

from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from pydantic_core import from_json

from lengthwise import database
from lengthwise.errors import Conflict
from lengthwise.ledger import store, tally
from lengthwise.ledger.jobs import cancel, results, retry
from lengthwise.ledger.queue import sweep, urgency
from lengthwise.ledger.queue.claim import Claim, claim_condemned
from lengthwise.ledger.queue.lease import delay, heartbeat, release
from lengthwise.ledger.queue.settle import complete_jobs, settle
from lengthwise.states import ResultStatus
from tests.ledger import DEFAULT, EVERY_ITEM, figures, is_delivery_noted, line, put, settlements, sql, submit, take
from worker.delivery.signing import new_secret

MAX_DEATHS = 3

_INDEXES = f"""
SELECT item.index FROM shards JOIN {EVERY_ITEM} item ON item.job_id = shards.job_id AND pos >= lo AND pos < hi
WHERE shards.id = :id ORDER BY pos
"""  # noqa: S608 - our own names


@dataclass
class ExpectedJob:
    hook: bool
    texts: list[str]
    state: str = "open"
    failed: set[int] = field(default_factory=set)
    #: The shard whose settlement wrote each index.
    results: dict[int, bytes] = field(default_factory=dict)


@dataclass
class ExpectedShard:
    job: UUID
    #: Indexes, in order of position.
    indexes: list[int]
    deaths: int = 0
    attempts: int = 0
    holder: UUID | None = None
    is_overdue: bool = False


class Ledger(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        sql("TRUNCATE jobs, items, shards, results, deliveries, turns CASCADE")
        with database.engine().begin() as connection:
            assert all(store.empty(connection, number) for number in store.find_left(connection))
        self.jobs: dict[UUID, ExpectedJob] = {}
        self.claims: list[Claim] = []
        #: Shards that were claimed before, by id; and halves that the sweep cut off and that were not claimed yet.
        self.shards: dict[int, ExpectedShard] = {}
        self.halves: list[ExpectedShard] = []

    def held(self, claimed: Claim) -> set[int]:
        return {shard for shard in claimed.shards if self.shards[shard].holder == claimed.token}

    def known(self, id_: int, job: UUID, indexes: list[int]) -> ExpectedShard:
        """The model's entry of a shard that was just claimed. A new one may be a half that the sweep cut off."""
        if id_ in self.shards:
            return self.shards[id_]
        for half in self.halves:
            if half.job == job and half.indexes == indexes:
                self.halves.remove(half)
                return half
        return ExpectedShard(job, indexes)

    def end_those_done(self) -> None:
        for job in self.jobs.values():
            if job.state == "open" and len(job.results) == len(job.texts):
                job.state = "completed"

    def drop(self, job: UUID, state: str) -> None:
        self.jobs[job].state = state
        self.halves = [half for half in self.halves if half.job != job]
        for shard in self.shards.values():
            if shard.job == job:
                shard.holder = None

    @rule(
        lengths=st.lists(st.sampled_from([5, 6, 50]), min_size=1, max_size=6), per=st.integers(1, 3), hook=st.booleans()
    )
    def submit(self, lengths: list[int], per: int, hook: bool) -> None:
        self.submit_texts(["x" * length for length in lengths], per, hook)

    def submit_texts(self, texts: list[str], per: int, hook: bool) -> None:
        webhook = ("http://receiver.example/", new_secret()) if hook else None
        self.jobs[submit(texts, shard_items=per, webhook=webhook)] = ExpectedJob(hook, texts)

    @rule(items=st.integers(1, 8), batch_items=st.integers(0, 3))
    def claim(self, items: int, batch_items: int) -> None:
        claimed = take(items=items, batch_items=min(batch_items, items))
        if claimed is None:
            assert sql("SELECT FROM shards WHERE state = 'ready' AND not_before <= now()") == []
            return
        self.claims.append(claimed)
        for id_, taken in claimed.shards.items():
            indexes = [row[0] for row in sql(_INDEXES, id=id_)]
            shard = self.known(id_, taken.job_id, indexes)
            assert sorted(item.index for item in claimed.items if item.shard_id == id_) == sorted(indexes)
            assert (shard.job, shard.indexes, shard.holder) == (taken.job_id, indexes, None)
            assert (shard.deaths + 1, shard.attempts) == (taken.deaths, taken.attempts)
            assert taken.deaths == 1 or len(claimed.shards) == 1, "a suspect is taken alone"
            assert self.jobs[taken.job_id].state == "open"
            shard.deaths, shard.holder, shard.is_overdue = taken.deaths, claimed.token, False
            self.shards[id_] = shard

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), status=st.sampled_from([ResultStatus.SUCCEEDED, ResultStatus.FAILED]))
    def settle(self, data: st.DataObject, status: ResultStatus) -> None:
        claimed = data.draw(st.sampled_from(self.claims))
        chosen = data.draw(st.lists(st.sampled_from(claimed.shard_ids), unique=True, min_size=1))
        expected = self.held(claimed) & set(chosen)
        assert put(claimed, chosen, status=status).shard_ids == expected
        for shard in expected:
            own = self.shards[shard]
            own.holder = None
            job = self.jobs[own.job]
            job.results |= {index: line(index, claimed) for index in own.indexes}
            job.failed |= set(own.indexes) if status is ResultStatus.FAILED else set()
        self.end_those_done()

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        claimed = data.draw(st.sampled_from(self.claims))
        with database.engine().begin() as connection:
            release(connection, claimed.token, claimed.shard_ids)
        for shard in self.held(claimed):
            self.shards[shard].holder = None
            self.shards[shard].deaths -= 1

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def put_off(self, data: st.DataObject) -> None:
        claimed = data.draw(st.sampled_from(self.claims))
        with database.engine().begin() as connection:
            delay(connection, claimed.token, claimed.shard_ids, seconds=0)
        for shard in self.held(claimed):
            self.shards[shard].holder = None
            self.shards[shard].deaths -= 1
            self.shards[shard].attempts += 1

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
            sweep.expire_leases(connection, max_deaths=MAX_DEATHS)
        with database.engine().begin() as connection:
            token = uuid4()
            lost = claim_condemned(connection, token, max_deaths=MAX_DEATHS, lease_seconds=60)
            if lost:
                settle(connection, token, settlements(lost, status=ResultStatus.FAILED))
        with database.engine().begin() as connection:
            urgency.raise_priorities(connection)
            assert sweep.find_finished_jobs(connection) == ([], None)
            complete_jobs(connection, [])
        for shard in overdue:
            shard.holder = None
            if len(shard.indexes) > 1:
                middle = len(shard.indexes) // 2
                rest = shard.indexes[middle:]
                shard.indexes = shard.indexes[:middle]
                self.halves.append(ExpectedShard(shard.job, rest, shard.deaths, shard.attempts))
            elif shard.deaths >= MAX_DEATHS:
                assert lost
                self.jobs[shard.job].results |= {index: line(index, lost) for index in shard.indexes}
                self.jobs[shard.job].failed |= set(shard.indexes)
        self.end_those_done()

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        id_ = data.draw(st.sampled_from(list(self.jobs)))
        job = self.jobs[id_]
        with database.engine().begin() as connection:
            if job.state == "open" or not job.failed:
                with pytest.raises(Conflict):
                    retry.lock_failed_job(connection, id_, DEFAULT)
                return
            again = list(retry.read_failed_items(connection, retry.lock_failed_job(connection, id_, DEFAULT)))
        texts = [from_json(item.payload)["text"] for portion in again for item in portion]
        assert texts == [job.texts[index] for index in sorted(job.failed)]
        self.submit_texts(texts, per=2, hook=False)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def near_the_deadline(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(list(self.jobs)))
        sql("UPDATE jobs SET deadline_at = now() + interval '1 hour', created_at = now() - interval '9 hours'"
            " WHERE id = :job AND deadline_at IS NULL", job=job)  # fmt: skip

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(list(self.jobs)))
        with database.engine().begin() as connection:
            cancel.cancel(connection, job, DEFAULT)
            was_due = is_delivery_noted(connection)
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
                found = results.read_page(
                    connection, id_, store=now.store, after=-1, limit=100, chunk_items=10_000, n_items=now.n_items
                ).rows
            assert {row.index: row.line for row in found if row.line is not None} == job.results
            assert len(found) == len({row.index for row in found}) == now.n_items - now.counts["pending"]


@pytest.mark.usefixtures("each_store", "installed")
@pytest.mark.parametrize("many_shards", [tally.MANY_SHARDS, 0], ids=["sums over shards", "tallies"])
def test_every_item_ends_once_whatever_the_order_of_steps(many_shards: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MANY_SHARDS", many_shards)
    run_state_machine_as_test(
        Ledger,
        settings=settings(
            max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
